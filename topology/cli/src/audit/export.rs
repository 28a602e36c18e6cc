//! `weir audit export`: all entries that match, into a file.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Read, Seek, SeekFrom, Write as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    Outcome,
    output::note,
    query::{Api, AuditSelection},
    settings::Trust,
};

const ROUTE: &str = "/api/v1/audit/export";
/// An export runs for as long as it needs.
const AT_MOST: Duration = Duration::from_hours(24);
/// The longest time without a byte: the query API waits for a page's turn for so long, and longer.
const SILENCE: Duration = Duration::from_mins(12);
/// Attempts to resume an export that breaks off.
const ATTEMPTS: u32 = 5;

/// Arguments of `weir audit export`.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The file to write.
    file: PathBuf,
    /// One entry a line as JSON, or CSV with a line of column names.
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// Each entry with its whole OCSF record and its place in the log: what `weir verify --export` checks.
    #[arg(long)]
    records: bool,
    /// Go on where an export into this file broke off; the filter must be the same.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    filters: AuditSelection,
    #[command(flatten)]
    trust: Trust,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Ndjson,
    Csv,
}

impl Format {
    const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }
}

/// Progress of an export, read back from its file.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    /// Bytes up to the end of the last whole line.
    bytes: u64,
    /// Entries.
    entries: u64,
    /// The last of them.
    last: Option<Uuid>,
}

/// Writes the file, and resumes by itself if the connection breaks.
pub(super) async fn export(args: ExportArgs) -> anyhow::Result<Outcome> {
    let shown = args.file.display();
    let mut file = open(&args)?;
    let api = Api::of(&crate::place::Place::find().await?, &args.trust)?;
    let mut attempt = 0;
    loop {
        let held = cut(&mut file, args.format).with_context(|| format!("reading {shown}"))?;
        match fetch(&api, &args, &mut file, held.last).await {
            Ok(()) => break,
            Err(broken) if broken.is_final || attempt == ATTEMPTS => {
                return Err(broken.error.context(format!(
                    "{shown} holds {} entries and is not whole; continue with --resume and the same filter",
                    cut(&mut file, args.format).map_or(held.entries, |held| held.entries)
                )));
            }
            Err(broken) => {
                attempt += 1;
                note(&format!("the export broke off ({:#}); going on", broken.error));
            }
        }
    }
    let held = cut(&mut file, args.format).with_context(|| format!("reading {shown}"))?;
    file.sync_all().with_context(|| format!("writing {shown}"))?;
    note(&format!("{} entries in {shown}", held.entries));
    Ok(Outcome::Done)
}

fn open(args: &ExportArgs) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if args.resume { &mut options } else { options.create_new(true) }.open(&args.file).with_context(|| {
        let shown = args.file.display();
        if !args.resume && args.file.exists() {
            format!("{shown} exists already: continue with --resume, or name another file")
        } else {
            format!("{shown} cannot be opened for writing")
        }
    })
}

/// Cuts off a line that did not arrive whole, and seeks to the end.
fn cut(file: &mut File, format: Format) -> anyhow::Result<Held> {
    file.seek(SeekFrom::Start(0))?;
    let held = match format {
        Format::Ndjson => held_ndjson(&mut *file),
        Format::Csv => held_csv(&mut *file),
    }?;
    file.set_len(held.bytes)?;
    file.seek(SeekFrom::End(0))?;
    Ok(held)
}

fn held_ndjson(file: impl Read) -> anyhow::Result<Held> {
    #[derive(Deserialize)]
    struct Line {
        event_id: Uuid,
    }
    let mut held = Held { bytes: 0, entries: 0, last: None };
    let (mut reader, mut line, mut last) = (BufReader::new(file), Vec::new(), Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            break;
        }
        held.bytes += read as u64;
        held.entries += 1;
        std::mem::swap(&mut line, &mut last);
    }
    if held.entries > 0 {
        let line: Line = serde_json::from_slice(&last)
            .with_context(|| format!("line {} is no entry of an export in NDJSON", held.entries))?;
        held.last = Some(line.event_id);
    }
    Ok(held)
}

fn held_csv(mut file: impl Read + Seek) -> anyhow::Result<Held> {
    let whole = ends_with_a_line_break(&mut file)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    // With the line break alone as the end of a line, its position is that of the next one's beginning.
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .terminator(csv::Terminator::Any(b'\n'))
        .from_reader(BufReader::new(file));
    let (mut row, mut columns) = (csv::ByteRecord::new(), 0);
    let mut held = Held { bytes: 0, entries: 0, last: None };
    while reader.read_byte_record(&mut row)? {
        let end = reader.position().byte();
        // A line that was cut inside a cell has too few cells; one that was cut inside its last cell has no end.
        if (columns > 0 && row.len() != columns) || (end == length && !whole) {
            break;
        }
        if columns == 0 {
            columns = row.len();
            if row.get(0) != Some(b"event_id") {
                bail!("the first line does not begin with event_id: it is no export in CSV");
            }
        } else {
            let id = std::str::from_utf8(row.get(0).unwrap_or_default()).ok().and_then(|id| id.parse().ok());
            held.last = Some(id.with_context(|| format!("row {} has no event_id", held.entries + 2))?);
            held.entries += 1;
        }
        held.bytes = end;
    }
    Ok(held)
}

fn ends_with_a_line_break(file: &mut (impl Read + Seek)) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// An export that did not arrive to its end.
struct Broken {
    error: anyhow::Error,
    /// Whether asking again is of no use.
    is_final: bool,
}

/// Appends what follows the last entry that is held.
async fn fetch(api: &Api, args: &ExportArgs, file: &mut File, last: Option<Uuid>) -> Result<(), Broken> {
    let passing = |error: anyhow::Error| Broken { error, is_final: false };
    let last = last.map(|last| last.to_string());
    let mut parameters = args.filters.parameters();
    parameters.push(("format", args.format.name()));
    parameters.extend(args.records.then_some(("include", "record")));
    parameters.extend(last.as_deref().map(|last| ("after", last)));
    // An export that wrote its column names and no entry begins anew.
    if last.is_none() {
        let emptied = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
        emptied.map_err(|error| Broken { error: error.into(), is_final: true })?;
    }
    let mut answer =
        api.open(ROUTE, &parameters, AT_MOST).await.map_err(|error| Broken { error, is_final: true })?;
    loop {
        let piece = match tokio::time::timeout(SILENCE, answer.chunk()).await {
            Ok(piece) => piece.context("the connection broke").map_err(passing)?,
            Err(_) => return Err(passing(anyhow::anyhow!("nothing came for {} s", SILENCE.as_secs()))),
        };
        let Some(piece) = piece else { return Ok(()) };
        file.write_all(&piece).map_err(|error| Broken {
            error: anyhow::Error::new(error).context("the file cannot be written"),
            is_final: true,
        })?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const ID: &str = "01890000-0000-7000-8000-000000000001";

    #[test]
    fn a_line_that_was_cut_anywhere_is_not_held() {
        let whole = format!("event_id,action,record\r\n{ID},\"a,\r\n\"\"b\",\"{{\"\"c\"\":1}}\"\r\n");
        let names = whole.find("\r\n").expect("two lines") as u64 + 2;
        for length in 0..whole.len() {
            let held = held_csv(Cursor::new(&whole.as_bytes()[..length])).expect("an export");
            let expected = if (length as u64) < names { 0 } else { names };
            assert_eq!((held.bytes, held.entries, held.last), (expected, 0, None), "{length} bytes");
        }
        let held = held_csv(Cursor::new(whole.as_bytes())).expect("an export");
        assert_eq!(held, Held { bytes: whole.len() as u64, entries: 1, last: ID.parse().ok() });

        let whole = format!("{{\"event_id\":\"{ID}\"}}\n");
        for length in 0..whole.len() {
            let held = held_ndjson(&whole.as_bytes()[..length]).expect("an export");
            assert_eq!(held, Held { bytes: 0, entries: 0, last: None }, "{length} bytes");
        }
        let held = held_ndjson(whole.as_bytes()).expect("an export");
        assert_eq!(held, Held { bytes: whole.len() as u64, entries: 1, last: ID.parse().ok() });
    }

    #[test]
    fn a_file_of_another_kind_is_not_gone_on_with() {
        assert!(held_csv(Cursor::new(b"a,b\r\n1,2\r\n")).is_err());
        assert!(held_ndjson(&b"{}\n"[..]).is_err());
        assert!(held_ndjson(&b"event_id\n"[..]).is_err());
    }
}
