//! Verification: compares entries with the leaves that signed checkpoints cover.
//!
//! A verifier first finds the leaves that can be trusted: those whose root a signed checkpoint has. Then each
//! entry's leaf is computed again from its record and compared. The report names the first entry that
//! differs.

mod copies;
mod entries;
mod past;
mod proof_file;
mod worth;

use std::{collections::BTreeMap, fmt};

pub use copies::{Checked, Copies, CopyEntry, Evidence, Repeats};
pub use entries::{Entries, Observed};
pub use past::Past;
pub use proof_file::ProofFile;
use serde::Serialize;
pub use worth::Worth;

use crate::{
    checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint},
    hash::Hash,
    keys::PublicKey,
    tree::Frontier,
};

/// Kind of a fault in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The entry was changed: its record, a column taken from it, or the place that it states.
    Edited,
    /// The entry is gone, and later ones are there.
    Missing,
    /// The index is there twice.
    Doubled,
    /// The entry stands in the place of another.
    Swapped,
    /// The entry was never part of the log.
    Inserted,
    /// From this entry on the log was cut off.
    Cut,
    /// From this entry on the log has another past than a checkpoint says: leaves and tiles were rewritten.
    Rewritten,
    /// The checkpoint is missing, not signed, not cosigned as demanded, or another log's.
    Checkpoint,
    /// The checkpoint of this size is stored with another time than was signed, or was signed before a
    /// smaller one.
    Backdated,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edited => "edited",
            Self::Missing => "missing",
            Self::Doubled => "doubled",
            Self::Swapped => "swapped",
            Self::Inserted => "inserted",
            Self::Cut => "cut",
            Self::Rewritten => "rewritten",
            Self::Checkpoint => "checkpoint",
            Self::Backdated => "backdated",
        })
    }
}

/// The first entry of a log that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// `<topic>/<partition>`.
    pub log: String,
    /// The entry's index.
    pub index: u64,
    /// Kind of the fault.
    pub kind: Kind,
}

/// Result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Number of verified logs.
    pub logs: u64,
    /// Number of verified entries.
    pub entries: u64,
    /// Whether nothing is wrong.
    pub ok: bool,
    /// The first fault of the first log that has one.
    pub first_fault: Option<Fault>,
    /// Entries removed by retention, by log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<RetiredEntries>,
    /// Number of rows from before there was a log, for which nothing vouches.
    pub unlogged: u64,
    /// Entries that lost their personal part, by log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<SomeEntries>,
    /// Entries of several resources whose rows name the first alone, as an earlier version wrote them, by log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub first_resource_only: Vec<SomeEntries>,
    /// Entries behind the newest checkpoint that bears the signatures, by log: nothing vouches for them yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uncovered: Vec<SomeEntries>,
    /// Entries among which are some that a checkpoint says otherwise, by log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rewritten: Vec<SomeEntries>,
    /// Entries that were checked one by one, by log: whether others are missing between them is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub single: Vec<SomeEntries>,
    /// Entries that no checkpoint could be compared with, by log: leaves before or between them are not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unanchored: Vec<SomeEntries>,
    /// Intervals of which a copy does not hold every record, by log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<Incomplete>,
    /// Intervals that sinks stated in the hour that was asked about, by log and sink.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hour: Vec<Delivered>,
}

/// Records of a copy within the intervals of one log that a sink stated in an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivered {
    /// `<topic>/<partition>`.
    pub log: String,
    /// The sink.
    pub sink: String,
    /// Records that the sink was owed to deliver.
    pub owed: u64,
    /// Of these, the records that it parked.
    pub parked: u64,
    /// Records that the copy holds, each counted once.
    pub held: u64,
    /// Records that were delivered and that the copy does not hold.
    pub missing: u64,
    /// Copies beyond the first of a record.
    pub doubled: u64,
}

/// An interval of a log of which a copy holds fewer records than a sink says to have delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Incomplete {
    /// `<topic>/<partition>`.
    pub log: String,
    /// The sink that states the interval.
    pub sink: String,
    /// Index of the interval's first record.
    pub from: u64,
    /// The index behind that of its last record.
    pub to: u64,
    /// Records that were delivered.
    pub owed: u64,
    /// Records that the copy holds.
    pub held: u64,
}

/// Entries of one log that retention removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetiredEntries {
    /// `<topic>/<partition>`.
    pub log: String,
    /// Number of removed entries.
    pub entries: u64,
    /// The first index that was not removed: the log is there from here on.
    pub from: u64,
}

/// Some entries of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SomeEntries {
    /// `<topic>/<partition>`.
    pub log: String,
    /// Number of entries.
    pub entries: u64,
    /// Index of the first of them.
    pub first: u64,
}

impl Report {
    /// The report of several logs.
    pub fn of(logs: impl IntoIterator<Item = (u64, Option<Fault>)>) -> Self {
        let mut report = Self { ok: true, ..Self::default() };
        for (entries, fault) in logs {
            report.logs += 1;
            report.entries += entries;
            if report.first_fault.is_none() {
                report.first_fault = fault;
            }
        }
        report.ok = report.first_fault.is_none();
        report
    }
}

/// Keys whose signatures a checkpoint must bear.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The deployment's keys; one of them must have signed.
    pub keys: Vec<PublicKey>,
    /// Witnesses, each of which must have cosigned.
    pub witnesses: Vec<PublicKey>,
}

impl Trust {
    /// The checkpoint of a note, if it is one of that log and bears the signatures.
    pub fn open(&self, log: &str, note: &str) -> Result<Checkpoint, CheckpointError> {
        let signed = SignedCheckpoint::parse(note)?;
        signed.check(log, &self.keys)?;
        self.witnesses.iter().try_for_each(|witness| signed.cosigned(witness).map(drop))?;
        Ok(signed.checkpoint)
    }

    /// The checkpoints of notes that others have kept, by log. Whoever gives a note vouches for it, so the log's own signature
    /// is enough: a witness keeps notes as the log sends them.
    pub fn kept(&self, notes: &[String]) -> Result<BTreeMap<String, Vec<Checkpoint>>, CheckpointError> {
        let mut kept: BTreeMap<String, Vec<Checkpoint>> = BTreeMap::new();
        for note in notes {
            let signed = SignedCheckpoint::parse(note)?;
            let foreign = || CheckpointError::Foreign(signed.checkpoint.origin.clone());
            let log = signed.checkpoint.log_of(&self.keys).ok_or_else(foreign)?.to_owned();
            signed.check(&log, &self.keys)?;
            kept.entry(log).or_default().push(signed.checkpoint);
        }
        Ok(kept)
    }
}

/// The root over the first `size` of some leaves; `None` if there are fewer.
pub fn root_of(leaves: &[Hash], size: u64) -> Option<Hash> {
    let mut frontier = Frontier::default();
    let leaves = leaves.get(..usize::try_from(size).ok()?)?;
    for leaf in leaves {
        frontier.push(*leaf);
    }
    Some(frontier.root())
}

/// Whether these leaves begin with those that the checkpoint covers.
pub fn is_of(leaves: &[Hash], checkpoint: &Checkpoint) -> bool {
    root_of(leaves, checkpoint.size) == Some(checkpoint.root)
}

#[cfg(test)]
mod tests;
