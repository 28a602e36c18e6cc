//! A file's records, one after another, with what is wrong with the rest.

use std::{
    error::Error,
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use flate2::bufread::MultiGzDecoder;
use schemas::TenantId;

use super::walk::{Found, FoundFile};
use crate::sources::{
    Mapped, SourceFormat,
    elements::{Element, Elements, FileDefect},
};

/// What a file is recognised by: one of its first records has a field that the source's records have.
const MAX_UNRECOGNISED: usize = 1_000;
const MAX_UNRECOGNISED_BYTES: usize = 4_000_000;
const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];

/// One record, or why it is none.
#[derive(Debug)]
pub(super) enum Item {
    Record { index: u64, mapped: Box<Mapped> },
    Rejected { index: u64, reason: String },
}

/// How the reading of a file ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// At its end.
    Whole,
    /// It lies in a folder and holds nothing of this source.
    Skipped(String),
    /// Before its end, or before its beginning.
    Refused(String),
    /// Nobody wants more.
    Stopped,
}

/// What to do with a file none of whose records is recognised as the format's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// It is not read: it may hold anything.
    Refused,
    /// Its objects are taken for records.
    Taken,
}

/// Reads one file and hands out its items until told to break off.
pub(super) fn read_file(
    file: &FoundFile,
    (format, foreign): (SourceFormat, Foreign),
    tenant: &TenantId,
    bytes_read: &Arc<AtomicU64>,
    mut hand_out: impl FnMut(Item) -> ControlFlow<()>,
) -> Ending {
    let reader = match open(file, bytes_read) {
        Ok(reader) => reader,
        Err(error) => return Ending::Refused(chain(&error)),
    };
    let mut pending = Pending::new(file.found, (format, foreign));
    let mut out = |element: Element| hand_out(item(format, tenant, element));
    for element in Elements::listed_in(reader, format.list()) {
        match element {
            Ok(element) => match pending.push(element) {
                Verdict::Unknown => {}
                Verdict::Records(elements) => {
                    for element in elements {
                        if out(element).is_break() {
                            return Ending::Stopped;
                        }
                    }
                }
                Verdict::Foreign => {
                    return Ending::Skipped(format!("none of its records is {}", format.record()));
                }
            },
            Err(FileDefect::NotRecords) if file.found == Found::InFolder => {
                return Ending::Skipped(chain(&FileDefect::NotRecords));
            }
            Err(defect) => {
                for element in pending.elements {
                    if out(element).is_break() {
                        return Ending::Stopped;
                    }
                }
                return Ending::Refused(chain(&defect));
            }
        }
    }
    match pending.at_end() {
        Verdict::Records(elements) => {
            for element in elements {
                if out(element).is_break() {
                    return Ending::Stopped;
                }
            }
            Ending::Whole
        }
        Verdict::Foreign if file.found == Found::InFolder => {
            Ending::Skipped(format!("none of its records is {}", format.record()))
        }
        Verdict::Foreign | Verdict::Unknown => Ending::Refused(chain(&FileDefect::NotRecords)),
    }
}

fn item(format: SourceFormat, tenant: &TenantId, Element { index, text, .. }: Element) -> Item {
    match text {
        Ok(text) => match format.map(tenant, &text) {
            Ok(mapped) => Item::Record { index, mapped: Box::new(mapped) },
            Err(error) => Item::Rejected { index, reason: chain(&error) },
        },
        Err(defect) => Item::Rejected { index, reason: chain(&defect) },
    }
}

/// Elements of a file that is not yet known to be one of this source's.
struct Pending {
    elements: Vec<Element>,
    bytes: usize,
    format: SourceFormat,
    found: Found,
    recognised: bool,
}

enum Verdict {
    Unknown,
    Records(Vec<Element>),
    Foreign,
}

impl Pending {
    fn new(found: Found, (format, foreign): (SourceFormat, Foreign)) -> Self {
        Self { elements: Vec::new(), bytes: 0, format, found, recognised: foreign == Foreign::Taken }
    }

    fn push(&mut self, element: Element) -> Verdict {
        if self.recognised {
            return Verdict::Records(vec![element]);
        }
        let told = element.text.as_ref().is_ok_and(|text| self.format.is_recognised(text));
        let listed = element.listed;
        self.bytes += element.text.as_ref().map_or(0, String::len);
        self.elements.push(element);
        // Whoever names a file means it: only a lone foreign object is not taken for a record.
        self.recognised = told || (self.found == Found::Named && (listed || self.elements.len() > 1));
        if self.recognised {
            Verdict::Records(std::mem::take(&mut self.elements))
        } else if self.elements.len() >= MAX_UNRECOGNISED || self.bytes >= MAX_UNRECOGNISED_BYTES {
            Verdict::Foreign
        } else {
            Verdict::Unknown
        }
    }

    fn at_end(&mut self) -> Verdict {
        let nothing_good =
            !self.elements.is_empty() && self.elements.iter().all(|element| element.text.is_err());
        if self.recognised || self.elements.is_empty() || nothing_good {
            Verdict::Records(std::mem::take(&mut self.elements))
        } else {
            Verdict::Foreign
        }
    }
}

/// Opens a file, through gzip where its first bytes or its name say so.
fn open(file: &FoundFile, bytes_read: &Arc<AtomicU64>) -> io::Result<Box<dyn Read>> {
    let counted = Counted { file: File::open(&file.path)?, bytes_read: Arc::clone(bytes_read) };
    let mut reader = BufReader::with_capacity(64 * 1024, counted);
    let is_gzip = reader.fill_buf()?.starts_with(&GZIP_MAGIC);
    let named_gzip = file.path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    if is_gzip {
        return Ok(Box::new(MultiGzDecoder::new(reader)));
    }
    if named_gzip && file.bytes > 0 {
        return Err(io::Error::other("it is named .gz and is not gzip"));
    }
    Ok(Box::new(reader))
}

/// Counts what is read from disk, for the progress bar.
struct Counted {
    file: File,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes_read.fetch_add(read as u64, Relaxed);
        Ok(read)
    }
}

/// An error with its causes in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
