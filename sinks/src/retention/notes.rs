//! The signed notes on the entries that retention removed from each log.

use std::collections::{BTreeMap, BTreeSet};

use audit_log::{
    keys::{PrivateKey, Purpose},
    retired::Retired,
    verify::Trust,
};
use sqlx::PgConnection;
use tracing::error;

use super::RetentionPolicy;
use crate::log_store::{StoreError, bigint, natural};

/// Notes indices of a log as removed, and signs the notes.
///
/// A note that none of the log's keys has signed is not continued: its forger would get it signed.
pub(super) async fn add(
    tx: &mut PgConnection,
    (log, policy): (&str, &RetentionPolicy),
    indices: &[u64],
) -> Result<(), StoreError> {
    let mut chunks: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for index in indices {
        chunks.entry(Retired::chunk_of(*index)).or_default().push(*index);
    }
    for (chunk, indices) in chunks {
        let stored: Option<(Vec<u8>, String)> = sqlx::query_as(
            "SELECT indices, note FROM audit_retired WHERE log = $1 AND chunk = $2 FOR UPDATE",
        )
        .bind(log)
        .bind(bigint(chunk)?)
        .fetch_optional(&mut *tx)
        .await?;
        let mut retired = match stored {
            Some((bits, note)) => signed_before(log, (chunk, bits, &note), &policy.trust())
                .ok_or_else(|| sqlx::Error::Encode(ForeignNote { log: log.to_owned(), chunk }.into()))?,
            None => Retired::none(chunk),
        };
        for index in indices {
            retired.add(index);
        }
        store(tx, log, (chunk, &retired), &policy.keys).await?;
    }
    Ok(())
}

/// Signs the notes that one of the keys in force has not signed yet: after a rotation, verifiers know the new key only.
/// Returns the logs with a note that none of the log's keys has signed.
pub(super) async fn sign_again(
    connection: &mut PgConnection,
    policy: &RetentionPolicy,
) -> Result<BTreeSet<String>, StoreError> {
    let mut foreign = BTreeSet::new();
    if policy.keys.is_empty() {
        return Ok(foreign);
    }
    let rows: Vec<(String, i64, Vec<u8>, String)> =
        sqlx::query_as("SELECT log, chunk, indices, note FROM audit_retired ORDER BY log, chunk")
            .fetch_all(&mut *connection)
            .await?;
    for (log, chunk, bits, note) in rows {
        let chunk = natural(chunk)?;
        let Some(retired) = signed_before(&log, (chunk, bits, &note), &policy.trust()) else {
            error!(
                log,
                chunk,
                "a note of removed entries is not signed by the log's key: verification will fail, and nothing of the log \
                 is removed"
            );
            foreign.insert(log);
            continue;
        };
        let has_signed =
            |key: &PrivateKey| retired.is_signed(&log, &note, &trust([key.public(Purpose::Log)].into()));
        if !policy.keys.iter().all(has_signed) {
            store(connection, &log, (chunk, &retired), &policy.keys).await?;
        }
    }
    Ok(foreign)
}

/// A note of another signer.
#[derive(Debug, thiserror::Error)]
#[error(
    "the note of removed entries {chunk} of the log {log} is not signed by the log's key: nothing of it is removed"
)]
struct ForeignNote {
    log: String,
    chunk: u64,
}

fn signed_before(log: &str, (chunk, bits, note): (u64, Vec<u8>, &str), trust: &Trust) -> Option<Retired> {
    Retired::of_bits(chunk, bits).filter(|retired| retired.is_signed(log, note, trust))
}

/// Keys of the log, without witnesses: these see checkpoints only.
pub(super) fn trust(keys: Vec<audit_log::keys::PublicKey>) -> Trust {
    Trust { keys, witnesses: Vec::new() }
}

async fn store(
    tx: &mut PgConnection,
    log: &str,
    (chunk, retired): (u64, &Retired),
    keys: &[PrivateKey],
) -> Result<(), StoreError> {
    let note = retired.sign(log, keys).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(
        "INSERT INTO audit_retired (log, chunk, indices, note) VALUES ($1, $2, $3, $4)
         ON CONFLICT (log, chunk) DO UPDATE
            SET indices = excluded.indices, note = excluded.note, retired_at = now()",
    )
    .bind(log)
    .bind(bigint(chunk)?)
    .bind(retired.bits())
    .bind(note)
    .execute(tx)
    .await?;
    Ok(())
}
