//! The proof that one entry is part of its log.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    slice,
};

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

use super::{LogTile, natural, stored_tiles, undecodable};
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

/// The entries, each with the state of its log: one round trip for both.
const ENTRIES: &str = "
    SELECT l.log, e.log_index, e.leaf_hash, e.personal_digest, k.key, e.event_id, e.record_dictionary, e.record,
           l.size, (SELECT c.note FROM audit_checkpoint AS c WHERE c.log = l.log ORDER BY c.size DESC LIMIT 1)
      FROM unnest($2) AS wanted (event_id)
      JOIN audit_event AS a ON a.tenant_id = $1 AND a.event_id = wanted.event_id
      JOIN audit_entry AS e ON e.tenant_id = $1 AND e.event_id = a.event_id AND e.occurred_at = a.occurred_at
      JOIN audit_log AS l ON l.log = e.topic || '/' || e.partition
      LEFT JOIN subject_key AS k ON k.tenant_id = e.tenant_id AND k.actor = weir_subject_name(e.actor)
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
    let mut tx = snapshot::begin_for(pool, tenant).await?;
    Ok(entry_proofs(&mut tx, tenant, events).await?)
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
    let paths = found.iter().map(Path::of).collect::<sqlx::Result<Vec<_>>>()?;
    let tiles = tiles_of_paths(connection, &found, &paths).await?;
    let proofs = found.into_iter().zip(paths).map(|(found, path)| proof(found, path, &tiles));
    Ok(EntryProofs { proofs: proofs.collect::<sqlx::Result<_>>()?, left })
}

/// An entry as it is stored, and its log as it stands in the same snapshot.
struct Found {
    log: String,
    index: u64,
    leaf: Hash,
    personal: Personal,
    event: Uuid,
    stored: Vec<u8>,
    /// Entries of the log.
    log_size: u64,
    /// The log's newest checkpoint.
    checkpoint: Option<String>,
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
            log_size: natural(row.try_get(8)?)?,
            checkpoint: row.try_get(9)?,
        })
    }
}

/// The way from an entry to the root that its proof leads to.
struct Path {
    /// The newest checkpoint, if it covers the entry.
    checkpoint: Option<String>,
    /// The size of the checkpoint's tree, or else of the log.
    size: u64,
    nodes: Vec<Range<u64>>,
    /// The leaf before.
    previous: Option<Range<u64>>,
}

impl Path {
    fn of(found: &Found) -> sqlx::Result<Self> {
        let covering = found.checkpoint.as_ref().and_then(|note| {
            let size = SignedCheckpoint::parse(note).ok()?.checkpoint.size;
            (size > found.index).then(|| (note.clone(), size))
        });
        let (checkpoint, size) = covering.map_or((None, found.log_size), |(note, size)| (Some(note), size));
        let nodes = audit_log::proof::inclusion(found.index, size)
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        let previous = found.index.checked_sub(1).map(|before| before..found.index);
        Ok(Self { checkpoint, size, nodes, previous })
    }

    /// The tiles in which its nodes lie.
    fn tiles(&self) -> sqlx::Result<Vec<Tile>> {
        let nodes: Vec<Range<u64>> = self.nodes.iter().chain(&self.previous).cloned().collect();
        audit_log::tile::tiles_of(&nodes, self.size).ok_or_else(|| undecodable("no such tile"))
    }
}

/// The tiles that these entries' paths lead through, by log; read in one round trip.
async fn tiles_of_paths<'a>(
    connection: &mut PgConnection,
    found: &'a [Found],
    paths: &[Path],
) -> sqlx::Result<HashMap<String, Tiles>> {
    // A tile of two widths, as a path leads to the checkpoint or to the log's end, comes with the larger one last.
    let mut wanted: BTreeSet<LogTile<'a>> = BTreeSet::new();
    for (found, path) in found.iter().zip(paths) {
        wanted.extend(path.tiles()?.into_iter().map(|tile| LogTile { log: &found.log, tile }));
    }
    let wanted: Vec<LogTile<'a>> = wanted.into_iter().collect();
    let mut tiles: HashMap<String, Tiles> = HashMap::new();
    for (LogTile { log, tile }, hashes) in wanted.iter().zip(stored_tiles(connection, &wanted).await?) {
        let own = tiles.entry((*log).to_owned()).or_default();
        if !hashes.is_some_and(|hashes| own.add(tile.level, tile.index, &hashes)) {
            return Err(undecodable("a tile is missing"));
        }
    }
    Ok(tiles)
}

fn proof(found: Found, path: Path, tiles: &HashMap<String, Tiles>) -> sqlx::Result<EntryProof> {
    let none = Tiles::default();
    let tiles = tiles.get(&found.log).unwrap_or(&none);
    let hashes_of = |nodes: &[Range<u64>]| {
        tiles.hashes(nodes, path.size).ok_or_else(|| undecodable("a tile is too short"))
    };
    let hashes = hashes_of(&path.nodes)?;
    let previous = path.previous.as_ref().map(|before| hashes_of(slice::from_ref(before))).transpose()?;
    let place = Place {
        log: found.log,
        index: found.index,
        leaf: found.leaf,
        previous: previous.and_then(|mut leaf| leaf.pop()),
        personal: found.personal,
        checkpoint: path.checkpoint,
    };
    let record = place.attest(&found.stored).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(EntryProof { event: found.event, place, record, size: path.size, hashes })
}

/// Personal part of an entry as a salt made from its subject's key, or as the digest that an erasure left.
fn personal(row: &PgRow) -> sqlx::Result<Personal> {
    let (digest, key): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.try_get(3)?, row.try_get(4)?);
    let event: Uuid = row.try_get(5)?;
    personal_of(digest.as_deref(), key.as_deref(), &event)
        .ok_or_else(|| undecodable("neither the subject's key nor the digest of the personal part is stored"))
}

/// The same out of what is stored.
pub(crate) fn personal_of(digest: Option<&[u8]>, key: Option<&[u8]>, event: &Uuid) -> Option<Personal> {
    if let Some(digest) = digest {
        return Hash::from_slice(digest).map(Personal::Erased);
    }
    let key = SubjectKey::new(key?.try_into().ok()?);
    let Salt(salt) = key.salt(event);
    Some(Personal::Salted(Salt(salt)))
}
