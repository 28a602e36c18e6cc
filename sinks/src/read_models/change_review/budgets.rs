//! Verdicts of budgets about proposals: by the costs that were known when each was proposed.
//!
//! The stage that knows costs may be behind this one. Every proposal is judged when it comes, and the standing one again with
//! each event of its change until it is decided, so that nothing is approved by less than was known. What was approved or
//! applied keeps the verdicts by which it was.

use schemas::{
    TenantId, Timestamp,
    changes::{budget_verdicts::BudgetVerdict, cost::Enforcement, estimate::Estimate},
};
use sqlx::{FromRow, PgConnection, types::Json};
use uuid::Uuid;

use super::table::News;
use crate::read_models::cost::{
    concerned::{MAX_JUDGED, concerned},
    standing::{in_force_at, stand},
};

/// A proposal with an estimate.
#[derive(Debug, FromRow)]
struct Proposed {
    tenant_id: String,
    event_id: Uuid,
    occurred_at: Timestamp,
    project: Option<String>,
    estimate: Json<Estimate>,
}

/// Judges these proposals, which are new, and the standing ones of changes on which nothing is decided yet; and keeps what
/// budgets say.
pub(super) async fn judge_proposals(
    tx: &mut PgConnection,
    touched: &[News<'_>],
    new: &[(&str, Uuid)],
) -> sqlx::Result<()> {
    let (new_of, new_ids): (Vec<&str>, Vec<Uuid>) = new.iter().copied().unzip();
    let proposed: Vec<Proposed> = sqlx::query_as(
        "SELECT f.tenant_id, f.event_id, f.occurred_at, f.project, f.proposal -> 'estimate' AS estimate
           FROM (SELECT tenant_id, event_id FROM unnest($1::text[], $2::uuid[]) AS n(tenant_id, event_id)
                 UNION
                 SELECT r.tenant_id, r.proposal_event_id
                   FROM unnest($3::change_news[]) AS c JOIN change_review AS r USING (tenant_id, change_id)
                  WHERE (r.decision = 'auto' AND r.provisioning <> 'approved'
                         OR r.decision = 'approved'
                            AND (r.provisioning NOT IN ('approved', 'failed')
                                 OR coalesce(r.approved_until, 'infinity') >= c.last_at)) IS NOT TRUE) AS p
           JOIN change_fact AS f USING (tenant_id, event_id)
          WHERE EXISTS (SELECT FROM cost_budget_fact AS b WHERE b.tenant_id = f.tenant_id)
            AND jsonb_typeof(f.proposal -> 'estimate') = 'object'
          ORDER BY 1, 2",
    )
    .bind(new_of)
    .bind(new_ids)
    .bind(touched)
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
    let in_force = in_force_at(tx, tenant, at).await?;
    let concerned = concerned(&in_force, proposal.project.as_deref(), estimate);
    let (judged, left_over) = concerned.split_at(concerned.len().min(MAX_JUDGED));
    let mut found = Vec::new();
    for one in judged {
        let stand = stand(tx, tenant, one.budget, at).await?;
        found.extend(one.verdict(&stand, at.date_naive()));
    }
    found.extend(left_over.iter().filter_map(|one| one.left_over(at.date_naive())));
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
