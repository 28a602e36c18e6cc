//! The facts about one entity: its exposures and the decisions about it.

use std::collections::BTreeMap;

use schemas::{Timestamp, changes::risk::Entity};
use uuid::Uuid;

use super::{
    assessment::{Assessment, Dismissal, View, Weight, assess},
    exposure::Exposure,
};

/// Maximum number of weights, and of triage decisions, that count for an entity, the newest ones. All are
/// stored, but the state is computed from these. Bounds what is read and computed for one entity.
pub const MAX_DECISIONS: usize = 200;

/// Name of the decision by which its rules' hazard no longer counts.
pub const FALSE_POSITIVE: &str = "false_positive";

/// Identifies an entity within its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityName<'a> {
    /// Kind, for example `user`.
    pub kind: &'a str,
    /// Id of the entity.
    pub id: &'a str,
}

impl<'a> EntityName<'a> {
    /// The entity's name.
    pub fn of(entity: &'a Entity) -> Self {
        Self { kind: entity.kind.name(), id: entity.id() }
    }
}

/// The facts about one entity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntityFacts {
    /// Exposures, sorted by rule, then by hour; one for each.
    pub exposures: Vec<Exposure>,
    /// Weights, at most [`MAX_DECISIONS`].
    pub weights: Vec<Weight>,
    /// Triage decisions, at most [`MAX_DECISIONS`].
    pub triages: Vec<Triage>,
}

/// A triage decision on an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triage {
    /// The incident.
    pub incident_id: Uuid,
    /// Time of the decision.
    pub decided_at: Timestamp,
    /// The event that holds the decision.
    pub event_id: Uuid,
    /// `open`, `acknowledged`, `closed` or `false_positive`.
    pub decision: String,
    /// The rules whose hazard a false positive removes.
    pub rules: Vec<String>,
    /// Reason that the actor gave.
    pub reason: Option<String>,
    /// Actor who decided.
    pub actor: String,
}

impl EntityFacts {
    /// Whether there are no facts about the entity.
    pub fn is_empty(&self) -> bool {
        self.exposures.is_empty() && self.weights.is_empty() && self.triages.is_empty()
    }

    /// Merges an exposure of new signals, and returns the result.
    pub fn add(&mut self, added: Exposure) -> &Exposure {
        let place = match self.place(&added.rule.id, added.hour) {
            Ok(place) => {
                self.exposures[place].merge(added);
                place
            }
            Err(place) => {
                self.exposures.insert(place, added);
                place
            }
        };
        &self.exposures[place]
    }

    /// Replaces or removes the exposure of a rule and an hour.
    pub fn replace(&mut self, rule_id: &str, hour: i64, by: Option<Exposure>) {
        if let Ok(place) = self.place(rule_id, hour) {
            self.exposures.remove(place);
        }
        if let (Some(exposure), Err(place)) = (by, self.place(rule_id, hour)) {
            self.exposures.insert(place, exposure);
        }
    }

    /// Index of the exposure of a rule and an hour, or its insertion point.
    fn place(&self, rule_id: &str, hour: i64) -> Result<usize, usize> {
        self.exposures
            .binary_search_by(|exposure| (exposure.rule.id.as_str(), exposure.hour).cmp(&(rule_id, hour)))
    }

    /// The entity's risk in a view.
    pub fn assess(&self, view: View) -> Assessment {
        assess(&self.exposures, &self.weights, &self.dismissals(view), view)
    }

    /// The rules that were false positives, by the latest decision on each incident: reopening an incident
    /// restores them.
    pub fn dismissals(&self, view: View) -> Vec<Dismissal> {
        let mut latest: BTreeMap<Uuid, &Triage> = BTreeMap::new();
        for triage in self.triages.iter().filter(|triage| view.knows(triage.decided_at)) {
            let newest = latest.entry(triage.incident_id).or_insert(triage);
            if (newest.decided_at, newest.event_id) < (triage.decided_at, triage.event_id) {
                *newest = triage;
            }
        }
        let wrong = latest.into_values().filter(|triage| triage.decision == FALSE_POSITIVE);
        let of_rule = |triage: &Triage, rule: &String| Dismissal {
            rule_id: rule.clone(),
            decided_at: triage.decided_at,
        };
        wrong.flat_map(|triage| triage.rules.iter().map(move |rule| of_rule(triage, rule))).collect()
    }
}
