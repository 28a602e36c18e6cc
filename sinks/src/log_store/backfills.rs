//! Ranges of logs that are brought to one sink out of the table, as the process that brings them sees them.

use sqlx::FromRow;

use super::{Follower, Standing, StoreError, bigint, following::parts_of, natural};

/// A range of a log that one sink is to get.
#[derive(Debug, Clone, PartialEq)]
pub struct Backfill {
    /// Its id.
    pub id: String,
    /// The sink.
    pub sink: String,
    /// The log, the index behind the range as its size, and how far it was written.
    pub standing: Standing,
}

#[derive(FromRow)]
struct Row {
    id: String,
    sink: String,
    log: String,
    until_index: i64,
    next_index: i64,
    next_offset: Option<i64>,
    age_s: Option<f64>,
}

impl Row {
    fn backfill(self) -> sqlx::Result<Backfill> {
        let standing = Standing {
            log: self.log,
            size: natural(self.until_index)?,
            next_index: natural(self.next_index)?,
            offset: self.next_offset,
            age_s: self.age_s.unwrap_or(f64::INFINITY),
        };
        Ok(Backfill { id: self.id, sink: self.sink, standing })
    }
}

impl Follower {
    /// The backfills that are not written yet, the oldest first.
    pub async fn backfills(&mut self) -> Result<Vec<Backfill>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id::text, sink, log, until_index, next_index, next_offset,
                    extract(epoch FROM now() - noted_at)::float8 AS age_s
               FROM siem_backfill WHERE next_index < until_index ORDER BY asked_at, log, from_index",
        )
        .fetch_all(&mut self.connection)
        .await?;
        Ok(rows.into_iter().map(Row::backfill).collect::<sqlx::Result<_>>()?)
    }

    /// Notes the topic's end before anything of a backfill is written, unless another process was first; answers how it
    /// stands.
    pub async fn begin_backfill(&mut self, id: &str, end: i64) -> Result<Standing, StoreError> {
        let row: Row = sqlx::query_as(
            "UPDATE siem_backfill SET next_offset = coalesce(next_offset, $2), noted_at = now() WHERE id = $1::uuid
             RETURNING id::text, sink, log, until_index, next_index, next_offset, 0::float8 AS age_s",
        )
        .bind(id)
        .bind(end)
        .fetch_one(&mut self.connection)
        .await?;
        Ok(row.backfill()?.standing)
    }

    /// Stores how far a backfill is written.
    pub async fn note_backfill(
        &mut self,
        id: &str,
        next_index: u64,
        next_offset: Option<i64>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE siem_backfill SET next_index = $2, next_offset = $3, noted_at = now()
              WHERE id = $1::uuid AND next_index <= $2",
        )
        .bind(id)
        .bind(bigint(next_index)?)
        .bind(next_offset)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Index of the first entry of a range that the table still holds.
    pub async fn first_kept(&mut self, log: &str, from: u64, until: u64) -> Result<Option<u64>, StoreError> {
        let (topic, partition) = parts_of(log)?;
        let first: Option<i64> = sqlx::query_scalar(
            "SELECT min(log_index) FROM audit_entry
              WHERE topic = $1 AND partition = $2
                AND weir_log_place(topic, partition, log_index) >= weir_log_place($1, $2, $3)
                AND weir_log_place(topic, partition, log_index) < weir_log_place($1, $2, $4)",
        )
        .bind(topic)
        .bind(partition)
        .bind(bigint(from)?)
        .bind(bigint(until)?)
        .fetch_one(&mut self.connection)
        .await?;
        Ok(first.map(natural).transpose()?)
    }
}
