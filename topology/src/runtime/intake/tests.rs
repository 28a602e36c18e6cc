//! What an intake makes of records and claims.

use schemas::ParkReason;

use super::*;

/// Values say what is decided: `s7` needs schema 7, `p` is parked, others are applied.
struct ByValue;

impl Decide for ByValue {
    type Change = Vec<u8>;

    fn decide(&self, record: &Record<'_>) -> Decision<Vec<u8>> {
        let value = record.value.unwrap_or_default();
        let settlement = match value {
            [b's', id, ..] => return Decision::NeedsSchema(u32::from(id - b'0')),
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
    let diverged = || Taken::Diverged { owner_epoch: 4, reason: HaltReason::LogDiverged { offset: 4 } };
    check((5, Some((4, b"last"))), &[(4, b"other", diverged()), (5, b"a", Taken::Dropped)], None);
    check((5, Some((4, b"last"))), &[(6, b"a", diverged())], None);
}

#[test]
fn a_missing_schema_stops_its_partition_until_the_consumer_was_sent_back() {
    let mut intake = Intake::new(ByValue);
    intake.claimed(&claim(0, None), SEEN, "here");
    assert_eq!(intake.take(&record(0, b"a")), Taken::Gathered);
    assert_eq!(intake.take(&record(1, b"s7")), Taken::NeedsSchema(7));
    assert_eq!(intake.take(&record(2, b"b")), Taken::Dropped);
    assert_eq!(intake.rewinds(), [(AT, Rewind::AwaitsSchema(7), 1)]);
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
    halted.halted = Some("retention_gap: from 1 to 2".into());
    let outcome = intake.claimed(&halted, SEEN, "here");
    assert!(matches!(outcome, Claimed::Halted { owner_epoch: 4, .. }), "{outcome:?}");
    assert!(intake.holds(AT) && intake.epoch_of(AT).is_none());
    assert_eq!(intake.take(&record(0, b"a")), Taken::Dropped);
}
