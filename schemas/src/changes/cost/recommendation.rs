//! Decisions about recommendations.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{EventId, TenantId, Timestamp};

/// What governance events about recommendations name as their subject's kind.
pub const RECOMMENDATION_SUBJECT: &str = "cost_recommendation";

/// One decision about a recommendation. Stored once per event; the newest is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecommendationFact {
    /// The event that says it; unique within the tenant.
    pub event_id: EventId,
    /// Whose recommendation.
    pub tenant: TenantId,
    /// Its id.
    pub recommendation: String,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Who decided.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// What was decided; `Err`: the word that is none of the decisions.
    pub decision: Result<RecommendationDecision, String>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

named! {
    /// What was decided about a recommendation.
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
