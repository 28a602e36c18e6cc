//! Events, in six families. Each family has a topic and an Avro schema of its own.

mod activity;
mod delivery;
mod governance;
mod infrastructure;
mod monitoring;
mod parties;
pub(crate) mod scalars;
mod usage;

pub use activity::{Activity, ActivityKind};
pub use delivery::{Delivery, DeliveryKind};
pub use governance::{DECIDED_PROPOSAL, Governance, GovernanceKind, ON_BEHALF_OF, REQUESTED_THROUGH};
pub use infrastructure::{Infrastructure, InfrastructureKind};
pub use monitoring::{Monitoring, MonitoringKind};
pub use parties::{Actor, ActorKind, Outcome, OutcomeStatus, Party, Resource};
use serde::Serialize;
pub use usage::{Usage, UsageKind};

use crate::{Topic, canonical};

/// One event of one family; serialised as the family's struct.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Event {
    /// Actions of people and programs.
    Activity(Activity),
    /// Changes of infrastructure.
    Infrastructure(Infrastructure),
    /// Software delivery.
    Delivery(Delivery),
    /// Charges.
    Usage(Usage),
    /// Alerts and measurements.
    Monitoring(Monitoring),
    /// Decisions of people.
    Governance(Governance),
}

/// Declares a family's kinds: the name on the wire (as in the Avro enum), and the `CloudEvents` type.
macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident, $family:literal, { $($(#[$vdoc:meta])* $variant:ident => $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every kind of the family.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The kind's name, as in the Avro enum.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }

            /// The `CloudEvents` `type`: `io.weir.<family>.<kind>.v1`.
            pub const fn ce_type(self) -> &'static str {
                match self { $(Self::$variant => concat!("io.weir.", $family, ".", $word, ".v1")),+ }
            }

            /// The kind with that `CloudEvents` `type`.
            pub fn from_ce_type(ce_type: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.ce_type() == ce_type)
            }
        }
    };
}
pub(crate) use kinds;

/// Evaluates one expression for the family that an event belongs to.
macro_rules! each_family {
    ($event:expr, $inner:ident => $body:expr) => {
        match $event {
            Event::Activity($inner) => $body,
            Event::Infrastructure($inner) => $body,
            Event::Delivery($inner) => $body,
            Event::Usage($inner) => $body,
            Event::Monitoring($inner) => $body,
            Event::Governance($inner) => $body,
        }
    };
}

impl Event {
    /// The `CloudEvents` `type` of the event.
    pub fn ce_type(&self) -> &'static str {
        each_family!(self, event => event.kind.ce_type())
    }

    /// The kind's name, for example `SignedIn`.
    pub fn kind_name(&self) -> &'static str {
        each_family!(self, event => event.kind.name())
    }

    /// The topic that the event belongs on.
    pub const fn topic(&self) -> Topic {
        match self {
            Self::Activity(_) => Topic::Activity,
            Self::Infrastructure(_) => Topic::Infrastructure,
            Self::Delivery(_) => Topic::Delivery,
            Self::Usage(_) => Topic::Usage,
            Self::Monitoring(_) => Topic::Monitoring,
            Self::Governance(_) => Topic::Governance,
        }
    }

    /// The part of the record's key within its tenant: events of one entity stay in order.
    pub fn entity(&self) -> &str {
        match self {
            Self::Activity(e) => &e.actor.id,
            Self::Infrastructure(e) => &e.resource.id,
            Self::Delivery(e) => &e.project,
            Self::Usage(e) => &e.billing_account_id,
            Self::Monitoring(e) => &e.subject.id,
            Self::Governance(e) => &e.subject_id,
        }
    }

    /// The event's fields as canonical bytes: equal for equal events only, independent of the schema version.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1024);
        canonical::write(self, &mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_unique_and_found_again() {
        let mut seen = std::collections::HashSet::new();
        macro_rules! all { ($($kind:ident),+) => { $(for kind in $kind::ALL {
            assert!(seen.insert(kind.ce_type()), "{}", kind.ce_type());
            assert_eq!($kind::from_ce_type(kind.ce_type()), Some(*kind));
        })+ } }
        all!(ActivityKind, InfrastructureKind, DeliveryKind, UsageKind, MonitoringKind, GovernanceKind);
        assert_eq!(seen.len(), 48);
    }
}
