//! Verdicts of budgets about a plan, from a source of their standing.

use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc};

use edge::api_error::ApiError;
use policies::Decision;
use schemas::{
    TenantId, Timestamp,
    changes::{budget_verdicts::BudgetVerdict, cost::Enforcement},
    problem::ProblemKind,
};
use serde_json::Value;
use tracing::warn;

use super::{Mode, Question, decided::Decided};
use crate::gateway::App;

/// Whoever knows how budgets stand.
pub trait Budgets: Debug + Send + Sync {
    /// The budgets of a tenant that a plan would go beyond.
    ///
    /// # Errors
    /// The standing of budgets is not known now, for this reason.
    fn judge(
        &self,
        asked: PlanAsked,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<BudgetVerdict>, String>> + Send + '_>>;
}

/// A plan that is held against budgets.
#[derive(Clone)]
pub struct PlanAsked {
    /// Tenant of the plan.
    pub tenant: TenantId,
    /// The project that the caller names.
    pub project: Option<String>,
    /// When it is asked.
    pub at: Timestamp,
    question: Arc<Question>,
}

impl Debug for PlanAsked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlanAsked")
            .field("tenant", &self.tenant)
            .field("project", &self.project)
            .finish_non_exhaustive()
    }
}

impl PlanAsked {
    /// The plan (`terraform show -json`).
    pub fn plan(&self) -> &Value {
        self.question.plan()
    }
}

/// Verdicts of budgets about a document: none where it is not a plan; `None`: not known.
///
/// # Errors
/// In mode `block` a plan is not decided about without its budgets.
pub(super) async fn ask(
    app: &App,
    (tenant, question, mode): (&TenantId, &Arc<Question>, Mode),
    decided: &Decided,
    at: Timestamp,
) -> Result<Option<Vec<BudgetVerdict>>, ApiError> {
    if decided.kind != "plan" {
        return Ok(Some(Vec::new()));
    }
    let Some(budgets) = &app.config.budgets else { return Ok(None) };
    let asked = PlanAsked {
        tenant: tenant.clone(),
        project: question.project.clone(),
        at,
        question: Arc::clone(question),
    };
    match (budgets.judge(asked).await, mode) {
        (Ok(verdicts), _) => {
            for verdict in &verdicts {
                let enforcement = verdict.enforcement.name();
                metrics::counter!("weir_budget_verdicts_total", "enforcement" => enforcement, "by" => "decision")
                    .increment(1);
            }
            Ok(Some(verdicts))
        }
        (Err(error), Mode::Block) => {
            warn!(%error, "a plan is not decided about: budgets cannot be read");
            let detail =
                "how the budgets stand cannot be read now, and without it nothing is decided in mode `block`";
            Err(ApiError::new(ProblemKind::DatabaseUnavailable, detail))
        }
        (Err(error), Mode::Advise) => {
            warn!(%error, "a plan is judged without its budgets");
            Ok(None)
        }
    }
}

/// The decision with what budgets say.
pub(super) fn with_budgets(decision: Decision, budgets: Option<&[BudgetVerdict]>) -> Decision {
    let verdicts = budgets.unwrap_or_default();
    match (decision, verdicts.iter().any(|verdict| verdict.enforcement == Enforcement::Hard)) {
        (_, true) => Decision::Deny,
        (Decision::Allow, false) if !verdicts.is_empty() => Decision::Warn,
        (decision, false) => decision,
    }
}
