//! Usage that is steady enough to commit to.

use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use schemas::changes::cost::{Grade, RecommendationKind};

use super::{Advice, LEAST_SAVING, MONTH_DAYS, confidence, money};

/// Days of usage that a commitment is judged by.
pub const STEADY_DAYS: usize = 30;
/// The day of so many, in order of their cost, that is committed to: nine of ten days use at least as much.
const TENTH: usize = 10;

/// Discounts in percent for a year without payment in advance, by FOCUS `ProviderName` in lower case and
/// `ServiceCategory`. Lower bounds of published terms: Compute Savings Plans and reserved RDS instances, savings plans
/// and reserved capacity of Azure, flexible and SQL commitments of Google Cloud.
const DISCOUNTS: [(&str, &str, i64); 6] = [
    ("aws", "Compute", 27),
    ("aws", "Databases", 29),
    ("microsoft", "Compute", 20),
    ("microsoft", "Databases", 20),
    ("google", "Compute", 28),
    ("google", "Databases", 25),
];

/// Daily cost without a commitment, of one service in one account and region.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SteadyUsage {
    /// FOCUS `ProviderName`.
    pub provider: String,
    /// FOCUS `ServiceCategory`.
    pub service_category: String,
    /// FOCUS `ServiceName`.
    pub service: String,
    /// Billed cost of usage on each of the last 30 known days, in any order. Usage that a commitment covers is billed at 0.
    pub days: Vec<Decimal>,
    /// Saving of other recommendations for the same service in 30 days.
    pub saved_otherwise: Decimal,
}

/// A commitment for what is used on nine of ten days.
pub fn of_usage(usage: &SteadyUsage) -> Option<Advice> {
    if usage.days.len() < STEADY_DAYS {
        return None;
    }
    let percent = discount(&usage.provider, &usage.service_category)?;
    let mut days = usage.days.clone();
    days.sort_unstable();
    let least = days[days.len() / TENTH];
    let sum: Decimal = days.iter().copied().sum();
    let mean = sum / Decimal::from(days.len());
    let steady = least * Decimal::from(MONTH_DAYS) - usage.saved_otherwise;
    if least <= Decimal::ZERO || steady <= Decimal::ZERO {
        return None;
    }
    let saving = money(steady * Decimal::new(percent, 2));
    if saving < LEAST_SAVING {
        return None;
    }
    // A flat course is surer than one with a few low days.
    let flat = (least / mean * Decimal::from(40)).to_i64().unwrap_or_default();
    let committed = money(steady);
    let reasons = vec![
        format!(
            "On nine of ten days of {STEADY_DAYS} at least {} were paid for it without a commitment.",
            money(least)
        ),
        format!("A commitment of {committed} in 30 days for a year is assumed to cost {percent} % less."),
    ];
    Some(Advice {
        kind: RecommendationKind::Commitment,
        action: format!("Commit for a year to what {} uses all the time.", usage.service),
        reasons,
        monthly_saving: saving,
        risk: Grade::Medium,
        effort: Grade::Low,
        confidence: confidence(45 + flat),
        target: None,
    })
}

fn discount(provider: &str, category: &str) -> Option<i64> {
    let provider = provider.to_ascii_lowercase();
    let names = |name: &str| match name {
        "aws" => provider.starts_with("aws") || provider.starts_with("amazon"),
        name => provider.starts_with(name),
    };
    let row = DISCOUNTS.iter().find(|(name, of, _)| names(name) && *of == category)?;
    Some(row.2)
}
