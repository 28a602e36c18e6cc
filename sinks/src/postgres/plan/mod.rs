//! Work of a batch, planned before and between the statements of its transaction. Pure.

use std::{borrow::Cow, collections::HashMap};

use schemas::ParkReason;

use crate::{
    batch::{Batch, RecordChanges, Settlement},
    delivery::RangeCounts,
    parking::Parking,
    read_models::{Fact, ReadModel},
};

/// Most facts that are written in one statement; more are quicker by COPY.
const MAX_SINGLE_FACTS: usize = 50;

/// Rows to write for a batch, and the counts of its positions.
pub(super) struct Plan<'a, C> {
    /// Sorted by key, as the tables are written.
    pub(super) facts: Vec<Fact<'a, C>>,
    /// In offset order within each partition.
    pub(super) parked: Vec<Parking<'a>>,
    /// Per range of the batch.
    pub(super) counts: Vec<RangeCounts>,
    /// Records that are parked for their ids, by index.
    pub(super) conflicts: Vec<usize>,
}

impl<'a, C> Plan<'a, C> {
    /// The plan if nothing of the batch is there yet.
    pub(super) fn optimistic<M: ReadModel<Change = C>>(batch: &'a Batch<C>) -> Self {
        let mut plan = Self::empty(batch);
        for (index, record) in batch.records.iter().enumerate() {
            match &record.settlement {
                Settlement::Apply(_) => {
                    plan.facts.extend(facts_of(batch, index));
                    plan.counts[record.range].applied += 1;
                }
                _ => plan.settle_unapplied(batch, record),
            }
        }
        plan.sort::<M>();
        plan
    }

    /// The plan in view of what is stored: `stored` holds the content under the key of each of `facts`.
    ///
    /// The earlier record of the batch wins against a later one with its key. A record with a conflicting fact is
    /// parked whole, one whose facts are all there is a duplicate, any other is applied with what is new of it.
    pub(super) fn careful<M: ReadModel<Change = C>>(
        batch: &'a Batch<C>,
        facts: &[Fact<'a, C>],
        stored: &[Option<[u8; 32]>],
    ) -> Self {
        assert_eq!(facts.len(), stored.len(), "one answer per fact");
        let mut known: HashMap<M::Key<'a>, [u8; 32]> = facts
            .iter()
            .zip(stored)
            .filter_map(|(fact, content)| content.map(|content| (M::key(fact.change), content)))
            .collect();
        let mut plan = Self::empty(batch);
        for (index, record) in batch.records.iter().enumerate() {
            if !matches!(record.settlement, Settlement::Apply(_)) {
                plan.settle_unapplied(batch, record);
                continue;
            }
            let all: Vec<_> = facts_of(batch, index).collect();
            let content_of = |fact: &Fact<'a, C>| known.get(&M::key(fact.change)).copied();
            let conflict = all.iter().any(|fact| {
                content_of(fact).is_some_and(|content| content != M::content_sha256(fact.change))
            });
            if conflict {
                let detail = "an event with this id and other content has been applied";
                plan.park(batch, record, ParkReason::DuplicateIdConflict, Cow::Borrowed(detail));
                plan.conflicts.push(index);
                continue;
            }
            let new: Vec<_> = all.iter().filter(|fact| content_of(fact).is_none()).copied().collect();
            if new.is_empty() && !all.is_empty() {
                plan.counts[record.range].duplicate += 1;
                continue;
            }
            plan.counts[record.range].applied += 1;
            known.extend(new.iter().map(|fact| (M::key(fact.change), M::content_sha256(fact.change))));
            plan.facts.extend(new);
        }
        plan.sort::<M>();
        plan
    }

    /// Whether nothing but a few facts is to be written.
    pub(super) fn is_small_and_plain(&self) -> bool {
        self.facts.len() <= MAX_SINGLE_FACTS && self.parked.is_empty()
    }

    fn empty(batch: &Batch<C>) -> Self {
        let facts = Vec::with_capacity(batch.records.len());
        let counts = vec![RangeCounts::default(); batch.ranges.len()];
        Self { facts, parked: Vec::new(), counts, conflicts: Vec::new() }
    }

    fn sort<M: ReadModel<Change = C>>(&mut self) {
        // Stable: of two facts with one key the earlier record's stays first.
        self.facts.sort_by_cached_key(|fact| M::key(fact.change));
    }

    fn settle_unapplied(&mut self, batch: &'a Batch<C>, record: &'a RecordChanges<C>) {
        match &record.settlement {
            Settlement::Apply(_) => unreachable!("the caller applies it"),
            Settlement::Ignore(_) => self.counts[record.range].ignored += 1,
            Settlement::Park { reason, detail } => {
                self.park(batch, record, *reason, Cow::Borrowed(detail.as_str()));
            }
        }
    }

    fn park(
        &mut self,
        batch: &Batch<C>,
        record: &'a RecordChanges<C>,
        reason: ParkReason,
        detail: Cow<'a, str>,
    ) {
        self.counts[record.range].parked += 1;
        self.parked.push(Parking::of(record, batch.ranges[record.range].partition, reason, detail));
    }
}

fn facts_of<C>(batch: &Batch<C>, index: usize) -> impl Iterator<Item = Fact<'_, C>> {
    let record = &batch.records[index];
    let changes = match &record.settlement {
        Settlement::Apply(changes) => changes.as_slice(),
        _ => &[],
    };
    let partition = batch.ranges[record.range].partition;
    changes.iter().map(move |change| Fact { change, partition, offset: record.offset })
}

#[cfg(test)]
mod tests;
