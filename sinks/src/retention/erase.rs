//! Carrying out erasures: the subject is remembered as erased, its audit entries lose their personal part
//! slice by slice, other tables lose its rows or its name, and last its key goes. Each step is a transaction
//! of its own and may be repeated, so that a process that is killed half-way is followed by one that
//! continues.

use audit_log::{
    Hash, SubjectSecret,
    record::{Splitter, leaf},
};
use schemas::Timestamp;
use sqlx::{Connection as _, FromRow, PgConnection};
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    parties,
    terms::{self, Terms},
};
use crate::{
    compress::{self, Compressor},
    postgres::row_type::row_type,
    read_models::audit_entry::erased::PublicColumns,
};

/// Most entries that one scan of the table finds, 24 bytes each. Entries are found by the actor alone, so
/// that each scan reads much of the table.
const PASS_ENTRIES: i64 = 250_000;
/// Entries of one transaction.
const SLICE_ENTRIES: usize = 1_000;
/// Most erasures of one round.
const MAX_ERASURES: i64 = 100;

/// Counts of the erasures after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Erasures {
    /// Requested and not done: those that wait for a hold, and those that could not be carried out.
    pub waiting: i64,
    /// Done in this round.
    pub done: u64,
    /// Audit entries that lost their personal part in this round.
    pub entries: u64,
}

/// Error that postponed a subject's erasure.
#[derive(Debug, thiserror::Error)]
enum EraseError {
    /// Postgres cannot be reached or refuses the query.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A stored record is not in the form in which it was written.
    #[error("entry {0} cannot be read: {1}")]
    Unreadable(Uuid, String),
    /// The subject's entries were salted with another secret: digests made with this one would not fit their leaves.
    #[error(
        "the secret of the stage `retention` (audit.subject_secret) is not the one with which the stage `audit` wrote the \
         subject's entries; nothing of them was erased: give both stages the same secret"
    )]
    ForeignSecret,
}

/// Carries out all erasures that no hold forbids. One that fails is noted with its problem and tried again in the next round.
pub(super) async fn round(connection: &mut PgConnection, secret: &SubjectSecret) -> sqlx::Result<Erasures> {
    let mut standing = Erasures::default();
    for (tenant, subject) in parties::without_alias(connection).await? {
        Eraser { connection, secret, tenant: &tenant, subject: &subject }.rename_party().await?;
    }
    for (tenant, subject) in due(connection).await? {
        let mut eraser = Eraser { connection, secret, tenant: &tenant, subject: &subject };
        match eraser.erase().await {
            Ok(entries) => {
                standing.done += 1;
                standing.entries += entries;
                info!(tenant, entries, "a subject was erased");
            }
            Err(failure) => {
                warn!(tenant, error = %failure, "cannot erase a subject; will retry");
                if connection.ping().await.is_err() {
                    return Err(sqlx::Error::WorkerCrashed);
                }
                note_problem(connection, (&tenant, &subject), &failure.to_string()).await?;
            }
        }
    }
    standing.waiting = sqlx::query_scalar(
        "SELECT count(*) FROM erasure AS e LEFT JOIN erasure_progress AS p USING (tenant_id, subject)
          WHERE p.done_at IS NULL",
    )
    .fetch_one(connection)
    .await?;
    Ok(standing)
}

/// The subjects to be erased, the oldest request first, once it is noted which ones wait for a hold. An
/// erasure that has begun continues to its end: half of a person's entries are of no use to anybody.
async fn due(connection: &mut PgConnection) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query(
        "INSERT INTO erasure_progress AS p (tenant_id, subject, waits_for)
         SELECT e.tenant_id, e.subject, legal_hold_on(e.tenant_id, e.subject)
           FROM erasure AS e LEFT JOIN erasure_progress AS p USING (tenant_id, subject)
          WHERE p.began_at IS NULL ORDER BY 1, 2
         ON CONFLICT (tenant_id, subject) DO UPDATE SET waits_for = excluded.waits_for
          WHERE p.waits_for IS DISTINCT FROM excluded.waits_for",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_as(
        "SELECT tenant_id, subject FROM erasure_progress AS p JOIN erasure AS e USING (tenant_id, subject)
          WHERE p.done_at IS NULL AND p.waits_for IS NULL ORDER BY e.requested_at, 1, 2 LIMIT $1",
    )
    .bind(MAX_ERASURES)
    .fetch_all(connection)
    .await
}

async fn note_problem(
    connection: &mut PgConnection,
    (tenant, subject): (&str, &str),
    problem: &str,
) -> sqlx::Result<()> {
    let problem: String = problem.chars().take(2_048).collect();
    sqlx::query("UPDATE erasure_progress SET problem = $3 WHERE tenant_id = $1 AND subject = $2")
        .bind(tenant)
        .bind(subject)
        .bind(problem)
        .execute(connection)
        .await
        .map(drop)
}

/// An entry that still has its personal part.
#[derive(FromRow)]
struct Whole {
    occurred_at: Timestamp,
    event_id: Uuid,
    kind: String,
    record_dictionary: i16,
    record: Vec<u8>,
    /// `None`: from before the log.
    leaf_hash: Option<Vec<u8>>,
    actor_name: Option<String>,
    actor_ip: Option<String>,
    resource: Option<String>,
    other_resources: Option<Vec<String>>,
    project: Option<String>,
}

/// The same entry after the erasure.
#[derive(sqlx::Encode)]
struct Reduced<'a> {
    tenant_id: &'a str,
    occurred_at: Timestamp,
    event_id: Uuid,
    record_dictionary: i16,
    record: Vec<u8>,
    personal_digest: Vec<u8>,
    actor: String,
    actor_name: Option<String>,
    actor_ip: Option<String>,
    action: String,
    resource_type: Option<String>,
    resource: Option<String>,
    project: Option<String>,
    other_resources: Option<Vec<String>>,
}

row_type!(Reduced, "audit_reduced_entry");

/// One erasure.
struct Eraser<'a> {
    connection: &'a mut PgConnection,
    secret: &'a SubjectSecret,
    tenant: &'a str,
    subject: &'a str,
}

impl Eraser<'_> {
    /// Erases all; answers how many audit entries lost their personal part.
    async fn erase(&mut self) -> Result<u64, EraseError> {
        if self.has_stored_key().await? == Some(false) {
            return Err(EraseError::ForeignSecret);
        }
        self.begin().await?;
        let mut gone = Terms::default();
        let mut entries = 0;
        loop {
            let whole = self.whole_entries().await?;
            for some in whole.chunks(SLICE_ENTRIES) {
                entries += self.slice(&mut gone, some).await?;
            }
            // No writer has added any since the erasure began.
            if whole.len() < usize::try_from(PASS_ENTRIES).unwrap_or(usize::MAX) {
                break;
            }
        }
        gone.add("actor", self.subject);
        terms::forget(self.connection, self.tenant, gone).await?;
        let others = self.other_tables().await?;
        self.finish(entries, others).await?;
        Ok(entries)
    }

    /// Whether the key that the writers stored for the subject is the one that this secret gives; `None` if none is stored.
    async fn has_stored_key(&mut self) -> sqlx::Result<Option<bool>> {
        let stored: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT key FROM subject_key WHERE tenant_id = $1 AND actor = weir_subject_name($2)",
        )
        .bind(self.tenant)
        .bind(self.subject)
        .fetch_optional(&mut *self.connection)
        .await?;
        let key = self.secret.key(self.tenant, self.subject);
        Ok(stored.map(|stored| stored == key.bytes()))
    }

    /// From here on no writer stores the subject's key or a personal part of its entries.
    async fn begin(&mut self) -> sqlx::Result<()> {
        let mut tx = self.connection.begin().await?;
        sqlx::query("SELECT audit_next_epoch()").execute(&mut *tx).await?;
        sqlx::query(
            "UPDATE erasure_progress SET began_at = coalesce(began_at, now()), problem = NULL
              WHERE tenant_id = $1 AND subject = $2",
        )
        .bind(self.tenant)
        .bind(self.subject)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// The entries that have their personal part still, by time and id.
    async fn whole_entries(&mut self) -> sqlx::Result<Vec<(Timestamp, Uuid)>> {
        sqlx::query_as(
            "SELECT occurred_at, event_id FROM audit_entry
              WHERE tenant_id = $1 AND actor = $2 AND personal_digest IS NULL LIMIT $3",
        )
        .bind(self.tenant)
        .bind(self.subject)
        .bind(PASS_ENTRIES)
        .fetch_all(&mut *self.connection)
        .await
    }

    /// Erases these entries in one transaction; answers how many were still whole.
    async fn slice(&mut self, gone: &mut Terms, entries: &[(Timestamp, Uuid)]) -> Result<u64, EraseError> {
        let (times, events): (Vec<Timestamp>, Vec<Uuid>) = entries.iter().copied().unzip();
        let whole: Vec<Whole> = sqlx::query_as(
            "SELECT e.occurred_at, e.event_id, e.kind, e.record_dictionary, e.record, e.leaf_hash, e.actor_name, e.actor_ip,
                    e.resource, e.other_resources, e.project
               FROM unnest($3::timestamptz[], $4::uuid[]) AS a(occurred_at, event_id)
               JOIN audit_entry AS e USING (occurred_at, event_id)
              WHERE e.tenant_id = $1 AND e.actor = $2 AND e.personal_digest IS NULL",
        )
        .bind(self.tenant)
        .bind(self.subject)
        .bind(times)
        .bind(events)
        .fetch_all(&mut *self.connection)
        .await?;
        let key = self.secret.key(self.tenant, self.subject);
        let mut splitter = Splitter::default();
        let mut compressor = Compressor::new().map_err(|error| sqlx::Error::Encode(error.into()))?;
        let mut rows = Vec::with_capacity(whole.len());
        let mut fits = true;
        for entry in whole {
            let unreadable = |why: String| EraseError::Unreadable(entry.event_id, why);
            let stored = compress::decompress(entry.record_dictionary, &entry.record);
            let stored = stored.map_err(|error| unreadable(error.to_string()))?;
            let parts = splitter.split(&stored).map_err(|error| unreadable(error.to_string()))?;
            let digest = parts.personal_digest(&key.salt(&entry.event_id));
            fits &= entry.leaf_hash.as_deref().is_none_or(|stored| stored == leaf(parts.public, &digest).0);
            let columns = PublicColumns::of(parts.public, &entry.kind);
            let record = compressor.compress_bytes(parts.public);
            let record = record.map_err(|error| sqlx::Error::Encode(error.into()))?.to_vec();
            note_gone(gone, &entry, &columns);
            rows.push(Reduced {
                tenant_id: self.tenant,
                occurred_at: entry.occurred_at,
                event_id: entry.event_id,
                record_dictionary: compress::CURRENT,
                record,
                personal_digest: digest.0.to_vec(),
                actor: columns.actor,
                actor_name: columns.actor_name,
                actor_ip: columns.actor_ip,
                action: columns.action,
                resource_type: columns.resource_type,
                resource: columns.resource,
                project: columns.project,
                other_resources: Some(columns.other_resources).filter(|others| !others.is_empty()),
            });
        }
        // With the right key it is an entry that somebody has edited: a verification tells so, before and after.
        if !fits && self.has_stored_key().await? != Some(true) {
            return Err(EraseError::ForeignSecret);
        }
        let erased: i64 = sqlx::query_scalar("SELECT audit_entry_reduce($1)")
            .bind(rows)
            .fetch_one(&mut *self.connection)
            .await?;
        Ok(u64::try_from(erased).unwrap_or(0))
    }

    /// Removes the subject from the rows that other stages derived from its events. Returns the number of
    /// rows.
    async fn other_tables(&mut self) -> sqlx::Result<u64> {
        let (mut rows, alias) = self.rename_party().await?;
        let mut tx = self.connection.begin().await?;
        for statement in DELETED {
            let delete = sqlx::query(statement).bind(self.tenant).bind(self.subject);
            rows += delete.execute(&mut *tx).await?.rows_affected();
        }
        for statement in RENAMED {
            let rename = sqlx::query(statement).bind(self.tenant).bind(self.subject).bind(&alias);
            rows += rename.execute(&mut *tx).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(rows)
    }

    /// Renames the subject where two people are needed; answers the number of rows, and the alias.
    async fn rename_party(&mut self) -> sqlx::Result<(u64, String)> {
        let digest = Hash::of(self.secret.key(self.tenant, self.subject).bytes()).to_string();
        // The same for all events of the subject, so that two approvals by one person stay those of one person.
        let alias = format!("erased:{}", &digest[..16]);
        parties::rename(self.connection, (self.tenant, self.subject), &alias).await
    }

    async fn finish(&mut self, entries: u64, others: u64) -> sqlx::Result<()> {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let mut tx = self.connection.begin().await?;
        sqlx::query("DELETE FROM subject_key WHERE tenant_id = $1 AND actor = weir_subject_name($2)")
            .bind(self.tenant)
            .bind(self.subject)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "UPDATE erasure_progress SET done_at = now(), entries = entries + $3, other_rows = other_rows + $4
              WHERE tenant_id = $1 AND subject = $2",
        )
        .bind(self.tenant)
        .bind(self.subject)
        .bind(number(entries))
        .bind(number(others))
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }
}

/// Notes the terms that a column has lost.
fn note_gone(gone: &mut Terms, entry: &Whole, columns: &PublicColumns) {
    let before_and_after = [
        ("actor_name", &entry.actor_name, &columns.actor_name),
        ("address", &entry.actor_ip, &columns.actor_ip),
        ("resource", &entry.resource, &columns.resource),
        ("project", &entry.project, &columns.project),
    ];
    for (field, before, after) in before_and_after {
        if let Some(before) = before.as_deref().filter(|_| before != after) {
            gone.add(field, before);
        }
    }
    let others = entry.other_resources.as_deref().unwrap_or_default();
    if others != columns.other_resources {
        let lost = others.iter().filter(|before| !columns.other_resources.contains(before));
        lost.for_each(|before| gone.add("other_resource", before));
    }
}

/// Tables that hold the subject as an entity at risk, what rules of several events remember of it, and searches for
/// it. The entity's own row comes first, since stages lock it before they write.
const DELETED: [&str; 13] = [
    "DELETE FROM entity_risk WHERE tenant_id = $1 AND entity = $2 AND entity_kind IN ('user', 'service_account')",
    "DELETE FROM risk_exposure WHERE tenant_id = $1 AND entity = $2 AND entity_kind IN ('user', 'service_account')",
    "DELETE FROM risk_signal WHERE tenant_id = $1 AND entity = $2 AND entity_kind IN ('user', 'service_account')",
    "DELETE FROM incident WHERE tenant_id = $1 AND entity = $2 AND entity_kind IN ('user', 'service_account')",
    "DELETE FROM risk_weight WHERE tenant_id = $1 AND entity = $2 AND entity_kind IN ('user', 'service_account')",
    "DELETE FROM risk_triage WHERE tenant_id = $1 AND entity = $2 AND entity_kind IN ('user', 'service_account')",
    "DELETE FROM risk_first_seen
      WHERE tenant_id = $1
        AND (value = $2 OR strpos(signal, to_jsonb($2::text)::text) > 0
             OR strpos(group_key, to_jsonb($2::text)::text) > 0)",
    "DELETE FROM risk_first_seen_group WHERE tenant_id = $1 AND strpos(group_key, to_jsonb($2::text)::text) > 0",
    "DELETE FROM risk_correlation_report WHERE tenant_id = $1 AND strpos(group_key, to_jsonb($2::text)::text) > 0",
    "DELETE FROM risk_correlation_event
      WHERE tenant_id = $1
        AND (value = $2 OR strpos(signal, to_jsonb($2::text)::text) > 0
             OR strpos(group_key, to_jsonb($2::text)::text) > 0)",
    "DELETE FROM risk_correlation_group WHERE tenant_id = $1 AND strpos(group_key, to_jsonb($2::text)::text) > 0",
    "DELETE FROM saved_search WHERE tenant_id = $1 AND $2 IN (filter ->> 'actor', filter ->> 'resource', filter ->> 'text')",
    "DELETE FROM principal_use WHERE tenant_id = $1 AND actor = $2",
];

/// Mentions of the subject in others' rows, and rows that it decided or caused, besides reviews and waivers. They are renamed,
/// since they must still count as one person's.
const RENAMED: [&str; 11] = [
    "UPDATE risk_signal SET actor = $3, matched = '{}' WHERE tenant_id = $1 AND actor = $2",
    "UPDATE risk_weight SET actor = $3 WHERE tenant_id = $1 AND actor = $2",
    "UPDATE risk_triage SET actor = $3 WHERE tenant_id = $1 AND actor = $2",
    "UPDATE incident SET decided_by = $3 WHERE tenant_id = $1 AND decided_by = $2",
    "UPDATE saved_search
        SET saved_by = CASE WHEN saved_by = $2 THEN $3 ELSE saved_by END,
            removed_by = CASE WHEN removed_by = $2 THEN $3 ELSE removed_by END
      WHERE tenant_id = $1 AND $2 IN (saved_by, removed_by)",
    "UPDATE cost_budget_fact SET actor = $3 WHERE tenant_id = $1 AND actor = $2",
    "UPDATE cost_allocation_fact SET actor = $3 WHERE tenant_id = $1 AND actor = $2",
    "UPDATE cost_recommendation_fact SET actor = $3 WHERE tenant_id = $1 AND actor = $2",
    "UPDATE cost_lifecycle SET actor = $3 WHERE tenant_id = $1 AND actor = $2",
    "UPDATE cost_lifecycle_resource SET actor = $3 WHERE tenant_id = $1 AND actor = $2",
    "UPDATE cost_accrual SET actor = $3 WHERE tenant_id = $1 AND actor = $2",
];
