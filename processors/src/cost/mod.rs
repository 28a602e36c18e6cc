//! Cost: every charge becomes a fact for the ledger, whatever its method of correction; events that create,
//! change or delete resources become facts about costs by the second; measurements become facts about their use.
//! Replacement of charges, and the cost of a day, are derived by the read model, since a processor does not see earlier events.

mod allocation;
mod budget;
mod recommendation;
mod tags;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};

use chrono::{DateTime, Datelike as _, NaiveDate, Timelike as _};
use costs::{kubernetes, lifecycle, prices::PriceList, service_category, utilisation};
use rust_decimal::Decimal;
use schemas::{
    Envelope, Event, EventId, TenantId, Timestamp,
    changes::cost::{
        Amounts, ChargeFact, Columns, CostChange, CostSeries, LifecycleFact, ResourceLife, STAGE,
        UtilisationFact, bounded_id,
    },
    events::{Governance, Monitoring, Usage, UsageKind},
};

use crate::Processor;

/// Column, with its value, of a charge in a delivery that replaces its billing period.
const REPLACES: (&str, &str) = ("x_Replaces", "BillingPeriod");
/// Columns of AWS' Cost and Usage Report, 2.0 and legacy, for the kind of product within a service.
const PRODUCT_FAMILY: [&str; 2] = ["product_product_family", "product/productFamily"];
/// FOCUS `ChargeClass` of a charge that corrects an invoiced one.
const CORRECTION: &str = "Correction";

/// Turns charges, decisions about budgets, and lifecycle events of resources that are billed by the second
/// (priced by a price list) into facts.
#[derive(Debug, Clone)]
pub struct Cost {
    prices: Arc<PriceList>,
}

impl Cost {
    /// A processor that prices resources by this list.
    pub fn new(prices: Arc<PriceList>) -> Self {
        Self { prices }
    }
}

impl Default for Cost {
    /// A processor with the example price list.
    fn default() -> Self {
        Self { prices: PriceList::shared_examples() }
    }
}

impl Processor for Cost {
    type Input = Envelope;
    type Change = CostChange;
    const NAME: &'static str = STAGE;

    fn process(&self, envelope: &Envelope) -> Vec<CostChange> {
        let change = match &envelope.event {
            Event::Usage(usage) => Some(charge(Head::of(envelope), usage.clone())),
            Event::Governance(event) => decision(envelope, event),
            Event::Monitoring(event) => measured(envelope, event),
            Event::Infrastructure(event) => {
                let life = lifecycle::of_infrastructure(event, &self.prices);
                let actor = event.actor.as_ref().map(|actor| actor.id.clone());
                lifecycle_fact(envelope, actor, life.into_iter().collect())
            }
            Event::Activity(activity) => {
                let native = envelope.native.as_ref();
                let native = native.map(|native| (native.format.as_str(), &*native.record));
                let lives = lifecycle::of_activity(activity, native, &self.prices);
                lifecycle_fact(envelope, Some(activity.actor.id.clone()), lives)
            }
            _ => None,
        };
        change.into_iter().collect()
    }

    fn process_taken(&self, envelope: Envelope) -> ControlFlow<Vec<CostChange>, Envelope> {
        if !matches!(envelope.event, Event::Usage(_)) {
            return ControlFlow::Continue(envelope);
        }
        let head = Head::of(&envelope);
        match envelope.event {
            Event::Usage(usage) => ControlFlow::Break(vec![charge(head, usage)]),
            event => ControlFlow::Continue(Envelope { event, ..envelope }),
        }
    }
}

fn decision(envelope: &Envelope, event: &Governance) -> Option<CostChange> {
    let budget = || Some(CostChange::Budget(Box::new(budget::budget(envelope, event)?)));
    let rules = || Some(CostChange::Allocation(Box::new(allocation::allocation(envelope, event)?)));
    let decided = || Some(CostChange::Recommendation(Box::new(recommendation::decision(envelope, event)?)));
    budget().or_else(rules).or_else(decided)
}

fn measured(envelope: &Envelope, event: &Monitoring) -> Option<CostChange> {
    let utilisation::Measurement { metric, value } = utilisation::of_monitoring(event)?;
    Some(CostChange::Utilisation(Box::new(UtilisationFact {
        event_id: envelope.id,
        tenant: envelope.tenant.clone(),
        at: envelope.occurred_at,
        resource: bounded_id(&event.subject.id),
        metric,
        value,
        node_share: kubernetes::of_monitoring(event).map(Box::new),
        content_sha256: envelope.content_sha256(),
    })))
}

/// A lifecycle fact about resources, each once; `None` without resources.
fn lifecycle_fact(
    envelope: &Envelope,
    actor: Option<String>,
    mut resources: Vec<ResourceLife>,
) -> Option<CostChange> {
    let mut seen = BTreeSet::new();
    resources.retain(|life| seen.insert(life.series.resource.clone()));
    let at = envelope.occurred_at;
    (!resources.is_empty()).then(|| {
        CostChange::Lifecycle(Box::new(LifecycleFact {
            event_id: envelope.id,
            tenant: envelope.tenant.clone(),
            at: at.with_nanosecond(0).unwrap_or(at),
            actor: actor.filter(|actor| !actor.is_empty()),
            resources,
            content_sha256: envelope.content_sha256(),
        }))
    })
}

/// The part of a charge that its envelope gives.
struct Head {
    id: EventId,
    tenant: TenantId,
    known_at: Timestamp,
    content_sha256: [u8; 32],
}

impl Head {
    fn of(envelope: &Envelope) -> Self {
        Self {
            id: envelope.id,
            tenant: envelope.tenant.clone(),
            known_at: envelope.occurred_at,
            content_sha256: envelope.content_sha256(),
        }
    }
}

fn charge(head: Head, mut usage: Usage) -> CostChange {
    usage.service_category = category(&usage);
    let mut taken = Taken::default();
    usage.other_columns.retain(|name, value| !taken.takes(name, value));
    CostChange::Charge(Box::new(ChargeFact {
        event_id: head.id,
        tenant: head.tenant,
        known_at: head.known_at,
        charge_period_start: usage.charge_period_start,
        charge_period_end: usage.charge_period_end,
        amounts: Amounts {
            billed: usage.billed_cost,
            effective: usage.effective_cost,
            list: usage.list_cost,
            contracted: usage.contracted_cost,
            consumed_quantity: usage.consumed_quantity,
            pricing_quantity: taken.pricing_quantity,
        },
        replaces: taken.replaces,
        description: usage.charge_description.take(),
        corrects: usage.corrects.take(),
        other_columns: Columns::from(&usage.other_columns),
        series: series(usage, taken),
        content_sha256: head.content_sha256,
    }))
}

/// FOCUS `ServiceCategory`. The clouds' own exports have none: there the service tells. The event keeps what the bill says, so
/// that a row which is imported again is the same event.
fn category(usage: &Usage) -> Option<String> {
    let told = usage.service_category.clone().filter(|category| !category.trim().is_empty());
    told.or_else(|| {
        let family = PRODUCT_FAMILY.iter().find_map(|name| usage.other_columns.get(*name));
        let part = family.or(usage.charge_description.as_ref()).map(String::as_str);
        service_category(&usage.service_name, part.unwrap_or_default()).map(str::to_owned)
    })
}

/// Values of other columns that become fields of the charge.
#[derive(Default)]
struct Taken {
    replaces: bool,
    pricing_quantity: Option<Decimal>,
    billing_period: Option<Timestamp>,
    class: String,
    sku: String,
    sku_price: String,
    pricing_unit: String,
}

impl Taken {
    /// Takes the value of a column that is a field of the charge, and no other column any more.
    fn takes(&mut self, name: &str, value: &mut String) -> bool {
        let field = match name {
            "ChargeClass" => &mut self.class,
            "SkuId" => &mut self.sku,
            "SkuPriceId" => &mut self.sku_price,
            "PricingUnit" => &mut self.pricing_unit,
            "PricingQuantity" => {
                self.pricing_quantity = value.parse().ok();
                return self.pricing_quantity.is_some();
            }
            "BillingPeriodStart" => {
                self.billing_period = instant(value);
                return false;
            }
            name if name == REPLACES.0 => {
                self.replaces = value == REPLACES.1;
                return true;
            }
            _ => return false,
        };
        *field = std::mem::take(value);
        true
    }
}

fn series(mut usage: Usage, taken: Taken) -> CostSeries {
    tags::add_plain(&mut usage.tags, &usage.other_columns);
    CostSeries {
        billing_period: taken
            .billing_period
            .map_or_else(|| first_of_month(usage.charge_period_start), |start| start.date_naive()),
        provider: usage.provider_name,
        billing_account: usage.billing_account_id,
        sub_account: usage.sub_account_id.unwrap_or_default(),
        service: usage.service_name,
        service_category: usage.service_category.unwrap_or_default(),
        region: usage.region_id.unwrap_or_default(),
        resource: usage.resource_id.as_deref().map(bounded_id).unwrap_or_default(),
        charge_category: usage.charge_category,
        charge_class: match usage.kind {
            UsageKind::ChargeCorrected => CORRECTION.to_owned(),
            UsageKind::ChargeRecorded => taken.class,
        },
        currency: usage.billing_currency,
        sku: taken.sku,
        sku_price: taken.sku_price,
        consumed_unit: usage.consumed_unit.unwrap_or_default(),
        pricing_unit: taken.pricing_unit,
        tags: usage.tags,
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    DateTime::parse_from_rfc3339(text).ok().map(|instant| instant.to_utc())
}

fn first_of_month(instant: Timestamp) -> NaiveDate {
    let date = instant.date_naive();
    date.with_day(1).unwrap_or(date)
}
