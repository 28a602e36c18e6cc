//! What the retention processor asks for.

use crate::{EventId, TenantId, Timestamp};

/// The processor and its stage.
pub const STAGE: &str = "retention";

/// The attribute of a governance event that names the hold.
pub const HOLD_NAME: &str = "hold";

/// Somebody decided that data must be kept, need no longer be kept, or must go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionDecision {
    /// The event's id; unique within the tenant.
    pub event_id: EventId,
    /// Whose data.
    pub tenant: TenantId,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// What was decided.
    pub kind: RetentionDecisionKind,
    /// Which data.
    pub scope: HoldScope,
    /// The id of the person, project or resource; the tenant's own for all of a tenant's data.
    pub subject: String,
    /// The hold's name, where a subject may be under several; empty where it has none, and for an erasure.
    pub name: String,
    /// Who decided.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// What was decided about data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetentionDecisionKind {
    /// It must be kept.
    HoldPlaced,
    /// It need no longer be kept.
    HoldReleased,
    /// A person's data must go.
    SubjectErased,
}

impl RetentionDecisionKind {
    /// The kind's name: that of the event.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HoldPlaced => "HoldPlaced",
            Self::HoldReleased => "HoldReleased",
            Self::SubjectErased => "SubjectErased",
        }
    }
}

/// Which data a legal hold keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum HoldScope {
    /// Entries of one actor, and those whose resource it is.
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

    /// The scope that an event's `subject_kind` means: any sort of actor is a person, and what is not known is a resource.
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
