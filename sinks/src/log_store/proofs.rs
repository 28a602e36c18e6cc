//! The proof that one entry is part of its log.

use std::collections::BTreeMap;

use audit_log::{
    Hash, Salt, SubjectKey,
    checkpoint::SignedCheckpoint,
    integrity::{Personal, Place},
    tile::{Tile, Tiles},
};
use futures_util::TryStreamExt as _;
use schemas::TenantId;
use sqlx::{Executor as _, PgConnection, PgPool, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{natural, stored_tiles, undecodable};
use crate::{
    compress,
    read_models::{ReadError, snapshot},
};

/// An entry, and all that is needed to check it without asking anybody: its record with its place in the log, the hashes
/// up to the root, and the newest checkpoint, if there is one that covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryProof {
    /// The event.
    pub event: Uuid,
    /// The entry's place; its `checkpoint` is the one that the proof leads to.
    pub place: Place,
    /// The record with its place in it, in canonical form.
    pub record: Vec<u8>,
    /// The size of the tree that the proof leads to: the checkpoint's, or the log's where none covers the entry.
    pub size: u64,
    /// From the leaf up.
    pub hashes: Vec<Hash>,
}

/// Proofs of several entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryProofs {
    /// One for each entry that was found, in the order of logs and indices.
    pub proofs: Vec<EntryProof>,
    /// Events that were asked for and not looked at, as the answer would be too large: ask again for these.
    pub left: Vec<Uuid>,
}

const ENTRIES: &str = "
    SELECT e.topic || '/' || e.partition, e.log_index, e.leaf_hash, e.personal_digest, k.key, e.event_id,
           e.record_dictionary, e.record
      FROM unnest($2) AS wanted (event_id)
      JOIN audit_event AS a ON a.tenant_id = $1 AND a.event_id = wanted.event_id
      JOIN audit_entry AS e ON e.tenant_id = $1 AND e.event_id = a.event_id AND e.occurred_at = a.occurred_at
      LEFT JOIN subject_key AS k ON k.tenant_id = e.tenant_id AND k.actor = e.actor
     WHERE e.log_index IS NOT NULL
     ORDER BY 1, 2";

/// The proof of one of the tenant's entries, for readers; `None` if there is no such entry with a place in a log.
pub async fn tenants_entry_proof(
    pool: &PgPool,
    tenant: &TenantId,
    event: Uuid,
) -> Result<Option<EntryProof>, ReadError> {
    Ok(tenants_entry_proofs(pool, tenant, &[event]).await?.proofs.pop())
}

/// The proofs of some of the tenant's entries, for readers. All lead to one checkpoint of each log.
pub async fn tenants_entry_proofs(
    pool: &PgPool,
    tenant: &TenantId,
    events: &[Uuid],
) -> Result<EntryProofs, ReadError> {
    let mut snapshot = snapshot::Snapshot::open(pool, tenant, None).await?;
    Ok(entry_proofs(snapshot.connection(), tenant, events).await?)
}

/// The proof of an entry, inside a transaction with one snapshot.
pub async fn entry_proof(
    connection: &mut PgConnection,
    tenant: &TenantId,
    event: Uuid,
) -> sqlx::Result<Option<EntryProof>> {
    Ok(entry_proofs(connection, tenant, &[event]).await?.proofs.pop())
}

/// The proofs of entries, inside a transaction with one snapshot. Records of more than a page's bytes together are left
/// for another question.
async fn entry_proofs(
    connection: &mut PgConnection,
    tenant: &TenantId,
    events: &[Uuid],
) -> sqlx::Result<EntryProofs> {
    let query = sqlx::query(ENTRIES).bind(tenant.as_str()).bind(events);
    let (mut found, mut bytes, mut is_cut) = (Vec::new(), 0, false);
    let mut rows = connection.fetch(query);
    while let Some(row) = rows.try_next().await? {
        if bytes > snapshot::MAX_PAGE_BYTES {
            is_cut = true;
            break;
        }
        let stored: &[u8] = row.try_get(7)?;
        let stored = compress::decompress(row.try_get(6)?, stored)
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        bytes += stored.len();
        found.push(Found::of(&row, stored)?);
    }
    drop(rows);
    let left = |id: &&Uuid| !found.iter().any(|one| one.event == **id);
    let left = if is_cut { events.iter().filter(left).copied().collect() } else { Vec::new() };
    let mut logs: BTreeMap<String, Log> = BTreeMap::new();
    for one in &found {
        if !logs.contains_key(&one.log) {
            logs.insert(one.log.clone(), Log::read(connection, &one.log).await?);
        }
    }
    let mut proofs = Vec::with_capacity(found.len());
    for one in found {
        let Some(log) = logs.get_mut(&one.log) else { continue };
        proofs.push(log.proof(connection, one).await?);
    }
    Ok(EntryProofs { proofs, left })
}

/// An entry as it is stored.
struct Found {
    log: String,
    index: u64,
    leaf: Hash,
    personal: Personal,
    event: Uuid,
    stored: Vec<u8>,
}

impl Found {
    fn of(row: &PgRow, stored: Vec<u8>) -> sqlx::Result<Self> {
        let leaf: Vec<u8> = row.try_get(2)?;
        Ok(Self {
            log: row.try_get(0)?,
            index: natural(row.try_get(1)?)?,
            leaf: Hash::from_slice(&leaf).ok_or_else(|| undecodable("leaf_hash is not 32 bytes long"))?,
            personal: personal(row)?,
            event: row.try_get(5)?,
            stored,
        })
    }
}

/// A log as it stands in a snapshot, with the tiles that were read of it.
struct Log {
    name: String,
    /// The newest checkpoint, and the size of its tree.
    checkpoint: Option<(String, u64)>,
    size: u64,
    /// By the size of the tree: its last tiles are cut to it.
    tiles: BTreeMap<u64, (Tiles, Vec<Tile>)>,
}

impl Log {
    async fn read(connection: &mut PgConnection, name: &str) -> sqlx::Result<Self> {
        let (size, note): (i64, Option<String>) = sqlx::query_as(
            "SELECT l.size, (SELECT c.note FROM audit_checkpoint AS c WHERE c.log = l.log ORDER BY c.size DESC LIMIT 1)
               FROM audit_log AS l WHERE l.log = $1",
        )
        .bind(name)
        .fetch_one(connection)
        .await?;
        let checkpoint = note.and_then(|note| {
            let size = SignedCheckpoint::parse(&note).ok()?.checkpoint.size;
            Some((note, size))
        });
        Ok(Self { name: name.to_owned(), checkpoint, size: natural(size)?, tiles: BTreeMap::new() })
    }

    async fn proof(&mut self, connection: &mut PgConnection, found: Found) -> sqlx::Result<EntryProof> {
        let covering = self.checkpoint.clone().filter(|(_, size)| *size > found.index);
        let size = covering.as_ref().map_or(self.size, |(_, size)| *size);
        let path = audit_log::proof::inclusion(found.index, size)
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        // The leaf before stands in a tile, too.
        let mut wanted = audit_log::tile::tiles_of(&path, size).ok_or_else(|| undecodable("no such tile"))?;
        let before = found.index.checked_sub(1);
        wanted.extend(before.and_then(|before| Tile::of(0, before / 256, size)));
        let (tiles, read) = self.tiles.entry(size).or_default();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|one| !read.contains(one));
        if !wanted.is_empty() {
            for (one, hashes) in wanted.iter().zip(stored_tiles(connection, &self.name, &wanted).await?) {
                if !hashes.is_some_and(|hashes| tiles.add(one.level, one.index, &hashes)) {
                    return Err(undecodable("a tile is missing"));
                }
            }
            read.append(&mut wanted);
        }
        let hashes = tiles.hashes(&path, size).ok_or_else(|| undecodable("a tile is too short"))?;
        let previous =
            before.and_then(|before| tiles.hashes(std::slice::from_ref(&(before..before + 1)), size)?.pop());
        let place = Place {
            log: found.log,
            index: found.index,
            leaf: found.leaf,
            previous,
            personal: found.personal,
            checkpoint: covering.map(|(note, _)| note),
        };
        let record = place.attest(&found.stored).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(EntryProof { event: found.event, place, record, size, hashes })
    }
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
