//! Publishes the records of files: in bounded memory, with back-pressure, resumable.
//!
//! Importing again is safe: every record keeps its id, so stored records are recognised as duplicates.

mod journal;
mod pending;
mod publish;
mod read;
mod records;
mod seen;
mod sent;
mod walk;

use std::{io, path::PathBuf};

use schemas::{TenantId, Timestamp};
use serde::Serialize;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use self::publish::Publishing;
pub use self::records::{FileRecord, records};
use crate::{
    kafka::{DeliveryFailure, Producer, SendError},
    sources::{SourceFormat, focus::Delivery, terraform::state::WORKSPACE},
};

/// Maximum number of rejections and of skipped files that are listed; all are counted.
pub const MAX_LISTED: usize = 1_000;

/// Options of an import.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Format of the records.
    pub format: SourceFormat,
    /// Tenant of the events.
    pub tenant: TenantId,
    /// Folder for the journal; created if missing.
    pub state_dir: PathBuf,
    /// Whether to resume an interrupted import of the same paths.
    pub start: Start,
    /// For Terraform states: their workspace, and when they were so.
    pub state: StateOptions,
    /// For charges: their relation to earlier ones.
    pub delivery: Delivery,
    /// Stops the import when cancelled: no more is read, what was read is published, and the summary says so.
    pub stop: CancellationToken,
}

/// Facts that a Terraform state lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateOptions {
    /// Workspace, as plans name it.
    pub workspace: String,
    /// Time at which the resources were so; without it, the modification time of each file.
    pub observed_at: Option<Timestamp>,
}

impl Default for StateOptions {
    fn default() -> Self {
        Self { workspace: WORKSPACE.to_owned(), observed_at: None }
    }
}

/// Starting point of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// The first file; an earlier journal is discarded.
    #[default]
    Over,
    /// The first file that the journal does not list as done, or that has changed since: where its first records are
    /// published, behind them.
    Resumed,
}

/// Progress of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Number of files, once counted.
    pub files_total: u64,
    /// Size of the files on disk, in bytes.
    pub bytes_total: u64,
    /// Number of files read or skipped.
    pub files_done: u64,
    /// Bytes read or skipped.
    pub bytes_done: u64,
    /// Records so far.
    pub counts: Counts,
}

/// Counts of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
pub struct Counts {
    /// Records found in files, valid or not.
    pub read: u64,
    /// Records published.
    pub published: u64,
    /// Records whose id and content were published before, within this import; not published again.
    ///
    /// The ids of the first 1,800,000 records are tracked (at most 75 MB); a repetition of a later one is
    /// published again and recognised downstream.
    pub duplicates: u64,
    /// Invalid or oversized records, and files that could not be read to their end.
    pub rejected: u64,
    /// Records with an id derived from their content.
    pub ids_derived: u64,
    /// Records with an assumed time.
    pub times_assumed: u64,
    /// Records with fields left empty because of a wrong type.
    pub fields_empty: u64,
}

/// A record or file that was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Path of the file; a byte that is not UTF-8 is `\xNN`, a backslash `\\`.
    pub file: String,
    /// Index of the record in the file, from 0; `None` if the file itself is meant.
    pub record: Option<u64>,
    /// Reason, for people.
    pub reason: String,
}

/// Summary of an import.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ImportSummary {
    /// Files read, including those that an interrupted import had read before.
    pub files: u64,
    /// Counts of their records.
    #[serde(flatten)]
    pub counts: Counts,
    /// Files that were rejected or could not be read to their end.
    pub refused_files: u64,
    /// Files in folders that hold nothing of this source.
    pub skipped_files: u64,
    /// Files that an interrupted import had completed.
    pub resumed_files: u64,
    /// Records of files that it had begun, which were read again and not published again.
    pub resumed_records: u64,
    /// Whether it was stopped before its end; `Start::Resumed` continues it.
    pub interrupted: bool,
    /// The first [`MAX_LISTED`] rejections.
    pub rejections: Vec<Rejection>,
    /// The first [`MAX_LISTED`] skipped files.
    pub skipped: Vec<Rejection>,
}

impl ImportSummary {
    /// Whether something was published, now or before, and nothing was rejected: the condition for a
    /// pipeline's success.
    pub fn is_clean(&self) -> bool {
        let counts = self.counts;
        self.is_complete() && counts.rejected == 0 && counts.published + counts.duplicates > 0
    }

    /// Whether every file was read to its end. If not, a resumed import reads only the rest.
    pub fn is_complete(&self) -> bool {
        !self.interrupted && self.refused_files == 0
    }
}

/// Error that stops an import. Acknowledged records are stored; a resumed import continues after them.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The journal cannot be read or written.
    #[error(
        "the import's journal {path} cannot be read or written; make its folder writable and leave room on its disk, then \
         resume the import"
    )]
    Journal {
        /// File of the journal.
        path: PathBuf,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// The brokers did not acknowledge every record.
    #[error("{failed} events were not acknowledged; resume the import when Kafka takes events again")]
    Unacknowledged {
        /// Number of failed records.
        failed: u64,
        /// Failure of the first of them.
        #[source]
        source: DeliveryFailure,
    },
    /// The producer accepts no more records.
    #[error("Kafka takes no more events; resume the import when it does")]
    Producer(#[source] SendError),
    /// The thread that reads files ended unexpectedly.
    #[error("reading stopped unexpectedly; resume the import")]
    Reader(#[source] tokio::task::JoinError),
}

/// Publishes the records of files and folders: bare arrays, the format's own lists (`Records`, `items`), one
/// record per line, each also gzipped. Folders are read recursively in the order of names, links to a folder
/// once.
pub async fn import(
    paths: Vec<PathBuf>,
    options: ImportOptions,
    producer: &Producer,
    progress: impl FnMut(Progress),
) -> Result<ImportSummary, ImportError> {
    let publishing = Publishing::begin(&paths, &options, producer)?;
    publishing.run(paths, options, progress).await
}

#[cfg(test)]
mod tests;
