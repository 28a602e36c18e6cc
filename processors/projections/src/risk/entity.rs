//! Derives the state of one entity from the facts about it.

use schemas::{TenantId, changes::risk::Entity};

use super::{
    assessment::{Assessment, View},
    facts::{EntityFacts, EntityName},
    finding::{Activity, Finding},
    incidents::{Incident, incidents},
};

/// Input for updating an entity.
#[derive(Debug, Clone)]
pub struct Known {
    /// Tenant of the entity.
    pub tenant: TenantId,
    /// The entity.
    pub entity: Entity,
    /// The facts about it.
    pub facts: EntityFacts,
    /// Stored incidents, derived from the facts known before.
    pub stored: Vec<Incident>,
    /// Incidents that opened before this hour are unaffected; see [`super::first_affected_hour`].
    pub from_hour: i64,
}

/// New rows of an entity, and the findings to publish about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Current risk of the entity.
    pub assessment: Assessment,
    /// Stored incidents that no longer follow from the facts.
    pub removed: Vec<Incident>,
    /// Incidents that are new or differ from the stored ones.
    pub changed: Vec<Incident>,
    /// Findings to publish, in order.
    pub findings: Vec<Finding>,
}

impl Known {
    /// Computes the outcome.
    pub fn outcome(&self) -> Outcome {
        let (tenant, entity) = (&self.tenant, EntityName::of(&self.entity));
        let after = incidents(tenant, entity, &self.facts, self.from_hour);
        let (mut removed, mut changed, mut findings) = (Vec::new(), Vec::new(), Vec::new());
        let before = self.stored.iter().filter(|incident| incident.opened_hour >= self.from_hour);
        for old in before.filter(|old| after.iter().all(|new| new.id != old.id)) {
            findings.push(Finding::new(tenant, entity, Activity::Close, old));
            removed.push(old.clone());
        }
        for new in after {
            let old = self.stored.iter().find(|old| old.id == new.id);
            if old == Some(&new) {
                continue;
            }
            let activity = Activity::between(old, &new);
            findings.extend(activity.map(|activity| Finding::new(tenant, entity, activity, &new)));
            changed.push(new);
        }
        Outcome { assessment: self.facts.assess(View::STORED), removed, changed, findings }
    }
}
