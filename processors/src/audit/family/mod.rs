//! Mapping of each family's events to OCSF records.

pub(super) mod activity;
pub(super) mod delivery;
pub(super) mod governance;
pub(super) mod infrastructure;
pub(super) mod monitoring;
pub(super) mod usage;

use schemas::{Envelope, events::OutcomeStatus};

use super::{
    Described,
    class::{Activity, Class},
    record::Record,
};

/// An event of a family without a mapping: OCSF's base event, named by its kind.
pub(super) fn undescribed(envelope: &Envelope) -> Described<'_> {
    let kind = envelope.event.kind_name();
    Described {
        record: Record::new(envelope, Class::BaseEvent, Activity::other(kind)),
        actor: None,
        action: kind,
        resource_type: None,
        resource: None,
        other_resources: Vec::new(),
        project: None,
        outcome: OutcomeStatus::Unknown,
        outcome_code: None,
    }
}
