//! Records of a batch: what is sent of each, and how the ledger settles it.

use schemas::{LogPlace, OcsfEvent, ParkReason};

use super::passed;
use crate::batch::{Batch, RawRecord, RecordChanges, Settlement, TopicPartition};

/// The rule by which a record is left out.
const FILTERED: &str = "filtered";

/// The batch as the ledger settles it.
pub(super) fn settled(batch: &Batch<OcsfEvent>) -> Batch<()> {
    let records = batch.records.iter().map(|record| RecordChanges {
        range: record.range,
        offset: record.offset,
        settlement: match &record.settlement {
            Settlement::Apply(changes) if changes.is_empty() => Settlement::Ignore(FILTERED),
            Settlement::Apply(_) => Settlement::Apply(Vec::new()),
            Settlement::Ignore(rule) => Settlement::Ignore(rule),
            Settlement::Park { reason, detail } => {
                Settlement::Park { reason: *reason, detail: detail.clone() }
            }
        },
        raw: record.raw.clone(),
        identity: record.identity.clone(),
        kept: record.kept,
    });
    Batch { records: records.collect(), ranges: batch.ranges.clone(), rule_set: None }
}

/// What is to be sent of a record.
pub(super) fn changes_of(record: &RecordChanges<OcsfEvent>) -> &[OcsfEvent] {
    match &record.settlement {
        Settlement::Apply(changes) => changes,
        Settlement::Ignore(_) | Settlement::Park { .. } => &[],
    }
}

/// Whether a record is parked since the receiver refused it, or since it is too large for it.
pub(super) fn is_refused(settlement: &Settlement<OcsfEvent>) -> bool {
    matches!(settlement, Settlement::Park { reason: ParkReason::SiemRefused | ParkReason::SiemTooLarge, .. })
}

/// The place in its log of a record that is not read any more.
pub(super) fn log_place(raw: &RawRecord) -> Option<LogPlace> {
    let (log, index) = passed::place(raw)?;
    let index = u64::try_from(index).ok()?;
    Some(LogPlace { log: log.to_owned(), index, leaf: String::new(), previous: None })
}

/// Partition and offset of a record.
pub(super) fn place(batch: &Batch<OcsfEvent>, record: &RecordChanges<OcsfEvent>) -> (TopicPartition, i64) {
    (batch.ranges[record.range].partition, record.offset)
}
