//! Waivers: steps as they are stored, and what each waiver waives for which time.

use std::collections::BTreeSet;

use projections::compliance::{Waiver, waiver};
use schemas::{
    EventId, TenantId, Timestamp,
    changes::compliance::{WaiverFact, WaiverStep, WaiverTerms},
};
use serde_json::json;
use sqlx::{PgConnection, Row, postgres::PgRow, types::Json};

use super::table::{WaivedRow, WaiverFactRow, WaiverRow};
use crate::read_models::aliases::Aliases;

/// Most steps of one waiver that are folded; further ones are stored and count for nothing.
const MAX_STEPS: i64 = 1_000;

/// Writes steps.
pub(super) async fn write(tx: &mut PgConnection, facts: &[&WaiverFact]) -> sqlx::Result<()> {
    let people: Vec<(&str, &str)> = facts.iter().flat_map(|fact| people(fact)).collect();
    let aliases = Aliases::of(tx, &people).await?;
    WaiverFactRow::insert(tx, &facts.iter().map(|fact| fact_row(fact, &aliases)).collect::<Vec<_>>()).await
}

/// The people whom a step names, each with its tenant.
fn people(fact: &WaiverFact) -> impl Iterator<Item = (&str, &str)> {
    let named = match &fact.step {
        WaiverStep::Requested(Ok(terms)) => Some(terms.owner.as_str()),
        WaiverStep::Granted { requested_by } => requested_by.as_deref(),
        WaiverStep::Requested(Err(_)) | WaiverStep::Rejected | WaiverStep::Revoked => None,
    };
    let parties = [Some(fact.actor.as_str()), fact.second_party.as_deref(), named];
    parties.into_iter().flatten().map(move |person| (fact.tenant.as_str(), person))
}

fn fact_row<'a>(fact: &'a WaiverFact, aliases: &'a Aliases) -> WaiverFactRow<'a> {
    let known_as = |person: &'a str| aliases.known_as(fact.tenant.as_str(), person);
    let (terms, fault, requested_by) = match &fact.step {
        WaiverStep::Requested(Ok(terms)) => (Some(terms), None, None),
        WaiverStep::Requested(Err(fault)) => (None, Some(fault.as_str()), None),
        WaiverStep::Granted { requested_by } => (None, None, requested_by.as_deref()),
        WaiverStep::Rejected | WaiverStep::Revoked => (None, None, None),
    };
    WaiverFactRow {
        tenant_id: fact.tenant.as_str(),
        event_id: *fact.event_id.as_uuid(),
        waiver: &fact.waiver,
        decided_at: fact.decided_at,
        step: fact.step.name(),
        actor: known_as(&fact.actor),
        second_party: fact.second_party.as_deref().map(known_as),
        requested_by: requested_by.map(known_as),
        owner: terms.map(|terms| known_as(&terms.owner)),
        policies: terms.map_or(&[], |terms| &terms.policies),
        resources: terms.map_or(&[], |terms| &terms.resources),
        expires_at: terms.map(|terms| terms.expires_at),
        fault,
        reason: fact.reason.as_deref(),
        content_sha256: &fact.content_sha256,
    }
}

/// Derives the waivers that steps are about.
pub(super) async fn derive(tx: &mut PgConnection, facts: &[&WaiverFact]) -> sqlx::Result<()> {
    let touched: BTreeSet<(&TenantId, &str)> =
        facts.iter().map(|fact| (&fact.tenant, fact.waiver.as_str())).collect();
    for (tenant, name) in &touched {
        sqlx::query(
            "SELECT pg_advisory_xact_lock(hashtextextended('weir.compliance.waiver/' || $1 || '/' || $2, 0))",
        )
        .bind(tenant.as_str())
        .bind(name)
        .execute(&mut *tx)
        .await?;
    }
    for (tenant, name) in touched {
        let facts = stored(tx, tenant, name).await?;
        let Some(first_at) = facts.iter().map(|fact| fact.decided_at).min() else { continue };
        let folded = waiver(&facts);
        WaiverRow::upsert(tx, &[waiver_row(tenant, name, first_at, &folded)]).await?;
        derive_scope(tx, tenant, name, &folded).await?;
    }
    Ok(())
}

async fn stored(tx: &mut PgConnection, tenant: &TenantId, name: &str) -> sqlx::Result<Vec<WaiverFact>> {
    let rows = sqlx::query(
        "SELECT * FROM compliance_waiver_fact WHERE tenant_id = $1 AND waiver = $2
          ORDER BY decided_at, event_id LIMIT $3",
    )
    .bind(tenant.as_str())
    .bind(name)
    .bind(MAX_STEPS)
    .fetch_all(tx)
    .await?;
    rows.iter().map(|row| decoded(row, tenant)).collect()
}

fn decoded(row: &PgRow, tenant: &TenantId) -> sqlx::Result<WaiverFact> {
    let fault: Option<String> = row.try_get("fault")?;
    let step = match row.try_get("step")? {
        "requested" => WaiverStep::Requested(match fault {
            Some(fault) => Err(fault),
            None => Ok(WaiverTerms {
                owner: row.try_get("owner")?,
                policies: row.try_get("policies")?,
                resources: row.try_get("resources")?,
                expires_at: row.try_get("expires_at")?,
            }),
        }),
        "granted" => WaiverStep::Granted { requested_by: row.try_get("requested_by")? },
        "rejected" => WaiverStep::Rejected,
        _ => WaiverStep::Revoked,
    };
    let event_id = EventId::new(row.try_get("event_id")?);
    Ok(WaiverFact {
        event_id: event_id.ok_or_else(|| sqlx::Error::Decode("event_id is nil".into()))?,
        tenant: tenant.clone(),
        waiver: row.try_get("waiver")?,
        decided_at: row.try_get("decided_at")?,
        step,
        actor: row.try_get("actor")?,
        second_party: row.try_get("second_party")?,
        reason: row.try_get("reason")?,
        // The fold does not look at it.
        content_sha256: [0; 32],
    })
}

fn waiver_row<'a>(
    tenant: &'a TenantId,
    name: &'a str,
    first_at: Timestamp,
    waiver: &'a Waiver,
) -> WaiverRow<'a> {
    let terms = waiver.terms.as_ref();
    let who = |step: &'a Option<(String, Timestamp)>| step.as_ref().map(|(who, _)| who.as_str());
    let when = |step: &Option<(String, Timestamp)>| step.as_ref().map(|(_, at)| *at);
    let ineffective = waiver
        .ineffective
        .iter()
        .map(|one| json!({ "event_id": one.event_id, "at": one.at, "step": one.step, "why": one.why }));
    WaiverRow {
        tenant_id: tenant.as_str(),
        waiver: name,
        owner: terms.map(|terms| terms.owner.as_str()),
        policies: terms.map_or(&[], |terms| &terms.policies),
        resources: terms.map_or(&[], |terms| &terms.resources),
        reason: waiver.reason.as_deref(),
        requested_by: who(&waiver.requested),
        requested_at: when(&waiver.requested),
        granted_by: who(&waiver.granted),
        granted_at: when(&waiver.granted),
        rejected_by: who(&waiver.rejected),
        rejected_at: when(&waiver.rejected),
        revoked_by: who(&waiver.revoked),
        revoked_at: when(&waiver.revoked),
        expires_at: terms.map(|terms| terms.expires_at),
        ends_at: waiver.ends_at,
        first_at,
        ineffective: Json(ineffective.collect()),
    }
}

/// Writes what a waiver waives, one row for each policy and resource.
async fn derive_scope(
    tx: &mut PgConnection,
    tenant: &TenantId,
    name: &str,
    waiver: &Waiver,
) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM compliance_waived WHERE tenant_id = $1 AND waiver = $2")
        .bind(tenant.as_str())
        .bind(name)
        .execute(&mut *tx)
        .await?;
    let (Some(terms), Some((_, valid_from)), Some(valid_to)) =
        (&waiver.terms, &waiver.granted, waiver.ends_at)
    else {
        return Ok(());
    };
    let mut rows = Vec::with_capacity(terms.resources.len() * terms.policies.len());
    for resource in &terms.resources {
        for policy_id in &terms.policies {
            let (tenant_id, valid_from) = (tenant.as_str(), *valid_from);
            rows.push(WaivedRow {
                tenant_id,
                resource,
                policy_id,
                waiver: name,
                valid_from,
                valid_to,
                expires_at: terms.expires_at,
            });
        }
    }
    WaivedRow::insert(tx, &rows).await
}
