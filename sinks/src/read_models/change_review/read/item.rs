//! A change as the list and its page show it.

use projections::change_review::{ApprovalState, Decision, ProvisioningState, Step};
use rust_decimal::Decimal;
use schemas::{
    Timestamp,
    changes::{
        budget_verdicts::BudgetVerdict,
        change_review::{Factor, PlanReading, PlanSummary, Route},
        estimate::Estimate,
        policy_verdicts::{PlanVerdict, PolicyDecision, VerdictCounts},
    },
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// One change, as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeItem {
    /// The change.
    pub change_id: String,
    /// State of the approval.
    pub approval: ApprovalState,
    /// Decision on the change.
    pub decision: Option<Decision>,
    /// State of the change's execution.
    pub provisioning: ProvisioningState,
    /// Route of the current proposal; absent before there is one.
    pub route: Option<Route>,
    /// Its score, 0 to 100.
    pub score: Option<i16>,
    /// Extent to which the plan could be read.
    pub plan_reading: Option<PlanReading>,
    /// The project.
    pub project: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// Actor who requested it first.
    pub requested_by: Option<String>,
    /// Id of the event of the current proposal, which a decision may name.
    #[serde(default)]
    pub proposal_event_id: Option<Uuid>,
    /// Time of the current proposal.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub proposed_at: Option<Timestamp>,
    /// Time of the decision.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Timestamp>,
    /// Number of approvals of the current proposal.
    pub approvals: i16,
    /// Number of approvals that the current proposal needs.
    pub approvals_needed: i16,
    /// Time at which the approval expires; null: never, or it is not approved. Once that has passed, it may be
    /// approved anew.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub approved_until: Option<Timestamp>,
    /// Number of facts that were not possible after the facts before them.
    pub impossible_total: i32,
    /// The earliest fact.
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    /// The latest fact.
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
    /// Number of facts.
    pub facts: i64,
    /// The monthly cost that it adds; null: there is no plan that could be estimated.
    pub cost_delta: Option<CostDelta>,
    /// Outcome of the compliance policies on the plan.
    pub compliance: Compliance,
    /// The verdicts behind it, in numbers; null where none was made.
    pub policies: Option<PolicySummary>,
    /// Verdicts of budgets about its cost.
    #[serde(default)]
    pub budget: BudgetDecision,
}

/// Verdicts of budgets about a change, by what was known when it was proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetDecision {
    /// It goes beyond none.
    #[default]
    Within,
    /// It would go beyond a soft budget.
    Warn,
    /// It would go beyond a hard budget, and is blocked.
    Deny,
}

/// The monthly cost that a change adds, by the price list that was in use when it was proposed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostDelta {
    /// After minus before, of resources with a price on both sides; negative: it costs less.
    #[schema(value_type = String)]
    pub monthly: Decimal,
    /// ISO 4217 code.
    pub currency: String,
    /// 0 to 100.
    pub confidence: u8,
    /// Resources before the change that are priced or free, in percent.
    pub coverage_before_percent: u8,
    /// Resources after the change that are priced or free, in percent.
    pub coverage_after_percent: u8,
    /// Resources without a price: they count in no amount.
    pub unpriced: u32,
}

/// Outcome of the compliance policies on a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compliance {
    /// There is no plan that can be read, no policy concerns its resources, or the plan lacks what they read.
    #[default]
    NotEvaluated,
    /// Every verdict that could be made is a pass.
    Pass,
    /// A policy that only warns failed, or one could not be evaluated.
    Warn,
    /// A policy failed.
    Fail,
}

impl Compliance {
    pub(super) fn of(summary: &PolicySummary) -> Self {
        match summary.decision {
            PolicyDecision::Deny => Self::Fail,
            PolicyDecision::Warn => Self::Warn,
            PolicyDecision::Allow if summary.counts.passed == 0 => Self::NotEvaluated,
            PolicyDecision::Allow => Self::Pass,
        }
    }
}

/// The verdicts of compliance policies about a plan, in numbers, by the policies that were in force when it was
/// proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicySummary {
    /// The gravest consequence of a verdict.
    pub decision: PolicyDecision,
    /// SHA-256 of the policy set, in hexadecimal digits.
    pub policy_set: String,
    /// Number of verdicts of each kind.
    pub counts: VerdictCounts,
}

/// One change in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeDetail {
    /// As in the list.
    #[serde(flatten)]
    pub change: ChangeItem,
    /// Effect of the plan on resources.
    pub plan: Option<PlanSummary>,
    /// Factors of the risk score, most points first.
    pub factors: Vec<Factor>,
    /// The monthly cost of its resources, one by one; null where the plan could not be estimated.
    pub estimate: Option<Estimate>,
    /// The budgets that it would go beyond, hard ones first, each with amounts and what to change.
    pub budgets: Vec<BudgetVerdict>,
    /// The verdicts of compliance policies other than `pass`, gravest first; the first 100.
    pub verdicts: Vec<ReviewedVerdict>,
    /// Number of verdicts other than `pass`.
    pub verdicts_total: u32,
    /// `compliance` as it is with the waivers in force now. Score and route stay as they were assessed.
    pub compliance_with_waivers: Compliance,
    /// The steps of its approval, in their order.
    pub steps: Vec<ApprovalStep>,
    /// Everything that happened to it, in order of time; of each kind of event the first 200.
    pub timeline: Vec<Step>,
    /// Steps of the timeline that were not possible after the steps before them, with the reason.
    pub impossible: Vec<Step>,
}

/// A verdict about the plan, and the waiver that is in force for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReviewedVerdict {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: PlanVerdict,
    /// Id of the waiver in force for a failure; of several the one whose terms end last.
    pub waiver: Option<String>,
    /// End of that waiver by its terms.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub waived_until: Option<Timestamp>,
}

/// A step of an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalStep {
    /// `requested`, `risk_assessed`, `cost_analysed`, `human_review` or `decided`.
    pub step: String,
    /// `done`, `pending`, `not_needed` or `not_evaluated`.
    pub status: StepStatus,
    /// Time at which it was done.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
}

/// Status of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// It is done.
    Done,
    /// It is pending.
    Pending,
    /// The score decides without it.
    NotNeeded,
    /// It could not be done: the proposal has no plan that can be read.
    NotEvaluated,
}
