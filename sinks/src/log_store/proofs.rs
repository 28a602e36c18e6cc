//! The proof that one entry is part of its log.

use audit_log::{
    Hash, Salt, SubjectKey,
    integrity::{Personal, Place},
};
use schemas::TenantId;
use sqlx::{Executor as _, PgConnection, PgPool, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{natural, newest_checkpoint, tiles, undecodable};
use crate::{
    compress,
    read_models::{ReadError, snapshot},
};

/// An entry, and all that is needed to check it without asking anybody: its record with its place in the log, the hashes
/// up to the root, and the newest checkpoint, if there is one that covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryProof {
    /// The entry's place; its `checkpoint` is the one that the proof leads to.
    pub place: Place,
    /// The record with its place in it, in canonical form.
    pub record: Vec<u8>,
    /// The size of the tree that the proof leads to: the checkpoint's, or the log's where none covers the entry.
    pub size: u64,
    /// From the leaf up.
    pub hashes: Vec<Hash>,
}

const ENTRY: &str = "
    SELECT e.topic || '/' || e.partition, e.log_index, e.leaf_hash, e.personal_digest, k.key, e.event_id,
           e.record_dictionary, e.record
      FROM audit_entry AS e LEFT JOIN subject_key AS k ON k.tenant_id = e.tenant_id AND k.actor = e.actor
     WHERE e.tenant_id = $1 AND e.event_id = $2 AND e.log_index IS NOT NULL
       AND e.occurred_at = (SELECT occurred_at FROM audit_event WHERE tenant_id = $1 AND event_id = $2)
     LIMIT 1";

/// The proof of one of the tenant's entries, for readers; `None` if there is no such entry with a place in a log.
pub async fn tenants_entry_proof(
    pool: &PgPool,
    tenant: &TenantId,
    event: Uuid,
) -> Result<Option<EntryProof>, ReadError> {
    let mut snapshot = snapshot::Snapshot::open(pool, tenant, None).await?;
    Ok(entry_proof(snapshot.connection(), tenant, event).await?)
}

/// The proof of an entry, inside a transaction with one snapshot.
pub async fn entry_proof(
    connection: &mut PgConnection,
    tenant: &TenantId,
    event: Uuid,
) -> sqlx::Result<Option<EntryProof>> {
    let query = sqlx::query(ENTRY).bind(tenant.as_str()).bind(event);
    let Some(row) = connection.fetch_optional(query).await? else { return Ok(None) };
    let log: String = row.try_get(0)?;
    let index = natural(row.try_get(1)?)?;
    let note = newest_checkpoint(connection, &log).await?;
    let signed = note.as_deref().and_then(|note| audit_log::checkpoint::SignedCheckpoint::parse(note).ok());
    let signed_size = signed.map(|signed| signed.checkpoint.size).filter(|size| *size > index);
    let size = match signed_size {
        Some(size) => size,
        None => natural(
            sqlx::query_scalar("SELECT size FROM audit_log WHERE log = $1")
                .bind(&log)
                .fetch_one(&mut *connection)
                .await?,
        )?,
    };
    let path = audit_log::proof::inclusion(index, size).map_err(|error| sqlx::Error::Decode(error.into()))?;
    // The leaf before stands in a tile, too.
    let mut wanted = audit_log::tile::tiles_of(&path, size).ok_or_else(|| undecodable("no such tile"))?;
    let before = index.checked_sub(1);
    wanted.extend(before.and_then(|before| audit_log::tile::Tile::of(0, before / 256, size)));
    wanted.sort_unstable();
    wanted.dedup();
    let tiles = tiles(connection, &log, wanted).await?.ok_or_else(|| undecodable("a tile is missing"))?;
    let hashes = tiles.hashes(&path, size).ok_or_else(|| undecodable("a tile is too short"))?;
    let previous =
        before.and_then(|before| tiles.hashes(std::slice::from_ref(&(before..before + 1)), size)?.pop());
    let leaf: Vec<u8> = row.try_get(2)?;
    let place = Place {
        log,
        index,
        leaf: Hash::from_slice(&leaf).ok_or_else(|| undecodable("leaf_hash is not 32 bytes long"))?,
        previous,
        personal: personal(&row)?,
        checkpoint: note.filter(|_| signed_size.is_some()),
    };
    let stored: Vec<u8> = row.try_get(7)?;
    let stored =
        compress::decompress(row.try_get(6)?, &stored).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let record = place.attest(&stored).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Some(EntryProof { place, record, size, hashes }))
}

/// Personal part of an entry as a salt made from its subject's key, or as the digest that an erasure left.
fn personal(row: &PgRow) -> sqlx::Result<Personal> {
    let (digest, key): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.try_get(3)?, row.try_get(4)?);
    let event: Uuid = row.try_get(5)?;
    personal_of(digest.as_deref(), key.as_deref(), &event)
        .ok_or_else(|| undecodable("neither the subject's key nor the digest of the personal part is stored"))
}

/// The same out of what is stored.
pub(super) fn personal_of(digest: Option<&[u8]>, key: Option<&[u8]>, event: &Uuid) -> Option<Personal> {
    if let Some(digest) = digest {
        return Hash::from_slice(digest).map(Personal::Erased);
    }
    let key = SubjectKey::new(key?.try_into().ok()?);
    let Salt(salt) = key.salt(event);
    Some(Personal::Salted(Salt(salt)))
}
