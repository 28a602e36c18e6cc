//! Decisions about legal holds, erasure and saved searches that the retention processor hands to its sink.

use std::collections::BTreeMap;

use crate::{EventId, TenantId, Timestamp};

/// The processor and its stage.
pub const STAGE: &str = "retention";

/// Attribute of a governance event: the name of the hold.
pub const HOLD_NAME: &str = "hold";

/// Filters of the audit log that a search may be saved with: attributes of a governance event, and parameters of the
/// query API.
pub const SEARCH_FILTERS: [&str; 12] = [
    "actor",
    "action",
    "resource",
    "project",
    "outcome",
    "address",
    "source",
    "kind",
    "correlation",
    "from",
    "to",
    "text",
];
/// Maximum length of a saved search's name, in bytes.
pub const MAX_SEARCH_NAME_BYTES: usize = 128;
/// Maximum length of a filter's value, in bytes.
pub const MAX_SEARCH_FILTER_BYTES: usize = 1_024;

/// Decision to place or release a legal hold, to erase a person's data, or to save or remove a search.
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
    /// Id of the person, project or resource; the tenant's id if the scope is all data of the tenant; a saved
    /// search's name.
    pub subject: String,
    /// Name of the hold, which tells several holds on one subject apart; empty for an unnamed hold and for an
    /// erasure.
    pub name: String,
    /// Actor who decided.
    pub actor: String,
    /// Reason that the actor gave.
    pub reason: Option<String>,
    /// The filter of a saved search, by parameter; empty for every other decision.
    pub filter: BTreeMap<String, String>,
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
    /// A search was saved.
    SearchSaved,
    /// A saved search was removed.
    SearchRemoved,
}

impl RetentionDecisionKind {
    /// Name of the kind, equal to that of its event.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HoldPlaced => "HoldPlaced",
            Self::HoldReleased => "HoldReleased",
            Self::SubjectErased => "SubjectErased",
            Self::SearchSaved => "SearchSaved",
            Self::SearchRemoved => "SearchRemoved",
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
