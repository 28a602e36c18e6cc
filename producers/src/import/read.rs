//! Iterates over a file's records, and the errors of those that are invalid.

use std::{
    error::Error,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use chrono::Utc;
use flate2::bufread::MultiGzDecoder;
use schemas::{TenantId, Timestamp};

use super::{
    StateOptions,
    pending::{Pending, Verdict},
    walk::{Found, FoundFile},
};
use crate::sources::{
    Mapped, SourceFormat,
    elements::FileDefect,
    focus::{ChargeRow, ChargeRows, Charges, Delivery, FileBroken, Instants},
    records::{Record, Records},
    terraform::state::{self, MAX_STATE_BYTES, StateSeen},
};

const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
const PARQUET_MAGIC: [u8; 4] = *b"PAR1";

/// One record, or the reason why it is invalid.
#[derive(Debug)]
pub(super) enum Item {
    Record { index: u64, mapped: Box<Mapped> },
    Rejected { index: u64, reason: String },
}

/// Result of reading a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Read to its end.
    Whole,
    /// Skipped: it lies in a folder and holds nothing of this source.
    Skipped(String),
    /// Rejected, before or while it was read.
    Refused(String),
    /// Stopped by the consumer.
    Stopped,
}

impl Ending {
    /// Of a file that holds nothing of the source: in a folder it is skipped.
    fn foreign(file: &FoundFile, reason: String) -> Self {
        match file.found {
            Found::InFolder => Self::Skipped(reason),
            Found::Named => Self::Refused(reason),
        }
    }
}

/// Treatment of a file that was named explicitly and none of whose first records is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unrecognised {
    /// The file is rejected, since published records cannot be taken back.
    Refused,
    /// Its records are passed on, for commands that only inspect them.
    HandedOut,
}

/// Format and purpose of reading files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sought<'a> {
    pub(super) format: SourceFormat,
    pub(super) tenant: &'a TenantId,
    pub(super) delivery: Delivery,
    /// Instants of the charges that replace others, in all files.
    pub(super) instants: &'a Instants,
    pub(super) state: &'a StateOptions,
    pub(super) unrecognised: Unrecognised,
}

/// Reads one file and passes on its items until told to stop.
///
/// A file none of whose first records is recognised is not read, unless `unrecognised` says so.
pub(super) fn read_file(
    file: &FoundFile,
    sought: Sought<'_>,
    bytes_read: &Arc<AtomicU64>,
    hand_out: impl FnMut(Item) -> ControlFlow<()>,
) -> Ending {
    let Sought { format, tenant, .. } = sought;
    let mut reader = match open(file, bytes_read) {
        Ok(reader) => reader,
        Err(error) => return Ending::Refused(chain(&error)),
    };
    let begins = match reader.fill_buf() {
        Ok(begins) => begins,
        Err(error) => return Ending::Refused(chain(&error)),
    };
    if let Some(instead) = packed(begins).filter(|_| format != SourceFormat::Focus || !is_parquet(begins)) {
        return Ending::foreign(file, instead.to_owned());
    }
    if format == SourceFormat::Focus {
        return read_charges(file, reader, sought, hand_out);
    }
    if format == SourceFormat::Config && state::may_be_state(begins) {
        return read_state(file, reader, sought, hand_out);
    }
    read_records(file, reader, sought, |record| item(format, tenant, record), hand_out)
}

/// Reads a file of records. They are kept back until one of them is recognised.
fn read_records(
    file: &FoundFile,
    reader: Box<dyn BufRead + Send>,
    sought: Sought<'_>,
    mut map: impl FnMut(Record) -> Item,
    mut hand_out: impl FnMut(Item) -> ControlFlow<()>,
) -> Ending {
    let unrecognised = match file.found {
        Found::InFolder => Unrecognised::Refused,
        Found::Named => sought.unrecognised,
    };
    let mut pending = Pending::new(sought.format, unrecognised);
    let mut out = |records: Vec<Record>| records.into_iter().try_for_each(|record| hand_out(map(record)));
    let mut defect = None;
    for record in Records::new(reader, sought.format) {
        match record {
            Ok(record) => match pending.push(record) {
                Verdict::Unknown => {}
                Verdict::Records(records) => {
                    if out(records).is_break() {
                        return Ending::Stopped;
                    }
                }
                Verdict::Foreign => return Ending::foreign(file, pending.reason()),
            },
            Err(FileDefect::NotRecords) => return Ending::foreign(file, chain(&FileDefect::NotRecords)),
            Err(found) => {
                defect = Some(chain(&found));
                break;
            }
        }
    }
    if let Some(reason) = pending.without_records(file.found) {
        return Ending::Skipped(with_defect(reason, defect.as_deref()));
    }
    match pending.at_end() {
        Verdict::Records(records) => match (out(records), defect) {
            (ControlFlow::Break(()), _) => Ending::Stopped,
            (ControlFlow::Continue(()), None) => Ending::Whole,
            (ControlFlow::Continue(()), Some(defect)) => Ending::Refused(defect),
        },
        Verdict::Foreign | Verdict::Unknown => {
            Ending::foreign(file, with_defect(pending.reason(), defect.as_deref()))
        }
    }
}

fn with_defect(reason: String, defect: Option<&str>) -> String {
    match defect {
        Some(defect) => format!("{reason}; {defect}"),
        None => reason,
    }
}

/// Reads a file of charges: a table, or records in JSON.
fn read_charges(
    file: &FoundFile,
    mut reader: Box<dyn BufRead + Send>,
    sought: Sought<'_>,
    mut hand_out: impl FnMut(Item) -> ControlFlow<()>,
) -> Ending {
    let charges = Charges::new(sought.tenant, sought.delivery, modified_at(file));
    let mut charges = charges.within(sought.instants.clone());
    let begins = match reader.fill_buf() {
        Ok(begins) => begins,
        Err(error) => return Ending::Refused(chain(&error)),
    };
    let foreign = |reason| Ending::foreign(file, reason);
    let first = begins.iter().find(|byte| byte.is_ascii_graphic());
    if matches!(first, Some(b'{' | b'[')) {
        let mapped = |Record { index, text, .. }: Record| {
            let text = text.map_err(|defect| chain(&defect));
            item_of(index, text.and_then(|text| charges.map_json(&text).map_err(|error| chain(&error))))
        };
        return read_records(file, reader, sought, mapped, hand_out);
    }
    let rows = if is_parquet(begins) {
        match File::open(&file.path) {
            Ok(opened) => ChargeRows::of_parquet(opened, charges).map(Some),
            Err(error) => return Ending::Refused(chain(&error)),
        }
    } else {
        ChargeRows::of_text(reader, charges)
    };
    let rows = match rows {
        Ok(Some(rows)) => rows,
        Ok(None) => return Ending::Whole,
        Err(FileBroken::Foreign(reason)) => return foreign(reason),
        Err(FileBroken::Broken(reason)) => return Ending::Refused(reason),
    };
    for row in rows {
        let told = match row {
            Ok(ChargeRow { index, charge }) => hand_out(item_of(index, charge)),
            Err(FileBroken::Broken(reason) | FileBroken::Foreign(reason)) => return Ending::Refused(reason),
        };
        if told.is_break() {
            return Ending::Stopped;
        }
    }
    Ending::Whole
}

/// Reads a Terraform state: each resource is an item.
fn read_state(
    file: &FoundFile,
    reader: Box<dyn BufRead + Send>,
    sought: Sought<'_>,
    mut hand_out: impl FnMut(Item) -> ControlFlow<()>,
) -> Ending {
    let mut text = Vec::new();
    if let Err(error) = reader.take(MAX_STATE_BYTES + 1).read_to_end(&mut text) {
        return Ending::Refused(chain(&error));
    }
    if text.len() as u64 > MAX_STATE_BYTES {
        return Ending::Refused(format!("the state has more than {MAX_STATE_BYTES} bytes"));
    }
    let told = sought.state.observed_at;
    let seen = StateSeen {
        tenant: sought.tenant,
        workspace: &sought.state.workspace,
        at: told.unwrap_or_else(|| modified_at(file)),
        time_assumed: told.is_none(),
    };
    let resources = match state::read(&text, seen) {
        Ok(resources) => resources,
        Err(reason) => return Ending::foreign(file, reason),
    };
    for (index, mapped) in (0..).zip(resources) {
        if hand_out(item_of(index, mapped)).is_break() {
            return Ending::Stopped;
        }
    }
    Ending::Whole
}

fn item_of(index: u64, mapped: Result<Mapped, String>) -> Item {
    match mapped {
        Ok(mapped) => Item::Record { index, mapped: Box::new(mapped) },
        Err(reason) => Item::Rejected { index, reason },
    }
}

/// Modification time of the file; now, if the file system has none or one in the future.
fn modified_at(file: &FoundFile) -> Timestamp {
    let nanoseconds = i64::try_from(file.modified_ns).unwrap_or(0);
    let modified = Timestamp::from_timestamp_nanos(nanoseconds);
    let now = Utc::now();
    if nanoseconds == 0 || modified > now { now } else { modified }
}

fn item(format: SourceFormat, tenant: &TenantId, Record { index, text, around }: Record) -> Item {
    match text {
        Ok(text) => match format.map_within(tenant, &text, &around) {
            Ok(mapped) => Item::Record { index, mapped: Box::new(mapped) },
            Err(error) => Item::Rejected { index, reason: chain(&error) },
        },
        Err(defect) => Item::Rejected { index, reason: chain(&defect) },
    }
}

/// Description of a (decompressed) file that is no text, with advice; `None` if it may be text.
fn packed(begins: &[u8]) -> Option<&'static str> {
    const KINDS: [(usize, &[u8], &str); 11] = [
        (0, &GZIP_MAGIC, "it is compressed twice; decompress it once"),
        (0, &ZSTD_MAGIC, "it is compressed twice; decompress it once"),
        (0, b"PK\x03\x04", "it is a ZIP archive; unpack it and import its files"),
        (0, b"7z\xBC\xAF\x27\x1C", "it is a 7z archive; unpack it and import its files"),
        (257, b"ustar", "it is a tar archive; unpack it and import its files"),
        (0, b"BZh", "it is compressed with bzip2; decompress it, or compress it with gzip or zstd"),
        (0, b"\xFD7zXZ\0", "it is compressed with xz; decompress it, or compress it with gzip or zstd"),
        (
            0,
            b"\x04\x22\x4D\x18",
            "it is compressed with lz4; decompress it, or compress it with gzip or zstd",
        ),
        (0, &PARQUET_MAGIC, "it is Parquet; export its records as JSON, one a line"),
        (0, b"Obj\x01", "it is an Avro file; export its records as JSON, one a line"),
        (0, b"ORC", "it is ORC; export its records as JSON, one a line"),
    ];
    let is =
        |&&(at, magic, _): &&(usize, &[u8], &str)| begins.get(at..).is_some_and(|b| b.starts_with(magic));
    KINDS.iter().find(is).map(|(_, _, instead)| *instead)
}

fn is_parquet(begins: &[u8]) -> bool {
    begins.starts_with(&PARQUET_MAGIC)
}

/// Opens a file, decompressing gzip or zstd by its first bytes; a file named `.gz` or `.zst` must be
/// compressed so.
fn open(file: &FoundFile, bytes_read: &Arc<AtomicU64>) -> io::Result<Box<dyn BufRead + Send>> {
    let counted = Counted { file: File::open(&file.path)?, bytes_read: Arc::clone(bytes_read) };
    let mut reader = BufReader::with_capacity(64 * 1024, counted);
    let begins = reader.fill_buf()?;
    if begins.starts_with(&GZIP_MAGIC) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(reader))));
    }
    if begins.starts_with(&ZSTD_MAGIC) {
        return Ok(Box::new(BufReader::new(zstd::Decoder::with_buffer(reader)?)));
    }
    let named = |name: &str| file.path.extension().is_some_and(|found| found.eq_ignore_ascii_case(name));
    for (name, format) in [("gz", "gzip"), ("zst", "zstd")] {
        if named(name) && file.bytes > 0 {
            return Err(io::Error::other(format!("it is named .{name} and is not {format}")));
        }
    }
    Ok(Box::new(reader))
}

/// Counts the bytes read from disk, for the progress bar.
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

/// An error with its causes, in one line.
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
