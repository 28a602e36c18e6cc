use proptest::prelude::*;
use schemas::Topic;

use super::*;
use crate::batch::TopicPartition;

fn range(start: i64, upto: i64, owner_epoch: i64) -> OffsetRange {
    let partition = TopicPartition { topic: Topic::Activity, partition: 0 };
    OffsetRange { partition, start, upto, last: None, owner_epoch }
}

fn check(row: Option<(i64, i64)>, expected: Verdict) {
    let standing = row.map(|(position, owner_epoch)| Standing { position, owner_epoch });
    assert_eq!(judge(standing, &range(10, 20, 3)), expected, "{row:?}");
}

#[test]
fn the_truth_table() {
    check(Some((10, 3)), Verdict::Apply);
    check(Some((20, 3)), Verdict::Applied);
    for elsewhere in [0, 9, 11, 15, 19, 21, 1000] {
        check(Some((elsewhere, 3)), Verdict::Fenced);
    }
    for position in [10, 15, 20] {
        check(Some((position, 2)), Verdict::Fenced);
        check(Some((position, 4)), Verdict::Fenced);
    }
    check(None, Verdict::Fenced);
}

#[test]
fn partitions_of_a_batch_must_agree() {
    let (one, two) = (range(10, 20, 3), range(5, 7, 1));
    let rows = |a, b| {
        let standing = |(position, owner_epoch)| Some(Standing { position, owner_epoch });
        judge_batch([(standing(a), &one), (standing(b), &two)])
    };
    assert_eq!(rows((10, 3), (5, 1)), Verdict::Apply);
    assert_eq!(rows((20, 3), (7, 1)), Verdict::Applied);
    assert_eq!(rows((20, 3), (5, 1)), Verdict::Fenced);
    assert_eq!(rows((10, 3), (5, 2)), Verdict::Fenced);
    assert_eq!(judge_batch([]), Verdict::Applied, "nothing is left to do");
}

/// One process that believes it owns the partition.
#[derive(Debug, Default, Clone)]
struct Actor {
    epoch: i64,
    cursor: i64,
    /// A transaction that was begun and stalls: its range waits to be compared.
    stalled: Option<OffsetRange>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Claim,
    /// Applies the next records, and learns the outcome.
    Advance(i64),
    /// Commits the next records, and the answer is lost; the same batch is tried again.
    AdvanceUnanswered(i64),
    /// Begins, and freezes before the comparison.
    Stall(i64),
    /// Wakes up and continues as if nothing had happened.
    Wake,
    Crash,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let records = 1..5_i64;
    let step = prop_oneof![
        3 => Just(Step::Claim),
        8 => records.clone().prop_map(Step::Advance),
        3 => records.clone().prop_map(Step::AdvanceUnanswered),
        3 => records.prop_map(Step::Stall),
        3 => Just(Step::Wake),
        1 => Just(Step::Crash),
    ];
    (0..3_usize, step)
}

/// The row, and every range that was applied to it.
#[derive(Debug)]
struct Row {
    standing: Standing,
    applied: Vec<(i64, i64)>,
}

impl Row {
    /// One transaction: compares, and moves if it may.
    fn transact(&mut self, range: &OffsetRange) -> Verdict {
        let verdict = judge(Some(self.standing), range);
        if verdict == Verdict::Apply {
            self.standing.position = range.upto;
            self.applied.push((range.start, range.upto));
        }
        verdict
    }
}

impl Actor {
    fn next(&self, records: i64) -> OffsetRange {
        range(self.cursor, self.cursor + records, self.epoch)
    }

    fn settle(&mut self, range: &OffsetRange, verdict: Verdict) {
        match verdict {
            Verdict::Apply | Verdict::Applied => self.cursor = range.upto,
            Verdict::Fenced => *self = Self::default(),
        }
    }

    fn step(&mut self, step: Step, row: &mut Row) {
        match step {
            Step::Claim => {
                row.standing.owner_epoch += 1;
                *self =
                    Self { epoch: row.standing.owner_epoch, cursor: row.standing.position, stalled: None };
            }
            Step::Crash => *self = Self::default(),
            _ if self.epoch == 0 => {}
            Step::Wake => {
                if let Some(range) = self.stalled.take() {
                    let verdict = row.transact(&range);
                    self.settle(&range, verdict);
                }
            }
            _ if self.stalled.is_some() => {}
            Step::Advance(records) => {
                let range = self.next(records);
                let verdict = row.transact(&range);
                self.settle(&range, verdict);
            }
            Step::AdvanceUnanswered(records) => {
                let range = self.next(records);
                let lost = row.transact(&range);
                let again = row.transact(&range);
                let seen_twice = (lost, again);
                let consistent = matches!(
                    seen_twice,
                    (Verdict::Apply, Verdict::Applied) | (Verdict::Fenced, Verdict::Fenced)
                );
                assert!(consistent, "{seen_twice:?}");
                self.settle(&range, again);
            }
            Step::Stall(records) => self.stalled = Some(self.next(records)),
        }
    }
}

proptest! {
    #[test]
    fn applied_ranges_tile_whatever_the_owners_do(steps in prop::collection::vec(step(), 0..200)) {
        let mut row = Row { standing: Standing { position: 0, owner_epoch: 0 }, applied: Vec::new() };
        let mut actors = vec![Actor::default(); 3];
        for (who, step) in steps {
            actors[who].step(step, &mut row);
            // Nobody believes in more than is there, and the owner knows exactly where it stands.
            for actor in &actors {
                prop_assert!(actor.cursor <= row.standing.position);
                if actor.epoch == row.standing.owner_epoch {
                    prop_assert_eq!(actor.cursor, row.standing.position);
                }
            }
        }
        let mut end = 0;
        for (start, upto) in row.applied {
            prop_assert_eq!(start, end);
            end = upto;
        }
        prop_assert_eq!(end, row.standing.position);
    }
}
