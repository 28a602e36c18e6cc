//! Entries of the audit log that a sink has passed, by their indices.

use std::collections::BTreeMap;

use schemas::{SINK_HEADER, Topic};

use crate::{
    batch::{Batch, RawRecord, RecordChanges},
    log_store::INDEX_HEADER,
    postgres::row_type::row_type,
};

/// Entries of a log whose indices follow one another.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::Encode)]
pub(super) struct Run {
    /// `<topic>/<partition>`.
    log: String,
    first_index: i64,
    /// Index behind the last entry.
    next_index: i64,
}

row_type!(owned Run, "siem_run");

/// The entries of a batch, whatever became of them, but for those of other sinks' backfills.
pub(super) fn runs<C>(batch: &Batch<C>, sink: &str) -> Vec<Run> {
    runs_of(batch, sink, |_| true)
}

/// As [`runs`], of some of the records.
pub(super) fn runs_of<C>(
    batch: &Batch<C>,
    sink: &str,
    is_meant: impl Fn(&RecordChanges<C>) -> bool,
) -> Vec<Run> {
    let mut indices: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for record in batch.records.iter().filter(|record| is_meant(record)) {
        let is_own = match batch.ranges[record.range].partition.topic {
            Topic::Audit => true,
            Topic::AuditBackfill => header(&record.raw, SINK_HEADER) == Some(sink),
            _ => false,
        };
        if is_own && let Some((log, index)) = place(&record.raw) {
            indices.entry(log).or_default().push(index);
        }
    }
    indices.into_iter().flat_map(|(log, indices)| of_log(log, indices)).collect()
}

/// A record's log and its index in it, by which the relay has marked it.
pub(super) fn place(raw: &RawRecord) -> Option<(&str, i64)> {
    let log = str::from_utf8(raw.key.as_ref()?).ok()?;
    let index = header(raw, INDEX_HEADER)?.parse().ok().filter(|index| (0..i64::MAX).contains(index))?;
    Some((log, index))
}

fn header<'a>(raw: &'a RawRecord, of: &str) -> Option<&'a str> {
    let (_, value) = raw.headers.iter().find(|(name, _)| *name == of)?;
    str::from_utf8(value?).ok()
}

fn of_log(log: &str, mut indices: Vec<i64>) -> Vec<Run> {
    indices.sort_unstable();
    indices.dedup();
    let runs = indices.chunk_by(|one, next| one + 1 == *next);
    let ends = runs.filter_map(|run| run.first().zip(run.last()));
    ends.map(|(first, last)| Run { log: log.to_owned(), first_index: *first, next_index: last + 1 }).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        batch::{KeptBytes, OffsetRange, Settlement, TopicPartition},
        raw_headers::RawHeaders,
    };

    fn batch(topic: Topic, records: &[(&str, &str)], only_for: Option<&str>) -> Batch<()> {
        let partition = TopicPartition { topic, partition: 0 };
        let upto = i64::try_from(records.len()).expect("small");
        let records = records.iter().zip(0..).map(|((log, index), offset)| {
            let headers = [(INDEX_HEADER, Some(*index)), (SINK_HEADER, only_for)];
            let given = headers
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), Some(value?.as_bytes().to_vec()))));
            RecordChanges {
                range: 0,
                offset,
                settlement: Settlement::Ignore("filtered"),
                raw: RawRecord {
                    key: Some(Bytes::copy_from_slice(log.as_bytes())),
                    headers: RawHeaders::from_iter(given.collect::<Vec<_>>()),
                    ..RawRecord::default()
                },
                identity: None,
                kept: KeptBytes::All,
            }
        });
        let range = OffsetRange { partition, start: 0, upto, last: None, owner_epoch: 1 };
        Batch { records: records.collect(), ranges: vec![range], rule_set: None }
    }

    fn run(log: &str, first_index: i64, next_index: i64) -> Run {
        Run { log: log.into(), first_index, next_index }
    }

    #[test]
    fn entries_are_passed_in_runs_whatever_became_of_them() {
        let mixed = batch(
            Topic::Audit,
            &[("a", "4"), ("b", "0"), ("a", "5"), ("a", "8"), ("a", "5"), ("a", "-1"), ("a", "x")],
            None,
        );
        assert_eq!(runs(&mixed, "s"), [run("a", 4, 6), run("a", 8, 9), run("b", 0, 1)]);
        assert_eq!(runs(&batch(Topic::Findings, &[("a", "4")], None), "s"), [], "no log has it");
        let largest = i64::MAX.to_string();
        assert_eq!(runs(&batch(Topic::Audit, &[("a", &largest)], None), "s"), []);
    }

    #[test]
    fn a_backfill_is_passed_by_its_sink_alone() {
        let backfill = batch(Topic::AuditBackfill, &[("a", "4"), ("a", "5")], Some("late"));
        assert_eq!(runs(&backfill, "late"), [run("a", 4, 6)]);
        assert_eq!(runs(&backfill, "early"), []);
        assert_eq!(runs(&batch(Topic::AuditBackfill, &[("a", "4")], None), "late"), []);
    }
}
