//! Risk of an entity, as a pure function of its exposures and the decisions about it.
//!
//! Hazard halves every [`HALF_LIFE_HOURS`] of event time. Sums are integers, so that the order of events,
//! partitions and restarts cannot change them; only the last step, from hazard to score, uses floating point.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use schemas::{Timestamp, changes::risk::SignalRule};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::exposure::Exposure;

/// Half-life of hazard, in hours: 7 days.
pub const HALF_LIFE_HOURS: i64 = 7 * 24;
/// Maximum age of exposures relative to the newest: 16 half-lives, 112 days. Older ones would add less than
/// 0.03 to a score for each rule; leaving them out bounds what is read of a busy entity.
pub const MAX_AGE_HOURS: i64 = 16 * HALF_LIFE_HOURS;
/// Maximum contribution of a rule, in multiples of its largest single hazard, so that a noisy rule cannot
/// drown the others.
const MAX_PER_RULE: u128 = 3;
/// Fixed-point bits of hazards before they decay.
const SCALE_BITS: u32 = 32;
/// Maximum product of an entity's weights, in thousandths.
const MAX_FACTOR: u64 = 100_000;
/// The factor that changes nothing, in thousandths.
pub const NEUTRAL: u64 = 1000;

/// The hour that contains an instant, counted from 1970 on.
pub fn hour_of(at: Timestamp) -> i64 {
    at.timestamp().div_euclid(3600)
}

/// A decision on the weight of an entity's hazard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// Source: `criticality` or `watchlist:<name>`; the latest decision of each source counts.
    pub source: String,
    /// Time of the decision.
    pub decided_at: Timestamp,
    /// The event that holds the decision.
    pub event_id: uuid::Uuid,
    /// Time at which it expires, if it does.
    pub expires_at: Option<Timestamp>,
    /// Factor by which hazard is multiplied, in thousandths.
    pub factor_thousandths: i32,
}

/// A rule that was a false positive for the entity: its exposures up to that hour no longer count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dismissal {
    /// Id of the rule.
    pub rule_id: String,
    /// Time of the decision.
    pub decided_at: Timestamp,
}

/// Point in time from which an entity is assessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Facts after this instant (exposures: after its hour) do not count. `None` counts all.
    pub until: Option<Timestamp>,
    /// Weights that expired before this instant do not count. `None` counts all.
    pub now: Option<Timestamp>,
}

impl View {
    /// Everything that is known; nothing has expired.
    pub const STORED: Self = Self { until: None, now: None };

    /// The view at an instant, past or present: later facts do not count.
    pub fn as_of(at: Timestamp) -> Self {
        Self { until: Some(at), now: Some(at) }
    }

    /// Whether a decision of that time counts.
    pub fn knows(&self, decided_at: Timestamp) -> bool {
        self.until.is_none_or(|until| decided_at <= until)
    }

    fn sees(&self, exposure: &Exposure) -> bool {
        self.until.is_none_or(|until| exposure.hour <= hour_of(until))
    }
}

/// Risk of an entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// The hour of the newest exposure that counts; 0 without one.
    pub newest_hour: i64,
    /// Factor of the weights.
    pub factor: Factor,
    /// Contributions by rule, largest first, then by id. Empty if nothing counts.
    pub contributions: Vec<Contribution>,
    /// Hazard at the newest hour without weights, scaled.
    hazard: u128,
}

/// Contribution of one rule to an entity's hazard.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// The rule, as in its newest exposure.
    pub rule: Arc<SignalRule>,
    /// Number of signals that count.
    pub signals: i64,
    /// Time of the first signal.
    pub first_at: Timestamp,
    /// Time of the last signal.
    pub last_at: Timestamp,
    /// Whether the contribution reached its maximum.
    pub capped: bool,
    /// Hazard, scaled like the assessment's.
    hazard: u128,
}

/// Factor by which weights multiply hazard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor {
    /// The product, in thousandths.
    pub thousandths: u64,
    /// Time at which the first of the weights that count expires.
    pub until: Option<Timestamp>,
}

/// The product of the weights that count: the latest decision of each source. Linear in the number of
/// weights.
pub fn factor(weights: &[Weight], view: View) -> Factor {
    let mut latest: HashMap<&str, &Weight> = HashMap::new();
    for weight in weights.iter().filter(|weight| view.knows(weight.decided_at)) {
        let newest = latest.entry(&weight.source).or_insert(weight);
        if (newest.decided_at, newest.event_id) < (weight.decided_at, weight.event_id) {
            *newest = weight;
        }
    }
    let ended = |weight: &Weight| weight.expires_at.is_some_and(|end| view.now.is_some_and(|now| end <= now));
    let mut counting: Vec<&Weight> = latest.into_values().filter(|weight| !ended(weight)).collect();
    // Products are rounded one by one: an order of its own keeps them equal everywhere.
    counting.sort_unstable_by(|a, b| a.source.cmp(&b.source));
    let thousandths = counting.iter().fold(NEUTRAL, |product, weight| {
        let factor = u64::try_from(weight.factor_thousandths).unwrap_or(0);
        ((product * factor + 500) / 1000).min(MAX_FACTOR)
    });
    let ending = counting.iter().filter(|weight| weight.factor_thousandths != 1000);
    Factor { thousandths, until: ending.filter_map(|weight| weight.expires_at).min() }
}

/// Assesses an entity. Exposures must be sorted by rule.
pub fn assess(
    exposures: &[Exposure],
    weights: &[Weight],
    dismissals: &[Dismissal],
    view: View,
) -> Assessment {
    let mut dismissed_until: HashMap<&str, i64> = HashMap::new();
    for dismissal in dismissals.iter().filter(|dismissal| view.knows(dismissal.decided_at)) {
        let until = dismissed_until.entry(&dismissal.rule_id).or_insert(i64::MIN);
        *until = (*until).max(hour_of(dismissal.decided_at));
    }
    let dismissed = |exposure: &Exposure| {
        dismissed_until.get(exposure.rule.id.as_str()).is_some_and(|until| exposure.hour <= *until)
    };
    let counts = |exposure: &&Exposure| view.sees(exposure) && !dismissed(exposure);
    let counting: Vec<&Exposure> = exposures.iter().filter(counts).collect();
    let newest_hour = counting.iter().map(|exposure| exposure.hour).max().unwrap_or(0);
    let oldest_hour = newest_hour.saturating_sub(MAX_AGE_HOURS);
    let recent: Vec<&Exposure> =
        counting.into_iter().filter(|exposure| exposure.hour > oldest_hour).collect();
    let by_rule = recent.chunk_by(|a, b| a.rule.id == b.rule.id);
    let mut contributions: Vec<Contribution> =
        by_rule.filter_map(|of_rule| contribution(of_rule, newest_hour)).collect();
    contributions.sort_by(|a, b| b.hazard.cmp(&a.hazard).then_with(|| a.rule.id.cmp(&b.rule.id)));
    let hazard = contributions.iter().map(|contribution| contribution.hazard).sum();
    Assessment { newest_hour, factor: factor(weights, view), contributions, hazard }
}

fn contribution(exposures: &[&Exposure], newest_hour: i64) -> Option<Contribution> {
    let newest = exposures.iter().max_by_key(|exposure| (exposure.last_at, exposure.last_event_id))?;
    let (mut sum, mut largest) = (0, 0);
    for exposure in exposures {
        let age_hours = newest_hour - exposure.hour;
        sum += decayed(exposure.micronats(), age_hours);
        largest = largest.max(decayed(exposure.largest(), age_hours));
    }
    Some(Contribution {
        rule: Arc::clone(&newest.rule),
        signals: exposures.iter().map(|exposure| exposure.signals).sum(),
        first_at: exposures.iter().map(|exposure| exposure.first_at).min()?,
        last_at: newest.last_at,
        capped: sum > MAX_PER_RULE * largest,
        hazard: sum.min(MAX_PER_RULE * largest),
    })
}

/// Hazard after `age_hours` hours of decay, scaled.
fn decayed(micronats: i64, age_hours: i64) -> u128 {
    /// 2^(−hours/168), scaled.
    static WITHIN_ONE: LazyLock<Vec<u64>> = LazyLock::new(|| {
        let scale = f64::from(SCALE_BITS).exp2();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 2³¹ to 2³²")]
        (0..HALF_LIFE_HOURS).map(|hours| ((-ratio(hours)).exp2() * scale).round() as u64).collect()
    });
    let age = u64::try_from(age_hours).unwrap_or(0);
    let half_life = HALF_LIFE_HOURS.unsigned_abs();
    let within = usize::try_from(age % half_life).expect("less than a half-life");
    let whole = u32::try_from(age / half_life).unwrap_or(u32::MAX).min(127);
    (u128::from(micronats.unsigned_abs()) * u128::from(WITHIN_ONE[within])) >> whole
}

/// Hours in half-lives.
fn ratio(hours: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "hours of the years 1 to 9999 fit in 53 bits")]
    let (hours, half_life) = (hours as f64, HALF_LIFE_HOURS as f64);
    hours / half_life
}

impl Assessment {
    /// log2 of the weighted hazard in nats, projected to hour 0; negative infinity if nothing counts.
    ///
    /// All hazards halve together, so that the order of entities by this key does not change with time.
    pub fn sort_key(&self) -> f64 {
        let weighted = self.hazard * u128::from(self.factor.thousandths);
        if weighted == 0 {
            return f64::NEG_INFINITY;
        }
        #[expect(clippy::cast_precision_loss, reason = "53 bits of it are plenty")]
        let weighted = weighted as f64;
        weighted.log2() - f64::from(SCALE_BITS) - 1e9_f64.log2() + ratio(self.newest_hour)
    }

    /// The weighted hazard at the newest hour.
    pub fn hazard_micronats(&self) -> i64 {
        let weighted = (self.hazard * u128::from(self.factor.thousandths)) >> SCALE_BITS;
        i64::try_from(weighted / u128::from(NEUTRAL)).unwrap_or(i64::MAX)
    }

    /// Signals of all rules that contribute.
    pub fn signals(&self) -> i64 {
        self.contributions.iter().map(|contribution| contribution.signals).sum()
    }

    /// The score at an hour; never before the newest exposure.
    pub fn score(&self, hour: i64) -> Score {
        Score::at(self.sort_key(), hour.max(self.newest_hour))
    }

    /// Each contribution's part of the score, in the same order; the parts sum to the score exactly.
    pub fn shares(&self, score: Score) -> Vec<Score> {
        let total = self.hazard.max(1);
        let whole = u128::from(score.0);
        let parts = self.contributions.iter().map(|contribution| {
            // Scaled hazards stay below 2^90: times 10,000 they fit.
            let scaled = contribution.hazard * whole;
            (u32::try_from(scaled / total).unwrap_or(u32::MAX), scaled % total)
        });
        let (mut shares, rests): (Vec<u32>, Vec<u128>) = parts.unzip();
        let missing = score.0.saturating_sub(shares.iter().sum());
        let mut by_rest: Vec<usize> = (0..rests.len()).collect();
        by_rest.sort_by_key(|index| (std::cmp::Reverse(rests[*index]), *index));
        for index in by_rest.into_iter().take(usize::try_from(missing).unwrap_or(0)) {
            shares[index] += 1;
        }
        shares.into_iter().map(Score).collect()
    }

    /// A contribution's part of the hazard in thousandths; constant over time.
    pub fn share_thousandths(&self, contribution: &Contribution) -> u32 {
        let share = contribution.hazard * 1000 / self.hazard.max(1);
        u32::try_from(share).unwrap_or(1000)
    }
}

/// Score from 0 to 100, in hundredths: 100·(1 − e^(−hazard)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(pub u32);

impl Score {
    /// The score at an hour of an entity with that sort key.
    pub fn at(sort_key: f64, hour: i64) -> Self {
        let hazard = (sort_key - ratio(hour)).exp2();
        let score = -(-hazard).exp_m1() * 1e4;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10,000")]
        Self(score.round() as u32)
    }

    /// The score, 0 to 100 with two decimal places.
    pub fn value(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Level of the score.
    pub fn level(self) -> RiskLevel {
        let reached = |level: &RiskLevel| level.from().0 <= self.0;
        RiskLevel::ALL.into_iter().rev().find(reached).unwrap_or(RiskLevel::Unknown)
    }

    /// The lowest sort key, or slightly less, of entities with this score at an hour.
    pub fn sort_key_at(self, hour: i64) -> f64 {
        // Half a hundredth less: what rounds up to the score has it.
        let share = (f64::from(self.0) - 0.5).max(0.0) / 1e4;
        (-(-share).ln_1p()).log2() + ratio(hour)
    }
}

/// Level of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RiskLevel {
    /// Below 20: no significant risk is known.
    Unknown,
    /// From 20 on.
    Low,
    /// From 40 on.
    Moderate,
    /// From 70 on.
    High,
    /// From 90 on.
    Critical,
}

impl RiskLevel {
    /// Every level, lowest first.
    pub const ALL: [Self; 5] = [Self::Unknown, Self::Low, Self::Moderate, Self::High, Self::Critical];

    /// Name of the level.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Low => "low",
            Self::Moderate => "moderate",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The lowest score of the level.
    pub const fn from(self) -> Score {
        Score(match self {
            Self::Unknown => 0,
            Self::Low => 2000,
            Self::Moderate => 4000,
            Self::High => 7000,
            Self::Critical => 9000,
        })
    }
}

/// Maximum number of rules that are stored with an entity.
const TOP_RULES: usize = 3;

/// One of the rules that contribute most to an entity's risk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TopRule {
    /// The rule's id.
    pub id: String,
    /// The rule's title.
    pub title: String,
    /// The rule's level.
    pub level: String,
    /// Its part of the entity's hazard, 0 to 1.
    pub share: f64,
}

/// The rules that contribute most, at most three.
pub fn top_rules(assessment: &Assessment) -> Vec<TopRule> {
    let top = assessment.contributions.iter().take(TOP_RULES).map(|contribution| TopRule {
        id: contribution.rule.id.clone(),
        title: contribution.rule.title.clone(),
        level: contribution.rule.level.name().to_owned(),
        share: f64::from(assessment.share_thousandths(contribution)) / 1000.0,
    });
    top.collect()
}

#[cfg(test)]
mod tests;
