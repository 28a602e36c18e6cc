//! Derives the state of a change from its facts. Pure: equal sets of facts give equal reviews.
//!
//! Facts are applied in the order of (`occurred_at`, `event_id`), regardless of their arrival. The approval
//! goes through Requested → Risk assessed → Cost analysed → Human review → Decided, provisioning through
//! Requested → Validated → Planned → Approved → Applied → Monitored → Completed, or Failed, or Rolled back. A
//! fact that is impossible in the current state changes nothing and is kept as an impossible transition with
//! its reason.
//!
//! - The requester is the actor of `ApprovalRequested`. Neither it nor the actor that a proposal names can
//!   approve.
//! - A decision needs a request before it. The actor of a proposal is its publisher's claim, and asks for
//!   nothing.
//! - A proposal begins a new round: earlier approvals were for another plan. A decision may name the proposal
//!   that it is about, and then counts for no other.
//! - A request or an approval may expire. A further request renews the first. Approvals count together while
//!   all of them are in force; once one has ended, the next request or decision finds the change undecided,
//!   unless it has been applied.
//! - `Applied` and `Monitored` may be skipped, because reporting them is optional; `Approved` may not.

use std::collections::BTreeSet;

use schemas::{
    Timestamp,
    changes::change_review::{ChangeFactKind, Route},
    events::Party,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    facts::{Assessed, StoredFact},
    states::{ApprovalState, Decision, ProvisioningState},
};

/// Maximum length of a decision's name that a reason quotes, in characters.
const MAX_QUOTED_CHARS: usize = 40;

/// State of a change, and its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// State of the approval.
    pub approval: ApprovalState,
    /// State of the change itself.
    pub provisioning: ProvisioningState,
    /// Decision, with its time.
    pub decision: Option<(Decision, Timestamp)>,
    /// Current proposal.
    pub proposal: Option<Standing>,
    /// The first requester, as written; `None` if nobody asked.
    pub requested_by: Option<String>,
    /// The project.
    pub project: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// Number of approvals of the current proposal.
    pub approvals: i16,
    /// Time at which the first of the approvals that decided expires; `None` if none does, or if it is not
    /// approved.
    pub approved_until: Option<Timestamp>,
    /// Every fact in order, with its effect.
    pub timeline: Vec<Step>,
}

/// The current proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Id of its event.
    pub event_id: Uuid,
    /// Time of the proposal.
    pub at: Timestamp,
    /// Assessment of the proposal.
    pub assessed: Assessed,
}

/// One fact in a change's history, with its effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Id of the event.
    pub event_id: Uuid,
    /// Time of the event, by the source's clock.
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Timestamp,
    /// Kind of the event.
    pub kind: ChangeFactKind,
    /// Actor.
    pub actor: Option<String>,
    /// Name of the actor, for people.
    pub actor_name: Option<String>,
    /// The decision's word as it was said.
    pub decision: Option<String>,
    /// Reason that the actor gave.
    pub reason: Option<String>,
    /// Resource that was acted on.
    pub resource: Option<String>,
    /// Score; only for a proposal.
    pub score: Option<i16>,
    /// Review route; only for a proposal.
    pub route: Option<Route>,
    /// State of the approval after the fact.
    pub approval: ApprovalState,
    /// State of the change after the fact.
    pub provisioning: ProvisioningState,
    /// The reason why the fact is an impossible transition; it then has no effect.
    pub impossible: Option<String>,
}

impl Review {
    /// Derives the state of a change from its facts, given in any order.
    pub fn of(facts: &[StoredFact]) -> Self {
        let mut ordered: Vec<&StoredFact> = facts.iter().collect();
        ordered.sort_unstable_by_key(|fact| (fact.occurred_at, fact.event_id));
        let mut course = Course::default();
        let timeline = ordered.iter().map(|fact| course.take(fact)).collect();
        // What the standing proposal says goes first; else whoever said it first.
        let standing = course.proposal.and_then(|p| ordered.iter().find(|fact| fact.event_id == p.event_id));
        let said = |of: fn(&StoredFact) -> &Option<String>| {
            standing.into_iter().chain(&ordered).find_map(|fact| of(fact).clone())
        };
        Self {
            approval: course.approval(),
            provisioning: course.provisioning,
            decision: course.decision,
            proposal: course.proposal,
            requested_by: course.requested_by.clone(),
            project: said(|fact| &fact.project),
            environment: said(|fact| &fact.environment),
            approvals: i16::try_from(course.approvers.len()).unwrap_or(i16::MAX),
            approved_until: course
                .approved_until()
                .filter(|_| matches!(course.decision, Some((Decision::Approved, _)))),
            timeline,
        }
    }

    /// Impossible transitions.
    pub fn impossible(&self) -> impl Iterator<Item = &Step> {
        self.timeline.iter().filter(|step| step.impossible.is_some())
    }

    /// Number of people who must approve the current proposal.
    pub fn approvals_needed(&self) -> u16 {
        self.proposal.map_or(0, |proposal| proposal.assessed.route.approvals_needed())
    }
}

/// State of a change while its facts are applied one by one.
#[derive(Debug)]
struct Course {
    proposal: Option<Standing>,
    decision: Option<(Decision, Timestamp)>,
    provisioning: ProvisioningState,
    /// The first requester, as written; `None` if nobody asked.
    requested_by: Option<String>,
    /// Whoever asked or is named as the proposer, with their second parties: they cannot approve.
    interested: BTreeSet<Party>,
    /// Time at which the latest request expires, if it does.
    requested_until: Option<Timestamp>,
    /// Approvals of the current proposal.
    approvers: Vec<Approver>,
}

/// Whoever has approved.
#[derive(Debug)]
struct Approver {
    /// The actor and the second party.
    parties: BTreeSet<Party>,
    /// Time at which the approval expires, if it does.
    until: Option<Timestamp>,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            proposal: None,
            decision: None,
            provisioning: ProvisioningState::NotRequested,
            requested_by: None,
            interested: BTreeSet::new(),
            requested_until: None,
            approvers: Vec::new(),
        }
    }
}

/// The actor and the second party of a fact. `None` if no actor is named.
fn parties(fact: &StoredFact) -> Option<BTreeSet<Party>> {
    Party::all_of(fact.actor.as_deref()?, fact.second_party.as_deref())
}

/// Reason why a transition is impossible.
type Impossible = String;

impl Course {
    fn take(&mut self, fact: &StoredFact) -> Step {
        use ChangeFactKind as Kind;
        let outcome = match fact.kind {
            Kind::Proposed => self.propose(fact),
            Kind::ApprovalRequested => self.request(fact),
            Kind::ApprovalDecided => self.decide(fact),
            kind if kind.reports_rollback(fact.outcome_code.as_deref()) => self.roll_back(),
            Kind::Failed => self.fail(),
            _ if fact.failed => self.fail(),
            Kind::Provisioned | Kind::Scaled | Kind::Deleted => self.apply(fact),
            Kind::ConfigurationObserved => self.observe(),
            Kind::Completed => self.complete(fact),
        };
        Step {
            event_id: fact.event_id,
            occurred_at: fact.occurred_at,
            kind: fact.kind,
            actor: fact.actor.clone(),
            actor_name: fact.actor_name.clone(),
            decision: fact.decision.clone(),
            reason: fact.reason.clone(),
            resource: fact.resource.clone(),
            score: fact.assessed.map(|assessed| assessed.score),
            route: fact.assessed.map(|assessed| assessed.route),
            approval: self.approval(),
            provisioning: self.provisioning,
            impossible: outcome.err(),
        }
    }

    fn approval(&self) -> ApprovalState {
        match (self.decision, self.proposal, &self.requested_by) {
            (Some(_), ..) => ApprovalState::Decided,
            (None, Some(_), Some(_)) => ApprovalState::HumanReview,
            (None, Some(_), None) => ApprovalState::RiskAssessed,
            (None, None, Some(_)) => ApprovalState::Requested,
            (None, None, None) => ApprovalState::NotRequested,
        }
    }

    fn propose(&mut self, fact: &StoredFact) -> Result<(), Impossible> {
        use ProvisioningState as State;
        if matches!(self.provisioning, State::Applied | State::Monitored | State::Completed) {
            return Err("proposed after it had been applied".to_owned());
        }
        let assessed = fact.assessed.ok_or("proposed without an assessment")?;
        self.proposal = Some(Standing { event_id: fact.event_id, at: fact.occurred_at, assessed });
        self.approvers.clear();
        self.provisioning = State::proposed(assessed.reading);
        self.interested.extend(parties(fact).into_iter().flatten());
        self.decision = match assessed.route {
            Route::Auto => Some((Decision::Auto, fact.occurred_at)),
            Route::Block => Some((Decision::Blocked, fact.occurred_at)),
            Route::Review | Route::TwoPerson => None,
        };
        if assessed.route == Route::Auto {
            self.provisioning = State::Approved;
        }
        Ok(())
    }

    fn request(&mut self, fact: &StoredFact) -> Result<(), Impossible> {
        let parties = parties(fact).ok_or("the requester is not named")?;
        self.drop_ended_approvals(fact.occurred_at);
        if let Some((Decision::Approved | Decision::Rejected, _)) = self.decision {
            return Err("asked for after it had been decided".to_owned());
        }
        if self.is_approver(&parties) {
            return Err("requested by an approver".to_owned());
        }
        if self.requested_by.is_none() {
            self.requested_by.clone_from(&fact.actor);
        }
        self.interested.extend(parties);
        self.requested_until = fact.expires_at;
        self.provisioning = self.provisioning.max(ProvisioningState::Requested);
        Ok(())
    }

    fn decide(&mut self, fact: &StoredFact) -> Result<(), Impossible> {
        let approves = match fact.decision.as_deref() {
            Some("approved") => true,
            Some("rejected") => false,
            Some(word) => return Err(format!("{:?} is neither approved nor rejected", quoted(word))),
            None => return Err("decided without a decision".to_owned()),
        };
        let proposal = self.proposal.ok_or("decided before anything had been proposed")?;
        let parties = parties(fact).ok_or("the decider is not named")?;
        if !fact.may_be_about(proposal.event_id) {
            return Err(format!("{} another plan", if approves { "approved" } else { "rejected" }));
        }
        self.drop_ended_approvals(fact.occurred_at);
        self.may_decide(&proposal, fact.occurred_at, approves)?;
        if !approves {
            self.decision = Some((Decision::Rejected, fact.occurred_at));
            return Ok(());
        }
        if !self.interested.is_disjoint(&parties) {
            return Err("approved by the requester".to_owned());
        }
        if fact.expires_at.is_some_and(|until| until < fact.occurred_at) {
            return Err("approved until a time that has passed".to_owned());
        }
        if self.is_approver(&parties) {
            return Err("approved twice by the same person".to_owned());
        }
        self.approvers.push(Approver { parties, until: fact.expires_at });
        if self.approvers.len() >= usize::from(proposal.assessed.route.approvals_needed()) {
            self.decision = Some((Decision::Approved, fact.occurred_at));
            if self.provisioning < ProvisioningState::Approved {
                self.provisioning = ProvisioningState::Approved;
            }
        }
        Ok(())
    }

    /// Whether the change awaits a decision at that time.
    fn may_decide(&self, proposal: &Standing, at: Timestamp, approves: bool) -> Result<(), Impossible> {
        match self.decision {
            Some((Decision::Blocked, _)) => {
                let word = if approves { "approved" } else { "decided" };
                let by = if proposal.assessed.over_budget { "a hard budget" } else { "its score" };
                let already = if approves { "" } else { " already" };
                return Err(format!("{word} although {by} blocks it{already}"));
            }
            Some((Decision::Auto, _)) => {
                return Err("decided although its score lets it pass by itself".to_owned());
            }
            Some(_) => return Err("decided after it had been decided".to_owned()),
            None => {}
        }
        if self.requested_by.is_none() {
            return Err("decided before anybody had asked for it".to_owned());
        }
        if self.requested_until.is_some_and(|until| until < at) {
            return Err("decided after the request had ended".to_owned());
        }
        Ok(())
    }

    /// Drops the approvals that have ended before that time. A change that they had approved is undecided
    /// again, unless it has been applied.
    fn drop_ended_approvals(&mut self, at: Timestamp) {
        use ProvisioningState as State;
        let ended = |until: Option<Timestamp>| until.is_some_and(|until| until < at);
        if let Some((decision, _)) = self.decision {
            let unapplied = self.provisioning <= State::Approved || self.provisioning == State::Failed;
            if decision != Decision::Approved || !unapplied || !ended(self.approved_until()) {
                return;
            }
            self.decision = None;
            if let (State::Approved, Some(proposal)) = (self.provisioning, &self.proposal) {
                self.provisioning = State::proposed(proposal.assessed.reading);
            }
        }
        self.approvers.retain(|approver| !ended(approver.until));
    }

    /// Time at which the first of the approvals expires.
    fn approved_until(&self) -> Option<Timestamp> {
        self.approvers.iter().filter_map(|approver| approver.until).min()
    }

    /// Whether one of the parties has approved the current proposal.
    fn is_approver(&self, parties: &BTreeSet<Party>) -> bool {
        self.approvers.iter().any(|approver| !approver.parties.is_disjoint(parties))
    }

    /// Whether the change may be applied at that time.
    fn may_apply(&self, at: Timestamp) -> Result<(), Impossible> {
        match self.decision {
            None if self.proposal.is_none() => Err("applied before anything had been proposed".to_owned()),
            None => Err("applied before it had been approved".to_owned()),
            Some((decision, _)) if !decision.lets_pass() => {
                Err(format!("applied although it is {}", decision.name()))
            }
            Some(_) if self.approved_until().is_some_and(|until| until < at) => {
                Err("applied after its approval had ended".to_owned())
            }
            Some(_) => Ok(()),
        }
    }

    fn apply(&mut self, fact: &StoredFact) -> Result<(), Impossible> {
        use ProvisioningState as State;
        match self.provisioning {
            // Of one run some resources fail while others are still made, and taking back deletes.
            State::Applied | State::Monitored | State::Failed | State::RolledBack => Ok(()),
            State::Completed => Err("applied after it had been completed".to_owned()),
            _ => {
                self.may_apply(fact.occurred_at)?;
                self.provisioning = State::Applied;
                Ok(())
            }
        }
    }

    fn observe(&mut self) -> Result<(), Impossible> {
        use ProvisioningState as State;
        match self.provisioning {
            State::Applied => self.provisioning = State::Monitored,
            // Looking goes on.
            State::Monitored | State::Completed | State::Failed | State::RolledBack => {}
            _ => return Err("observed before it had been applied".to_owned()),
        }
        Ok(())
    }

    fn complete(&mut self, fact: &StoredFact) -> Result<(), Impossible> {
        use ProvisioningState as State;
        match self.provisioning {
            // Several resources of one change may each report it.
            State::Completed => return Ok(()),
            State::Applied | State::Monitored => {}
            State::Failed => return Err("completed after it had failed".to_owned()),
            State::RolledBack => return Err("completed after it had been taken back".to_owned()),
            _ => self.may_apply(fact.occurred_at)?,
        }
        self.provisioning = State::Completed;
        Ok(())
    }

    fn fail(&mut self) -> Result<(), Impossible> {
        use ProvisioningState as State;
        match self.provisioning {
            State::NotRequested => return Err("failed before anything had been proposed".to_owned()),
            State::Completed => return Err("failed after it had been completed".to_owned()),
            State::RolledBack => {}
            _ => self.provisioning = State::Failed,
        }
        Ok(())
    }

    fn roll_back(&mut self) -> Result<(), Impossible> {
        use ProvisioningState as State;
        match self.provisioning {
            State::Applied | State::Monitored | State::Completed | State::Failed | State::RolledBack => {
                self.provisioning = State::RolledBack;
                Ok(())
            }
            _ => Err("taken back before it had been applied".to_owned()),
        }
    }
}

fn quoted(word: &str) -> String {
    word.chars().take(MAX_QUOTED_CHARS).collect()
}
