//! Decisions about recommendations.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{EventId, TenantId, Timestamp};

/// Kind of the subject in governance events about recommendations.
pub const RECOMMENDATION_SUBJECT: &str = "cost_recommendation";

/// One decision about a recommendation. Stored once per event; the newest is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecommendationFact {
    /// The event that says it; unique within the tenant.
    pub event_id: EventId,
    /// Tenant that owns the recommendation.
    pub tenant: TenantId,
    /// Its id.
    pub recommendation: String,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Who decided.
    pub actor: String,
    /// Reason.
    pub reason: Option<String>,
    /// Decision; `Err`: an unknown word.
    pub decision: Result<RecommendationDecision, String>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

named! {
    /// Decision about a recommendation.
    RecommendationDecision {
        /// It is to be followed: from then on its saving is looked for in the charges.
        Accepted => "accepted",
        /// It is not to be shown any more.
        Dismissed => "dismissed",
        /// It is open again.
        Reopened => "reopened",
    }
}

named! {
    /// The kind of a recommendation.
    RecommendationKind {
        /// A resource that nobody uses can be removed.
        Idle => "idle",
        /// A smaller size of the same family does.
        RightSize => "right_size",
        /// A commitment for what runs all the time.
        Commitment => "commitment",
        /// A cheaper storage tier does.
        StorageTier => "storage_tier",
        /// A resource can be stopped while nobody uses it.
        Schedule => "schedule",
    }
}

named! {
    /// An estimate in one word.
    Grade {
        /// Low.
        Low => "low",
        /// Medium.
        Medium => "medium",
        /// High.
        High => "high",
    }
}
