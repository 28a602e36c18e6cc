//! Intervals of the logs that a sink has settled: counted with its positions, stated to its receiver once they are closed.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use schemas::{LogPlace, Timestamp, Topic};
use siem::{Message, completeness::Statement, settings::Filter};
use sqlx::{FromRow, PgConnection};

use super::{delivered::Delivered, passed::Run, progress::Part};
use crate::{
    batch::TopicPartition,
    delivery::DeliveryError,
    ledger::{Ledger, OwnRows, within},
    postgres::row_type::row_type,
    session::Failure,
};

const PATIENCE: Duration = Duration::from_secs(5);
/// Most statements that are sent together.
const MAX_STATEMENTS: i64 = 100;
/// Days for which stated intervals are kept.
const KEPT_DAYS: i32 = 7;

/// Records of one log in a batch.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::Encode)]
struct Covered {
    log: String,
    first_index: i64,
    last_index: i64,
    delivered: i64,
    parked: i64,
}

row_type!(owned Covered, "siem_covered");

/// Records of a batch by log, to be added to the sink's intervals, and the entries that it passed with them.
pub(super) struct Batched<'a> {
    sink: &'a str,
    filter: &'a Filter,
    covered: Vec<Covered>,
    /// The same of backfills.
    backfilled: Vec<Covered>,
    passed: Vec<Run>,
    delivered: Delivered,
}

impl<'a> Batched<'a> {
    /// Counts audit records by their places; those in `parked` were not delivered.
    pub(super) fn of(
        (sink, filter): (&'a str, &'a Filter),
        places: &[((TopicPartition, i64), Arc<LogPlace>)],
        parked: &HashSet<(TopicPartition, i64)>,
        passed: Vec<Run>,
        delivered: Delivered,
    ) -> Self {
        let of_topic = |topic| {
            let places = places.iter().filter(move |((partition, _), _)| partition.topic == topic);
            covered(places.map(|(at, place)| (&**place, parked.contains(at))))
        };
        let (covered, backfilled) = (of_topic(Topic::Audit), of_topic(Topic::AuditBackfill));
        Self { sink, filter, covered, backfilled, passed, delivered }
    }
}

/// Places, and whether each was parked, by log.
fn covered<'p>(places: impl Iterator<Item = (&'p LogPlace, bool)>) -> Vec<Covered> {
    let mut covered: BTreeMap<&str, Covered> = BTreeMap::new();
    for (place, is_parked) in places {
        let index = i64::try_from(place.index).unwrap_or(i64::MAX - 1);
        let one = covered.entry(&place.log).or_insert_with(|| Covered {
            log: place.log.clone(),
            first_index: index,
            last_index: index,
            delivered: 0,
            parked: 0,
        });
        (one.first_index, one.last_index) = (one.first_index.min(index), one.last_index.max(index));
        let counted = if is_parked { &mut one.parked } else { &mut one.delivered };
        *counted += 1;
    }
    covered.into_values().collect()
}

impl OwnRows for Batched<'_> {
    async fn write(&self, tx: &mut PgConnection) -> sqlx::Result<()> {
        let counts = [&self.covered, &self.backfilled];
        let delivered = &self.delivered;
        if counts.iter().all(|counts| counts.is_empty())
            && self.passed.is_empty()
            && delivered.firsts.is_empty()
        {
            return Ok(());
        }
        sqlx::query(
            "SELECT siem_interval_extend($1, $2, false), siem_interval_extend($1, $7, true),
                    siem_pass($1, $3, $4, $5, $6), siem_replayed($1, $8, $9, $10, $11, $12)",
        )
        .bind(self.sink)
        .bind(&self.covered)
        .bind(&self.filter.tenants)
        .bind(&self.filter.classes)
        .bind(self.filter.min_severity)
        .bind(&self.passed)
        .bind(&self.backfilled)
        .bind(&delivered.entries)
        .bind(&delivered.topics)
        .bind(&delivered.partitions)
        .bind(&delivered.firsts)
        .bind(&delivered.nexts)
        .execute(tx)
        .await
        .map(drop)
    }
}

/// A closed interval that is not stated yet.
#[derive(Debug, FromRow)]
pub(super) struct Interval {
    id: i64,
    log: String,
    from_index: i64,
    upto_index: i64,
    delivered: i64,
    parked: i64,
    closed_at: Timestamp,
    log_size: Option<i64>,
    log_root: Option<Vec<u8>>,
}

impl Interval {
    /// Its number.
    pub(super) const fn id(&self) -> i64 {
        self.id
    }

    /// Its place among the messages under way. No record has it, for no partition has this number.
    pub(super) const fn part(&self) -> Part {
        Part { at: (TopicPartition { topic: Topic::Audit, partition: -1 }, self.id), part: 0 }
    }

    /// The statement of a sink, with a filter or without one, as a message.
    pub(super) fn message(&self, sink: &str, filtered: bool) -> Message {
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        let statement = Statement {
            sink: sink.to_owned(),
            log: self.log.clone(),
            from: number(self.from_index),
            to: number(self.upto_index),
            filtered,
            count: number(self.delivered + self.parked),
            parked: number(self.parked),
            size: self.log_size.map(number),
            root: self.log_root.as_deref().map(siem::hexadecimal),
        };
        statement.message(self.closed_at)
    }
}

const CLOSE: &str = "
    UPDATE siem_interval AS i
       SET closed_at = now(),
           log_size = (SELECT max(size) FROM audit_checkpoint AS c WHERE c.log = i.log),
           log_root = (SELECT root FROM audit_checkpoint AS c WHERE c.log = i.log ORDER BY size DESC LIMIT 1)
     WHERE sink = $1 AND closed_at IS NULL AND opened_at <= now() - make_interval(secs => $2)";
const CLOSED: &str = "
    SELECT id, log, from_index, upto_index, delivered, parked, closed_at, log_size, log_root FROM siem_interval
     WHERE sink = $1 AND closed_at IS NOT NULL AND stated_at IS NULL ORDER BY id LIMIT $2";
const STATED: &str = "UPDATE siem_interval SET stated_at = now() WHERE sink = $1 AND id = ANY($2)";
const FORGOTTEN: &str =
    "DELETE FROM siem_interval WHERE sink = $1 AND stated_at < now() - make_interval(days => $2)";

/// Closes the sink's intervals that are old enough, and returns those that are to be stated.
pub(super) async fn due(
    ledger: &mut Ledger,
    sink: &str,
    every: Duration,
) -> Result<Vec<Interval>, DeliveryError> {
    let mut writer = ledger.take_writer().await?;
    let asking = async {
        let connection = &mut writer.connection;
        sqlx::query(CLOSE).bind(sink).bind(every.as_secs_f64()).execute(&mut *connection).await?;
        sqlx::query(FORGOTTEN).bind(sink).bind(KEPT_DAYS).execute(&mut *connection).await?;
        let closed = sqlx::query_as(CLOSED).bind(sink).bind(MAX_STATEMENTS).fetch_all(connection).await?;
        Ok::<_, Failure>(closed)
    };
    let outcome = within(PATIENCE, asking).await;
    ledger.finish(writer, outcome).await
}

/// Notes that the receiver has these statements.
pub(super) async fn stated(ledger: &mut Ledger, sink: &str, ids: &[i64]) -> Result<(), DeliveryError> {
    let mut writer = ledger.take_writer().await?;
    let writing = async {
        sqlx::query(STATED).bind(sink).bind(ids).execute(&mut writer.connection).await?;
        Ok::<_, Failure>(())
    };
    let outcome = within(PATIENCE, writing).await;
    ledger.finish(writer, outcome).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_counted_by_log() {
        let at = |partition, offset| (TopicPartition { topic: Topic::Audit, partition }, offset);
        let again = |offset| (TopicPartition { topic: Topic::AuditBackfill, partition: 0 }, offset);
        let place = |log: &str, index| {
            Arc::new(LogPlace { log: log.into(), index, leaf: String::new(), previous: None })
        };
        let places = [
            (at(0, 7), place("a", 4)),
            (at(1, 1), place("b", 9)),
            (at(0, 8), place("a", 5)),
            (at(0, 9), place("a", 8)),
            (again(3), place("a", 0)),
        ];
        let filter = Filter::default();
        let batched =
            Batched::of(("s", &filter), &places, &[at(0, 8)].into(), Vec::new(), Delivered::default());
        let covered = |log: &str, first_index, last_index, delivered, parked| Covered {
            log: log.into(),
            first_index,
            last_index,
            delivered,
            parked,
        };
        assert_eq!(batched.covered, [covered("a", 4, 8, 2, 1), covered("b", 9, 9, 1, 0)]);
        assert_eq!(batched.backfilled, [covered("a", 0, 0, 1, 0)], "in an interval of its own");
    }
}
