//! `stage_position` and `position_gap` as operators see and change them.

use schemas::{Timestamp, Topic};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool};

use super::{Operator, decision::Decision};
use crate::{
    batch::TopicPartition,
    halt::{HaltKind, HaltReason},
};

/// One partition of one stage, as stored.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct StagePosition {
    /// The stage.
    pub stage: String,
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// First position of the stage.
    pub first_position: i64,
    /// The next offset to apply.
    pub position: i64,
    /// The last settled record.
    pub last_offset: Option<i64>,
    /// The cluster whose offsets these are.
    pub cluster_id: String,
    /// The epoch of the last claim.
    pub owner_epoch: i64,
    /// Process that claimed it last.
    pub owner: String,
    /// Time of that claim.
    pub claimed_at: Timestamp,
    /// Records that changed the read models.
    pub applied: i64,
    /// Records that were there already.
    pub duplicate: i64,
    /// Records without an effect, by a named rule.
    pub ignored: i64,
    /// Records that were parked and are, or were, in `parked_record`.
    pub parked: i64,
    /// Parked records that were published again.
    pub replayed: i64,
    /// Parked records that were discarded.
    pub discarded: i64,
    /// Reason for which the partition is halted, if it is.
    pub halted: Option<String>,
    /// Time at which the position last moved.
    pub updated_at: Timestamp,
}

/// All partitions of all stages, ordered by stage, topic and partition.
pub async fn read_all(pool: &PgPool) -> sqlx::Result<Vec<StagePosition>> {
    sqlx::query_as(
        "SELECT stage, topic, partition, first_position, position, last_offset, cluster_id, owner_epoch, owner,
                claimed_at, applied, duplicate, ignored, parked, replayed, discarded, halted, updated_at
           FROM stage_position ORDER BY stage, topic, partition",
    )
    .fetch_all(pool)
    .await
}

/// Positions of a stage that has advanced beyond its first positions: topic, partition, position.
pub async fn reached(connection: &mut PgConnection, stage: &str) -> sqlx::Result<Vec<(String, i32, i64)>> {
    sqlx::query_as(
        "SELECT topic, partition, position FROM stage_position WHERE stage = $1 AND position > first_position",
    )
    .bind(stage)
    .fetch_all(connection)
    .await
}

/// Offsets of a partition that a stage decided upon under one rule set.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct DecidedUnder {
    /// The stage.
    pub stage: String,
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// First offset.
    pub from_offset: i64,
    /// The first offset behind them: where another rule set came into force, or the position.
    pub to_offset: i64,
    /// Hash of the rules or policies.
    pub rule_set: String,
    /// Time of the first batch.
    pub since: Timestamp,
}

/// Rule sets under which the stages decided, ordered by stage, topic, partition and offset.
pub async fn decided_under(pool: &PgPool, stage: Option<&str>) -> sqlx::Result<Vec<DecidedUnder>> {
    sqlx::query_as(
        "SELECT r.stage, r.topic, r.partition, r.from_offset,
                lead(r.from_offset, 1, p.position) OVER (PARTITION BY r.stage, r.topic, r.partition ORDER BY r.from_offset)
                  AS to_offset, r.rule_set, r.since
           FROM stage_rule_set AS r JOIN stage_position AS p USING (stage, topic, partition)
          WHERE $1::text IS NULL OR r.stage = $1
          ORDER BY 1, 2, 3, 4",
    )
    .bind(stage)
    .fetch_all(pool)
    .await
}

/// Stage and partition that an operator changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionChange {
    /// The stage.
    pub stage: String,
    /// The partition.
    pub partition: TopicPartition,
}

impl PositionChange {
    fn halted(&self, why: HaltReason) -> PositionError {
        let (stage, TopicPartition { topic, partition }) = (&self.stage, self.partition);
        let cure = why.cure(&format!("{stage} --topic {topic} --partition {partition}"));
        PositionError::Halted { place: format!("{stage} in {topic}/{partition}"), why, cure }
    }
}

/// Decision to continue without some records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedGap {
    /// Offset to continue at; must be greater than the position.
    pub to: i64,
    /// Reason of the operator.
    pub reason: String,
}

/// Error of changing a position.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// No such stage has ever owned that partition.
    #[error("stage {stage} has no position in {topic}/{partition}: see `weir lag`")]
    Unknown {
        /// The stage.
        stage: String,
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: i32,
    },
    /// The offset is not ahead of the position.
    #[error("the position is {position} already: --to must be greater")]
    NotAhead {
        /// Position of the stage.
        position: i64,
    },
    /// The partition is halted for a reason that the command does not pass.
    #[error("{place} is halted: {why}; {cure}")]
    Halted {
        /// Stage and partition.
        place: String,
        /// Reason of the halt.
        why: HaltReason,
        /// What passes it.
        cure: String,
    },
    /// The stage has positions in that topic already.
    #[error(
        "stage {stage} has begun already: `weir sink replay` moves it back, and it cannot be moved ahead"
    )]
    Begun {
        /// The stage.
        stage: String,
    },
    /// Postgres refused or does not answer.
    #[error("the database refused or is unreachable")]
    Database(#[from] sqlx::Error),
}

/// Skips the records before `gap.to`: raises the epoch (which fences the owner), moves the position, clears
/// the fingerprint and the halt, stores the gap, and leaves an event about it. Returns the skipped range. Refuses a halt
/// that it would not pass: offsets of another log mean other records.
pub async fn accept_gap(
    pool: &PgPool,
    change: &PositionChange,
    (gap, by): (&AcceptedGap, &Operator),
) -> Result<std::ops::Range<i64>, PositionError> {
    let mut tx = pool.begin().await?;
    let Locked { position, halted } = locked(&mut tx, change).await?;
    let stays = |kind: HaltKind| kind.is_of_another_log() || kind == HaltKind::PartitionsChanged;
    if let Some(why) = halted.filter(|why| stays(why.kind)) {
        return Err(change.halted(why));
    }
    if gap.to <= position {
        return Err(PositionError::NotAhead { position });
    }
    let topic = change.partition.topic.name();
    let at: Timestamp = sqlx::query_scalar(
        "UPDATE stage_position
            SET owner_epoch = owner_epoch + 1, owner = $5, claimed_at = now(), updated_at = now(),
                position = $4, last_offset = NULL, last_print = NULL, halted = NULL
          WHERE stage = $1 AND topic = $2 AND partition = $3
         RETURNING updated_at",
    )
    .bind(&change.stage)
    .bind(topic)
    .bind(change.partition.partition)
    .bind(gap.to)
    .bind(&by.name)
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO position_gap (stage, topic, partition, from_position, to_position, reason, accepted_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&change.stage)
    .bind(topic)
    .bind(change.partition.partition)
    .bind(position)
    .bind(gap.to)
    .bind(&gap.reason)
    .bind(&by.name)
    .execute(&mut *tx)
    .await?;
    let message = format!("continues at {} instead of {position}: {}", gap.to, gap.reason);
    Decision { change, by, action: "AcceptGap", message, at }.announce(&mut tx).await?;
    tx.commit().await?;
    Ok(position..gap.to)
}

/// Sends a sink back to offsets that it has passed, so that it delivers again from there: raises the epochs (so that no
/// owner writes on), moves the positions, forgets the fingerprints, and leaves an event about each. Answers how many offsets
/// are delivered again. Partitions that are not beyond theirs stay; where one waits for an operator, all stay. What parked
/// records count stays, and is counted again.
pub async fn rewind(
    pool: &PgPool,
    stage: &str,
    places: &[(TopicPartition, i64)],
    by: &Operator,
) -> Result<i64, PositionError> {
    let mut places = places.to_vec();
    // In one order everywhere, so that no two transactions wait for each other.
    places.sort_unstable();
    let mut tx = pool.begin().await?;
    let mut again = 0;
    for (partition, to) in places {
        let change = PositionChange { stage: stage.to_owned(), partition };
        let Locked { position, halted } = match locked(&mut tx, &change).await {
            Err(PositionError::Unknown { .. }) => continue,
            found => found?,
        };
        if let Some(why) = halted.filter(|why| !why.kind.heals_by_itself()) {
            return Err(change.halted(why));
        }
        if to >= position {
            continue;
        }
        let at: Timestamp = sqlx::query_scalar(
            "UPDATE stage_position
                SET owner_epoch = owner_epoch + 1, owner = $5, claimed_at = now(), updated_at = now(), position = $4,
                    first_position = least(first_position, $4), last_offset = NULL, last_print = NULL
              WHERE stage = $1 AND topic = $2 AND partition = $3
             RETURNING updated_at",
        )
        .bind(stage)
        .bind(partition.topic.name())
        .bind(partition.partition)
        .bind(to)
        .bind(&by.name)
        .fetch_one(&mut *tx)
        .await?;
        let message = format!("delivers again from {to}, in place of {position}");
        Decision { change: &change, by, action: "ReplaySink", message, at }.announce(&mut tx).await?;
        again += position - to;
    }
    tx.commit().await?;
    Ok(again)
}

/// Sets the first positions of a stage that has never run: these offsets of the cluster's topic. Leaves an
/// event about each partition.
pub async fn begin_at(
    pool: &PgPool,
    (stage, cluster_id): (&str, &str),
    places: &[(TopicPartition, i64)],
    by: &Operator,
) -> Result<(), PositionError> {
    let mut tx = pool.begin().await?;
    for (partition, offset) in places {
        let at: Option<Timestamp> = sqlx::query_scalar(
            "INSERT INTO stage_position (stage, topic, partition, first_position, position, cluster_id, owner_epoch, owner,
               claimed_at, outbox_next)
             VALUES ($1, $2, $3, $4, $4, $5, 0, $6, now(),
                     (SELECT coalesce(max(number) + 1, 0) FROM outbox WHERE stage = $1 AND topic = $2 AND partition = $3))
             ON CONFLICT DO NOTHING RETURNING updated_at",
        )
        .bind(stage)
        .bind(partition.topic.name())
        .bind(partition.partition)
        .bind(offset)
        .bind(cluster_id)
        .bind(&by.name)
        .fetch_optional(&mut *tx)
        .await?;
        let at = at.ok_or_else(|| PositionError::Begun { stage: stage.to_owned() })?;
        let change = PositionChange { stage: stage.to_owned(), partition: *partition };
        let message = format!("begins at {offset}");
        Decision { change: &change, by, action: "StartSink", message, at }.announce(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Lifts a halt, so that the next claim continues, and leaves an event about it; returns the reason of the
/// halt, if there was one. Refuses one that the next claim would meet again.
pub async fn resume(
    pool: &PgPool,
    change: &PositionChange,
    by: &Operator,
) -> Result<Option<String>, PositionError> {
    let mut tx = pool.begin().await?;
    let Some(why) = locked(&mut tx, change).await?.halted else { return Ok(None) };
    if why.kind.is_of_another_log() || why.kind == HaltKind::RetentionGap {
        return Err(change.halted(why));
    }
    let at: Timestamp = sqlx::query_scalar(
        "UPDATE stage_position SET halted = NULL, topic_partitions = NULL, updated_at = now()
          WHERE stage = $1 AND topic = $2 AND partition = $3 RETURNING updated_at",
    )
    .bind(&change.stage)
    .bind(change.partition.topic.name())
    .bind(change.partition.partition)
    .fetch_one(&mut *tx)
    .await?;
    let message = format!("it was halted: {why}");
    Decision { change, by, action: "ResumePartition", message, at }.announce(&mut tx).await?;
    tx.commit().await?;
    Ok(Some(why.to_string()))
}

/// A partition's row, which is locked until the transaction ends.
struct Locked {
    position: i64,
    halted: Option<HaltReason>,
}

async fn locked(tx: &mut PgConnection, change: &PositionChange) -> Result<Locked, PositionError> {
    let row: Option<(i64, Option<String>)> = sqlx::query_as(
        "SELECT position, halted FROM stage_position
          WHERE stage = $1 AND topic = $2 AND partition = $3 FOR UPDATE",
    )
    .bind(&change.stage)
    .bind(change.partition.topic.name())
    .bind(change.partition.partition)
    .fetch_optional(tx)
    .await?;
    let (position, halted) = row.ok_or_else(|| PositionError::Unknown {
        stage: change.stage.clone(),
        topic: change.partition.topic,
        partition: change.partition.partition,
    })?;
    Ok(Locked { position, halted: halted.as_deref().map(HaltReason::from_stored) })
}
