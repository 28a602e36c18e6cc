//! Iterates over the records of files, mapped as by an import, for commands that inspect them without
//! publishing.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
};

use schemas::{Envelope, TenantId};

use super::{
    Rejection, StateOptions,
    read::{Ending, Item, Sought, Unrecognised, chain, read_file},
    walk::{Walk, path_text},
};
use crate::sources::{
    SourceFormat,
    focus::{Delivery, Instants},
};

/// Item of a file.
#[derive(Debug)]
pub enum FileRecord<'a> {
    /// A mapped record; its text is the envelope's native record.
    Record {
        /// Path of the file, as in a [`Rejection`].
        file: &'a str,
        /// Index of the record in the file, from 0.
        index: u64,
        /// The record's event.
        envelope: Box<Envelope>,
    },
    /// An invalid record, or a file that cannot be read to its end; reading continues after it.
    Rejected(Rejection),
    /// A file in a folder that contains no records.
    Skipped(Rejection),
}

/// Passes on the records of files and folders, in order, until told to stop. A file none of whose records is
/// recognised is [`Skipped`](FileRecord::Skipped) in a folder; if it was named explicitly, its records are
/// passed on, unless they look like another source's: then the file is [`Rejected`](FileRecord::Rejected).
/// Memory: the first records of a file, then one.
pub fn records(
    paths: Vec<PathBuf>,
    format: SourceFormat,
    tenant: &TenantId,
    mut take: impl FnMut(FileRecord<'_>) -> ControlFlow<()>,
) {
    let bytes_read: Arc<AtomicU64> = Arc::default();
    let (instants, state) = (Instants::default(), StateOptions::default());
    let sought = Sought {
        format,
        tenant,
        delivery: Delivery::default(),
        instants: &instants,
        state: &state,
        unrecognised: Unrecognised::HandedOut,
    };
    for found in Walk::new(paths) {
        let about =
            |file: &str, record: Option<u64>, reason| Rejection { file: file.to_owned(), record, reason };
        let file = match found {
            Ok(file) => file,
            Err(unseen) => {
                let rejection = about(&path_text(&unseen.path), None, chain(&unseen.error));
                if take(FileRecord::Rejected(rejection)).is_break() {
                    return;
                }
                continue;
            }
        };
        let path = path_text(&file.path);
        let ending = read_file(&file, sought, &bytes_read, |item| match item {
            Item::Record { index, mapped } => {
                take(FileRecord::Record { file: &path, index, envelope: Box::new(mapped.envelope) })
            }
            Item::Rejected { index, reason } => take(FileRecord::Rejected(about(&path, Some(index), reason))),
        });
        let told = match ending {
            Ending::Whole => ControlFlow::Continue(()),
            Ending::Stopped => return,
            Ending::Skipped(reason) => take(FileRecord::Skipped(about(&path, None, reason))),
            Ending::Refused(reason) => take(FileRecord::Rejected(about(&path, None, reason))),
        };
        if told.is_break() {
            return;
        }
    }
}
