//! The facts about one entity: its exposures and what was decided about it.

use std::collections::BTreeMap;

use schemas::{Timestamp, changes::risk::Entity};
use uuid::Uuid;

use super::{
    assessment::{Assessment, Dismissal, View, Weight, assess},
    exposure::Exposure,
};

/// So many weights and so many decisions about incidents count for an entity, the newest: one with more keeps them all,
/// but what follows from it is computed from these. Bounds what is read and computed for one entity.
pub const MAX_DECISIONS: usize = 200;

/// A decision of that kind means that its rules' hazard does not count.
pub const FALSE_POSITIVE: &str = "false_positive";

/// Names an entity within its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityName<'a> {
    /// Its kind, for example `user`.
    pub kind: &'a str,
    /// Its id.
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
    /// Sorted by rule, then by hour; each of both once.
    pub exposures: Vec<Exposure>,
    /// At most [`MAX_DECISIONS`].
    pub weights: Vec<Weight>,
    /// At most [`MAX_DECISIONS`].
    pub triages: Vec<Triage>,
}

/// A decision about an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triage {
    /// The incident.
    pub incident_id: Uuid,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// The event that holds the decision.
    pub event_id: Uuid,
    /// `open`, `acknowledged`, `closed` or `false_positive`.
    pub decision: String,
    /// The rules whose hazard a false positive removes.
    pub rules: Vec<String>,
    /// Why it was decided so.
    pub reason: Option<String>,
    /// Who decided.
    pub actor: String,
}

impl EntityFacts {
    /// Whether nothing is known of the entity.
    pub fn is_empty(&self) -> bool {
        self.exposures.is_empty() && self.weights.is_empty() && self.triages.is_empty()
    }

    /// Adds what new signals sum up to, and answers the exposure as it is then.
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

    /// Puts another exposure in the place of that of a rule and an hour, or none.
    pub fn replace(&mut self, rule_id: &str, hour: i64, by: Option<Exposure>) {
        if let Ok(place) = self.place(rule_id, hour) {
            self.exposures.remove(place);
        }
        if let (Some(exposure), Err(place)) = (by, self.place(rule_id, hour)) {
            self.exposures.insert(place, exposure);
        }
    }

    /// Where the exposure of a rule and an hour is, or would be.
    fn place(&self, rule_id: &str, hour: i64) -> Result<usize, usize> {
        self.exposures
            .binary_search_by(|exposure| (exposure.rule.id.as_str(), exposure.hour).cmp(&(rule_id, hour)))
    }

    /// The entity's risk, seen from somewhere.
    pub fn assess(&self, view: View) -> Assessment {
        assess(&self.exposures, &self.weights, &self.dismissals(view), view)
    }

    /// The rules that were wrong, by the latest decision about each incident: to open it again brings them back.
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
