//! Advice as it is answered.

use chrono::NaiveDate;
use costs::recommend::{self, Advice, Measured};
use rust_decimal::Decimal;
use schemas::changes::cost::{RecommendationKind, SkuTold};
use sha2::{Digest as _, Sha256};

use super::{
    ChargesEvidence, PriceEvidence, Recommendation, RecommendationEvidence, RecommendationStatus,
    UtilisationEvidence, facts::Resource, usage::Usage,
};

/// Longest id in bytes: commands take so much, and a little less is left for what clients put around it.
const MAX_ID_BYTES: usize = 480;

pub(super) fn of_resource(resource: &Resource, advice: Advice, spent: Decimal) -> Recommendation {
    let facts = &resource.facts;
    let (from, to) = resource.window;
    let price = facts.sku.as_ref().map(|sku| price(sku, resource, &advice));
    Recommendation {
        id: id(advice.kind, &resource.currency, &resource.reference),
        resource: Some(resource.name.clone()),
        account: resource.account.clone(),
        region: resource.region.clone(),
        project: resource.project.clone(),
        environment: facts.environment.clone(),
        monthly_cost: text(facts.monthly_cost()),
        evidence: RecommendationEvidence {
            charges: charges_of(from, to, facts.days, facts.cost, resource.charges),
            utilisation: facts.measured.iter().map(measured).collect(),
            price,
        },
        ..told(advice, spent, (&resource.currency, &resource.provider, &facts.service))
    }
}

pub(super) fn of_usage(usage: &Usage, advice: Advice, spent: Decimal) -> Recommendation {
    let steady = &usage.steady;
    let about =
        [&steady.provider, &usage.billing_account, &steady.service, &usage.region].map(String::as_str);
    let cost: Decimal = steady.days.iter().copied().sum();
    let (from, to) = usage.window;
    Recommendation {
        id: id(advice.kind, &usage.currency, &about.join("/")),
        account: usage.billing_account.clone(),
        region: usage.region.clone(),
        monthly_cost: text(cost.round_dp(2)),
        evidence: RecommendationEvidence {
            charges: charges_of(from, to, (to - from).num_days(), cost, usage.charges),
            utilisation: Vec::new(),
            price: None,
        },
        ..told(advice, spent, (&usage.currency, &steady.provider, &steady.service))
    }
}

/// Fields of every recommendation.
fn told(advice: Advice, spent: Decimal, (currency, provider, service): (&str, &str, &str)) -> Recommendation {
    let priority = recommend::priority(&advice, spent);
    let Advice { kind, action, reasons, monthly_saving, risk, effort, confidence, .. } = advice;
    Recommendation {
        id: String::new(),
        kind,
        status: RecommendationStatus::Open,
        priority,
        monthly_saving: text(monthly_saving),
        monthly_cost: String::new(),
        currency: currency.to_owned(),
        risk,
        effort,
        confidence,
        action,
        reasons,
        resource: None,
        provider: provider.to_owned(),
        account: String::new(),
        service: service.to_owned(),
        region: String::new(),
        project: None,
        environment: None,
        evidence: RecommendationEvidence {
            charges: charges_of(NaiveDate::MIN, NaiveDate::MIN, 0, Decimal::ZERO, 0),
            utilisation: Vec::new(),
            price: None,
        },
        decision: None,
        outcome: None,
    }
}

/// The id of what is recommended about something. Names that are too long for a path, or hold what no path holds, are
/// told by their hash.
fn id(kind: RecommendationKind, currency: &str, about: &str) -> String {
    let id = format!("{}:{currency}:{about}", kind.name());
    if id.len() <= MAX_ID_BYTES && !id.contains(char::is_control) {
        return id;
    }
    let digest: [u8; 32] = Sha256::digest(about.as_bytes()).into();
    let hash: String = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect();
    format!("{}:{currency}:sha256:{hash}", kind.name())
}

fn digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

fn charges_of(from: NaiveDate, to: NaiveDate, days: i64, cost: Decimal, charges: i64) -> ChargesEvidence {
    ChargesEvidence { from, to, days, cost: text(cost), charges }
}

fn price(sku: &SkuTold, resource: &Resource, advice: &Advice) -> PriceEvidence {
    PriceEvidence {
        region: sku.region.clone(),
        product: sku.product.clone(),
        sku: sku.sku.clone(),
        unit: sku.unit.clone(),
        unit_price: text(sku.unit_price),
        target_sku: advice.target.as_ref().map(|target| target.sku.clone()),
        target_unit_price: advice.target.as_ref().map(|target| text(target.unit_price)),
        event_id: resource.told_by,
    }
}

fn measured(of: &Measured) -> UtilisationEvidence {
    let rounded = |value: f64| (value * 10_000.0).round() / 10_000.0;
    UtilisationEvidence {
        metric: of.metric.clone(),
        samples: of.samples,
        days: of.days,
        mean: rounded(of.mean),
        p95: rounded(of.p95),
        largest: rounded(of.largest),
        events: Vec::new(),
    }
}

fn text(amount: Decimal) -> String {
    amount.normalize().to_string()
}
