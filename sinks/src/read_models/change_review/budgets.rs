//! Verdicts of budgets about proposals: by the costs that were known when each was proposed.
//!
//! The stage that knows costs may be behind this one. A proposal is judged again with each event of its change, so that
//! nothing is approved by less than was known.

use costs::budget::{judge, monthly_delta};
use schemas::{
    TenantId, Timestamp,
    changes::{
        budget_verdicts::BudgetVerdict, change_review::ChangeFactKind, cost::Enforcement, estimate::Estimate,
    },
};
use sqlx::{FromRow, PgConnection, types::Json};
use uuid::Uuid;

use super::table::News;
use crate::read_models::cost::standing::{in_force_at, stand};

/// Most budgets that one proposal is held against, those by name first.
const MAX_BUDGETS: usize = 100;

/// A proposal with an estimate.
#[derive(Debug, FromRow)]
struct Proposed {
    tenant_id: String,
    event_id: Uuid,
    occurred_at: Timestamp,
    project: Option<String>,
    estimate: Json<Estimate>,
}

/// Judges the newest proposal of each change anew, and keeps what budgets say.
pub(super) async fn judge_proposals(tx: &mut PgConnection, touched: &[News<'_>]) -> sqlx::Result<()> {
    let (tenants, ids): (Vec<&str>, Vec<&str>) =
        touched.iter().map(|news| (news.tenant_id, news.change_id)).unzip();
    let proposed: Vec<Proposed> = sqlx::query_as(
        "SELECT f.tenant_id, f.event_id, f.occurred_at, f.project, f.proposal -> 'estimate' AS estimate
           FROM unnest($1::text[], $2::text[]) AS c(tenant_id, change_id)
          CROSS JOIN LATERAL (
                SELECT * FROM change_fact AS f
                 WHERE f.tenant_id = c.tenant_id AND f.change_id = c.change_id AND f.kind = $3
                 ORDER BY f.occurred_at DESC, f.event_id DESC LIMIT 1) AS f
          WHERE EXISTS (SELECT FROM cost_budget_fact AS b WHERE b.tenant_id = c.tenant_id)
            AND jsonb_typeof(f.proposal -> 'estimate') = 'object'
          ORDER BY 1, 2",
    )
    .bind(&tenants)
    .bind(&ids)
    .bind(ChangeFactKind::Proposed.name())
    .fetch_all(&mut *tx)
    .await?;
    for proposal in &proposed {
        let Ok(tenant) = TenantId::new(&proposal.tenant_id) else { continue };
        let verdicts = verdicts(tx, &tenant, proposal).await?;
        keep(tx, proposal, &verdicts).await?;
    }
    Ok(())
}

async fn verdicts(
    tx: &mut PgConnection,
    tenant: &TenantId,
    proposal: &Proposed,
) -> sqlx::Result<Vec<BudgetVerdict>> {
    let (at, Json(estimate)) = (proposal.occurred_at, &proposal.estimate);
    let mut found = Vec::new();
    for budget in in_force_at(tx, tenant, at).await?.iter().take(MAX_BUDGETS) {
        let delta = monthly_delta(&budget.scope(), proposal.project.as_deref(), estimate);
        if !delta.is_sign_positive() || delta.is_zero() || budget.currency() != estimate.currency {
            continue;
        }
        let stand = stand(tx, tenant, budget, at).await?;
        found.extend(judge(&stand, delta, at.date_naive()));
    }
    Ok(found)
}

async fn keep(tx: &mut PgConnection, proposal: &Proposed, verdicts: &[BudgetVerdict]) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM change_budget WHERE tenant_id = $1 AND event_id = $2")
        .bind(&proposal.tenant_id)
        .bind(proposal.event_id)
        .execute(&mut *tx)
        .await?;
    if verdicts.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = verdicts.iter().map(|verdict| verdict.budget.as_str()).collect();
    let hard: Vec<bool> = verdicts.iter().map(|verdict| verdict.enforcement == Enforcement::Hard).collect();
    let texts: Vec<Json<&BudgetVerdict>> = verdicts.iter().map(Json).collect();
    sqlx::query(
        "INSERT INTO change_budget (tenant_id, event_id, budget, hard, verdict)
         SELECT $1, $2, budget, hard, verdict FROM unnest($3::text[], $4::boolean[], $5::jsonb[]) AS v(budget, hard, verdict)",
    )
    .bind(&proposal.tenant_id)
    .bind(proposal.event_id)
    .bind(&names)
    .bind(&hard)
    .bind(&texts)
    .execute(tx)
    .await?;
    for verdict in verdicts {
        metrics::counter!("weir_budget_verdicts_total", "enforcement" => verdict.enforcement.name(), "by" => "change_review")
            .increment(1);
    }
    Ok(())
}

/// Verdicts of budgets about one proposal, by name.
pub(super) async fn of_proposal(
    connection: &mut PgConnection,
    tenant: &TenantId,
    event_id: Uuid,
) -> sqlx::Result<Vec<BudgetVerdict>> {
    let rows: Vec<(Json<BudgetVerdict>,)> = sqlx::query_as(
        "SELECT verdict FROM change_budget WHERE tenant_id = $1 AND event_id = $2 ORDER BY hard DESC, budget",
    )
    .bind(tenant.as_str())
    .bind(event_id)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(Json(verdict),)| verdict).collect())
}
