//! The facts about a change, as far as its state depends on them.

use schemas::{
    Timestamp,
    changes::change_review::{ChangeFactKind, PlanReading, Route},
};
use uuid::Uuid;

/// So many facts of each kind count, the earliest: a change with more keeps them, and its row counts them, but what
/// follows from them is settled by then. Bounds what a batch reads.
pub const MAX_OF_KIND: i64 = 200;

/// What a change's state depends on of one fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFact {
    /// The event.
    pub event_id: Uuid,
    /// What happened.
    pub kind: ChangeFactKind,
    /// When.
    pub occurred_at: Timestamp,
    /// Who did it.
    pub actor: Option<String>,
    /// Their name for people.
    pub actor_name: Option<String>,
    /// A second party to it: through whom they asked, or for whom they decided.
    pub second_party: Option<String>,
    /// The resource it happened to.
    pub resource: Option<String>,
    /// The project.
    pub project: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The decision's word as it was said.
    pub decision: Option<String>,
    /// Why, as it was said.
    pub reason: Option<String>,
    /// When a request or an approval ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Whether it failed.
    pub failed: bool,
    /// The source's code for the outcome.
    pub outcome_code: Option<String>,
    /// Of a proposal.
    pub assessed: Option<Assessed>,
}

/// How a proposal was assessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assessed {
    /// How it goes on.
    pub route: Route,
    /// 0 to 100.
    pub score: i16,
    /// How much of its plan could be read.
    pub reading: PlanReading,
}
