use proptest::prelude::*;
use schemas::{ParkReason, Topic};
use sqlx::PgConnection;

use super::*;
use crate::{
    batch::{KeptBytes, OffsetRange, RawRecord, TopicPartition},
    read_models::WritePath,
};

/// A fact with a number for a key and another for its content.
type Number = (u8, u8);

/// A table in memory.
struct Numbers;

impl ReadModel for Numbers {
    type Change = Number;
    type Key<'a> = u8;
    const TABLE: &'static str = "number";

    fn key(change: &Number) -> u8 {
        change.0
    }

    fn content_sha256(change: &Number) -> [u8; 32] {
        [change.1; 32]
    }

    async fn prepare(&mut self, _: &mut PgConnection, _: &[Fact<'_, Number>]) -> sqlx::Result<()> {
        Ok(())
    }

    async fn stored_content(
        &mut self,
        _: &mut PgConnection,
        facts: &[Fact<'_, Number>],
    ) -> sqlx::Result<Vec<Option<[u8; 32]>>> {
        Ok(vec![None; facts.len()])
    }

    async fn write(
        &mut self,
        _: &mut PgConnection,
        _: &[Fact<'_, Number>],
        _: WritePath,
    ) -> sqlx::Result<()> {
        Ok(())
    }
}

/// One record per element, in one range each.
fn batch(settlements: Vec<Settlement<Number>>) -> Batch<Number> {
    let ranges = (0..).zip(&settlements).map(|(number, _)| OffsetRange {
        partition: TopicPartition { topic: Topic::Usage, partition: number },
        start: 0,
        upto: 1,
        last: None,
        owner_epoch: 1,
    });
    let ranges = ranges.collect();
    let record = |(range, settlement)| RecordChanges {
        range,
        offset: 0,
        settlement,
        raw: RawRecord::default(),
        identity: None,
        kept: KeptBytes::All,
    };
    Batch { records: settlements.into_iter().enumerate().map(record).collect(), ranges, rule_set: None }
}

fn careful<'a>(batch: &'a Batch<Number>, stored: &[Number]) -> Plan<'a, Number> {
    let facts = Plan::optimistic::<Numbers>(batch).facts;
    let content = |fact: &Fact<'_, Number>| stored.iter().find(|s| s.0 == fact.change.0).map(|s| [s.1; 32]);
    Plan::careful::<Numbers>(batch, &facts, &facts.iter().map(content).collect::<Vec<_>>())
}

/// Checks the fate of each record, and the facts that are written.
fn check(records: &[&[Number]], stored: &[Number], fates: &str, written: &[Number]) {
    let batch = batch(records.iter().map(|facts| Settlement::Apply(facts.to_vec())).collect());
    let plan = careful(&batch, stored);
    let fate = |c: &RangeCounts| match [c.applied, c.duplicate, c.ignored, c.parked] {
        [1, 0, 0, 0] => 'a',
        [0, 1, 0, 0] => 'd',
        [0, 0, 0, 1] => 'p',
        other => panic!("a record is exactly one of the four: {other:?}"),
    };
    assert_eq!(plan.counts.iter().map(fate).collect::<String>(), fates);
    assert_eq!(plan.facts.iter().map(|fact| *fact.change).collect::<Vec<_>>(), written);
    assert!(plan.parked.iter().all(|parking| parking.reason == ParkReason::DuplicateIdConflict));
    assert_eq!(plan.conflicts, fates.match_indices('p').map(|(index, _)| index).collect::<Vec<_>>());
}

#[test]
fn equal_content_is_a_duplicate_and_other_content_a_conflict() {
    check(&[&[(1, 1)], &[(2, 2)], &[(3, 3)]], &[(1, 1), (2, 9)], "dpa", &[(3, 3)]);
}

#[test]
fn within_a_batch_the_first_wins() {
    check(&[&[(1, 1)], &[(1, 1)], &[(1, 2)]], &[], "adp", &[(1, 1)]);
}

#[test]
fn a_record_is_settled_whole() {
    check(&[&[(1, 1), (2, 2)]], &[(1, 1)], "a", &[(2, 2)]);
    check(&[&[(1, 1), (2, 2)]], &[(1, 1), (2, 2)], "d", &[]);
    check(&[&[(1, 1), (2, 2)]], &[(2, 9)], "p", &[]);
    check(&[&[]], &[], "a", &[]);
}

#[test]
fn a_parked_record_claims_no_keys() {
    // Were the first record's (1, 1) taken as written, the second would be a duplicate of nothing.
    check(&[&[(1, 1), (2, 2)], &[(1, 1)]], &[(2, 9)], "pa", &[(1, 1)]);
}

#[test]
fn records_that_are_not_applied_are_counted_as_what_they_are() {
    let park = Settlement::Park { reason: ParkReason::Undecodable, detail: "no record".into() };
    let batch = batch(vec![Settlement::Ignore("tombstone"), park, Settlement::Apply(vec![(5, 5)])]);
    for plan in [Plan::optimistic::<Numbers>(&batch), careful(&batch, &[])] {
        let counts: Vec<_> =
            plan.counts.iter().map(|c| [c.applied, c.duplicate, c.ignored, c.parked]).collect();
        assert_eq!(counts, [[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]]);
        assert_eq!((plan.parked.len(), plan.parked[0].partition.partition), (1, 1));
    }
}

proptest! {
    /// However the records are cut into batches, the same facts are stored and the same records parked.
    #[test]
    fn cutting_a_batch_changes_nothing(
        records in prop::collection::vec(prop::collection::vec((0..6_u8, 0..2_u8), 0..3), 0..12),
        cut in 0..12_usize,
    ) {
        // Two facts of one record with one key and two contents would be a processor's fault.
        let mut records = records;
        for facts in &mut records {
            facts.sort_unstable();
            facts.dedup_by_key(|fact| fact.0);
        }
        let (head, tail) = records.split_at(cut.min(records.len()));
        let (mut stored, mut fates) = (Vec::new(), Vec::new());
        for part in [head, tail] {
            settle(part, &mut stored, &mut fates);
        }
        let (mut stored_whole, mut fates_whole) = (Vec::new(), Vec::new());
        settle(&records, &mut stored_whole, &mut fates_whole);
        stored.sort_unstable();
        stored_whole.sort_unstable();
        prop_assert_eq!(stored, stored_whole);
        prop_assert_eq!(fates, fates_whole);
    }

    /// Optimism is right exactly when nothing is there and nothing repeats.
    #[test]
    fn a_clean_batch_is_planned_the_same_either_way(keys in prop::collection::btree_set(0..200_u8, 0..40)) {
        let batch = batch(keys.iter().rev().map(|key| Settlement::Apply(vec![(*key, 1)])).collect());
        let (one, two) = (Plan::optimistic::<Numbers>(&batch), careful(&batch, &[]));
        prop_assert_eq!(&one.counts, &two.counts);
        let keys = |plan: &Plan<'_, Number>| plan.facts.iter().map(|fact| fact.change.0).collect::<Vec<_>>();
        prop_assert_eq!(keys(&one), keys(&two));
        prop_assert!(keys(&one).is_sorted());
    }
}

fn settle(records: &[Vec<Number>], stored: &mut Vec<Number>, fates: &mut Vec<RangeCounts>) {
    let batch = batch(records.iter().map(|facts| Settlement::Apply(facts.clone())).collect());
    let plan = careful(&batch, stored);
    stored.extend(plan.facts.iter().map(|fact| *fact.change));
    fates.extend(plan.counts);
}
