//! Everything that follows for one entity from the facts about it.

use schemas::{TenantId, changes::risk::Entity};

use super::{
    assessment::{Assessment, View},
    facts::{EntityFacts, EntityName},
    finding::{Activity, Finding},
    incidents::{Incident, incidents},
};

/// All that is needed to bring an entity up to date.
#[derive(Debug, Clone)]
pub struct Known {
    /// Whose.
    pub tenant: TenantId,
    /// The entity.
    pub entity: Entity,
    /// The facts about it.
    pub facts: EntityFacts,
    /// The incidents that are stored, by what was known before.
    pub stored: Vec<Incident>,
    /// Incidents that opened before this hour stay as they are; see [`super::first_affected_hour`].
    pub from_hour: i64,
}

/// What an entity's rows have to become, and what there is to publish about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The entity's risk by all that is known.
    pub assessment: Assessment,
    /// Stored incidents that, by what is known now, never were.
    pub removed: Vec<Incident>,
    /// Incidents that are new or differ from what is stored.
    pub changed: Vec<Incident>,
    /// To be published, in this order.
    pub findings: Vec<Finding>,
}

impl Known {
    /// What follows.
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
