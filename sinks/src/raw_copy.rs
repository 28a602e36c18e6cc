//! The baseline of `weir bench drain`: COPY of prepared rows, and nothing else.
//!
//! The rows are those that the audit stage has written; they are read once into memory, in PGCOPY binary format, and
//! copied into a plain table of the same columns and indexes. A second table holds the record as `jsonb`, as a pipeline
//! would that leaves compression to Postgres.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use schemas::changes::OcsfRecord;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::{compress, postgres::nodelay};

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: [u8; 2] = (-1_i16).to_be_bytes();
const PIECE_BYTES: usize = 64 * 1024;

/// Everything of a row but the record; kept in the order of the table, so that a row can be copied as it was read.
const COLUMNS: &str = "occurred_at, record_offset, event_id, partition, class_uid, activity_id, severity_id, topic, \
     tenant_id, kind, actor_kind, actor, actor_name, actor_ip, action, resource_type, resource, project, outcome, \
     outcome_code, source, correlation_id, content_sha256, other_resources";

/// Storage format of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As the audit log stores it: compressed against the dictionary.
    Compressed,
    /// As `jsonb`.
    Jsonb,
}

/// Error of measuring the baseline of plain COPY.
#[derive(Debug, thiserror::Error)]
pub enum RawCopyError {
    /// Postgres cannot be reached or refuses the query.
    #[error("postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    /// The rows are not in COPY's binary format.
    #[error("the rows read back are not in PGCOPY binary format: {0}")]
    Format(&'static str),
    /// A stored record cannot be read back.
    #[error(transparent)]
    Record(#[from] compress::CompressError),
}

/// Rows in batches, each a whole COPY in binary format.
#[derive(Debug)]
pub struct Rows {
    shape: Shape,
    batches: Vec<Vec<u8>>,
    /// Number of rows in all batches.
    pub count: u64,
}

impl Rows {
    /// Reads up to `limit` rows of `audit_entry`, in the order they were written, and makes batches of them.
    pub async fn read(
        database_url: &str,
        shape: Shape,
        limit: u64,
        rows_per_batch: usize,
    ) -> Result<Self, RawCopyError> {
        let mut connection = PgConnection::connect(database_url).await?;
        let statement = format!(
            "COPY (SELECT {COLUMNS}, record_dictionary, record FROM audit_entry \
             ORDER BY topic, partition, record_offset LIMIT {limit}) TO STDOUT (FORMAT binary)"
        );
        let mut stream = connection.copy_out_raw(&statement).await?;
        let mut unread: Vec<u8> = Vec::new();
        let mut begun = false;
        let mut rows = Self { shape, batches: Vec::new(), count: 0 };
        let mut in_batch = rows_per_batch;
        while let Some(chunk) = stream.try_next().await? {
            unread.extend_from_slice(&chunk);
            if !begun {
                if unread.len() < HEADER.len() {
                    continue;
                }
                unread.drain(..HEADER.len());
                begun = true;
            }
            let mut read = 0;
            while let Some(row) = Row::parse(&unread[read..])? {
                if in_batch == rows_per_batch {
                    rows.batches.push(HEADER.to_vec());
                    in_batch = 0;
                }
                let batch = rows.batches.last_mut().expect("a batch was just begun");
                row.write(shape, batch)?;
                read += row.length;
                in_batch += 1;
                rows.count += 1;
            }
            unread.drain(..read);
        }
        drop(stream);
        rows.batches.iter_mut().for_each(|batch| batch.extend_from_slice(&END));
        connection.close().await?;
        Ok(rows)
    }

    /// Copies all rows into a new table, one transaction a batch, over one connection. The time is that of the copying.
    pub async fn copy(&self, database_url: &str) -> Result<Duration, RawCopyError> {
        let mut connection = PgConnection::connect(database_url).await?;
        // As every careful client does, and ours.
        nodelay::set(&database_url.parse()?).await;
        let (table, record) = match self.shape {
            Shape::Compressed => ("raw_copy", "record_dictionary, record"),
            Shape::Jsonb => ("raw_copy_jsonb", "record"),
        };
        sqlx::raw_sql(AssertSqlSafe(format!(
            "DROP TABLE IF EXISTS {table};
             CREATE TABLE {table} (LIKE audit_entry INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING STORAGE,
                                   PRIMARY KEY (tenant_id, event_id, occurred_at))"
        )))
        .execute(&mut connection)
        .await?;
        if self.shape == Shape::Jsonb {
            let alter =
                "ALTER TABLE raw_copy_jsonb DROP record_dictionary, DROP record, ADD record jsonb NOT NULL";
            sqlx::raw_sql(alter).execute(&mut connection).await?;
        }
        sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;

        let statement = format!("COPY {table} ({COLUMNS}, {record}) FROM STDIN (FORMAT binary)");
        let started = Instant::now();
        for batch in &self.batches {
            let mut copy = connection.copy_in_raw(&statement).await?;
            for piece in batch.chunks(PIECE_BYTES) {
                copy.send(piece).await?;
            }
            copy.finish().await?;
        }
        let took = started.elapsed();
        sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE {table}"))).execute(&mut connection).await?;
        connection.close().await?;
        Ok(took)
    }
}

/// One row as Postgres wrote it: where its last two fields begin and end.
struct Row<'a> {
    bytes: &'a [u8],
    length: usize,
    dictionary: &'a [u8],
    record: &'a [u8],
    shared: usize,
}

impl<'a> Row<'a> {
    /// The next row; none while it is not there whole, or at the end.
    fn parse(bytes: &'a [u8]) -> Result<Option<Self>, RawCopyError> {
        let Some(count) = bytes.first_chunk::<2>() else { return Ok(None) };
        let Ok(count) = usize::try_from(i16::from_be_bytes(*count)) else { return Ok(None) };
        let (mut at, mut fields) = (2, Vec::with_capacity(count));
        for _ in 0..count {
            let Some(length) = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(None) };
            let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
            let Some(field) = bytes.get(at + 4..at + 4 + length) else { return Ok(None) };
            fields.push((at, field));
            at += 4 + length;
        }
        let [.., (shared, dictionary), (_, record)] = fields[..] else {
            return Err(RawCopyError::Format("a row has fewer than two columns"));
        };
        Ok(Some(Self { bytes, length: at, dictionary, record, shared }))
    }

    fn write(&self, shape: Shape, batch: &mut Vec<u8>) -> Result<(), RawCopyError> {
        if shape == Shape::Compressed {
            batch.extend_from_slice(&self.bytes[..self.length]);
            return Ok(());
        }
        let dictionary: [u8; 2] =
            self.dictionary.try_into().map_err(|_| RawCopyError::Format("the dictionary is no smallint"))?;
        let record = compress::decompress(i16::from_be_bytes(dictionary), self.record)?;
        let json =
            OcsfRecord::json(&record).map_err(|_| RawCopyError::Format("a record is no OCSF record"))?;
        let columns = i16::from_be_bytes([self.bytes[0], self.bytes[1]]) - 1;
        batch.extend_from_slice(&columns.to_be_bytes());
        batch.extend_from_slice(&self.bytes[2..self.shared]);
        let length = i32::try_from(json.len() + 1).map_err(|_| RawCopyError::Format("a record of 2 GiB"))?;
        batch.extend_from_slice(&length.to_be_bytes());
        // The version of jsonb's binary form, then its text.
        batch.push(1);
        batch.extend_from_slice(json.as_bytes());
        Ok(())
    }
}

/// The server's write-ahead log position, in bytes since its beginning.
pub async fn wal_bytes(database_url: &str) -> Result<u64, RawCopyError> {
    let mut connection = PgConnection::connect(database_url).await?;
    let bytes: i64 = sqlx::query_scalar("SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Writes a checkpoint, so that the next measurement does not pay for earlier writes.
pub async fn checkpoint(database_url: &str) -> Result<(), RawCopyError> {
    let mut connection = PgConnection::connect(database_url).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
