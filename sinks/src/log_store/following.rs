//! Following a log: what was just appended to it, or what the table holds from an index on.

use std::collections::HashMap;

use audit_log::{
    Hash,
    integrity::{Personal, Place},
    tile::Tile,
    tree::TILE_WIDTH,
};
use sqlx::{PgConnection, Row as _};

use super::{StoreError, bigint, connect, natural, proofs::personal_of, undecodable};
use crate::compress;

/// An entry of a log, as its follower gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its index.
    pub index: u64,
    /// Its leaf.
    pub leaf: Hash,
    /// Salt or digest of the entry's personal part.
    pub personal: Personal,
    /// The record as it is stored, not compressed.
    pub record: Vec<u8>,
}

impl LogEntry {
    /// The record with its place in the log, in canonical form; `previous` is the leaf before.
    pub fn attest(
        &self,
        log: &str,
        previous: Option<Hash>,
        checkpoint: Option<&str>,
    ) -> Result<Vec<u8>, audit_log::Malformed> {
        let place = Place {
            log: log.to_owned(),
            index: self.index,
            leaf: self.leaf,
            previous,
            personal: self.personal,
            checkpoint: checkpoint.map(ToOwned::to_owned),
        };
        place.attest(&self.record)
    }
}

/// Progress of a log's follower in the topic that it writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// `<topic>/<partition>`.
    pub log: String,
    /// Entries of the log.
    pub size: u64,
    /// The next index to write, as far as was noted: never too far.
    pub next_index: u64,
    /// The offset behind the last record that was noted.
    pub offset: Option<i64>,
    /// Seconds since that was noted.
    pub age_s: f64,
}

/// A follower's connection.
#[derive(Debug)]
pub struct Follower {
    pub(super) connection: PgConnection,
    /// The block up to which each partition's index by place in the log is summarised.
    summarised: HashMap<String, i64>,
}

/// The topic and the partition that a log is of.
pub(super) fn parts_of(log: &str) -> sqlx::Result<(&str, i32)> {
    let parts = log.rsplit_once('/').and_then(|(topic, partition)| Some((topic, partition.parse().ok()?)));
    parts.ok_or_else(|| undecodable("a log without a partition"))
}

impl Follower {
    /// Connects.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let mut connection = connect(url).await?;
        // The planner knows nothing of where in the table a log's entries lie, and takes the index for useless.
        let settings = "SET statement_timeout = '30s'; SET enable_seqscan = off; SET max_parallel_workers_per_gather = 0";
        sqlx::raw_sql(settings).execute(&mut connection).await?;
        Ok(Self { connection, summarised: HashMap::new() })
    }

    /// Progress of the followers of all logs.
    pub async fn standings(&mut self) -> Result<Vec<Standing>, StoreError> {
        type Row = (String, i64, Option<i64>, Option<i64>, Option<f64>);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT l.log, l.size, p.next_index, p.next_offset, extract(epoch FROM now() - p.noted_at)::float8
               FROM audit_log AS l LEFT JOIN audit_topic_position AS p USING (log) ORDER BY l.log",
        )
        .fetch_all(&mut self.connection)
        .await?;
        let standing = |(log, size, next, offset, age): Row| {
            Ok(Standing {
                log,
                size: natural(size)?,
                next_index: natural(next.unwrap_or(0))?,
                offset,
                age_s: age.unwrap_or(f64::INFINITY),
            })
        };
        rows.into_iter().map(standing).collect()
    }

    /// Stores a follower's progress, so that its successor need not read all of the topic.
    pub async fn note(&mut self, log: &str, next_index: u64, next_offset: i64) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO audit_topic_position AS p (log, next_index, next_offset, noted_at) VALUES ($1, $2, $3, now())
             ON CONFLICT (log) DO UPDATE
                SET next_index = excluded.next_index, next_offset = excluded.next_offset, noted_at = now()
              WHERE p.next_index <= excluded.next_index",
        )
        .bind(log)
        .bind(bigint(next_index)?)
        .bind(next_offset)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Summarises the block ranges that have filled since, by which [`entries`](Self::entries) finds its rows: it reads
    /// every range that is not summarised, and autovacuum comes by once a minute.
    pub async fn summarise(&mut self) -> Result<(), StoreError> {
        let indexes: Vec<String> = sqlx::query_scalar(
            "SELECT inhrelid::regclass::text FROM pg_inherits
              WHERE inhparent = to_regclass('audit_entry_log_place')",
        )
        .fetch_all(&mut self.connection)
        .await?;
        self.summarised.retain(|index, _| indexes.contains(index));
        for index in indexes {
            let from = self.summarised.get(&index).copied();
            let to: i64 = sqlx::query_scalar("SELECT audit_log_summarise($1::regclass, $2)")
                .bind(&index)
                .bind(from)
                .fetch_one(&mut self.connection)
                .await?;
            self.summarised.insert(index, to);
        }
        Ok(())
    }

    /// Entries of a log from an index on, as many as there are up to `limit`; fewer where some have gone.
    pub async fn entries(&mut self, log: &str, from: u64, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
        let (topic, partition) = parts_of(log)?;
        let rows = sqlx::query(
            "SELECT e.log_index, e.leaf_hash, e.personal_digest, k.key, e.event_id, e.record_dictionary, e.record
               FROM audit_entry AS e
               LEFT JOIN subject_key AS k ON k.tenant_id = e.tenant_id AND k.actor = weir_subject_name(e.actor)
              WHERE e.topic = $1 AND e.partition = $2
                AND weir_log_place(e.topic, e.partition, e.log_index) >= weir_log_place($1, $2, $3)
                AND weir_log_place(e.topic, e.partition, e.log_index) < weir_log_place($1, $2, $3 + $4)
              ORDER BY e.log_index",
        )
        .bind(topic)
        .bind(partition)
        .bind(bigint(from)?)
        .bind(i64::from(limit))
        .fetch_all(&mut self.connection)
        .await?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            let (digest, key): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.try_get(2)?, row.try_get(3)?);
            let personal = personal_of(digest.as_deref(), key.as_deref(), &row.try_get(4)?);
            let leaf: Vec<u8> = row.try_get(1)?;
            let stored: Vec<u8> = row.try_get(6)?;
            let record = compress::decompress(row.try_get(5)?, &stored);
            entries.push(LogEntry {
                index: natural(row.try_get(0)?)?,
                leaf: Hash::from_slice(&leaf).ok_or_else(|| undecodable("leaf_hash is not 32 bytes long"))?,
                personal: personal.ok_or_else(|| undecodable("an entry without its subject's key"))?,
                record: record.map_err(|error| sqlx::Error::Decode(error.into()))?,
            });
        }
        Ok(entries)
    }

    /// One leaf, out of the tiles.
    pub async fn leaf(&mut self, log: &str, index: u64) -> Result<Option<Hash>, StoreError> {
        let within = usize::try_from(index % TILE_WIDTH as u64).unwrap_or(0);
        let Some(tile) = Tile::of(0, index / TILE_WIDTH as u64, index + 1) else { return Ok(None) };
        let bytes = super::tile(&mut self.connection, log, tile).await?;
        Ok(bytes.and_then(|bytes| Hash::list(&bytes)?.get(within).copied()))
    }

    /// The newest checkpoint of each log.
    pub async fn checkpoints(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query_as(
            "SELECT l.log, c.note FROM audit_log AS l
               CROSS JOIN LATERAL (SELECT note FROM audit_checkpoint AS c WHERE c.log = l.log
                                    ORDER BY size DESC LIMIT 1) AS c",
        )
        .fetch_all(&mut self.connection)
        .await?;
        Ok(rows)
    }
}
