//! Erased people in reviews and waivers, which need two people: every spelling of a person becomes the same alias, in the
//! rows that are stored and, by [`crate::read_models`], in those that come later.

use futures_util::TryStreamExt;
use schemas::events::Party;
use sqlx::{Connection as _, PgConnection};

/// Most erasures that one round gives an alias afterwards.
const MAX_LATE: i64 = 100;

/// Ids of people in reviews and waivers.
const SPELLINGS: &str = "SELECT DISTINCT id FROM (
    SELECT unnest(ARRAY[actor, second_party]) AS id FROM change_fact WHERE tenant_id = $1
    UNION ALL
    SELECT unnest(ARRAY[actor, second_party, requested_by, owner]) FROM compliance_waiver_fact WHERE tenant_id = $1
  ) AS named WHERE id IS NOT NULL";

/// What names people in reviews and waivers.
const RENAMED: [&str; 5] = [
    "UPDATE change_fact SET actor = $3, actor_name = NULL WHERE tenant_id = $1 AND actor = $2",
    "UPDATE change_fact SET second_party = $3 WHERE tenant_id = $1 AND second_party = $2",
    "UPDATE compliance_waiver_fact
        SET actor = CASE WHEN actor = $2 THEN $3 ELSE actor END,
            second_party = CASE WHEN second_party = $2 THEN $3 ELSE second_party END,
            requested_by = CASE WHEN requested_by = $2 THEN $3 ELSE requested_by END,
            owner = CASE WHEN owner = $2 THEN $3 ELSE owner END
      WHERE tenant_id = $1 AND $2 IN (actor, second_party, requested_by, owner)",
    "UPDATE compliance_waiver
        SET owner = CASE WHEN owner = $2 THEN $3 ELSE owner END,
            requested_by = CASE WHEN requested_by = $2 THEN $3 ELSE requested_by END,
            granted_by = CASE WHEN granted_by = $2 THEN $3 ELSE granted_by END,
            rejected_by = CASE WHEN rejected_by = $2 THEN $3 ELSE rejected_by END,
            revoked_by = CASE WHEN revoked_by = $2 THEN $3 ELSE revoked_by END
      WHERE tenant_id = $1 AND $2 IN (owner, requested_by, granted_by, rejected_by, revoked_by)",
    "UPDATE change_review
        SET requested_by = CASE WHEN requested_by = $2 THEN $3 ELSE requested_by END,
            impossible = replace(impossible::text, to_jsonb($2::text)::text, to_jsonb($3::text)::text)::jsonb
      WHERE tenant_id = $1
        AND (requested_by = $2 OR strpos(impossible::text, to_jsonb($2::text)::text) > 0)",
];

/// Renames a subject in reviews and waivers, and keeps the alias for what comes later. Answers the number of rows, and the
/// alias: that of an earlier erasure of the same party, else the one that is proposed.
pub(super) async fn rename(
    connection: &mut PgConnection,
    (tenant, subject): (&str, &str),
    proposed: &str,
) -> sqlx::Result<(u64, String)> {
    let party = Party::new(subject);
    let mut tx = connection.begin().await?;
    // Writers share it from when they read the aliases until they commit.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('weir.aliases'))").execute(&mut *tx).await?;
    let alias: String = sqlx::query_scalar(
        "UPDATE erasure_progress
            SET party = $3,
                alias = coalesce((SELECT min(o.alias) FROM erasure_progress AS o
                                   WHERE o.tenant_id = $1 AND o.party = $3 AND o.alias IS NOT NULL), $4)
          WHERE tenant_id = $1 AND subject = $2 RETURNING alias",
    )
    .bind(tenant)
    .bind(subject)
    .bind(party.as_ref().map(Party::as_str))
    .bind(proposed)
    .fetch_one(&mut *tx)
    .await?;
    let mut rows = 0;
    for spelling in spellings(&mut tx, tenant, subject).await? {
        for statement in RENAMED {
            let rename = sqlx::query(statement).bind(tenant).bind(&spelling).bind(&alias);
            rows += rename.execute(&mut *tx).await?.rows_affected();
        }
    }
    tx.commit().await?;
    Ok((rows, alias))
}

/// The subject, and the other spellings by which reviews and waivers name it.
async fn spellings(tx: &mut PgConnection, tenant: &str, subject: &str) -> sqlx::Result<Vec<String>> {
    let mut found = vec![subject.to_owned()];
    let Some(party) = Party::new(subject) else { return Ok(found) };
    let mut ids = sqlx::query_scalar::<_, String>(SPELLINGS).bind(tenant).fetch(tx);
    while let Some(id) = ids.try_next().await? {
        if id != subject && Party::new(&id).is_some_and(|named| named == party) {
            found.push(id);
        }
    }
    Ok(found)
}

/// Erasures that were done before aliases were kept.
pub(super) async fn without_alias(connection: &mut PgConnection) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as(
        "SELECT tenant_id, subject FROM erasure_progress WHERE done_at IS NOT NULL AND alias IS NULL
          ORDER BY tenant_id, subject LIMIT $1",
    )
    .bind(MAX_LATE)
    .fetch_all(connection)
    .await
}
