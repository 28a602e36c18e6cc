//! Filling, merging, splitting and cutting batches: ranges tile and every record keeps its place.

use proptest::prelude::*;
use schemas::Topic;
use sinks::{KeptBytes, RawRecord};

use super::*;

fn tp(partition: i32) -> TopicPartition {
    TopicPartition { topic: Topic::Activity, partition }
}

fn record(offset: i64) -> RecordChanges<i64> {
    let raw = RawRecord { value: Some(offset.to_be_bytes().to_vec().into()), ..RawRecord::default() };
    RecordChanges {
        range: 0,
        offset,
        settlement: Settlement::Apply(vec![offset]),
        raw,
        identity: None,
        kept: KeptBytes::All,
    }
}

#[test]
fn writers_of_one_process_share_its_memory() {
    let bytes = |writers| BatchLimits::shared_by(writers).bytes;
    assert_eq!((bytes(1), bytes(2), bytes(100)), (8 << 20, 4 << 20, 1 << 20));
    assert_eq!(BatchLimits::default(), BatchLimits::shared_by(1));
}

/// Fills batches from (partition, gap before the record), and merges them. A negative gap: so many markers, no record.
fn fill(bursts: &[Vec<(i32, i64)>]) -> Filling<i64> {
    let mut cursors = [0_i64; 4];
    let mut all = Filling::default();
    for burst in bursts {
        let mut filling = Filling::default();
        for (partition, gap) in burst {
            let cursor = &mut cursors[usize::try_from(*partition).expect("small")];
            if *gap < 0 {
                filling.advance(tp(*partition), 1, *cursor..*cursor - gap);
                *cursor -= gap;
                continue;
            }
            let offset = *cursor + gap;
            filling.push(Placed {
                partition: tp(*partition),
                owner_epoch: 1,
                cursor: *cursor,
                record: record(offset),
            });
            *cursor = offset + 1;
        }
        all.append(filling);
    }
    all
}

/// Every record lies in its range, in order; the range carries the print of its last record, if it has one.
fn check(batch: &Batch<i64>) {
    assert!(batch.ranges.windows(2).all(|pair| pair[0].partition < pair[1].partition), "sorted, once each");
    for (index, range) in batch.ranges.iter().enumerate() {
        let inside: Vec<_> = batch.records.iter().filter(|record| record.range == index).collect();
        assert!(inside.windows(2).all(|pair| pair[0].offset < pair[1].offset), "in order");
        assert!(range.start < range.upto, "a range moves its partition");
        assert!(inside.iter().all(|record| (range.start..range.upto).contains(&record.offset)));
        assert_eq!(range.last, inside.last().map(|last| last_record(last.offset, &last.raw)));
    }
}

fn bursts() -> impl Strategy<Value = Vec<Vec<(i32, i64)>>> {
    prop::collection::vec(prop::collection::vec((0..4, -2..3_i64), 0..12), 0..5)
}

proptest! {
    #[test]
    fn filled_and_merged_batches_hold_together(bursts in bursts()) {
        check(&fill(&bursts).finish());
    }

    #[test]
    fn bisecting_down_to_single_records_loses_nothing_and_tiles(bursts in bursts()) {
        let batch = fill(&bursts).finish();
        let whole: Vec<_> = batch.ranges.clone();
        let mut cursors: Vec<_> = whole.iter().map(|range| (range.partition, range.start)).collect();
        let total = batch.records.len();
        let (mut stack, mut seen) = (vec![batch], 0);
        while let Some(batch) = stack.pop() {
            if batch.ranges.is_empty() { continue }
            check(&batch);
            match split(batch) {
                Split::Parts(parts) => stack.extend(parts.into_iter().rev()),
                Split::One(one) => {
                    let range = &one.ranges[0];
                    let cursor = cursors.iter_mut().find(|(p, _)| *p == range.partition).expect("known");
                    prop_assert_eq!(cursor.1, range.start);
                    cursor.1 = range.upto;
                    prop_assert!(one.records.len() <= 1);
                    seen += one.records.len();
                }
            }
        }
        prop_assert_eq!(seen, total);
        prop_assert!(whole.iter().zip(&cursors).all(|(range, (_, end))| range.upto == *end));
    }

    #[test]
    fn forgetting_a_partition_leaves_the_others_whole(bursts in bursts(), gone in 0..4) {
        let kept: Vec<Vec<_>> =
            bursts.iter().map(|burst| burst.iter().copied().filter(|(p, _)| *p != gone).collect()).collect();
        let mut filling = fill(&bursts);
        filling.forget(|partition, _| partition == tp(gone));
        let (forgotten, expected) = (filling.finish(), fill(&kept).finish());
        check(&forgotten);
        prop_assert_eq!(forgotten.ranges, expected.ranges);
        prop_assert_eq!(forgotten.records.len(), expected.records.len());
    }
}

#[test]
fn limits_count_records_and_bytes() {
    let limits = BatchLimits {
        records: 2,
        bytes: 100,
        changes: 100,
        gather: Duration::ZERO,
        linger: Duration::ZERO,
        worthwhile: 100,
    };
    let one = || fill(&[vec![(0, 0)]]);
    assert!(!one().is_full(&limits) && fill(&[vec![(0, 0), (1, 0)]]).is_full(&limits));
    assert!(one().has_room_for(&fill(&[vec![(1, 0)]]), &limits));
    assert!(!one().has_room_for(&fill(&[vec![(1, 0), (2, 0)]]), &limits));
    assert!(
        Filling::default().has_room_for(&fill(&[vec![(1, 0); 9]]), &limits),
        "an empty batch takes anything"
    );
    let few = BatchLimits {
        records: 100,
        bytes: 1_000,
        changes: 2,
        gather: Duration::ZERO,
        linger: Duration::ZERO,
        worthwhile: 100,
    };
    let single = || fill(&[vec![(0, 0)]]);
    let double = fill(&[vec![(0, 0), (1, 0)]]);
    assert!(!single().is_full(&few) && double.is_full(&few), "changes count, however few the records are");
    assert!(single().has_room_for(&single(), &few) && !double.has_room_for(&single(), &few));
    let tight = BatchLimits {
        records: 100,
        bytes: 8,
        changes: 100,
        gather: Duration::ZERO,
        linger: Duration::ZERO,
        worthwhile: 100,
    };
    assert!(one().is_full(&tight));
}

#[test]
fn records_of_two_rule_sets_share_no_batch() {
    let under = |rule_set: &str, offset| {
        let mut filling = Filling::default();
        assert!(filling.is_under(Some(&rule_set.into())));
        let (partition, record) = (tp(0), record(offset));
        filling.push(Placed { partition, owner_epoch: 1, cursor: offset, record });
        filling
    };
    let mut waiting = under("a", 0);
    let limits = BatchLimits::default();
    assert!(waiting.has_room_for(&under("a", 1), &limits));
    assert!(!waiting.has_room_for(&under("b", 1), &limits));
    assert!(!waiting.is_under(Some(&"b".into())) && !waiting.is_under(None));

    // Markers were decided under none.
    let mut markers = Filling::default();
    markers.advance(tp(0), 1, 1..3);
    assert!(waiting.has_room_for(&markers, &limits) && markers.has_room_for(&waiting, &limits));
    waiting.append(markers);
    waiting.append(under("a", 3));
    let batch = waiting.finish();
    assert_eq!(batch.rule_set.as_deref(), Some("a"));
    let Split::Parts(parts) = split(batch) else { panic!("two records") };
    assert!(parts.iter().all(|part| part.rule_set.as_deref() == Some("a")));
}
