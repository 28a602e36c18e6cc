//! The intake's handling of records and claims.

use std::sync::Mutex;

use schemas::ParkReason;

use super::*;

/// Values say what is decided: `s7` needs schema 7, `p` is parked, others are applied.
struct ByValue;

impl Decide for ByValue {
    type Change = Vec<u8>;

    fn decide(&self, record: &Record<'_>, _: &RawRecord) -> Decision<Vec<u8>> {
        let value = record.value.unwrap_or_default();
        let settlement = match value {
            [b's', id, ..] => return Decision::NeedsSchema(SchemaRef::Id(u32::from(id - b'0'))),
            [b'p'] => Settlement::Park { reason: ParkReason::Undecodable, detail: String::new() },
            other => Settlement::Apply(vec![other.to_vec()]),
        };
        Decision::Settle { settlement, identity: None }
    }
}

const AT: TopicPartition = TopicPartition { topic: Topic::Usage, partition: 2 };
const SEEN: Watermarks = Watermarks { low: 0, high: 1_000 };

fn record(offset: i64, value: &[u8]) -> Record<'_> {
    Record {
        topic: AT.topic,
        partition: AT.partition,
        offset,
        key: None,
        value: Some(value),
        headers: &[],
        timestamp_ms: 0,
    }
}

fn claim(position: i64, last: Option<(i64, &[u8])>) -> Claim {
    let print =
        |(offset, value): (i64, &[u8])| LastRecord { offset, print: fingerprint(None, Some(value), 0) };
    Claim {
        partition: AT,
        position,
        last: last.map(print),
        owner_epoch: 4,
        cluster_id: "here".into(),
        partitions: None,
        halted: None,
    }
}

/// Claims at a position, offers records and expects what is done with each, and the range gathered in the
/// end.
fn check(
    (position, last): (i64, Option<(i64, &[u8])>),
    records: &[(i64, &[u8], Taken)],
    gathered: Option<(i64, i64)>,
) {
    let mut intake = Intake::new(ByValue);
    intake.unclaimed(AT);
    let read_from =
        Claimed::ReadFrom { offset: last.map_or(position, |(offset, _)| offset), recognisable: true };
    assert_eq!(intake.claimed(&claim(position, last), SEEN, "here"), read_from);
    for (offset, value, expected) in records {
        assert_eq!(&intake.take(&record(*offset, value)), expected, "offset {offset}");
    }
    let batch = std::mem::take(intake.gathered()).finish();
    assert_eq!(batch.ranges.first().map(|range| (range.start, range.upto)), gathered);
}

#[test]
fn ranges_begin_at_the_cursor_and_holes_belong_to_them() {
    check((5, None), &[(7, b"a", Taken::Gathered), (9, b"b", Taken::Gathered)], Some((5, 10)));
    check((5, None), &[], None);
}

#[test]
fn the_last_settled_record_is_recognised_and_not_applied_again() {
    check(
        (5, Some((4, b"last"))),
        &[
            (3, b"stale", Taken::Dropped),
            (4, b"last", Taken::Recognised),
            (4, b"last", Taken::Dropped),
            (5, b"a", Taken::Gathered),
        ],
        Some((5, 6)),
    );
}

#[test]
fn another_record_in_its_place_or_none_at_all_means_another_log() {
    let diverged = || Taken::Diverged { owner_epoch: 4, reason: HaltReason::log_diverged(4) };
    check((5, Some((4, b"last"))), &[(4, b"other", diverged()), (5, b"a", Taken::Dropped)], None);
    check((5, Some((4, b"last"))), &[(6, b"a", diverged())], None);
}

#[test]
fn a_missing_schema_stops_its_partition_until_the_consumer_was_sent_back() {
    let mut intake = Intake::new(ByValue);
    intake.claimed(&claim(0, None), SEEN, "here");
    assert_eq!(intake.take(&record(0, b"a")), Taken::Gathered);
    assert_eq!(intake.take(&record(1, b"s7")), Taken::NeedsSchema(SchemaRef::Id(7)));
    assert_eq!(intake.take(&record(2, b"b")), Taken::Dropped);
    assert_eq!(intake.rewinds(), [(AT, Rewind::AwaitsSchema(SchemaRef::Id(7)), 1)]);
    intake.rewound(AT);
    assert_eq!(intake.take(&record(1, b"now known")), Taken::Gathered);
    assert!(intake.rewinds().is_empty());
}

#[test]
fn a_record_without_room_is_fetched_again_from_the_cursor() {
    let mut intake = Intake::new(ByValue);
    intake.claimed(&claim(3, Some((2, b"last"))), SEEN, "here");
    intake.refuse(AT);
    assert_eq!(intake.rewinds(), [(AT, Rewind::NoRoom, 2)], "the log is not recognised yet");
    intake.rewound(AT);
    assert_eq!(intake.take(&record(2, b"last")), Taken::Recognised);
    intake.refuse(AT);
    assert_eq!(intake.take(&record(3, b"a")), Taken::Dropped);
    assert_eq!(intake.rewinds(), [(AT, Rewind::NoRoom, 3)]);
}

#[test]
fn what_is_revoked_or_claimed_anew_forgets_what_it_gathered() {
    let mut intake = Intake::new(ByValue);
    intake.claimed(&claim(0, None), SEEN, "here");
    intake.take(&record(0, b"a"));
    intake.claimed(&claim(0, None), SEEN, "here");
    assert!(intake.gathered().is_empty());
    intake.take(&record(0, b"a"));
    intake.revoked(AT);
    assert!(intake.gathered().is_empty() && !intake.holds(AT));
    assert_eq!(intake.take(&record(1, b"b")), Taken::Dropped);
}

#[test]
fn a_halted_partition_stays_assigned_and_takes_nothing() {
    let mut intake = Intake::new(ByValue);
    let mut halted = claim(0, None);
    halted.halted = Some(HaltReason::retention_gap(1, 2));
    let outcome = intake.claimed(&halted, SEEN, "here");
    assert!(matches!(outcome, Claimed::StillHalted(_)), "{outcome:?}");
    assert!(intake.holds(AT) && intake.epoch_of(AT).is_none());
    assert_eq!(intake.take(&record(0, b"a")), Taken::Dropped);
}

/// Records gathered of the partition, as one range.
fn gathered(intake: &mut Intake<ByValue>) -> Option<(i64, i64, usize)> {
    let batch = std::mem::take(intake.gathered()).finish();
    batch.ranges.first().map(|range| (range.start, range.upto, batch.records.len()))
}

#[test]
fn the_position_goes_past_what_nobody_is_to_see() {
    let mut intake = Intake::new(ByValue);
    intake.claimed(&claim(0, None), SEEN, "here");
    intake.handed_out(AT, None);
    intake.handed_out(AT, Some(2));
    assert_eq!(gathered(&mut intake), Some((0, 2, 0)), "markers only, from the beginning");
    intake.take(&record(2, b"a"));
    intake.handed_out(AT, Some(3));
    assert_eq!(gathered(&mut intake), Some((2, 3, 1)), "nothing beyond the record");
    intake.handed_out(AT, Some(4));
    intake.handed_out(AT, Some(4));
    assert_eq!(gathered(&mut intake), Some((3, 4, 0)));
    assert_eq!(intake.take(&record(4, b"b")), Taken::Gathered);
    assert_eq!(gathered(&mut intake), Some((4, 5, 1)), "ranges tile");
}

/// A client may still tell what it had handed out before it was sent back: going there would lose records.
#[test]
fn what_was_handed_out_before_a_claim_or_a_seek_moves_nothing() {
    let mut intake = Intake::new(ByValue);
    intake.claimed(&claim(5, None), SEEN, "here");
    intake.handed_out(AT, Some(900));
    assert_eq!(gathered(&mut intake), None, "told before anything of this claim came");
    assert_eq!(intake.take(&record(5, b"a")), Taken::Gathered);
    intake.refuse(AT);
    intake.handed_out(AT, Some(7));
    assert_eq!(gathered(&mut intake), Some((5, 6, 1)), "there was no room for the record at 6");
    intake.rewound(AT);
    intake.handed_out(AT, Some(7));
    assert_eq!(gathered(&mut intake), None, "still from before it was sent back");
    intake.handed_out(AT, None);
    assert_eq!(intake.take(&record(6, b"b")), Taken::Gathered);
    intake.handed_out(AT, Some(8));
    assert_eq!(gathered(&mut intake), Some((6, 8, 1)));
}

#[test]
fn a_log_that_is_not_recognised_yet_is_not_gone_past() {
    let mut intake = Intake::new(ByValue);
    intake.claimed(&claim(5, Some((4, b"last"))), SEEN, "here");
    intake.handed_out(AT, None);
    intake.handed_out(AT, Some(9));
    assert_eq!(gathered(&mut intake), None);
    assert_eq!(intake.take(&record(4, b"last")), Taken::Recognised);
    intake.handed_out(AT, Some(9));
    assert_eq!(gathered(&mut intake), Some((5, 9, 0)));
}

#[test]
fn partitions_that_are_not_read_are_not_gone_past() {
    let mut intake = Intake::new(ByValue);
    intake.handed_out(AT, Some(9));
    intake.unclaimed(AT);
    intake.handed_out(AT, None);
    intake.handed_out(AT, Some(9));
    assert!(intake.gathered().is_empty());
}

/// Decides under a rule set that each of the next decisions replaces in its middle, so many times.
struct Reloaded {
    rule_set: Arc<Mutex<u32>>,
    left: Mutex<u32>,
}

impl Decide for Reloaded {
    type Change = u32;

    fn rule_set(&self) -> Option<Arc<str>> {
        Some(self.rule_set.lock().expect("whole").to_string().into())
    }

    fn decide(&self, _: &Record<'_>, _: &RawRecord) -> Decision<u32> {
        let mut rule_set = self.rule_set.lock().expect("whole");
        let before = *rule_set;
        let mut left = self.left.lock().expect("whole");
        *rule_set += (*left).min(1);
        *left -= (*left).min(1);
        Decision::Settle { settlement: Settlement::Apply(vec![before]), identity: None }
    }
}

#[test]
fn a_batch_is_decided_under_one_rule_set() {
    let rule_set = Arc::new(Mutex::new(1));
    let mut intake = Intake::new(Reloaded { rule_set: Arc::clone(&rule_set), left: Mutex::new(2) });
    intake.claimed(&claim(5, None), SEEN, "here");
    let changes = |batch: &sinks::Batch<u32>| -> Vec<u32> {
        let of = |record: &RecordChanges<u32>| match &record.settlement {
            Settlement::Apply(changes) => changes.clone(),
            other => panic!("applied: {other:?}"),
        };
        batch.records.iter().flat_map(of).collect()
    };
    assert_eq!(intake.take(&record(5, b"a")), Taken::Gathered, "decided again until nothing was replaced");
    assert_eq!(intake.take(&record(6, b"b")), Taken::Gathered);
    *rule_set.lock().expect("whole") = 9;
    assert_eq!(intake.take(&record(7, b"c")), Taken::Dropped, "those before it leave first");
    assert_eq!(intake.rewinds(), [(AT, Rewind::NoRoom, 7)]);
    let batch = std::mem::take(intake.gathered()).finish();
    assert_eq!((changes(&batch), batch.rule_set.as_deref()), (vec![3, 3], Some("3")));
    intake.rewound(AT);
    assert_eq!(intake.take(&record(7, b"c")), Taken::Gathered);
    let batch = std::mem::take(intake.gathered()).finish();
    assert_eq!((changes(&batch), batch.rule_set.as_deref()), (vec![9], Some("9")));
    assert_eq!((batch.ranges[0].start, batch.ranges[0].upto), (7, 8));
}
