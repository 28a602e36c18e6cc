//! Records of a batch that were delivered. Rows of `parked_record` may wait for some of them, from the time before a replay.

use schemas::OcsfEvent;

use super::{
    passed::{self, Run},
    records::changes_of,
};
use crate::batch::{Batch, TopicPartition};

/// Records whose offsets follow one another, by place, and the entries of logs that they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    pub(super) topics: Vec<&'static str>,
    pub(super) partitions: Vec<i32>,
    /// The first offset of each.
    pub(super) firsts: Vec<i64>,
    /// The offset behind the last of each.
    pub(super) nexts: Vec<i64>,
    pub(super) entries: Vec<Run>,
}

impl Delivered {
    /// What a sink has delivered of a batch.
    pub(super) fn of(batch: &Batch<OcsfEvent>, sink: &str) -> Self {
        let mut delivered = Self {
            entries: passed::runs_of(batch, sink, |record| !changes_of(record).is_empty()),
            ..Self::default()
        };
        for (number, range) in batch.ranges.iter().enumerate() {
            let mut run: Option<(i64, i64)> = None;
            for record in batch.records.iter().filter(|record| record.range == number) {
                if changes_of(record).is_empty() {
                    delivered.extend(range.partition, run.take());
                } else {
                    run = Some((run.map_or(record.offset, |(first, _)| first), record.offset + 1));
                }
            }
            delivered.extend(range.partition, run);
        }
        delivered
    }

    fn extend(&mut self, at: TopicPartition, run: Option<(i64, i64)>) {
        let Some((first, next)) = run else { return };
        self.topics.push(at.topic.name());
        self.partitions.push(at.partition);
        self.firsts.push(first);
        self.nexts.push(next);
    }
}

#[cfg(test)]
mod tests {
    use schemas::{ParkReason, Topic};

    use super::*;
    use crate::batch::{KeptBytes, OffsetRange, RawRecord, RecordChanges, Settlement};

    #[test]
    fn what_was_delivered_is_told_in_runs_between_what_was_not() {
        let finding = || {
            let json = br#"{"class_uid":2004,"time":1,"severity_id":5,"metadata":{"uid":"0192f0c1-2345-7abc-8def-0123456789ab",
                            "tenant_uid":"acme"}}"#;
            OcsfEvent::from_json(json.as_slice().into()).expect("a finding")
        };
        let record = |range: usize, offset: i64, what: char| RecordChanges {
            range,
            offset,
            settlement: match what {
                'd' => Settlement::Apply(vec![finding()]),
                'f' => Settlement::Apply(Vec::new()),
                _ => Settlement::Park { reason: ParkReason::SiemRefused, detail: String::new() },
            },
            raw: RawRecord::default(),
            identity: None,
            kept: KeptBytes::All,
        };
        let range = |partition| OffsetRange {
            partition: TopicPartition { topic: Topic::Findings, partition },
            start: 0,
            upto: 9,
            last: None,
            owner_epoch: 1,
        };
        let records = vec![
            record(0, 3, 'd'),
            record(1, 1, 'p'),
            record(0, 5, 'd'),
            record(1, 2, 'd'),
            record(0, 6, 'f'),
            record(0, 7, 'd'),
        ];
        let batch = Batch { records, ranges: vec![range(0), range(1)], rule_set: None };
        let delivered = Delivered::of(&batch, "s");
        assert_eq!((delivered.partitions, delivered.firsts), (vec![0, 0, 1], vec![3, 7, 2]));
        assert_eq!(
            (delivered.nexts, delivered.entries),
            (vec![6, 8, 3], Vec::<Run>::new()),
            "offsets may have holes"
        );
        assert_eq!(delivered.topics, ["weir.findings.v1"; 3]);
    }
}
