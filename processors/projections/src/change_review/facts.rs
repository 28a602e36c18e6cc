//! Facts about a change, reduced to what its state depends on.

use schemas::{
    Timestamp,
    changes::change_review::{ChangeFactKind, PlanReading, Route},
};
use uuid::Uuid;

/// Maximum number of facts of each kind that count, the earliest ones. Further facts are stored and counted
/// in the row, but do not affect the state. Bounds the reads of a batch.
pub const MAX_OF_KIND: i64 = 200;

/// The fields of one fact that a change's state depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFact {
    /// Id of the event.
    pub event_id: Uuid,
    /// Kind of the fact.
    pub kind: ChangeFactKind,
    /// Time of the event.
    pub occurred_at: Timestamp,
    /// Actor.
    pub actor: Option<String>,
    /// Name of the actor, for people.
    pub actor_name: Option<String>,
    /// Id of a second party: the credential through which a person asked, or the person for whom a credential
    /// decided.
    pub second_party: Option<String>,
    /// Resource that was acted on.
    pub resource: Option<String>,
    /// The project.
    pub project: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The decision's word as it was said.
    pub decision: Option<String>,
    /// The proposal that the decision is about: the id of its event, as it was said; `None` if it names none.
    pub decided_proposal: Option<String>,
    /// Reason that the actor gave.
    pub reason: Option<String>,
    /// Time at which a request or an approval expires.
    pub expires_at: Option<Timestamp>,
    /// Whether it reports a failure.
    pub failed: bool,
    /// The source's status or error code.
    pub outcome_code: Option<String>,
    /// Assessment; only for a proposal.
    pub assessed: Option<Assessed>,
}

impl StoredFact {
    /// Whether the decision names that proposal, or none.
    pub(super) fn may_be_about(&self, proposal: Uuid) -> bool {
        let named = self.decided_proposal.as_deref();
        named.is_none_or(|id| Uuid::parse_str(id.trim()).is_ok_and(|id| id == proposal))
    }
}

/// Assessment of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assessed {
    /// Review route.
    pub route: Route,
    /// Whether a hard budget denies it: then it is blocked, whatever its score.
    pub over_budget: bool,
    /// Score, 0 to 100.
    pub score: i16,
    /// Completeness of reading the plan.
    pub reading: PlanReading,
}

impl Assessed {
    /// A proposal that no budget denies.
    pub const fn new(route: Route, score: i16, reading: PlanReading) -> Self {
        Self { route, over_budget: false, score, reading }
    }

    /// The same where a hard budget denies it, or not.
    #[must_use]
    pub const fn denied_by_budget(self, denied: bool) -> Self {
        let route = if denied { Route::Block } else { self.route };
        Self { route, over_budget: denied, ..self }
    }
}
