//! Charges through the cost processor.

use std::collections::BTreeMap;

use schemas::{
    EventId, Source, TenantId,
    changes::cost::{BudgetCost, BudgetPeriod, BudgetScope, BudgetTerms},
    events::{Actor, Governance, GovernanceKind, UsageKind},
};
use uuid::Uuid;

use super::*;

fn usage(other_columns: &[(&str, &str)]) -> Usage {
    Usage {
        kind: UsageKind::ChargeRecorded,
        billing_account_id: "A".into(),
        sub_account_id: None,
        provider_name: "P".into(),
        service_name: "S".into(),
        service_category: None,
        region_id: None,
        resource_id: Some("R".into()),
        charge_category: "Usage".into(),
        charge_description: None,
        charge_period_start: "2025-05-31T23:00:00Z".parse().expect("an instant"),
        charge_period_end: "2025-06-01T00:00:00Z".parse().expect("an instant"),
        billing_currency: "EUR".into(),
        billed_cost: Decimal::new(-150, 2),
        effective_cost: None,
        list_cost: None,
        contracted_cost: None,
        consumed_quantity: None,
        consumed_unit: None,
        tags: BTreeMap::new(),
        other_columns: other_columns.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
        corrects: None,
    }
}

fn fact(usage: Usage) -> ChargeFact {
    match Cost::default().process(&envelope(Event::Usage(usage))).remove(0) {
        CostChange::Charge(charge) => *charge,
        other => panic!("no charge: {other:?}"),
    }
}

#[test]
fn a_charge_without_a_category_has_that_of_its_service() {
    let of = |service: &str, told: Option<&str>, family: &str| {
        let mut usage = usage(&[("product_product_family", family)]);
        (usage.service_name, usage.service_category) = (service.into(), told.map(str::to_owned));
        fact(usage).series.service_category
    };
    assert_eq!(of("AmazonEC2", None, "Compute Instance"), "Compute");
    assert_eq!(of("AmazonEC2", Some(""), "Storage"), "Storage");
    assert_eq!(of("AmazonEC2", Some("Other"), "Storage"), "Other", "the bill's own word");
    assert_eq!(of("Nimbus", None, ""), "");
    // Google tells parts apart by the SKU, which describes the charge.
    let mut disk = usage(&[]);
    disk.service_name = "Compute Engine".into();
    disk.charge_description = Some("Balanced PD Capacity".into());
    assert_eq!(fact(disk).series.service_category, "Storage");
}

fn envelope(event: Event) -> Envelope {
    Envelope {
        id: EventId::new(Uuid::from_u128(1)).expect("not nil"),
        original_id: None,
        tenant: TenantId::new("acme").expect("a plain name"),
        source: Source::new("/test").expect("a source"),
        subject: None,
        occurred_at: "2025-07-05T00:00:00Z".parse().expect("an instant"),
        skewed: false,
        time_assumed: false,
        correlation_id: None,
        causation_id: None,
        trace: None,
        event,
        native: None,
    }
}

#[test]
fn columns_of_focus_find_their_place_and_others_are_kept() {
    let columns = [
        ("BillingPeriodStart", "2025-06-01T00:00:00Z"),
        ("PricingQuantity", "2.50"),
        ("PricingUnit", "Hours"),
        ("SkuId", "USG-123"),
        ("x_Replaces", "BillingPeriod"),
        ("x_Team", "core"),
    ];
    let found = fact(usage(&columns));
    assert_eq!(found.series.billing_period.to_string(), "2025-06-01");
    assert_eq!((found.series.sku.as_str(), found.series.pricing_unit.as_str()), ("USG-123", "Hours"));
    assert_eq!(found.amounts.pricing_quantity, Some(Decimal::new(250, 2)));
    assert!(found.replaces);
    let kept: Vec<&str> = found.other_columns.iter().map(|(name, _)| name).collect();
    assert_eq!(kept, ["BillingPeriodStart", "x_Team"]);
    assert_eq!(found.known_at.to_rfc3339(), "2025-07-05T00:00:00+00:00");
}

#[test]
fn a_charge_of_a_report_of_aws_is_of_the_team_of_its_resource() {
    let mut charge = usage(&[("line_item_line_item_type", "Usage"), ("resourceTags/user:env", "prod")]);
    charge.tags.insert("user_team".into(), "core".into());
    let tags = fact(charge).series.tags;
    assert_eq!((tags["team"].as_str(), tags["env"].as_str()), ("core", "prod"));
}

#[test]
fn a_charge_without_a_billing_period_is_of_its_month() {
    let found = fact(usage(&[("PricingQuantity", "many")]));
    assert_eq!(found.series.billing_period.to_string(), "2025-05-01");
    assert_eq!(found.amounts.pricing_quantity, None);
    assert_eq!(found.other_columns.get("PricingQuantity"), Some("many"));
    assert!(!found.replaces);
}

#[test]
fn a_correction_is_told_by_its_kind_or_its_class() {
    let class = |usage| fact(usage).series.charge_class;
    assert_eq!(class(usage(&[("ChargeClass", "Correction")])), "Correction");
    let mut corrected = usage(&[]);
    corrected.kind = UsageKind::ChargeCorrected;
    assert_eq!(class(corrected), "Correction");
    assert_eq!(class(usage(&[])), "");
}

fn terms(decision: &str, attributes: &[(&str, &str)]) -> BudgetTerms {
    let event = Governance {
        kind: GovernanceKind::BudgetSet,
        subject_kind: "budget".into(),
        subject_id: "orders/monthly".into(),
        actor: Actor::default(),
        decision: Some(decision.into()),
        reason: None,
        expires_at: None,
        attributes: attributes.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
    };
    let change = Cost::default().process(&envelope(Event::Governance(event))).remove(0);
    let CostChange::Budget(budget) = change else { panic!("no budget: {change:?}") };
    budget.terms
}

#[test]
fn a_budget_is_read_or_told_why_not() {
    let BudgetTerms::Set(plain) = terms("4200.00", &[("currency", "USD")]) else { panic!("terms") };
    assert_eq!(
        (plain.period, plain.cost, plain.scope),
        (BudgetPeriod::Monthly, BudgetCost::Billed, BudgetScope::Tenant)
    );
    assert_eq!(plain.thresholds, [50, 80, 90, 100]);
    let told =
        [("currency", "EUR"), ("period", "quarterly"), ("tag", "team=core"), ("thresholds", "100, 80,80")];
    let BudgetTerms::Set(limit) = terms("9000", &told) else { panic!("terms") };
    assert_eq!(limit.scope, BudgetScope::Tag { key: "team".into(), value: "core".into() });
    assert_eq!(limit.thresholds, [80, 100]);
    assert_eq!(terms("removed", &[]), BudgetTerms::Removed);
    for (decision, attributes, why) in [
        ("0", &[("currency", "USD")][..], "above zero"),
        ("much", &[("currency", "USD")], "above zero"),
        ("1", &[], "no currency"),
        ("1", &[("currency", "usd")], "capital letters"),
        ("1", &[("currency", "USD"), ("period", "weekly")], "period \"weekly\" is unknown"),
        ("1", &[("currency", "USD"), ("team", "a"), ("project", "b")], "not for several"),
        ("1", &[("currency", "USD"), ("tag", "a")], "key=value"),
        ("1", &[("currency", "USD"), ("thresholds", "50,0")], "percent"),
    ] {
        let BudgetTerms::Unreadable(fault) = terms(decision, attributes) else { panic!("{attributes:?}") };
        assert!(fault.contains(why), "{fault}");
    }
}
