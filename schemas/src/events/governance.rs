//! Governance events: decisions and requests of people.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Actor, kinds};

kinds! {
    /// Kind of a governance event.
    GovernanceKind, "governance", {
        /// An approval was requested.
        ApprovalRequested => "approval_requested",
        /// An approval was given or refused.
        ApprovalDecided => "approval_decided",
        /// A waiver was granted.
        WaiverGranted => "waiver_granted",
        /// A waiver was revoked.
        WaiverRevoked => "waiver_revoked",
        /// A budget was set.
        BudgetSet => "budget_set",
        /// An entity's criticality was set.
        CriticalitySet => "criticality_set",
        /// A watchlist was changed.
        WatchlistChanged => "watchlist_changed",
        /// Data was put under legal hold.
        HoldPlaced => "hold_placed",
        /// A legal hold was lifted.
        HoldReleased => "hold_released",
        /// A person's data was erased.
        SubjectErased => "subject_erased",
        /// A finding was triaged.
        FindingTriaged => "finding_triaged",
        /// A search of the audit log was saved under a name.
        SearchSaved => "search_saved",
        /// A saved search was removed.
        SearchRemoved => "search_removed",
    }
}

/// Attribute of a decision: the person whom its sender claims to act for.
pub const ON_BEHALF_OF: &str = "on_behalf_of";
/// Attribute of a decision on a change: the proposal that it is about, by the id of its event.
pub const DECIDED_PROPOSAL: &str = "proposal";
/// Attribute of a request: the credential's principal, if a person asked through it. The gateway sets
/// it; values from others are ignored.
pub const REQUESTED_THROUGH: &str = "requested_through";

/// One decision about one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Governance {
    /// Kind of the decision or request.
    pub kind: GovernanceKind,
    /// Kind of the subject, for example change, control, entity, budget or finding.
    pub subject_kind: String,
    /// Id of the subject.
    pub subject_id: String,
    /// Actor who decided or asked.
    pub actor: Actor,
    /// The decision in one word: `approved`, `rejected`, `acknowledged`, `high`, …
    #[serde(default)]
    pub decision: Option<String>,
    /// Reason that the actor gave.
    #[serde(default)]
    pub reason: Option<String>,
    /// Time at which the decision expires.
    #[serde(default, with = "super::scalars::optional_instant")]
    pub expires_at: Option<DateTime<Utc>>,
    /// Further attributes that the kind needs, by name.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}
