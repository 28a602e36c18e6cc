//! The statements on `stage_position`. Arrays go in, sorted by primary key: one statement, however many partitions.

use schemas::Topic;
use sqlx::{
    Arguments, Executor, PgConnection, Row,
    postgres::{PgArguments, PgRow},
};

use crate::{
    batch::{LastRecord, OffsetRange, TopicPartition},
    delivery::{Claim, ClaimRequest, RangeCounts},
    halt::HaltReason,
    positions::{Standing, Verdict, judge_batch},
    row_type::row_type,
    session::{Failure, SinkConfig},
};

/// Begins a transaction.
pub(crate) async fn begin(connection: &mut PgConnection) -> Result<(), Failure> {
    connection.execute("BEGIN").await?;
    Ok(())
}

/// Rolls the open transaction back, if there is one.
pub(crate) async fn rollback(connection: &mut PgConnection) -> Result<(), Failure> {
    connection.execute("ROLLBACK").await?;
    Ok(())
}

/// Commits the open transaction.
pub(crate) async fn commit(connection: &mut PgConnection) -> Result<(), Failure> {
    connection.execute("COMMIT").await?;
    Ok(())
}

/// Takes partitions over. Waits for a transaction of the owner before to end. A row that was removed for a rebuild numbers
/// on behind what still waits in the outbox.
pub(crate) async fn claim(
    connection: &mut PgConnection,
    config: &SinkConfig,
    requests: &[ClaimRequest],
) -> Result<Vec<Claim>, Failure> {
    let rows = sqlx::query(
        "INSERT INTO stage_position AS p
                (stage, topic, partition, position, first_position, cluster_id, owner_epoch, owner, claimed_at,
                 topic_partitions, outbox_next)
         SELECT $1::text, a.topic, a.partition, a.low, a.low, $5::text, 1, $6::text, now(), a.partitions,
                (SELECT coalesce(max(o.number) + 1, 0) FROM outbox AS o
                  WHERE o.stage = $1 AND o.topic = a.topic AND o.partition = a.partition)
           FROM unnest($2::text[], $3::int[], $4::bigint[], $7::int[]) AS a(topic, partition, low, partitions)
          ORDER BY 2, 3
         ON CONFLICT (stage, topic, partition) DO UPDATE
            SET owner_epoch = p.owner_epoch + 1, owner = excluded.owner, claimed_at = now(),
                topic_partitions = coalesce(p.topic_partitions, excluded.topic_partitions)
         RETURNING topic, partition, position, last_offset, last_print, owner_epoch, cluster_id, halted,
                   topic_partitions",
    )
    .bind(&config.stage)
    .bind(requests.iter().map(|r| r.partition.topic.name()).collect::<Vec<_>>())
    .bind(requests.iter().map(|r| r.partition.partition).collect::<Vec<_>>())
    .bind(requests.iter().map(|r| r.low).collect::<Vec<_>>())
    .bind(&config.cluster_id)
    .bind(&config.owner)
    .bind(requests.iter().map(|r| r.partitions).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| claim_of(row).map_err(Failure::from)).collect()
}

fn claim_of(row: &PgRow) -> sqlx::Result<Claim> {
    let topic: &str = row.try_get("topic")?;
    let topic = Topic::from_name(topic)
        .ok_or_else(|| sqlx::Error::Decode(format!("unknown topic {topic}").into()))?;
    let offset: Option<i64> = row.try_get("last_offset")?;
    let print: Option<Vec<u8>> = row.try_get("last_print")?;
    let print = print.and_then(|print| <[u8; 32]>::try_from(print).ok());
    Ok(Claim {
        partition: TopicPartition { topic, partition: row.try_get("partition")? },
        position: row.try_get("position")?,
        last: offset.zip(print).map(|(offset, print)| LastRecord { offset, print }),
        owner_epoch: row.try_get("owner_epoch")?,
        cluster_id: row.try_get("cluster_id")?,
        partitions: row.try_get("topic_partitions")?,
        halted: row.try_get::<Option<&str>, _>("halted")?.map(HaltReason::from_stored),
    })
}

/// Compares and moves positions. The comparison is repeated on the locked row, so that a process that waited
/// for another's transaction sees its result. A range without a record (markers only) leaves the last record
/// as it is. A batch under another rule set than the one before leaves a row in `stage_rule_set`, by a trigger.
pub(crate) const ADVANCE: &str = "
    UPDATE stage_position AS p
       SET position = a.upto, last_offset = coalesce(a.last, p.last_offset),
           last_print = coalesce(a.print, p.last_print), rule_set = coalesce($3, p.rule_set),
           updated_at = now(), applied = p.applied + a.applied,
           duplicate = p.duplicate + a.duplicate, ignored = p.ignored + a.ignored, parked = p.parked + a.parked
      FROM unnest($2::stage_advance[]) AS a
     WHERE p.stage = $1 AND p.topic = a.topic AND p.partition = a.partition
       AND p.position = a.start AND p.owner_epoch = a.epoch";
/// The first parameter after those of [`ADVANCE`].
pub(crate) const AFTER_ADVANCE: usize = 4;

#[derive(sqlx::Encode)]
struct Advance<'a> {
    topic: &'a str,
    partition: i32,
    start: i64,
    upto: i64,
    last: Option<i64>,
    print: Option<&'a [u8]>,
    epoch: i64,
    applied: i64,
    duplicate: i64,
    ignored: i64,
    parked: i64,
}

row_type!(Advance, "stage_advance");

pub(crate) fn advance_arguments(
    stage: &str,
    (ranges, rule_set): (&[OffsetRange], Option<&str>),
    counts: &[RangeCounts],
) -> sqlx::Result<PgArguments> {
    let advances: Vec<Advance<'_>> = ranges
        .iter()
        .zip(counts)
        .map(|(range, counts)| Advance {
            topic: range.partition.topic.name(),
            partition: range.partition.partition,
            start: range.start,
            upto: range.upto,
            last: range.last.map(|last| last.offset),
            print: range.last.as_ref().map(|last| last.print.as_slice()),
            epoch: range.owner_epoch,
            applied: counts.applied,
            duplicate: counts.duplicate,
            ignored: counts.ignored,
            parked: counts.parked,
        })
        .collect();
    let mut arguments = PgArguments::default();
    let added =
        arguments.add(stage).and_then(|()| arguments.add(advances)).and_then(|()| arguments.add(rule_set));
    added.map_err(sqlx::Error::Encode)?;
    Ok(arguments)
}

/// Moves the positions inside a transaction: true if all of them moved.
pub(crate) async fn advance(
    tx: &mut PgConnection,
    stage: &str,
    (ranges, rule_set): (&[OffsetRange], Option<&str>),
    counts: &[RangeCounts],
) -> Result<bool, Failure> {
    let moved =
        sqlx::query_with(ADVANCE, advance_arguments(stage, (ranges, rule_set), counts)?).execute(tx).await?;
    Ok(moved.rows_affected() == ranges.len() as u64)
}

/// Tells for ranges that did not all move whether they had been applied before, or belong to another owner.
pub(crate) async fn judge(
    connection: &mut PgConnection,
    stage: &str,
    ranges: &[OffsetRange],
) -> Result<Verdict, Failure> {
    let rows: Vec<(Option<i64>, Option<i64>)> = sqlx::query_as(
        "SELECT p.position, p.owner_epoch
           FROM unnest($2::text[], $3::int[]) WITH ORDINALITY AS a(topic, partition, nth)
           LEFT JOIN stage_position AS p ON p.stage = $1 AND p.topic = a.topic AND p.partition = a.partition
          ORDER BY a.nth",
    )
    .bind(stage)
    .bind(ranges.iter().map(|r| r.partition.topic.name()).collect::<Vec<_>>())
    .bind(ranges.iter().map(|r| r.partition.partition).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let standings = rows.into_iter().map(|(position, owner_epoch)| {
        position.zip(owner_epoch).map(|(position, owner_epoch)| Standing { position, owner_epoch })
    });
    Ok(judge_batch(standings.zip(ranges)))
}

/// Those of the partitions held under these owner epochs whose epoch is higher by now.
pub(crate) async fn lost(
    connection: &mut PgConnection,
    stage: &str,
    held: &[(TopicPartition, i64)],
) -> Result<Vec<(TopicPartition, i64)>, Failure> {
    let lost: Vec<i64> = sqlx::query_scalar(
        "SELECT a.nth FROM unnest($2::text[], $3::int[], $4::bigint[]) WITH ORDINALITY AS a(topic, partition, epoch, nth)
           JOIN stage_position AS p ON p.stage = $1 AND p.topic = a.topic AND p.partition = a.partition
          WHERE p.owner_epoch > a.epoch ORDER BY a.nth",
    )
    .bind(stage)
    .bind(held.iter().map(|(partition, _)| partition.topic.name()).collect::<Vec<_>>())
    .bind(held.iter().map(|(partition, _)| partition.partition).collect::<Vec<_>>())
    .bind(held.iter().map(|(_, owner_epoch)| *owner_epoch).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let of_number = |nth: i64| usize::try_from(nth - 1).ok().and_then(|nth| held.get(nth)).copied();
    Ok(lost.into_iter().filter_map(of_number).collect())
}

/// Corrects the counts of ranges that turned out to hold duplicates, and takes numbers for outbox rows: answers the
/// first number per range. Runs under the locks that [`advance`] took.
pub(crate) async fn correct(
    tx: &mut PgConnection,
    stage: &str,
    ranges: &[OffsetRange],
    corrections: &[Correction],
) -> Result<Vec<i64>, Failure> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "UPDATE stage_position AS p
            SET applied = p.applied + a.applied, duplicate = p.duplicate + a.duplicate, parked = p.parked + a.parked,
                outbox_next = p.outbox_next + a.outgoing
           FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
             WITH ORDINALITY AS a(topic, partition, applied, duplicate, parked, outgoing, nth)
          WHERE p.stage = $1 AND p.topic = a.topic AND p.partition = a.partition
          RETURNING a.nth, p.outbox_next - a.outgoing",
    )
    .bind(stage)
    .bind(ranges.iter().map(|r| r.partition.topic.name()).collect::<Vec<_>>())
    .bind(ranges.iter().map(|r| r.partition.partition).collect::<Vec<_>>())
    .bind(corrections.iter().map(|c| c.applied).collect::<Vec<_>>())
    .bind(corrections.iter().map(|c| c.duplicate).collect::<Vec<_>>())
    .bind(corrections.iter().map(|c| c.parked).collect::<Vec<_>>())
    .bind(corrections.iter().map(|c| c.outgoing).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    if rows.len() != ranges.len() {
        return Err(Failure::fenced());
    }
    let mut rows = rows;
    rows.sort_unstable();
    Ok(rows.into_iter().map(|(_, first)| first).collect())
}

/// Correction to a range's counts, and the number of its outbox rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Correction {
    pub(crate) applied: i64,
    pub(crate) duplicate: i64,
    pub(crate) parked: i64,
    pub(crate) outgoing: i64,
}

impl Correction {
    /// The correction from assumed to actual counts; ignored records do not change.
    pub(crate) fn between(assumed: &RangeCounts, actual: &RangeCounts) -> Self {
        Self {
            applied: actual.applied - assumed.applied,
            duplicate: actual.duplicate - assumed.duplicate,
            parked: actual.parked - assumed.parked,
            outgoing: 0,
        }
    }
}

/// Stores the reason for which a partition is halted, under the caller's epoch only.
pub(crate) async fn set_halted(
    connection: &mut PgConnection,
    stage: &str,
    (partition, owner_epoch): (TopicPartition, i64),
    reason: Option<&HaltReason>,
) -> Result<(), Failure> {
    let done = sqlx::query(
        "UPDATE stage_position SET halted = $5, updated_at = now()
          WHERE stage = $1 AND topic = $2 AND partition = $3 AND owner_epoch = $4",
    )
    .bind(stage)
    .bind(partition.topic.name())
    .bind(partition.partition)
    .bind(owner_epoch)
    // Reasons may quote a refusal, and text holds no U+0000.
    .bind(reason.map(|reason| reason.to_string().replace('\0', " ")))
    .execute(connection)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(Failure::fenced()) }
}
