//! Gathering of records into batches, and splitting of a batch that fails.

use std::{ops::Range, sync::Arc, time::Duration};

use schemas::ParkReason;
use sinks::{Batch, OffsetRange, RecordChanges, Settlement, TopicPartition};

use crate::runtime::deliver::fingerprint::last_record;

/// Limits on the records that one transaction settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Records.
    pub records: usize,
    /// Bytes of keys, values and headers.
    pub bytes: usize,
    /// Changes that the records cause: one record may cause thousands.
    pub changes: usize,
    /// Longest time for which records are gathered while more keep arriving.
    pub gather: Duration,
    /// Longest wait of a batch with fewer than [`worthwhile`](Self::worthwhile) records. Zero: it is delivered as
    /// soon as possible.
    pub linger: Duration,
    /// Records with which a batch waits no longer, though it has room for more.
    pub worthwhile: usize,
}

/// Largest batch of a process with one writer; as much again is gathered meanwhile, and as much waits.
const PROCESS_BYTES: usize = 8 * 1024 * 1024;
/// Smaller batches are not worth their commits.
const MIN_BYTES: usize = 1024 * 1024;

impl BatchLimits {
    /// Limits of each of so many writers, which share the memory of one process.
    pub fn shared_by(writers: usize) -> Self {
        let bytes = (PROCESS_BYTES / writers.max(1)).max(MIN_BYTES);
        Self {
            records: 10_000,
            bytes,
            changes: 20_000,
            gather: Duration::from_millis(200),
            linger: Duration::ZERO,
            worthwhile: 10_000,
        }
    }
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self::shared_by(1)
    }
}

/// A batch that records are still being added to.
#[derive(Debug)]
pub(crate) struct Filling<C> {
    records: Vec<RecordChanges<C>>,
    ranges: Vec<OffsetRange>,
    bytes: usize,
    changes: usize,
    /// The range added to last; records of a partition come in runs.
    current: usize,
    /// Rule set under which its records were decided.
    rule_set: Option<Arc<str>>,
}

/// A decided record and its place.
#[derive(Debug)]
pub(crate) struct Placed<C> {
    pub(crate) partition: TopicPartition,
    pub(crate) owner_epoch: i64,
    /// The stage's cursor before this record.
    pub(crate) cursor: i64,
    pub(crate) record: RecordChanges<C>,
}

impl<C> Default for Filling<C> {
    fn default() -> Self {
        Self { records: Vec::new(), ranges: Vec::new(), bytes: 0, changes: 0, current: 0, rule_set: None }
    }
}

impl<C> Filling<C> {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a batch of that size must not take another record.
    pub(crate) fn is_full(&self, limits: &BatchLimits) -> bool {
        self.records.len() >= limits.records || self.bytes >= limits.bytes || self.changes >= limits.changes
    }

    /// Whether a batch of that size waits no longer for more records.
    pub(crate) fn is_worthwhile(&self, limits: &BatchLimits) -> bool {
        self.records.len() >= limits.worthwhile || self.is_full(limits)
    }

    /// Whether a record that was decided under this rule set may be added. The first record sets it: a batch has one.
    pub(crate) fn is_under(&mut self, rule_set: Option<&Arc<str>>) -> bool {
        if self.records.is_empty() {
            self.rule_set = rule_set.cloned();
        }
        self.rule_set.as_ref() == rule_set
    }

    /// Adds the next record of its partition.
    pub(crate) fn push(&mut self, placed: Placed<C>) {
        let Placed { partition, owner_epoch, cursor, mut record } = placed;
        let upto = record.offset + 1;
        record.range =
            self.range_for(&OffsetRange { partition, start: cursor, upto, last: None, owner_epoch });
        self.bytes += record.raw.size();
        self.changes += changes_of(&record);
        self.records.push(record);
    }

    /// Moves a partition's end to `upto` without a record: readers do not see the offsets between.
    pub(crate) fn advance(&mut self, partition: TopicPartition, owner_epoch: i64, passed: Range<i64>) {
        self.range_for(&OffsetRange {
            partition,
            start: passed.start,
            upto: passed.end,
            last: None,
            owner_epoch,
        });
    }

    /// Whether `other` fits in as well. An empty batch takes anything.
    pub(crate) fn has_room_for(&self, other: &Self, limits: &BatchLimits) -> bool {
        let may_mix = self.records.is_empty() || other.records.is_empty() || self.rule_set == other.rule_set;
        self.is_empty()
            || (may_mix
                && self.records.len() + other.records.len() <= limits.records
                && self.bytes + other.bytes <= limits.bytes
                && self.changes + other.changes <= limits.changes)
    }

    /// Appends the records gathered after it.
    pub(crate) fn append(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        if self.records.is_empty() {
            self.rule_set = other.rule_set;
        }
        let places: Vec<usize> = other.ranges.iter().map(|range| self.range_for(range)).collect();
        self.bytes += other.bytes;
        self.changes += other.changes;
        self.records.extend(other.records.into_iter().map(|mut record| {
            record.range = places[record.range];
            record
        }));
    }

    /// Drops every record of the partitions that `gone` names, by partition and owner epoch.
    pub(crate) fn forget(&mut self, gone: impl Fn(TopicPartition, i64) -> bool) {
        if !self.ranges.iter().any(|range| gone(range.partition, range.owner_epoch)) {
            return;
        }
        let batch = Batch {
            records: std::mem::take(&mut self.records),
            ranges: std::mem::take(&mut self.ranges),
            rule_set: None,
        };
        let batch = retain_ranges(batch, |range| !gone(range.partition, range.owner_epoch));
        self.bytes = batch.records.iter().map(|record| record.raw.size()).sum();
        self.changes = batch.records.iter().map(changes_of).sum();
        (self.records, self.ranges, self.current) = (batch.records, batch.ranges, 0);
    }

    /// The finished batch: ranges sorted, each with the print of its last record.
    pub(crate) fn finish(self) -> Batch<C> {
        let mut order: Vec<usize> = (0..self.ranges.len()).collect();
        order.sort_by_key(|index| self.ranges[*index].partition);
        let mut place = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old] = new;
        }
        let mut ranges = self.ranges;
        ranges.sort_by_key(|range| range.partition);
        let mut records = self.records;
        for record in &mut records {
            record.range = place[record.range];
        }
        let mut batch = Batch { records, ranges, rule_set: self.rule_set };
        print_ends(&mut batch);
        batch
    }

    /// Finds or makes the range, and moves its end.
    fn range_for(&mut self, next: &OffsetRange) -> usize {
        let same =
            |range: &OffsetRange| range.partition == next.partition && range.owner_epoch == next.owner_epoch;
        let found = match self.ranges.get(self.current) {
            Some(range) if same(range) => Some(self.current),
            _ => self.ranges.iter().position(same),
        };
        self.current = found.unwrap_or(self.ranges.len());
        match found {
            Some(index) => {
                let range = &mut self.ranges[index];
                assert!(range.upto == next.start, "a partition's ranges follow one another without a gap");
                range.upto = next.upto;
            }
            None => self.ranges.push(next.clone()),
        }
        self.current
    }
}

fn changes_of<C>(record: &RecordChanges<C>) -> usize {
    match &record.settlement {
        Settlement::Apply(changes) => changes.len(),
        Settlement::Ignore(_) | Settlement::Park { .. } => 0,
    }
}

/// Sets every range's `last` to the last record in it.
fn print_ends<C>(batch: &mut Batch<C>) {
    let mut missing = batch.ranges.len();
    batch.ranges.iter_mut().for_each(|range| range.last = None);
    for record in batch.records.iter().rev() {
        if missing == 0 {
            break;
        }
        let range = &mut batch.ranges[record.range];
        if range.last.is_none() {
            range.last = Some(last_record(record.offset, &record.raw));
            missing -= 1;
        }
    }
}

/// The batch without the ranges that `keep` refuses, and without their records.
pub(crate) fn retain_ranges<C>(batch: Batch<C>, keep: impl Fn(&OffsetRange) -> bool) -> Batch<C> {
    let mut places = Vec::with_capacity(batch.ranges.len());
    let mut ranges = Vec::with_capacity(batch.ranges.len());
    for range in batch.ranges {
        places.push(keep(&range).then_some(ranges.len()));
        if places.last().is_some_and(Option::is_some) {
            ranges.push(range);
        }
    }
    let keep_record = |mut record: RecordChanges<C>| {
        record.range = places[record.range]?;
        Some(record)
    };
    let records = batch.records.into_iter().filter_map(keep_record).collect();
    Batch { records, ranges, rule_set: batch.rule_set }
}

/// Result of splitting a refused batch.
#[derive(Debug)]
pub(crate) enum Split<C> {
    /// Smaller batches, to be delivered in this order.
    Parts(Vec<Batch<C>>),
    /// It held one record at most: without any, it only moves a position.
    One(Batch<C>),
}

/// Takes a refused batch apart: by partition, then into halves in offset order.
pub(crate) fn split<C>(batch: Batch<C>) -> Split<C> {
    if batch.ranges.len() > 1 {
        return Split::Parts(by_partition(batch));
    }
    if batch.records.len() > 1 {
        let middle = batch.records.len() / 2;
        return Split::Parts(cut(batch, middle).into());
    }
    Split::One(batch)
}

fn by_partition<C>(batch: Batch<C>) -> Vec<Batch<C>> {
    let part = |range| Batch { records: Vec::new(), ranges: vec![range], rule_set: batch.rule_set.clone() };
    let mut parts: Vec<Batch<C>> = batch.ranges.into_iter().map(part).collect();
    for mut record in batch.records {
        let part = std::mem::replace(&mut record.range, 0);
        parts[part].records.push(record);
    }
    parts
}

/// Cuts a batch of one partition before its record number `at`; both parts hold a record.
pub(crate) fn cut<C>(mut batch: Batch<C>, at: usize) -> [Batch<C>; 2] {
    assert!(
        batch.ranges.len() == 1 && 0 < at && at < batch.records.len(),
        "one range, a record on either side"
    );
    let tail = batch.records.split_off(at);
    let range = batch.ranges[0].clone();
    let middle = batch.records[at - 1].offset + 1;
    let (before, after) =
        (OffsetRange { upto: middle, ..range.clone() }, OffsetRange { start: middle, ..range });
    let rule_set = batch.rule_set.clone();
    let mut head = Batch { records: batch.records, ranges: vec![before], rule_set };
    print_ends(&mut head);
    [head, Batch { records: tail, ranges: vec![after], rule_set: batch.rule_set }]
}

/// Turns the only record of a batch into one to park.
pub(crate) fn park_the_one<C>(batch: &mut Batch<C>, reason: ParkReason, detail: String) {
    assert!(batch.records.len() == 1, "only a single record can be blamed");
    batch.records[0].settlement = Settlement::Park { reason, detail };
}

#[cfg(test)]
mod tests;
