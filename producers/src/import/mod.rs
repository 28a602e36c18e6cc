//! Files to topics: read in bounded memory, published with back-pressure, resumed where it was interrupted.
//!
//! Importing again is safe: every record keeps its id, so what is stored already is recognised as a duplicate.

mod journal;
mod publish;
mod read;
mod records;
mod seen;
mod walk;

use std::{io, path::PathBuf};

use schemas::TenantId;
use serde::Serialize;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use self::publish::Publishing;
pub use self::records::{FileRecord, records};
use crate::{
    kafka::{DeliveryFailure, Producer, SendError},
    sources::{SourceFormat, focus::Delivery},
};

/// Most rejections and skipped files that are kept by name; all are counted.
pub const MAX_LISTED: usize = 1_000;

/// How to import.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// What the records are.
    pub format: SourceFormat,
    /// Whose events they are.
    pub tenant: TenantId,
    /// Folder for the journal of what is done; made where it is missing.
    pub state_dir: PathBuf,
    /// Whether to go on where an interrupted import of the same paths stopped.
    pub start: Start,
    /// Of charges: how they stand to those known before.
    pub delivery: Delivery,
    /// Cancelled to stop: nothing more is read, what was read is published, and the import says how to go on.
    pub stop: CancellationToken,
}

/// Where an import begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With the first file; an earlier journal is forgotten.
    #[default]
    Over,
    /// With the files that the journal does not name as done, or that have changed since.
    Resumed,
}

/// How far an import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Files found, once they are counted.
    pub files_total: u64,
    /// Bytes in them, as they lie on disk.
    pub bytes_total: u64,
    /// Files read or passed over.
    pub files_done: u64,
    /// Bytes read or passed over.
    pub bytes_done: u64,
    /// Records so far.
    pub counts: Counts,
}

/// What became of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
pub struct Counts {
    /// Records found in files, good or not.
    pub read: u64,
    /// Records published.
    pub published: u64,
    /// Records whose id and content were published before, within this import; not published again.
    ///
    /// The ids of the first 1,800,000 records are remembered (at most 75 MB); a repetition of a later one is
    /// published again and recognised downstream.
    pub duplicates: u64,
    /// Records that are none, or too large, and files that could not be read to their end.
    pub rejected: u64,
    /// Records whose id was derived from their content.
    pub ids_derived: u64,
    /// Records whose time was assumed.
    pub times_assumed: u64,
    /// Records with fields left empty, for they had a wrong type.
    pub fields_empty: u64,
}

/// A record or file that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// The file.
    pub file: PathBuf,
    /// The record's place in the file, from 0; none where the file itself is meant.
    pub record: Option<u64>,
    /// Why, for people.
    pub reason: String,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ImportSummary {
    /// Files read, including those that an interrupted import had read before.
    pub files: u64,
    /// What became of their records.
    #[serde(flatten)]
    pub counts: Counts,
    /// Files that were refused or could not be read to their end.
    pub refused_files: u64,
    /// Files found in folders that hold nothing of this source.
    pub skipped_files: u64,
    /// Files that an interrupted import had done already.
    pub resumed_files: u64,
    /// Whether it was stopped before its end; `Start::Resumed` goes on.
    pub interrupted: bool,
    /// The first [`MAX_LISTED`] rejections.
    pub rejections: Vec<Rejection>,
    /// The first [`MAX_LISTED`] skipped files.
    pub skipped: Vec<Rejection>,
}

impl ImportSummary {
    /// Whether anything was published or had been before, and nothing was rejected: what a pipeline must know.
    pub fn is_clean(&self) -> bool {
        let counts = self.counts;
        self.is_complete() && counts.rejected == 0 && counts.published + counts.duplicates > 0
    }

    /// Whether every file was read to its end. If not, a resumed import reads only what is missing.
    pub fn is_complete(&self) -> bool {
        !self.interrupted && self.refused_files == 0
    }
}

/// Why an import could not go on. What was acknowledged is stored; a resumed import goes on after it.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The journal cannot be written.
    #[error("the import's journal {path} cannot be written; name another state folder")]
    Journal {
        /// The journal's file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The brokers did not acknowledge everything.
    #[error("{failed} events were not acknowledged; resume the import when Kafka takes events again")]
    Unacknowledged {
        /// How many.
        failed: u64,
        /// What befell the first of them.
        #[source]
        source: DeliveryFailure,
    },
    /// The producer takes nothing more.
    #[error("Kafka takes no more events; resume the import when it does")]
    Producer(#[source] SendError),
    /// The thread that reads files ended unexpectedly.
    #[error("reading stopped unexpectedly; resume the import")]
    Reader(#[source] tokio::task::JoinError),
}

/// Publishes the records of files and folders: bare arrays, the format's own lists (`Records`, `items`), a record a
/// line, each also gzipped. Folders are read to every depth in the order of names, links to a folder once.
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
