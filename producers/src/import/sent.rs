//! A file whose records are being sent, in sections that the journal notes.

use std::sync::Arc;

use super::{Counts, ImportError, walk::FoundFile};
use crate::kafka::Tally;

/// Records of a file after which the journal notes how far it is, once they are acknowledged.
const SECTION_RECORDS: u64 = 20_000;

/// Note of the journal that follows once all records are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// Nothing: the file was not read to its end.
    Nothing,
    /// The records so far: another section follows, or what a resumed import reads.
    Partly,
    /// The file.
    Whole,
}

/// A file whose records are being sent, or are sent and not yet all acknowledged; a long one in sections.
pub(super) struct SentFile {
    pub(super) file: FoundFile,
    /// Number of its first records that are published already, by an import that was interrupted.
    pub(super) published_before: u64,
    /// Records up to the beginning of this section.
    begins_at: u64,
    /// Whether a record was too large: only whoever sends the records again finds that out.
    pub(super) is_refused: bool,
    pub(super) noted: Noted,
    /// Whether records were left unsent because the import was stopped.
    pub(super) cut: bool,
    pub(super) counts: Counts,
    pub(super) tally: Arc<Tally>,
}

impl SentFile {
    pub(super) fn begun(file: FoundFile, published_before: u64) -> Self {
        Self {
            file,
            published_before,
            begins_at: 0,
            is_refused: false,
            noted: Noted::Nothing,
            cut: false,
            counts: Counts::default(),
            tally: Arc::default(),
        }
    }

    /// Ends the section, if it is long enough; the next one continues in its place.
    pub(super) fn end_section(&mut self) -> Option<Self> {
        if self.cut || self.is_refused || self.counts.read < self.begins_at + SECTION_RECORDS {
            return None;
        }
        let next =
            Self { begins_at: self.counts.read, tally: Arc::default(), file: self.file.clone(), ..*self };
        let ended = std::mem::replace(self, next);
        Some(Self { noted: Noted::Partly, ..ended })
    }

    pub(super) fn check_acknowledged(&self) -> Result<(), ImportError> {
        match self.tally.first_failure() {
            Some(failure) => {
                Err(ImportError::Unacknowledged { failed: self.tally.failed(), source: failure.clone() })
            }
            None => Ok(()),
        }
    }
}
