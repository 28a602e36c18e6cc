//! Terms leave the dictionary of the audit log once no entry holds them.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Time limit of the scan of the entries, during which writers wait; a field that takes longer is marked
/// incomplete.
const LOOK: &str = "SET LOCAL statement_timeout = '1500ms'";

/// Terms by field that may be in no entry any more.
#[derive(Debug, Default)]
pub(super) struct Terms(BTreeMap<&'static str, BTreeSet<String>>);

impl Terms {
    /// Adds a term of a field of the dictionary.
    pub(super) fn add(&mut self, field: &'static str, term: &str) {
        let terms = self.0.entry(field).or_default();
        if !terms.contains(term) {
            terms.insert(term.to_owned());
        }
    }
}

/// The condition that the entry `e` holds the term `t` of a field.
fn held(field: &str) -> Option<&'static str> {
    match field {
        "actor" => Some("e.actor = t.term"),
        "actor_name" => Some("e.actor_name = t.term"),
        "address" => Some("e.actor_ip = t.term"),
        "resource" => Some("e.resource = t.term"),
        "other_resource" => Some("t.term = ANY (e.other_resources)"),
        "project" => Some("e.project = t.term"),
        _ => None,
    }
}

/// Takes a tenant's terms out of the dictionary, but for those that entries still hold.
///
/// A search trusts the dictionary, and a writer the terms that it has written there. Therefore writers wait
/// for the scan of the entries, and write their terms again afterwards. If the scan takes too long, the field
/// is marked incomplete: searches then read the entries themselves.
pub(super) async fn forget(
    connection: &mut PgConnection,
    tenant: &str,
    Terms(gone): Terms,
) -> sqlx::Result<()> {
    for (field, terms) in gone {
        let Some(held) = held(field) else { continue };
        let terms: Vec<String> = terms.into_iter().collect();
        match forget_unheld(connection, (tenant, field, held), &terms).await {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("57014") => {
                forget_unseen(connection, (tenant, field), &terms).await?;
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

async fn forget_unheld(
    connection: &mut PgConnection,
    (tenant, field, held): (&str, &str, &'static str),
    terms: &[String],
) -> sqlx::Result<()> {
    // A constant of this module's.
    let unheld = format!(
        "WITH gone AS (
           DELETE FROM audit_term AS t WHERE t.tenant_id = $1 AND t.field = $2 AND t.term = ANY($3)
              AND NOT EXISTS (SELECT FROM audit_entry AS e WHERE e.tenant_id = $1 AND {held})
           RETURNING 1)
         UPDATE audit_term_field SET terms = greatest(terms - (SELECT count(*) FROM gone), 0)
          WHERE tenant_id = $1 AND field = $2"
    );
    let mut tx = connection.begin().await?;
    sqlx::query("SELECT audit_next_epoch()").execute(&mut *tx).await?;
    sqlx::query(LOOK).execute(&mut *tx).await?;
    let forget = sqlx::query(AssertSqlSafe(unheld)).bind(tenant).bind(field).bind(terms);
    forget.execute(&mut *tx).await?;
    tx.commit().await
}

async fn forget_unseen(
    connection: &mut PgConnection,
    (tenant, field): (&str, &str),
    terms: &[String],
) -> sqlx::Result<()> {
    let mut tx = connection.begin().await?;
    sqlx::query("SELECT audit_next_epoch()").execute(&mut *tx).await?;
    sqlx::query("DELETE FROM audit_term WHERE tenant_id = $1 AND field = $2 AND term = ANY($3)")
        .bind(tenant)
        .bind(field)
        .bind(terms)
        .execute(&mut *tx)
        .await?;
    sqlx::query("UPDATE audit_term_field SET overflowed = true WHERE tenant_id = $1 AND field = $2")
        .bind(tenant)
        .bind(field)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}
