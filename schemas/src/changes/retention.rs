//! Decisions about legal holds and erasure that the retention processor hands to its sink.

use crate::{EventId, TenantId, Timestamp};

/// The processor and its stage.
pub const STAGE: &str = "retention";

/// Attribute of a governance event: the name of the hold.
pub const HOLD_NAME: &str = "hold";

/// Decision to place or release a legal hold, or to erase a person's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionDecision {
    /// The event's id; unique within the tenant.
    pub event_id: EventId,
    /// Tenant that owns the data.
    pub tenant: TenantId,
    /// Time of the decision.
    pub decided_at: Timestamp,
    /// Kind of the decision.
    pub kind: RetentionDecisionKind,
    /// Scope of the data.
    pub scope: HoldScope,
    /// Id of the person, project or resource; the tenant's id if the scope is all data of the tenant.
    pub subject: String,
    /// Name of the hold, which tells several holds on one subject apart; empty for an unnamed hold and for an
    /// erasure.
    pub name: String,
    /// Actor who decided.
    pub actor: String,
    /// Reason that the actor gave.
    pub reason: Option<String>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// Kind of a retention decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetentionDecisionKind {
    /// A legal hold was placed.
    HoldPlaced,
    /// A legal hold was released.
    HoldReleased,
    /// A person's data is to be erased.
    SubjectErased,
}

impl RetentionDecisionKind {
    /// Name of the kind, equal to that of its event.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HoldPlaced => "HoldPlaced",
            Self::HoldReleased => "HoldReleased",
            Self::SubjectErased => "SubjectErased",
        }
    }
}

/// Scope of a legal hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum HoldScope {
    /// Entries of which the person is the actor or the resource.
    Person,
    /// Entries of one project.
    Project,
    /// Entries about one resource.
    Resource,
    /// All entries of the tenant.
    Tenant,
}

impl HoldScope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Person, Self::Project, Self::Resource, Self::Tenant];

    /// The scope's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Project => "project",
            Self::Resource => "resource",
            Self::Tenant => "tenant",
        }
    }

    /// The scope for an event's `subject_kind`: any kind of actor is a person, and an unknown kind is a
    /// resource.
    pub fn of_subject_kind(kind: &str) -> Self {
        match kind {
            "person" | "user" | "actor" | "service_account" | "role" | "system" => Self::Person,
            "project" => Self::Project,
            "tenant" => Self::Tenant,
            _ => Self::Resource,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_found_again() {
        for scope in HoldScope::ALL {
            assert_eq!(HoldScope::of_subject_kind(scope.name()), scope);
        }
        assert_eq!(HoldScope::of_subject_kind("user"), HoldScope::Person);
        assert_eq!(HoldScope::of_subject_kind("bucket"), HoldScope::Resource);
    }
}
