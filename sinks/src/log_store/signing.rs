//! Reads and writes of a signer.

use audit_log::{
    Hash,
    checkpoint::{Checkpoint, SignedCheckpoint},
    tree::{Frontier, OpenLog, TILE_WIDTH, subtree},
};
use schemas::Timestamp;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use super::{StoreError, bigint, connect, natural, undecodable};

/// Tiles read at a time.
const MAX_TILES: i64 = 1024;
/// One process signs at a time, for the whole database.
const SIGNER_LOCK: &str = "SELECT pg_try_advisory_lock(hashtext('weir audit log signer'))";

/// A log that has grown since it was signed, or that shrank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signable {
    /// `<topic>/<partition>`.
    pub log: String,
    /// Its frontier.
    pub frontier: Frontier,
    /// The offset of its first entry, where older records of the topic are no part of it: as the newest checkpoint says, or the
    /// log's row where there is none.
    pub first_offset: Option<u64>,
    /// The size and root of the newest checkpoint.
    pub signed: Option<(u64, Hash)>,
    /// When that was signed.
    pub signed_at: Option<Timestamp>,
}

/// The newest checkpoint of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestCheckpoint {
    /// `<topic>/<partition>`.
    pub log: String,
    /// The signed note, with the cosignatures that came in.
    pub note: String,
    /// When it was signed.
    pub signed_at: Timestamp,
}

/// A connection that signs, once it is the only one.
#[derive(Debug)]
pub struct SigningStore {
    connection: PgConnection,
}

impl SigningStore {
    /// Becomes the signer of the database; `None` if another process is.
    pub async fn claim(url: &str) -> Result<Option<Self>, StoreError> {
        let mut connection = connect(url).await?;
        let settings = "SET statement_timeout = '10s'; SET lock_timeout = '2s'";
        connection.execute(settings).await?;
        let claimed: bool = sqlx::query_scalar(SIGNER_LOCK).fetch_one(&mut connection).await?;
        Ok(claimed.then_some(Self { connection }))
    }

    /// The logs whose size is not that of their newest checkpoint.
    pub async fn unsigned(&mut self) -> Result<Vec<Result<Signable, String>>, StoreError> {
        let rows = sqlx::query(
            "SELECT l.log, l.size, l.frontier, c.size, c.root,
                    CASE WHEN l.first_offset > p.first_position THEN l.first_offset END, c.signed_at, c.note
               FROM audit_log AS l
               LEFT JOIN stage_position AS p
                 ON p.stage = 'audit' AND p.topic = l.topic AND p.partition = l.partition
               LEFT JOIN LATERAL (SELECT size, root, signed_at, note FROM audit_checkpoint AS c WHERE c.log = l.log
                                   ORDER BY c.size DESC LIMIT 1) AS c ON true
              WHERE c.size IS DISTINCT FROM l.size ORDER BY l.log",
        )
        .fetch_all(&mut self.connection)
        .await?;
        rows.iter()
            .map(|row| {
                let log: String = row.try_get(0)?;
                let (size, frontier): (i64, Vec<u8>) = (row.try_get(1)?, row.try_get(2)?);
                let signed: Option<i64> = row.try_get(3)?;
                let root: Option<Vec<u8>> = row.try_get(4)?;
                let signed = match (signed, root.as_deref().and_then(Hash::from_slice)) {
                    (Some(size), Some(root)) => Some((natural(size)?, root)),
                    (None, _) => None,
                    (Some(_), None) => return Ok(Err(log)),
                };
                let roots = Hash::list(&frontier);
                let frontier = roots.and_then(|roots| Frontier::new(natural(size).ok()?, roots).ok());
                let Some(frontier) = frontier else { return Ok(Err(log)) };
                let (column, note): (Option<i64>, Option<String>) = (row.try_get(5)?, row.try_get(7)?);
                // Whoever edits the row has the next checkpoint say no more than the one before.
                let before = note.and_then(|note| SignedCheckpoint::parse(&note).ok());
                let first_offset = match before {
                    Some(before) => before.checkpoint.first_offset(),
                    None => column.map(natural).transpose()?,
                };
                Ok(Ok(Signable { log, frontier, first_offset, signed, signed_at: row.try_get(6)? }))
            })
            .collect()
    }

    /// The newest checkpoint of each log.
    pub async fn newest_checkpoints(&mut self) -> Result<Vec<NewestCheckpoint>, StoreError> {
        let rows: Vec<(String, String, Timestamp)> = sqlx::query_as(
            "SELECT l.log, c.note, c.signed_at
               FROM audit_log AS l
              CROSS JOIN LATERAL (SELECT note, signed_at FROM audit_checkpoint AS c WHERE c.log = l.log
                                   ORDER BY c.size DESC LIMIT 1) AS c",
        )
        .fetch_all(&mut self.connection)
        .await?;
        let checkpoint = |(log, note, signed_at)| NewestCheckpoint { log, note, signed_at };
        Ok(rows.into_iter().map(checkpoint).collect())
    }

    /// A log as its tiles had it at a size, to be grown from there; `None` where tiles are missing.
    pub async fn open_at(&mut self, log: &str, size: u64) -> Result<Option<OpenLog>, StoreError> {
        let mut open: Vec<Vec<Hash>> = Vec::new();
        for level in 0..8_u32 {
            let count = size.checked_shr(8 * level).unwrap_or(0);
            let (first, width) = (count / TILE_WIDTH as u64, count % TILE_WIDTH as u64);
            let tile = audit_log::tile::Tile::of(u8::try_from(level).unwrap_or(7), first, size);
            let Some(tile) = tile.filter(|_| width > 0) else {
                open.push(Vec::new());
                continue;
            };
            let bytes = super::tile(&mut self.connection, log, tile).await?;
            let Some(hashes) = bytes.and_then(|bytes| Hash::list(&bytes)) else { return Ok(None) };
            open.push(hashes);
        }
        let last = match size.checked_sub(1) {
            None => None,
            Some(last) => {
                let tile = audit_log::tile::Tile::of(0, last / TILE_WIDTH as u64, size);
                let tile = tile.ok_or_else(|| undecodable("no such tile"))?;
                let bytes = super::tile(&mut self.connection, log, tile).await?;
                let Some(leaf) = bytes.and_then(|bytes| Hash::list(&bytes)?.pop()) else { return Ok(None) };
                Some(leaf)
            }
        };
        let roots = roots_of(&open);
        let frontier = Frontier::new(size, roots).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(OpenLog::new(frontier, last, open).ok())
    }

    /// The leaves from an index on, out of the tiles; as many as are read at once.
    pub async fn leaves(&mut self, log: &str, from: u64) -> Result<Vec<Hash>, StoreError> {
        let tile = from / TILE_WIDTH as u64;
        // One statement, one snapshot: a tile that is filled meanwhile is there once.
        let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "(SELECT index * 256, hashes FROM audit_tile
               WHERE log = $1 AND level = 0 AND index >= $2 AND index < $2 + $3 ORDER BY index)
             UNION ALL
             (SELECT first_index, hashes FROM audit_tile_part WHERE log = $1 ORDER BY first_index)",
        )
        .bind(log)
        .bind(bigint(tile)?)
        .bind(MAX_TILES)
        .fetch_all(&mut self.connection)
        .await?;
        let mut next = tile * TILE_WIDTH as u64;
        let mut leaves = Vec::new();
        for (first, bytes) in rows {
            // Parts follow only once all full tiles have been read.
            if natural(first)? != next {
                break;
            }
            let hashes = Hash::list(&bytes).ok_or_else(|| undecodable("a tile of odd length"))?;
            next += hashes.len() as u64;
            leaves.extend(hashes);
        }
        let skip = usize::try_from(from - tile * TILE_WIDTH as u64).unwrap_or(usize::MAX);
        Ok(leaves.split_off(skip.min(leaves.len())))
    }

    /// Keeps a signed checkpoint, and of each minute before the last one only its newest and those that bear more signatures.
    pub async fn store(
        &mut self,
        log: &str,
        checkpoint: &Checkpoint,
        note: &str,
        signed_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.connection.begin().await?;
        sqlx::query(
            "INSERT INTO audit_checkpoint (log, size, root, note, signed_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
        )
        .bind(log)
        .bind(bigint(checkpoint.size)?)
        .bind(checkpoint.root.0.as_slice())
        .bind(note)
        .bind(signed_at)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM audit_checkpoint AS old
              WHERE old.log = $1 AND old.signed_at BETWEEN now() - interval '10 minutes' AND now() - interval '1 minute'
                AND EXISTS (SELECT FROM audit_checkpoint AS newer
                             WHERE newer.log = old.log AND newer.size > old.size
                               AND cardinality(string_to_array(newer.note, chr(10) || '— '))
                                   >= cardinality(string_to_array(old.note, chr(10) || '— '))
                               AND date_trunc('minute', newer.signed_at) = date_trunc('minute', old.signed_at))",
        )
        .bind(log)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Replaces a checkpoint's note by the same with more signatures.
    pub async fn cosigned(&mut self, log: &str, size: u64, note: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE audit_checkpoint SET note = $3 WHERE log = $1 AND size = $2")
            .bind(log)
            .bind(bigint(size)?)
            .bind(note)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// The consistency proof between two sizes of a log.
    pub async fn consistency(
        &mut self,
        log: &str,
        from: u64,
        to: u64,
    ) -> Result<Option<Vec<Hash>>, StoreError> {
        Ok(super::consistency(&mut self.connection, log, from, to).await?)
    }
}

/// The roots of the complete subtrees, largest first, out of the open tiles.
fn roots_of(open: &[Vec<Hash>]) -> Vec<Hash> {
    let mut roots = Vec::new();
    for hashes in open.iter().rev() {
        let mut start = 0;
        while start < hashes.len() {
            let width = 1 << (usize::BITS - 1 - (hashes.len() - start).leading_zeros());
            roots.push(subtree(&hashes[start..start + width]));
            start += width;
        }
    }
    roots
}
