//! The tamper-evident log as it is stored: tiles and proofs for readers, checkpoints for signers, all of it
//! for verifiers. How entries get into it: [`crate::read_models::audit_entry`].

mod following;
mod handover;
mod mirror;
mod proofs;
mod signing;
mod verifying;

use audit_log::{
    Hash,
    tile::{Tile, Tiles},
    tree::{TILE_WIDTH, subtree},
};
use schemas::{Timestamp, Topic};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _, postgres::PgConnectOptions};

pub use following::{Follower, LogEntry, Standing};
pub use handover::{Appended, HandoverReceiver, HandoverSender, handover};
pub use mirror::Mirror;
pub use proofs::{EntryProof, EntryProofs, entry_proof, tenants_entry_proof, tenants_entry_proofs};
pub use signing::{Signable, SigningStore};
pub use verifying::{VerifyError, verify, verify_on};

use crate::batch::TopicPartition;

/// Header of a record of the audit topic: its entry's index in its log, which is the record's key.
pub const INDEX_HEADER: &str = "weir-log-index";

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
    let width = usize::from(tile.width) * audit_log::hash::HASH_BYTES;
    let hashes = match full_tile(connection, log, tile.level, tile.index).await? {
        Some(full) => full,
        None if tile.is_full() => return Ok(None),
        None if tile.level == 0 => open_leaves(connection, log, tile.index).await?,
        None => roots_below(connection, log, &tile).await?,
    };
    Ok(hashes.get(..width).map(<[u8]>::to_vec))
}

async fn full_tile(
    connection: &mut PgConnection,
    log: &str,
    level: u8,
    index: u64,
) -> sqlx::Result<Option<Vec<u8>>> {
    let Ok(index) = bigint(index) else { return Ok(None) };
    sqlx::query_scalar("SELECT hashes FROM audit_tile WHERE log = $1 AND level = $2 AND index = $3")
        .bind(log)
        .bind(i16::from(level))
        .bind(index)
        .fetch_optional(connection)
        .await
}

/// The leaves of the tile that is not full yet, if it is that one.
async fn open_leaves(connection: &mut PgConnection, log: &str, index: u64) -> sqlx::Result<Vec<u8>> {
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT first_index, hashes FROM audit_tile_part WHERE log = $1 ORDER BY first_index")
            .bind(log)
            .fetch_all(connection)
            .await?;
    let first = rows.first().map(|(first, _)| natural(*first)).transpose()?;
    if first.is_none_or(|first| first != index.saturating_mul(TILE_WIDTH as u64)) {
        return Ok(Vec::new());
    }
    Ok(rows.into_iter().flat_map(|(_, hashes)| hashes).collect())
}

/// The hashes of an open tile above the leaves: roots of the full tiles below.
async fn roots_below(connection: &mut PgConnection, log: &str, tile: &Tile) -> sqlx::Result<Vec<u8>> {
    let first = bigint(tile.index.saturating_mul(TILE_WIDTH as u64))?;
    let rows: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT hashes FROM audit_tile WHERE log = $1 AND level = $2 AND index >= $3 AND index < $3 + $4
          ORDER BY index",
    )
    .bind(log)
    .bind(i16::from(tile.level) - 1)
    .bind(first)
    .bind(i64::from(tile.width))
    .fetch_all(connection)
    .await?;
    rows.iter().try_fold(Vec::new(), |mut all, bytes| {
        let hashes = Hash::list(bytes).filter(|hashes| hashes.len() == TILE_WIDTH);
        all.extend_from_slice(&subtree(&hashes.ok_or_else(|| undecodable("a tile of another width"))?).0);
        Ok(all)
    })
}

/// These tiles of a log; `None` where one is missing.
async fn tiles(connection: &mut PgConnection, log: &str, wanted: Vec<Tile>) -> sqlx::Result<Option<Tiles>> {
    let mut tiles = Tiles::default();
    for one in wanted {
        match tile(connection, log, one).await? {
            Some(hashes) if tiles.add(one.level, one.index, &hashes) => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(tiles))
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
    let tiles = tiles(connection, log, wanted).await?;
    Ok(tiles.and_then(|tiles| tiles.hashes(&path, to)))
}
