//! The tamper-evident log as it is stored: tiles and proofs for readers, checkpoints for signers, all of it
//! for verifiers. How entries get into it: [`crate::read_models::audit_entry`].

mod backfills;
mod following;
mod handover;
mod mirror;
mod proofs;
mod signing;
mod verifying;

use audit_log::{
    Hash,
    hash::HASH_BYTES,
    tile::{Tile, Tiles},
    tree::{TILE_WIDTH, subtree},
};
use schemas::{Timestamp, Topic};
use sqlx::{
    Connection as _, Executor as _, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgRow},
};

pub use backfills::Backfill;
pub use following::{Follower, LogEntry, Standing};
pub use handover::{Appended, HandoverReceiver, HandoverSender, handover};
pub use mirror::{Mirror, MirroredLog};
pub(crate) use proofs::personal_of;
pub use proofs::{EntryProof, EntryProofs, entry_proof, tenants_entry_proof, tenants_entry_proofs};
pub use signing::{NewestCheckpoint, Signable, SigningStore};
pub use verifying::{Kept, VerifyError, verify, verify_on};

use crate::batch::TopicPartition;

/// Header of a record of the audit topic: its entry's index in its log, which is the record's key.
pub const INDEX_HEADER: &str = "weir-log-index";

/// The partition of the audit topic that a log is in: each log stays in one, independent of its name.
pub fn audit_partition(log: &str, partitions: i32) -> i32 {
    let Hash(hash) = Hash::of(log.as_bytes());
    let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    i32::try_from(number % partitions.max(1).unsigned_abs()).unwrap_or(0)
}

/// Error of reading or writing the audit log.
#[derive(Debug, thiserror::Error)]
#[error("the audit log cannot be read: {0}")]
pub struct StoreError(#[from] sqlx::Error);

/// State of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    /// `<topic>/<partition>`.
    pub log: String,
    /// The input partition.
    pub partition: TopicPartition,
    /// The offset of its first entry.
    pub first_offset: i64,
    /// Entries.
    pub size: u64,
    /// The size of the newest checkpoint; 0 where none is signed.
    pub signed_size: u64,
    /// Time at which that checkpoint was signed.
    pub signed_at: Option<Timestamp>,
}

/// Connects for reading all of the log: role `weir_writer`, no time limit.
async fn connect(url: &str) -> sqlx::Result<PgConnection> {
    let options = url.parse::<PgConnectOptions>()?.application_name("weir-log");
    let mut connection = PgConnection::connect_with(&options).await?;
    connection.execute("SET ROLE weir_writer").await?;
    Ok(connection)
}

fn undecodable(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}

/// A number that is never negative.
pub(crate) fn natural(number: i64) -> sqlx::Result<u64> {
    u64::try_from(number).map_err(|_| undecodable("a size or an index is negative"))
}

pub(crate) fn bigint(number: u64) -> sqlx::Result<i64> {
    i64::try_from(number).map_err(|_| undecodable("a size or an index is 2^63 or more"))
}

/// All logs, by name.
pub async fn logs(connection: &mut PgConnection) -> sqlx::Result<Vec<LogState>> {
    let rows = sqlx::query(
        "SELECT l.log, l.topic, l.partition, l.first_offset, l.size, c.size, c.signed_at
           FROM audit_log AS l
           LEFT JOIN LATERAL (SELECT size, signed_at FROM audit_checkpoint AS c WHERE c.log = l.log
                               ORDER BY c.size DESC LIMIT 1) AS c ON true
          ORDER BY l.topic, l.partition",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let topic: &str = row.try_get(1)?;
            let topic = Topic::from_name(topic).ok_or_else(|| undecodable("a log of an unknown topic"))?;
            let signed: Option<i64> = row.try_get(5)?;
            Ok(LogState {
                log: row.try_get(0)?,
                partition: TopicPartition { topic, partition: row.try_get(2)? },
                first_offset: row.try_get(3)?,
                size: natural(row.try_get(4)?)?,
                signed_size: natural(signed.unwrap_or(0))?,
                signed_at: row.try_get(6)?,
            })
        })
        .collect()
}

/// The newest checkpoint of a log: the signed note.
pub async fn newest_checkpoint(connection: &mut PgConnection, log: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT note FROM audit_checkpoint WHERE log = $1 ORDER BY size DESC LIMIT 1")
        .bind(log)
        .fetch_optional(connection)
        .await
}

/// The hashes of a tile, one behind another; `None` if the log has not that many.
pub async fn tile(connection: &mut PgConnection, log: &str, tile: Tile) -> sqlx::Result<Option<Vec<u8>>> {
    Ok(stored_tiles(connection, &[LogTile { log, tile }]).await?.pop().flatten())
}

/// A number that no tile has: beyond it, the numbers of a tile's leaves are no `bigint`.
const LAST_TILE: i64 = i64::MAX / 256 - 1;

/// Of each tile its hashes where it is full; or else the leaves of the open tile, if it is that one, or the roots of the
/// tiles below: a tile that was written without its root is given whole.
const TILES: &str = "
    SELECT substr(t.hashes, 1, 32 * w.width),
           CASE WHEN t.hashes IS NULL AND w.level = 0 THEN
             (SELECT string_agg(p.hashes, ''::bytea ORDER BY p.first_index) FROM audit_tile_part AS p
               WHERE p.log = w.log HAVING min(p.first_index) = 256 * w.index) END,
           CASE WHEN t.hashes IS NULL AND w.level > 0 THEN
             ARRAY(SELECT coalesce(b.root, b.hashes) FROM audit_tile AS b
                    WHERE b.log = w.log AND b.level = w.level - 1
                      AND b.index >= 256 * w.index AND b.index < 256 * w.index + w.width
                    ORDER BY b.index) END
      FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::int[]) WITH ORDINALITY AS w (log, level, index, width, nth)
      LEFT JOIN audit_tile AS t ON t.log = w.log AND t.level = w.level AND t.index = w.index
     ORDER BY w.nth";

/// A tile of one of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LogTile<'a> {
    log: &'a str,
    tile: Tile,
}

/// The hashes of each of these tiles, one behind another, in one statement; `None` where the log has not that many.
async fn stored_tiles(
    connection: &mut PgConnection,
    wanted: &[LogTile<'_>],
) -> sqlx::Result<Vec<Option<Vec<u8>>>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let index = |tile: &Tile| i64::try_from(tile.index).map_or(LAST_TILE, |index| index.min(LAST_TILE));
    let rows = sqlx::query(TILES)
        .bind(wanted.iter().map(|one| one.log).collect::<Vec<_>>())
        .bind(wanted.iter().map(|one| i16::from(one.tile.level)).collect::<Vec<_>>())
        .bind(wanted.iter().map(|one| index(&one.tile)).collect::<Vec<_>>())
        .bind(wanted.iter().map(|one| i32::from(one.tile.width)).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    wanted.iter().zip(&rows).map(|(one, row)| hashes_of(&one.tile, row)).collect()
}

fn hashes_of(tile: &Tile, row: &PgRow) -> sqlx::Result<Option<Vec<u8>>> {
    let (full, open): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.try_get(0)?, row.try_get(1)?);
    let below: Option<Vec<Vec<u8>>> = row.try_get(2)?;
    let mut hashes = full.or(open).unwrap_or_default();
    for bytes in below.unwrap_or_default() {
        let below = Hash::list(&bytes).filter(|hashes| matches!(hashes.len(), 1 | TILE_WIDTH));
        let below = below.ok_or_else(|| undecodable("a tile of another width"))?;
        hashes.extend_from_slice(&subtree(&below).0);
    }
    let width = usize::from(tile.width) * HASH_BYTES;
    hashes.truncate(width);
    Ok((hashes.len() == width).then_some(hashes))
}

/// These tiles of a log; `None` where one is missing.
async fn tiles(connection: &mut PgConnection, log: &str, wanted: &[Tile]) -> sqlx::Result<Option<Tiles>> {
    let mut tiles = Tiles::default();
    let of_log: Vec<LogTile<'_>> = wanted.iter().map(|tile| LogTile { log, tile: *tile }).collect();
    let hashes = stored_tiles(connection, &of_log).await?;
    let are_there = wanted
        .iter()
        .zip(hashes)
        .all(|(one, hashes)| hashes.is_some_and(|hashes| tiles.add(one.level, one.index, &hashes)));
    Ok(are_there.then_some(tiles))
}

/// The consistency proof between two sizes of a log; `None` if there is none, or a tile is missing.
pub async fn consistency(
    connection: &mut PgConnection,
    log: &str,
    from: u64,
    to: u64,
) -> sqlx::Result<Option<Vec<Hash>>> {
    let Ok(path) = audit_log::proof::consistency(from, to) else { return Ok(None) };
    let Some(wanted) = audit_log::tile::tiles_of(&path, to) else { return Ok(None) };
    let tiles = tiles(connection, log, &wanted).await?;
    Ok(tiles.and_then(|tiles| tiles.hashes(&path, to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_spread_and_stay() {
        let partitions: std::collections::BTreeSet<i32> =
            (0..64).map(|n| audit_partition(&format!("weir.activity.v1/{n}"), 8)).collect();
        assert_eq!(partitions, (0..8).collect());
        assert_eq!(audit_partition("weir.activity.v1/3", 8), audit_partition("weir.activity.v1/3", 8));
        assert_eq!(audit_partition("weir.activity.v1/3", 1), 0);
    }
}
