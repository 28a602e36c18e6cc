//! Incidents of an entity, as a pure function of the facts about it.
//!
//! An hour *qualifies* when the weighted hazard of the 24 hours that end with it reaches the score 90, or
//! when signals of three ATT&CK tactics from four rules above the level `informational` came within the 7 days that end with it. The first
//! such hour opens an incident; later ones belong to it as long as each follows the last within 24 hours. A
//! decision counts from the following hour on: an incident before a rule was marked a false positive remains
//! one, but does not cause the next.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use schemas::{
    EventId, TenantId, Timestamp,
    changes::risk::{SignalLevel, SignalRule},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    assessment::{NEUTRAL, View, factor, hour_of},
    exposure::Exposure,
    facts::{EntityFacts, EntityName, FALSE_POSITIVE, Triage},
};

/// Window of summed hazard, and gap without a qualifying hour that ends an incident, in hours.
const HAZARD_HOURS: i64 = 24;
/// Window of counted tactics, in hours: 7 days.
const TACTIC_HOURS: i64 = 7 * 24;
/// Threshold of hazard, −ln(1 − 0.9): the score 90.
const HAZARD_MICRONATS: i64 = 2_302_585;
const MIN_TACTICS: usize = 3;
const MIN_RULES: usize = 4;
/// Maximum contribution of a rule, in multiples of its largest exposure.
const MAX_PER_RULE: i64 = 3;
/// Status without a decision.
const OPEN: &str = "open";

/// A period in which an entity's risk crossed the incident threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Id, derived from the entity and the opening hour.
    pub id: Uuid,
    /// First qualifying hour.
    pub opened_hour: i64,
    /// Last qualifying hour.
    pub last_hour: i64,
    /// First hour of the evidence.
    pub since_hour: i64,
    /// Highest weighted hazard within 24 hours.
    pub peak_micronats: i64,
    /// Number of signals in the evidence.
    pub signals: i64,
    /// Time of the first signal.
    pub first_at: Timestamp,
    /// Time of the last signal.
    pub last_at: Timestamp,
    /// Reason for which the first hour qualified: `hazard` or `tactics`.
    pub cause: String,
    /// Status by the latest decision.
    pub status: Status,
    /// Highest level of a rule that fired.
    pub level: String,
    /// ATT&CK tactics, sorted.
    pub tactics: Vec<String>,
    /// ATT&CK techniques, sorted.
    pub techniques: Vec<String>,
    /// Rules, by id.
    pub rules: Vec<FiredRule>,
}

/// A rule that fired in an incident, as in its latest event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiredRule {
    /// The rule.
    pub rule: Arc<SignalRule>,
    /// Number of signals of the rule.
    pub signals: i64,
}

/// Status of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `open`, `acknowledged`, `closed` or `false_positive`.
    pub name: String,
    /// Whether a new tactic after the decision reopened it.
    pub reopened: bool,
    /// Time of the decision.
    pub decided_at: Option<Timestamp>,
    /// Reason of the decision.
    pub reason: Option<String>,
    /// Actor who decided.
    pub decided_by: Option<String>,
}

/// A rule that fired in an incident, as the query API answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IncidentRule {
    /// The rule's id.
    pub id: String,
    /// The rule's title.
    pub title: String,
    /// The rule's level.
    pub level: String,
    /// Number of signals of the rule.
    pub signals: i64,
}

/// Number of hours before an incident that may belong to its evidence.
pub const EVIDENCE_HOURS: i64 = TACTIC_HOURS;

/// The first hour from which on incidents may change because of exposures from `changed_hour` on, given the
/// stored ones: an incident that ended long enough before is unaffected. To compute the incidents, exposures
/// are needed from [`EVIDENCE_HOURS`] before on.
pub fn first_affected_hour(stored: &[Incident], changed_hour: i64) -> i64 {
    let affected = stored.iter().filter(|incident| incident.last_hour >= changed_hour - HAZARD_HOURS);
    affected.map(|incident| incident.opened_hour).fold(changed_hour, i64::min)
}

/// The entity's incidents that open at or after an hour, oldest first. That hour must be a
/// [`first_affected_hour`], or precede all facts.
pub fn incidents(
    tenant: &TenantId,
    entity: EntityName<'_>,
    facts: &EntityFacts,
    from_hour: i64,
) -> Vec<Incident> {
    let history = History::of(facts, from_hour);
    let hours = history.qualifying_hours(from_hour);
    runs(&hours).into_iter().map(|run| history.incident(tenant, entity, run)).collect()
}

/// A qualifying hour.
#[derive(Debug, Clone, Copy)]
struct Qualifying {
    hour: i64,
    cause: Cause,
    /// The weighted hazard of its 24 hours.
    micronats: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Hazard,
    Tactics,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::Hazard => "hazard",
            Self::Tactics => "tactics",
        }
    }

    const fn hours(self) -> i64 {
        match self {
            Self::Hazard => HAZARD_HOURS,
            Self::Tactics => TACTIC_HOURS,
        }
    }
}

/// Groups qualifying hours that are close enough to be one incident.
fn runs(qualifying: &[Qualifying]) -> Vec<&[Qualifying]> {
    qualifying.chunk_by(|a, b| b.hour - a.hour <= HAZARD_HOURS).collect()
}

/// A false-positive decision on a rule.
#[derive(Debug, Clone)]
struct Dismissed {
    /// Exposures up to this hour do not count.
    until_hour: i64,
    /// Hours whose evaluation uses the decision.
    in_force: std::ops::Range<i64>,
}

/// Dismissals by rule.
type Dismissals<'a> = HashMap<&'a str, Vec<Dismissed>>;

/// Facts about an entity, in the order of hours.
struct History<'a> {
    facts: &'a EntityFacts,
    exposures: Vec<&'a Exposure>,
    dismissals: Dismissals<'a>,
}

impl<'a> History<'a> {
    /// The facts on which incidents depend that open at or after an hour.
    fn of(facts: &'a EntityFacts, from_hour: i64) -> Self {
        let oldest = from_hour.saturating_sub(EVIDENCE_HOURS);
        let mut exposures: Vec<&Exposure> = facts.exposures.iter().filter(|e| e.hour >= oldest).collect();
        // Stable: exposures of one hour stay in the order of rules and dedupe keys.
        exposures.sort_by_key(|exposure| exposure.hour);
        Self { facts, exposures, dismissals: dismissals(&facts.triages) }
    }

    fn qualifying_hours(&self, from_hour: i64) -> Vec<Qualifying> {
        let mut found = Vec::new();
        let first = self.exposures.partition_point(|exposure| exposure.hour < from_hour);
        for of_hour in self.exposures[first..].chunk_by(|a, b| a.hour == b.hour) {
            let hour = of_hour[0].hour;
            let weight = factor(&self.facts.weights, View::as_of(end_of(hour))).thousandths;
            let hazard = hazard(&self.window(hour, HAZARD_HOURS, hour));
            let weighted = i128::from(hazard) * i128::from(weight) / i128::from(NEUTRAL);
            let micronats = i64::try_from(weighted).unwrap_or(i64::MAX);
            let cause = if micronats >= HAZARD_MICRONATS {
                Cause::Hazard
            } else if many_tactics(&self.window(hour, TACTIC_HOURS, hour)) {
                Cause::Tactics
            } else {
                continue;
            };
            found.push(Qualifying { hour, cause, micronats });
        }
        found
    }

    /// The exposures of the hours that end with `last`, except those known to be false positives at the hour
    /// `known_at`.
    fn window(&self, last: i64, hours: i64, known_at: i64) -> Vec<&'a Exposure> {
        let from = self.exposures.partition_point(|exposure| exposure.hour <= last - hours);
        let upto = self.exposures.partition_point(|exposure| exposure.hour <= last);
        let wrong = |exposure: &Exposure| {
            let of_rule = self.dismissals.get(exposure.rule.id.as_str());
            let covers =
                |wrong: &Dismissed| wrong.in_force.contains(&known_at) && exposure.hour <= wrong.until_hour;
            of_rule.is_some_and(|of_rule| of_rule.iter().any(covers))
        };
        self.exposures[from..upto].iter().copied().filter(|exposure| !wrong(exposure)).collect()
    }

    fn incident(&self, tenant: &TenantId, entity: EntityName<'_>, run: &[Qualifying]) -> Incident {
        let (first, last) = (run[0], run[run.len() - 1]);
        let since_hour =
            run.iter().map(|hour| hour.hour - hour.cause.hours() + 1).min().unwrap_or(first.hour);
        let evidence = self.window(last.hour, last.hour - since_hour + 1, first.hour);
        let id = EventId::derived(
            tenant,
            "weir.incident",
            format!("{}|{}|{}", entity.kind, entity.id, first.hour).as_bytes(),
        );
        let id = *id.as_uuid();
        let level = evidence.iter().map(|exposure| exposure.rule.level).max();
        let by_rule = by_rule(&evidence);
        Incident {
            id,
            opened_hour: first.hour,
            last_hour: last.hour,
            since_hour: evidence.first().map_or(since_hour, |exposure| exposure.hour),
            peak_micronats: run.iter().map(|hour| hour.micronats).max().unwrap_or(0),
            signals: evidence.iter().map(|exposure| exposure.signals).sum(),
            first_at: evidence.iter().map(|e| e.first_at).min().unwrap_or_else(|| end_of(first.hour)),
            last_at: evidence.iter().map(|e| e.last_at).max().unwrap_or_else(|| end_of(last.hour)),
            cause: first.cause.name().to_owned(),
            status: status(&self.facts.triages, id, &evidence),
            level: level.map_or_else(String::new, |level| level.name().to_owned()),
            tactics: names(&by_rule, |rule| &rule.tactics),
            techniques: names(&by_rule, |rule| &rule.techniques),
            rules: rules(&by_rule),
        }
    }
}

/// The last microsecond of an hour.
fn end_of(hour: i64) -> Timestamp {
    let micros = hour.saturating_add(1).saturating_mul(3_600_000_000).saturating_sub(1);
    Timestamp::from_timestamp_micros(micros).unwrap_or(Timestamp::MAX_UTC)
}

/// Exposures with those of one rule next to each other: most are of few rules, whose texts are looked at once instead of
/// once for each. Another version of a rule counts as another here.
fn by_rule<'e>(exposures: &[&'e Exposure]) -> Vec<&'e Exposure> {
    let mut sorted = exposures.to_vec();
    sorted.sort_unstable_by_key(|exposure| Arc::as_ptr(&exposure.rule).addr());
    sorted
}

/// The exposures of each rule.
fn runs_of_rules<'r, 'e>(by_rule: &'r [&'e Exposure]) -> impl Iterator<Item = &'r [&'e Exposure]> {
    by_rule.chunk_by(|a, b| Arc::ptr_eq(&a.rule, &b.rule))
}

/// The sum over rules, each limited to its maximum contribution.
fn hazard(exposures: &[&Exposure]) -> i64 {
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for of_rule in runs_of_rules(&by_rule(exposures)) {
        let (sum, largest) = sums.entry(&of_rule[0].rule.id).or_default();
        for exposure in of_rule {
            *sum = sum.saturating_add(exposure.micronats());
            *largest = (*largest).max(exposure.largest());
        }
    }
    sums.values().map(|(sum, largest)| (*sum).min(MAX_PER_RULE * largest)).sum()
}

/// Informational rules do not count: by Sigma's definition they enrich events, and no case follows from them.
fn many_tactics(exposures: &[&Exposure]) -> bool {
    let by_rule = by_rule(exposures);
    let counts = |rule: &&SignalRule| !rule.tactics.is_empty() && rule.level > SignalLevel::Informational;
    let with_tactics: Vec<&SignalRule> =
        runs_of_rules(&by_rule).map(|of_rule| &*of_rule[0].rule).filter(counts).collect();
    let rules: BTreeSet<&str> = with_tactics.iter().map(|rule| rule.id.as_str()).collect();
    let tactics: BTreeSet<&str> =
        with_tactics.iter().flat_map(|rule| rule.tactics.iter().map(String::as_str)).collect();
    rules.len() >= MIN_RULES && tactics.len() >= MIN_TACTICS
}

fn names(by_rule: &[&Exposure], of: fn(&SignalRule) -> &Vec<String>) -> Vec<String> {
    let names: BTreeSet<&String> = runs_of_rules(by_rule).flat_map(|of_rule| of(&of_rule[0].rule)).collect();
    names.into_iter().cloned().collect()
}

/// The latest event tells a rule; of one event's, the rule itself decides, so that the order of exposures does not.
fn newness(exposure: &Exposure) -> (Timestamp, Uuid, &str, &[String], &[String]) {
    let SignalRule { version, tactics, techniques, .. } = &*exposure.rule;
    (exposure.last_at, exposure.last_event_id, version, tactics, techniques)
}

fn rules(by_rule: &[&Exposure]) -> Vec<FiredRule> {
    let mut by_id: BTreeMap<&str, (&Exposure, i64)> = BTreeMap::new();
    for of_rule in runs_of_rules(by_rule) {
        let (newest, signals) = by_id.entry(&of_rule[0].rule.id).or_insert((of_rule[0], 0));
        for exposure in of_rule {
            *signals += exposure.signals;
            if newness(newest) < newness(exposure) {
                *newest = exposure;
            }
        }
    }
    let fired = |(newest, signals): (&Exposure, i64)| FiredRule { rule: Arc::clone(&newest.rule), signals };
    by_id.into_values().map(fired).collect()
}

/// The latest decision on the incident, unless a new tactic came after it.
fn status(triages: &[Triage], incident: Uuid, evidence: &[&Exposure]) -> Status {
    let of_incident = triages.iter().filter(|triage| triage.incident_id == incident);
    let Some(latest) = of_incident.max_by_key(|triage| (triage.decided_at, triage.event_id)) else {
        return Status {
            name: OPEN.to_owned(),
            reopened: false,
            decided_at: None,
            reason: None,
            decided_by: None,
        };
    };
    let mut first_seen: BTreeMap<&str, i64> = BTreeMap::new();
    for exposure in evidence {
        for tactic in &exposure.rule.tactics {
            let first = first_seen.entry(tactic).or_insert(exposure.hour);
            *first = (*first).min(exposure.hour);
        }
    }
    let new_tactic = first_seen.values().any(|hour| *hour > hour_of(latest.decided_at));
    let reopened = latest.decision != OPEN && new_tactic;
    Status {
        name: if reopened { OPEN.to_owned() } else { latest.decision.clone() },
        reopened,
        decided_at: Some(latest.decided_at),
        reason: latest.reason.clone(),
        decided_by: Some(latest.actor.clone()),
    }
}

/// Each dismissal with the hours in which it is the latest decision on its incident: from the following hour
/// on.
fn dismissals(triages: &[Triage]) -> Dismissals<'_> {
    let mut by_incident: BTreeMap<Uuid, Vec<&Triage>> = BTreeMap::new();
    for triage in triages {
        by_incident.entry(triage.incident_id).or_default().push(triage);
    }
    let mut found = Dismissals::new();
    for mut decisions in by_incident.into_values() {
        decisions.sort_by_key(|triage| (triage.decided_at, triage.event_id));
        for (place, triage) in decisions.iter().enumerate() {
            if triage.decision != FALSE_POSITIVE {
                continue;
            }
            let until = decisions.get(place + 1).map_or(i64::MAX, |next| hour_of(next.decided_at) + 1);
            let until_hour = hour_of(triage.decided_at);
            for rule in &triage.rules {
                let wrong = Dismissed { until_hour, in_force: until_hour + 1..until };
                found.entry(rule).or_default().push(wrong);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
