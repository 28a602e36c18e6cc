//! Partitions of a consumer: their positions, and the records gathered since the last hand-over. No Kafka, no
//! clock: records and claims come in, placed changes and decisions go out.

use std::{collections::HashMap, sync::Arc};

use bytes::BytesMut;
use schemas::{EventId, TenantId, Topic, codec::SchemaRef};
use sinks::{Claim, HaltReason, KeptBytes, LastRecord, RawRecord, RecordChanges, Settlement, TopicPartition};

use crate::runtime::{
    consume::continuity::{Start, Watermarks, start},
    deliver::batching::{BatchLimits, Filling, Placed},
    deliver::fingerprint::fingerprint,
};

/// Size of the memory blocks that records are copied to: some dozens to each.
const ARENA_BYTES: usize = 64 * 1024;

/// A record while it is still borrowed from the client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) topic: Topic,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [(&'a str, Option<&'a [u8]>)],
    pub(crate) timestamp_ms: i64,
}

impl Record<'_> {
    pub(crate) fn partition(&self) -> TopicPartition {
        TopicPartition { topic: self.topic, partition: self.partition }
    }

    fn to_raw(self, arena: &mut BytesMut) -> RawRecord {
        RawRecord::copy((self.key, self.value), self.headers, self.timestamp_ms, arena)
    }
}

/// Decision about a record, or the schema that it needs first.
#[derive(Debug)]
pub(crate) enum Decision<C> {
    /// The decision.
    Settle { settlement: Settlement<C>, identity: Option<(TenantId, EventId)> },
    /// No decision before this schema is fetched.
    NeedsSchema(SchemaRef),
}

/// Decodes records and decides about them.
pub(crate) trait Decide: Send {
    /// Change that the sink writes.
    type Change: Send + Sync + 'static;
    /// Decides about one record, which is kept as `raw`. Never panics, on any record.
    fn decide(&self, record: &Record<'_>, raw: &RawRecord) -> Decision<Self::Change>;

    /// Hash of the rules or policies in force, which may be replaced at any moment; `None` where there are none.
    fn rule_set(&self) -> Option<Arc<str>> {
        None
    }

    /// A decision, and the rule set under which all of it was made.
    fn decide_under(
        &self,
        record: &Record<'_>,
        raw: &RawRecord,
    ) -> (Decision<Self::Change>, Option<Arc<str>>) {
        let mut rule_set = self.rule_set();
        loop {
            let decision = self.decide(record, raw);
            let after = self.rule_set();
            if after == rule_set {
                return (decision, rule_set);
            }
            rule_set = after;
        }
    }
}

/// State of a partition of the assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Assigned but not owned, or halted: paused; a claim will follow.
    Unclaimed,
    /// Owned and read.
    Active(Active),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Active {
    owner_epoch: i64,
    /// The next offset to apply, as far as gathered.
    cursor: i64,
    /// The record that must come first, until the log is recognised.
    expected: Option<LastRecord>,
    /// Pending seek: records are dropped until the consumer is back at the cursor.
    rewind: Option<Rewind>,
    /// Whether the consumer has restarted under this claim, so that its position counts.
    has_begun: bool,
}

/// Reason to seek the consumer back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewind {
    /// There was no room for a record.
    NoRoom,
    /// This schema was not fetched yet.
    AwaitsSchema(SchemaRef),
}

/// Result of offering a record to the intake.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Gathered.
    Gathered,
    /// Not owned (any more), or seen before.
    Dropped,
    /// The last settled record: the log is the right one.
    Recognised,
    /// The log is another one.
    Diverged { owner_epoch: i64, reason: HaltReason },
    /// It cannot be decided upon before this schema is fetched.
    NeedsSchema(SchemaRef),
}

/// Result of a claim.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// Read from this offset.
    ReadFrom { offset: i64, recognisable: bool },
    /// Stay paused: it was halted before, and not resumed since.
    StillHalted(HaltReason),
    /// Stay paused, and store the reason.
    Halted { owner_epoch: i64, reason: HaltReason },
}

/// The partitions of one consumer.
#[derive(Debug)]
pub(crate) struct Intake<D: Decide> {
    decide: D,
    partitions: HashMap<TopicPartition, Phase>,
    gathered: Filling<D::Change>,
    /// Memory that records are copied to.
    arena: BytesMut,
}

impl<D: Decide> Intake<D> {
    pub(crate) fn new(decide: D) -> Self {
        Self {
            decide,
            partitions: HashMap::new(),
            gathered: Filling::default(),
            arena: BytesMut::with_capacity(ARENA_BYTES),
        }
    }

    /// A partition was assigned and is not owned yet, or may no longer be read: what it gathered is dropped.
    pub(crate) fn unclaimed(&mut self, partition: TopicPartition) {
        self.partitions.insert(partition, Phase::Unclaimed);
        self.gathered.forget(|gathered, _| gathered == partition);
    }

    /// A partition was revoked.
    pub(crate) fn revoked(&mut self, partition: TopicPartition) {
        self.partitions.remove(&partition);
        self.gathered.forget(|gathered, _| gathered == partition);
    }

    /// A partition was claimed: decides at which offset it continues.
    pub(crate) fn claimed(&mut self, claim: &Claim, seen: Watermarks, cluster_id: &str) -> Claimed {
        let owner_epoch = claim.owner_epoch;
        let (offset, expected, recognisable) = match start(claim, seen, cluster_id) {
            Start::StillHalted(reason) => {
                self.unclaimed(claim.partition);
                return Claimed::StillHalted(reason);
            }
            Start::Halted(reason) => {
                self.unclaimed(claim.partition);
                return Claimed::Halted { owner_epoch, reason };
            }
            Start::At(offset) => (offset, None, true),
            Start::Unverified(offset) => (offset, None, false),
            Start::Verify(last) => (last.offset, Some(last), true),
        };
        self.gathered.forget(|gathered, _| gathered == claim.partition);
        let (cursor, rewind) = (claim.position, None);
        let active = Active { owner_epoch, cursor, expected, rewind, has_begun: false };
        self.partitions.insert(claim.partition, Phase::Active(active));
        Claimed::ReadFrom { offset, recognisable }
    }

    /// Handles the next record of the consumer.
    pub(crate) fn take(&mut self, record: &Record<'_>) -> Taken {
        let partition = record.partition();
        let Some(Phase::Active(active)) = self.partitions.get_mut(&partition) else { return Taken::Dropped };
        if active.rewind.is_some() {
            return Taken::Dropped;
        }
        active.has_begun = true;
        if let Some(expected) = active.expected {
            let same = record.offset == expected.offset
                && fingerprint(record.key, record.value, record.timestamp_ms) == expected.print;
            if same {
                active.expected = None;
                return Taken::Recognised;
            }
            if record.offset < expected.offset {
                return Taken::Dropped;
            }
            let owner_epoch = active.owner_epoch;
            self.unclaimed(partition);
            return Taken::Diverged { owner_epoch, reason: HaltReason::log_diverged(expected.offset) };
        }
        if record.offset < active.cursor {
            return Taken::Dropped;
        }
        let raw = record.to_raw(&mut self.arena);
        let (decision, rule_set) = self.decide.decide_under(record, &raw);
        match decision {
            // The records before it leave first.
            Decision::Settle { .. } if !self.gathered.is_under(rule_set.as_ref()) => {
                active.rewind = Some(Rewind::NoRoom);
                Taken::Dropped
            }
            Decision::NeedsSchema(id) => {
                active.rewind = Some(Rewind::AwaitsSchema(id));
                Taken::NeedsSchema(id)
            }
            Decision::Settle { settlement, identity } => {
                let (offset, kept) = (record.offset, KeptBytes::All);
                let changes = RecordChanges { range: 0, offset, settlement, raw, identity, kept };
                let (owner_epoch, cursor) = (active.owner_epoch, active.cursor);
                active.cursor = record.offset + 1;
                self.gathered.push(Placed { partition, owner_epoch, cursor, record: changes });
                Taken::Gathered
            }
        }
    }

    /// Advances the cursor past offsets that the consumer skipped, such as transaction markers (see
    /// [`Source::handed_out`]); otherwise the lag would never reach 0.
    ///
    /// The reported offset may predate the last seek, and trusting it would lose records. It counts only once
    /// a record was delivered, or no offset was reported, since the seek.
    ///
    /// [`Source::handed_out`]: crate::runtime::consume::source::Source::handed_out
    pub(crate) fn handed_out(&mut self, partition: TopicPartition, upto: Option<i64>) {
        let Some(Phase::Active(active)) = self.partitions.get_mut(&partition) else { return };
        if active.rewind.is_some() {
            return;
        }
        let Some(upto) = upto else {
            active.has_begun = true;
            return;
        };
        if active.has_begun && active.expected.is_none() && active.cursor < upto {
            self.gathered.advance(partition, active.owner_epoch, active.cursor..upto);
            active.cursor = upto;
        }
    }

    /// Notes that a record was dropped for lack of room.
    pub(crate) fn refuse(&mut self, partition: TopicPartition) {
        if let Some(Phase::Active(active)) = self.partitions.get_mut(&partition) {
            active.rewind.get_or_insert(Rewind::NoRoom);
        }
    }

    /// Pending seeks: partition, reason and offset.
    pub(crate) fn rewinds(&self) -> Vec<(TopicPartition, Rewind, i64)> {
        let due = self.partitions.iter().filter_map(|(partition, phase)| match phase {
            Phase::Active(active) => {
                // Unrecognised yet: the last settled record has to be seen again first.
                let offset = active.expected.map_or(active.cursor, |last| last.offset);
                active.rewind.map(|why| (*partition, why, offset))
            }
            Phase::Unclaimed => None,
        });
        due.collect()
    }

    /// The seek is done.
    pub(crate) fn rewound(&mut self, partition: TopicPartition) {
        if let Some(Phase::Active(active)) = self.partitions.get_mut(&partition) {
            active.rewind = None;
            active.has_begun = false;
        }
    }

    /// Records gathered since the last hand-over.
    pub(crate) fn gathered(&mut self) -> &mut Filling<D::Change> {
        &mut self.gathered
    }

    pub(crate) fn is_full(&self, limits: &BatchLimits) -> bool {
        self.gathered.is_full(limits)
    }

    /// The owner epoch under which a partition is read; `None` while it is not.
    pub(crate) fn epoch_of(&self, partition: TopicPartition) -> Option<i64> {
        match self.partitions.get(&partition) {
            Some(Phase::Active(active)) => Some(active.owner_epoch),
            _ => None,
        }
    }

    /// Whether the partition is assigned to this consumer.
    pub(crate) fn holds(&self, partition: TopicPartition) -> bool {
        self.partitions.contains_key(&partition)
    }

    /// Every assigned partition.
    pub(crate) fn assigned(&self) -> impl Iterator<Item = TopicPartition> + '_ {
        self.partitions.keys().copied()
    }

    /// Partitions that are read, and the next offset of each.
    pub(crate) fn active(&self) -> impl Iterator<Item = (TopicPartition, i64)> + '_ {
        self.partitions.iter().filter_map(|(partition, phase)| match phase {
            Phase::Active(active) => Some((*partition, active.cursor)),
            Phase::Unclaimed => None,
        })
    }
}

#[cfg(test)]
mod tests;
