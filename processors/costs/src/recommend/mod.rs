//! Recommendations: resources that nobody uses, that are larger or dearer than their use needs, that need not run all the
//! time, and usage that is steady enough to commit to.
//!
//! Every rule is a function of the facts about one resource, or of the daily usage of one service; the thresholds stand
//! beside their sources. A rule without enough measurements says nothing. Savings are decimals; shares of them that
//! follow from measurements are rounded down.

mod commitment;
mod idle;
mod outcome;
mod right_size;
mod schedule;
mod storage;
#[cfg(test)]
mod tests;

use rust_decimal::{Decimal, RoundingStrategy};
use schemas::changes::cost::{Grade, RecommendationKind, SkuPrice, SkuTold, UnitPrice, UtilisationMetric};

pub use commitment::{STEADY_DAYS, SteadyUsage, of_usage};
pub use outcome::{Outcome, OutcomeState, outcome};
pub use schedule::{HOURS_OF_WEEK, Week};

use crate::{prices::HOURS_PER_MONTH, service_category};

/// Days of a month, in which savings are told.
pub const MONTH_DAYS: i64 = 30;
/// Days of cost that recommendations look back on.
pub const COST_DAYS: i64 = 30;
/// Days of measurements that they look back on.
pub const MEASURED_DAYS: i64 = 14;
/// Fewest days with costs, and with measurements, of which anything is said.
const LEAST_DAYS: i64 = 7;
/// Fewest hours of a measured day, on average: a metric that is told now and then says little about the rest.
const LEAST_HOURS_OF_DAY: i64 = 12;
/// Savings below one unit of the currency are not worth anybody's time.
const LEAST_SAVING: Decimal = Decimal::ONE;

/// Facts about one resource.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceFacts {
    /// FOCUS `ServiceCategory`.
    pub service_category: String,
    /// FOCUS `ServiceName`.
    pub service: String,
    /// The environment that its tags name.
    pub environment: Option<String>,
    /// Effective cost in the last 30 days that are known, with what has accrued.
    pub cost: Decimal,
    /// Days from its first cost among them to the last known day.
    pub days: i64,
    /// Measurements of the last 14 days.
    pub measured: Vec<Measured>,
    /// The hours of the week, where processor time was measured.
    pub week: Option<Week>,
    /// Its size or class, by the newest event that tells it.
    pub sku: Option<SkuTold>,
    /// Its price, by the same event.
    pub price: Option<UnitPrice>,
    /// Its size in gigabytes.
    pub size_gb: Option<Decimal>,
    /// Whole days for which it has been stopped; `None`: it runs, or nobody told.
    pub stopped_days: Option<i64>,
}

/// One metric of a resource over the days looked back on.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Its name.
    pub metric: String,
    /// Measurements.
    pub samples: i64,
    /// Hours with one.
    pub hours: i64,
    /// Days with one.
    pub days: i64,
    /// Mean of all measurements.
    pub mean: f64,
    /// The largest of 95 of 100 hours' largest measurements.
    pub p95: f64,
    /// The largest measurement.
    pub largest: f64,
    /// The largest sum of a day.
    pub largest_day: f64,
}

/// An advice and its saving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The rule.
    pub kind: RecommendationKind,
    /// Action, in a sentence.
    pub action: String,
    /// Reasons, a sentence each.
    pub reasons: Vec<String>,
    /// Saving in 30 days, in the currency of the cost; two decimal places.
    pub monthly_saving: Decimal,
    /// Risk that something breaks.
    pub risk: Grade,
    /// Effort.
    pub effort: Grade,
    /// 0 to 100.
    pub confidence: u8,
    /// The size, class or tier to take instead.
    pub target: Option<SkuPrice>,
}

/// Advice about a resource: at most one of removing, shrinking and scheduling it, the one that saves most, and a
/// cheaper tier of storage.
pub fn of_resource(facts: &ResourceFacts) -> Vec<Advice> {
    if facts.days < LEAST_DAYS || facts.cost <= Decimal::ZERO {
        return Vec::new();
    }
    let storage = storage::advise(facts);
    let use_of = match idle::advise(facts) {
        Some(idle) => return std::iter::once(idle).filter(is_worth_it).collect(),
        None => [right_size::advise(facts), schedule::advise(facts)].into_iter().flatten(),
    };
    let best = use_of.max_by_key(|advice| (advice.monthly_saving, advice.confidence));
    storage.into_iter().chain(best).filter(is_worth_it).collect()
}

fn is_worth_it(advice: &Advice) -> bool {
    advice.monthly_saving >= LEAST_SAVING
}

/// Priority of an advice: its share of all spending in the currency, weighted by its confidence.
/// From 1 % on it is high, from 0.2 % on medium.
pub fn priority(advice: &Advice, spent: Decimal) -> Grade {
    let weighed = advice.monthly_saving * Decimal::from(advice.confidence) / Decimal::ONE_HUNDRED;
    let from = |per_mille: i64| spent * Decimal::new(per_mille, 3);
    if spent > Decimal::ZERO && weighed >= from(10) {
        Grade::High
    } else if spent > Decimal::ZERO && weighed >= from(2) {
        Grade::Medium
    } else {
        Grade::Low
    }
}

/// The kind of environment that a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Environment {
    Production,
    Other,
    Untold,
}

impl ResourceFacts {
    /// Cost of 30 days.
    pub fn monthly_cost(&self) -> Decimal {
        money(self.cost * Decimal::from(MONTH_DAYS) / Decimal::from(self.days.clamp(1, COST_DAYS)))
    }

    /// A metric that was measured on enough days and hours to say something.
    fn measured(&self, metric: UtilisationMetric) -> Option<&Measured> {
        let enough = |measured: &&Measured| {
            measured.days >= LEAST_DAYS && measured.hours >= measured.days * LEAST_HOURS_OF_DAY
        };
        self.measured.iter().find(|measured| measured.metric == metric.name()).filter(enough)
    }

    fn environment(&self) -> Environment {
        const OTHER: [&str; 12] = [
            "dev",
            "test",
            "stag",
            "qa",
            "sandbox",
            "demo",
            "uat",
            "preview",
            "ci",
            "integration",
            "lab",
            "nonprod",
        ];
        let Some(name) = self.environment.as_deref() else { return Environment::Untold };
        let name = name.trim().to_ascii_lowercase();
        if OTHER.iter().any(|word| name.starts_with(word)) || name.contains("non-prod") {
            Environment::Other
        } else if ["prod", "prd", "live"].iter().any(|word| name.contains(word)) {
            Environment::Production
        } else {
            Environment::Untold
        }
    }

    /// The risk of touching it, where another environment's is that.
    fn risk(&self, other: Grade) -> Grade {
        match self.environment() {
            Environment::Production => raised(other),
            Environment::Other => other,
            Environment::Untold => other.max(Grade::Medium),
        }
    }

    /// Whether it belongs to a storage service; of charges without a category the service's name tells.
    fn is_of_storage(&self) -> bool {
        match self.service_category.as_str() {
            "" => service_category(&self.service, "") == Some("Storage"),
            category => category == "Storage",
        }
    }

    /// The part of the list price that is for hours of running, for gigabytes, or for months.
    fn share_of(&self, part: PricePartKind) -> Option<Decimal> {
        let price = self.price?;
        let (hours, size) = (Decimal::from(HOURS_PER_MONTH), self.size_gb.unwrap_or_default());
        let of_gb = (price.gb_hourly * hours + price.gb_monthly).checked_mul(size)?;
        let hourly = price.hourly.checked_mul(hours)?;
        let whole = hourly.checked_add(price.monthly)?.checked_add(of_gb)?;
        let part = match part {
            PricePartKind::Hourly => hourly,
            PricePartKind::Gigabytes => of_gb,
            PricePartKind::Monthly => price.monthly,
        };
        (whole > Decimal::ZERO).then(|| part / whole)
    }
}

/// A part of a list price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PricePartKind {
    Hourly,
    Gigabytes,
    Monthly,
}

/// One grade more.
const fn raised(grade: Grade) -> Grade {
    match grade {
        Grade::Low => Grade::Medium,
        Grade::Medium | Grade::High => Grade::High,
    }
}

/// An amount of money with two places, rounded down: a saving is never promised larger than it is.
fn money(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(2, RoundingStrategy::ToZero).normalize()
}

/// A part of an amount.
fn part_of(amount: Decimal, part: Decimal) -> Decimal {
    money(amount * part.clamp(Decimal::ZERO, Decimal::ONE))
}

/// A confidence from 0 to 100.
fn confidence(points: i64) -> u8 {
    u8::try_from(points.clamp(0, 100)).unwrap_or_default()
}

/// A measured value for people.
fn shown(value: f64) -> String {
    format!("{value:.1}")
}
