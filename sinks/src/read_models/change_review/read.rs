//! Reading change reviews: pages, newest first, and single changes with all that is known of them.

mod item;
mod waivers;

use projections::change_review::{ApprovalState, Decision, ProvisioningState, Review};
use rust_decimal::Decimal;
use schemas::{
    TenantId, Timestamp,
    changes::{
        Proposal,
        change_review::{ChangeFactKind, PlanReading, Route},
        estimate::Coverage,
        policy_verdicts::PlanVerdicts,
    },
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Postgres, QueryBuilder, Row, postgres::PgRow, types::Json};
use utoipa::IntoParams;
use uuid::Uuid;

pub use self::item::{
    ApprovalStep, BudgetDecision, ChangeDetail, ChangeItem, Compliance, CostDelta, PolicySummary,
    ReviewedVerdict, StepStatus,
};
use self::waivers::Waived;
use super::{budgets, facts::facts_of};
use crate::read_models::{
    parameters::text,
    snapshot::{Page, Positions, ReadError, Snapshot},
};

/// The stage that fills the table; its positions say what an answer reflects.
pub use schemas::changes::change_review::STAGE;

const COLUMNS: &str = "change_id, approval, decision, provisioning, route, score, reading, project, environment, \
    requested_by, proposal_event_id, proposed_at, decided_at, approvals, approvals_needed, approved_until, \
    impossible_total, first_at, last_at, facts";

/// The amounts of the standing proposal's estimate, without the lists of resources.
const ESTIMATE: &str = ", (SELECT nullif(f.proposal -> 'estimate', 'null') - 'resources' - 'unpriced' FROM change_fact AS f \
    WHERE f.tenant_id = change_review.tenant_id AND f.event_id = change_review.proposal_event_id) AS estimate";

/// The standing proposal's verdicts in numbers, without the list.
const POLICIES: &str = ", (SELECT nullif(f.proposal -> 'policies', 'null') - 'verdicts' FROM change_fact AS f \
    WHERE f.tenant_id = change_review.tenant_id AND f.event_id = change_review.proposal_event_id) AS policies";

/// Whether a hard budget denies the standing proposal; null: none says anything.
const BUDGET: &str = ", (SELECT bool_or(b.hard) FROM change_budget AS b \
    WHERE b.tenant_id = change_review.tenant_id AND b.event_id = change_review.proposal_event_id) AS over_hard_budget";

/// Filter on changes; an absent parameter matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct ChangeFilter {
    /// State of the approval.
    #[param(inline)]
    pub state: Option<ApprovalState>,
    /// Decision on the change.
    #[param(inline)]
    pub decision: Option<Decision>,
    /// State of the change's execution.
    #[param(inline)]
    pub provisioning: Option<ProvisioningState>,
    /// Route of the current proposal.
    #[param(inline)]
    pub route: Option<Route>,
    /// Extent to which the plan could be read.
    #[param(inline)]
    pub plan: Option<PlanReading>,
    /// The project, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub project: Option<String>,
    /// Id of who asked first, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub requester: Option<String>,
}

/// Key of the last change of a page: changes are ordered by both fields, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeKey {
    /// `last_at` of the last change.
    pub last_at: Timestamp,
    /// Its id.
    pub change_id: String,
}

/// Request for one page.
#[derive(Debug, Clone)]
pub struct ChangesRequest {
    /// Filter on the changes.
    pub filter: ChangeFilter,
    /// Only changes after this one, that is older.
    pub after: Option<ChangeKey>,
    /// Most changes on the page.
    pub limit: u16,
}

/// A page of the tenant's changes, newest first.
pub async fn page(
    pool: &PgPool,
    tenant: &TenantId,
    request: &ChangesRequest,
) -> Result<Page<ChangeItem, ChangeKey>, ReadError> {
    let snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let key = |item: &ChangeItem| ChangeKey { last_at: item.last_at, change_id: item.change_id.clone() };
    snapshot.page(&mut page_query(tenant, request), request.limit, item, key).await
}

/// The tenant's change with that id.
pub async fn by_id(
    pool: &PgPool,
    tenant: &TenantId,
    change_id: &str,
    now: Timestamp,
) -> Result<(Option<ChangeDetail>, Positions), ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let mut query = select(tenant);
    query.push(" AND change_id = ").push_bind(change_id.to_owned());
    let row = query.build().fetch_optional(snapshot.connection()).await?;
    let Some(change) = row.as_ref().map(item).transpose()? else {
        return Ok((None, snapshot.positions));
    };
    let facts = facts_of(snapshot.connection(), &[tenant.as_str()], &[change_id]).await?;
    let review = Review::of(&facts.into_values().flatten().collect::<Vec<_>>());
    let proposal = match &review.proposal {
        Some(standing) => proposal(&mut snapshot, tenant, standing.event_id).await?,
        None => None,
    };
    let (mut plan, mut factors, mut estimate) = (None, Vec::new(), None);
    let (mut verdicts, mut verdicts_total) = (Vec::new(), 0);
    if let Some(proposal) = proposal {
        (plan, factors) = (Some(proposal.plan), proposal.factors);
        estimate = proposal.estimate.map(|estimate| *estimate);
        if let Some(PlanVerdicts { verdicts: told, verdicts_total: total, .. }) =
            proposal.policies.map(|policies| *policies)
        {
            (verdicts, verdicts_total) = (told, total);
        }
    }
    let event = review.proposal.map(|standing| standing.event_id).filter(|_| !verdicts.is_empty());
    let waived = match event {
        Some(event) => waivers::in_force(&mut snapshot, tenant, event, now).await?,
        None => Waived::default(),
    };
    let verdicts: Vec<ReviewedVerdict> =
        verdicts.into_iter().map(|verdict| waived.reviewed(verdict)).collect();
    let budgets = match &review.proposal {
        Some(standing) => budgets::of_proposal(snapshot.connection(), tenant, standing.event_id).await?,
        None => Vec::new(),
    };
    let detail = ChangeDetail {
        compliance_with_waivers: waivers::compliance(&change, &verdicts, verdicts_total),
        change,
        plan,
        factors,
        steps: steps(&review, estimate.is_some()),
        estimate,
        budgets,
        verdicts,
        verdicts_total,
        impossible: review.impossible().cloned().collect(),
        timeline: review.timeline,
    };
    Ok((Some(detail), snapshot.positions))
}

async fn proposal(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    event_id: Uuid,
) -> Result<Option<Proposal>, ReadError> {
    let row = sqlx::query("SELECT proposal FROM change_fact WHERE tenant_id = $1 AND event_id = $2")
        .bind(tenant.as_str())
        .bind(event_id)
        .fetch_optional(snapshot.connection())
        .await?;
    let stored = row.map(|row| row.try_get::<Option<Json<Proposal>>, _>(0)).transpose()?;
    Ok(stored.flatten().map(|Json(proposal)| proposal))
}

/// The approval's course, step by step.
fn steps(review: &Review, estimated: bool) -> Vec<ApprovalStep> {
    let possible = || review.timeline.iter().filter(|step| step.impossible.is_none());
    let first = |kind: ChangeFactKind| possible().find(|step| step.kind == kind).map(|step| step.occurred_at);
    let route = review.proposal.map(|proposal| proposal.assessed.route);
    let by_score = matches!(route, Some(Route::Auto | Route::Block));
    let requested = first(ChangeFactKind::ApprovalRequested);
    let assessed = review.proposal.map(|proposal| proposal.at);
    let reviewed = requested.zip(assessed).map(|(requested, assessed)| requested.max(assessed));
    let step = |step: &str, at: Option<Timestamp>, otherwise: StepStatus| ApprovalStep {
        step: step.to_owned(),
        status: if at.is_some() { StepStatus::Done } else { otherwise },
        at,
    };
    let unless_by_score = if by_score { StepStatus::NotNeeded } else { StepStatus::Pending };
    let without_estimate = if assessed.is_some() { StepStatus::NotEvaluated } else { StepStatus::Pending };
    vec![
        step("requested", requested, unless_by_score),
        step("risk_assessed", assessed, StepStatus::Pending),
        step("cost_analysed", assessed.filter(|_| estimated), without_estimate),
        step("human_review", reviewed.filter(|_| !by_score), unless_by_score),
        step("decided", review.decision.map(|(_, at)| at), StepStatus::Pending),
    ]
}

fn select(tenant: &TenantId) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("SELECT ");
    query
        .push(COLUMNS)
        .push(ESTIMATE)
        .push(POLICIES)
        .push(BUDGET)
        .push(" FROM change_review WHERE tenant_id = ");
    // Row-level security says the same; said here too, the planner knows the value.
    query.push_bind(tenant.as_str().to_owned());
    query
}

/// Only constants are pushed as SQL; everything that a reader gave is bound.
fn page_query(tenant: &TenantId, request: &ChangesRequest) -> QueryBuilder<Postgres> {
    let mut query = select(tenant);
    let ChangeFilter { state, decision, provisioning, route, plan, project, requester } = &request.filter;
    let equal = [
        (" AND approval = ", state.map(ApprovalState::name)),
        (" AND decision = ", decision.map(Decision::name)),
        (" AND provisioning = ", provisioning.map(ProvisioningState::name)),
        (" AND route = ", route.map(Route::name)),
        (" AND reading = ", plan.map(PlanReading::name)),
        (" AND project = ", project.as_deref()),
        (" AND requested_by = ", requester.as_deref()),
    ];
    for (condition, value) in equal {
        if let Some(value) = value {
            query.push(condition).push_bind(value.to_owned());
        }
    }
    if let Some(after) = &request.after {
        query.push(" AND (last_at, change_id) < (").push_bind(after.last_at);
        query.push(", ").push_bind(after.change_id.clone()).push(")");
    }
    query.push(" ORDER BY last_at DESC, change_id DESC LIMIT ").push_bind(i64::from(request.limit) + 1);
    query
}

fn item(row: &PgRow) -> Result<ChangeItem, ReadError> {
    fn named<T>(
        row: &PgRow,
        column: &str,
        from_name: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ReadError> {
        let Some(name) = row.try_get::<Option<&str>, _>(column)? else { return Ok(None) };
        from_name(name)
            .map(Some)
            .ok_or_else(|| ReadError::Unreadable(format!("{column} {name:?} is unknown")))
    }
    let missing = |column: &str| ReadError::Unreadable(format!("{column} is empty"));
    // Absent for proposals without a plan, and for those that were made before plans were judged.
    let policies = row.try_get::<Option<Json<PolicySummary>>, _>("policies")?.map(|Json(summary)| summary);
    Ok(ChangeItem {
        change_id: row.try_get("change_id")?,
        approval: named(row, "approval", ApprovalState::from_name)?.ok_or_else(|| missing("approval"))?,
        decision: named(row, "decision", Decision::from_name)?,
        provisioning: named(row, "provisioning", ProvisioningState::from_name)?
            .ok_or_else(|| missing("provisioning"))?,
        route: named(row, "route", Route::from_name)?,
        score: row.try_get("score")?,
        plan_reading: named(row, "reading", PlanReading::from_name)?,
        project: row.try_get("project")?,
        environment: row.try_get("environment")?,
        requested_by: row.try_get("requested_by")?,
        proposal_event_id: row.try_get("proposal_event_id")?,
        proposed_at: row.try_get("proposed_at")?,
        decided_at: row.try_get("decided_at")?,
        approvals: row.try_get("approvals")?,
        approvals_needed: row.try_get("approvals_needed")?,
        approved_until: row.try_get("approved_until")?,
        impossible_total: row.try_get("impossible_total")?,
        first_at: row.try_get("first_at")?,
        last_at: row.try_get("last_at")?,
        facts: row.try_get("facts")?,
        cost_delta: cost_delta(row)?,
        compliance: policies.as_ref().map(Compliance::of).unwrap_or_default(),
        policies,
        budget: match row.try_get("over_hard_budget")? {
            None => BudgetDecision::Within,
            Some(false) => BudgetDecision::Warn,
            Some(true) => BudgetDecision::Deny,
        },
    })
}

/// The amounts of an estimate as a proposal holds them.
#[derive(Debug, Deserialize)]
struct Amounts {
    delta: Decimal,
    currency: String,
    confidence: u8,
    coverage_before: Coverage,
    coverage_after: Coverage,
    unpriced_total: u32,
}

/// Absent for proposals without a plan, and for those that were made before plans were estimated.
fn cost_delta(row: &PgRow) -> Result<Option<CostDelta>, ReadError> {
    let stored: Option<Json<Amounts>> = row.try_get("estimate")?;
    Ok(stored.map(|Json(amounts)| CostDelta {
        monthly: amounts.delta,
        currency: amounts.currency,
        confidence: amounts.confidence,
        coverage_before_percent: amounts.coverage_before.percent,
        coverage_after_percent: amounts.coverage_after.percent,
        unpriced: amounts.unpriced_total,
    }))
}
