//! Exports and SIEMs' copies: OCSF records in NDJSON, each of which states its place in its log.

mod begin;
mod exported;
mod line;
mod statements;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
};

use anyhow::{Context, bail};
use audit_log::{
    Hash,
    checkpoint::{Checkpoint, SignedCheckpoint},
    integrity::{Place, leaf_of_copy},
    record::Splitter,
    verify::{
        Checked, Copies, CopyEntry, Evidence, Fault, Incomplete, Kind, Repeats, Report, SomeEntries, Trust,
        Worth,
    },
};
use schemas::Timestamp;
use serde_json::Value;
use siem::completeness::Statement;
use sinks::log_store::Kept;

pub(super) use self::begin::{Begin, begin};
use self::{exported::Exported, line::record_of};
use super::{parted::Parted, unique};

/// The longest line that is read, in bytes.
const MAX_LINE_BYTES: u64 = 32 * 1024 * 1024;

/// Kind of a file of copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// All entries of the logs from somewhere on, in any order, repeated deliveries allowed.
    Siem,
    /// Those of them that a sink's filter takes.
    FilteredSiem,
    /// Those of one tenant that a filter takes, each once.
    Export,
}

/// A file of copies, and what its user knows besides.
pub(super) struct Copied<'a> {
    pub(super) file: &'a Path,
    pub(super) source: Source,
    /// Where the copies of a log begin.
    pub(super) from: &'a [Begin],
    /// The hour of which alone the statements count.
    pub(super) hour: Option<Timestamp>,
    /// Checkpoints from elsewhere, as signed notes.
    pub(super) notes: &'a [String],
    /// What others have kept of the logs.
    pub(super) kept: &'a Kept,
}

/// One log as it is read.
#[derive(Default)]
struct Log {
    copies: Copies,
    /// Notes and their worth.
    notes: HashMap<String, Worth>,
    /// Statements of sinks on how many records they delivered, with their times in milliseconds since 1970.
    statements: Vec<(i64, Statement)>,
}

/// Entries of an export that state no place in the log of their partition.
#[derive(Default)]
struct Unlogged {
    entries: u64,
    last_offset: i64,
}

/// Result of verifying one log.
struct Found {
    checked: Checked,
    fault: Option<Fault>,
    /// The entries, if they were checked one by one.
    single: Option<SomeEntries>,
    incomplete: Vec<Incomplete>,
}

/// Verifies a file.
pub(super) fn verify(copied: &Copied<'_>, trust: &Trust) -> anyhow::Result<Report> {
    let mut reading = Reading {
        trust,
        source: copied.source,
        checks_each: copied.source != Source::Siem || copied.hour.is_some(),
        logs: BTreeMap::new(),
        unlogged: BTreeMap::new(),
        splitter: Splitter::default(),
    };
    reading.read(copied.file)?;
    let Reading { mut logs, unlogged, .. } = reading;
    if logs.is_empty() {
        bail!("no line of {} states its place in a log", copied.file.display());
    }
    if let Some(hour) = copied.hour {
        return statements::of_hour(logs, hour);
    }
    if copied.source == Source::Siem {
        statements::refuse_filtered(&logs)?;
    }
    begin::check(copied.from, &logs.keys().map(String::as_str).collect())?;
    let demanded = take_notes(&mut logs, copied, trust)?;
    let mut report = Report { unlogged: unlogged.values().map(|own| own.entries).sum(), ..Report::default() };
    let mut results = Vec::new();
    for (name, log) in logs {
        let stray = unlogged.get(&name).and_then(|unlogged| stray(&name, &log, unlogged));
        let found = check(&name, log, copied);
        results.push((found.checked.entries, found.fault.or(stray)));
        report.incomplete.extend(found.incomplete);
        report.single.extend(found.single);
        report.rewritten.extend(found.checked.rewritten);
        report.uncovered.extend(found.checked.uncovered);
        report.unanchored.extend(found.checked.unanchored);
    }
    let Report { logs, entries, ok, first_fault, .. } = Report::of(results);
    let report = Report { logs, entries, ok, first_fault, ..report };
    let is_demanded = |some: &&SomeEntries| !trust.witnesses.is_empty() || demanded.contains(&some.log);
    let unanchored = report.unanchored.iter().filter(|_| ok).find(is_demanded);
    match unanchored.map(|some| not_comparable(some, copied.source)) {
        Some(reason) => bail!(reason),
        None => Ok(report),
    }
}

/// The reason why no checkpoint says anything of some entries.
fn not_comparable(unanchored: &SomeEntries, source: Source) -> String {
    let SomeEntries { log, entries, first } = unanchored;
    let reason = match source {
        Source::Siem => format!("the copy of {log} begins with entry {first}, and the leaves before it"),
        Source::FilteredSiem | Source::Export => {
            format!("the file holds {entries} of the entries of {log}, and the leaves of the others")
        }
    };
    format!(
        "{reason} are not known, so that no checkpoint can be compared: give them with --kept (`weir audit tiles` writes them), \
         or leave --checkpoint and --witness out"
    )
}

/// Adds checkpoints from elsewhere to the logs that they are of; answers the logs of those that the user gave.
fn take_notes(
    logs: &mut BTreeMap<String, Log>,
    copied: &Copied<'_>,
    trust: &Trust,
) -> anyhow::Result<Vec<String>> {
    let mut demanded = Vec::new();
    for note in copied.notes {
        let signed = SignedCheckpoint::parse(note).context("a checkpoint from elsewhere cannot be read")?;
        let of_a_key = signed.checkpoint.log_of(&trust.keys).map(ToOwned::to_owned);
        let worth = of_a_key.as_deref().map_or(Worth::Unknown, |log| trust.worth(log, note));
        let (Some(log), Worth::Trusted(_) | Worth::Signed(_)) = (of_a_key, &worth) else {
            bail!("no key that is given signed the checkpoint of {}", signed.checkpoint.origin);
        };
        // All of a SIEM's copy of a log may be gone.
        if copied.source != Source::Siem && !logs.contains_key(&log) {
            bail!("the file holds nothing of {log}, and a checkpoint of it was given");
        }
        logs.entry(log.clone()).or_default().notes.insert(note.clone(), worth);
        demanded.push(log);
    }
    for note in &copied.kept.notes {
        let Ok(SignedCheckpoint { checkpoint, .. }) = SignedCheckpoint::parse(note) else { continue };
        let Some(name) = checkpoint.log_of(&trust.keys) else { continue };
        let Some(log) = logs.get_mut(name) else { continue };
        // The log may have grown since the copy was taken.
        let end = log.copies.highest().map_or(0, |highest| highest.saturating_add(1));
        if copied.source != Source::Siem || checkpoint.size <= end {
            let worth = trust.worth(name, note);
            log.notes.insert(note.clone(), worth);
        }
    }
    Ok(demanded)
}

fn check(name: &str, log: Log, copied: &Copied<'_>) -> Found {
    let Log { copies, notes, statements } = log;
    let (mut trusted, mut signed): (Vec<Checkpoint>, Vec<Checkpoint>) = (Vec::new(), Vec::new());
    for worth in notes.into_values() {
        match worth {
            Worth::Trusted(checkpoint) => trusted.push(checkpoint),
            Worth::Signed(checkpoint) => signed.push(checkpoint),
            Worth::Unknown | Worth::Forged => {}
        }
    }
    let kept = copied.kept.leaves.get(name).map(Vec::as_slice).unwrap_or_default();
    let evidence = Evidence { trusted: &trusted, signed: &signed, kept };
    let lowest = copies.lowest();
    let from = match copied.source {
        Source::Siem => begin::index_of(copied.from, name, lowest.unwrap_or(0)),
        Source::FilteredSiem | Source::Export => 0,
    };
    let statements = statements.into_iter().map(|(_, statement)| statement);
    let statements: Vec<Statement> = statements.filter(|statement| statement.from >= from).collect();
    let (incomplete, gap) = statements::gaps(name, &copies, &statements);
    let checked = match copied.source {
        Source::Siem => copies.check(name, &evidence, Repeats::Allowed, from),
        Source::FilteredSiem => copies.check_each(name, &evidence, Repeats::Allowed),
        Source::Export => copies.check_each(name, &evidence, Repeats::Refused),
    };
    let is_single = copied.source != Source::Siem;
    let single = lowest.filter(|_| is_single).map(|first| SomeEntries {
        log: name.to_owned(),
        entries: checked.entries,
        first,
    });
    // A record that a sink says is missing is named before the want of a checkpoint.
    let fault = match &checked.fault {
        Some(fault) if fault.kind != Kind::Checkpoint => Some(fault.clone()),
        unsigned => gap.or_else(|| unsigned.clone()),
    };
    Found { checked, fault, single, incomplete }
}

/// An entry of an export that states no place although its log had begun by then, as the log's checkpoints say: it is named as one
/// behind all, for nobody knows its index.
fn stray(name: &str, log: &Log, unlogged: &Unlogged) -> Option<Fault> {
    let begins = log.notes.values().find_map(|worth| match worth {
        Worth::Trusted(checkpoint) | Worth::Signed(checkpoint) => {
            Some(checkpoint.first_offset().unwrap_or(0))
        }
        Worth::Unknown | Worth::Forged => None,
    });
    let is_stray = begins.zip(u64::try_from(unlogged.last_offset).ok()).is_some_and(|(at, last)| at <= last);
    let index = log.copies.highest().map_or(0, |highest| highest.saturating_add(1));
    is_stray.then(|| Fault { log: name.to_owned(), index, kind: Kind::Inserted })
}

/// A file as it is read.
struct Reading<'a> {
    trust: &'a Trust,
    source: Source,
    /// Whether each entry is checked by itself: no chain tells then whether it stands where it says.
    checks_each: bool,
    logs: BTreeMap<String, Log>,
    unlogged: BTreeMap<String, Unlogged>,
    splitter: Splitter,
}

impl Reading<'_> {
    fn read(&mut self, file: &Path) -> anyhow::Result<()> {
        let shown = file.display();
        let mut reader = BufReader::new(File::open(file).with_context(|| format!("opening {shown}"))?);
        let (mut line, mut number, mut parted) = (Vec::new(), 0_u64, Parted::default());
        loop {
            line.clear();
            if reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            number += 1;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let value = unique::read(&line)
                .with_context(|| format!("line {number} of {shown} cannot be read as JSON"))?;
            if self.source == Source::Export {
                self.take_exported(&value).with_context(|| format!("line {number} of {shown}"))?;
            } else if let Some(record) = parted.take(record_of(&value)) {
                self.take(&record);
            }
        }
        // What is not whole is looked at as it is, and found wanting.
        for record in parted.into_rest() {
            self.take(&record);
        }
        Ok(())
    }

    /// Takes one record of a SIEM's copy in. A record without a place is none of the log's; one that was has its index missing.
    fn take(&mut self, record: &Value) {
        if let Some(statement) = Statement::stated(record) {
            let time_ms = record.get("time").and_then(Value::as_i64).unwrap_or_default();
            let log = self.logs.entry(statement.log.clone()).or_default();
            log.statements.push((time_ms, statement));
        } else if let Some(place) = Place::stated(record) {
            self.add(record, &place, true);
        }
    }

    /// Takes one line of an export in: a record, and mostly columns beside it.
    fn take_exported(&mut self, line: &Value) -> anyhow::Result<()> {
        let (record, columns) = (record_of(line), Exported::of(line));
        if let Some(place) = Place::stated(&record) {
            let has_columns = line.get("unmapped").is_none();
            let agrees = !has_columns || columns.is_some_and(|columns| columns.agrees(&record, &place));
            self.add(&record, &place, agrees);
        } else if let Some((log, index)) = unreadable_place(&record) {
            let entry = CopyEntry { index, leaf: None, stated: Hash::default(), previous: None };
            self.logs.entry(log).or_default().copies.add(entry);
        } else if record.get("metadata").is_none() {
            bail!(
                "there is no OCSF record: export with `weir audit export --records` (`include=record`), as NDJSON"
            );
        } else {
            let log = columns.as_ref().map(Exported::log).unwrap_or_default();
            let unlogged = self.unlogged.entry(log).or_default();
            unlogged.entries += 1;
            let offset = columns.as_ref().map_or(-1, Exported::offset);
            unlogged.last_offset = unlogged.last_offset.max(offset);
        }
        Ok(())
    }

    /// Adds a record to its log. One that is not as it was sent has no leaf; a forged checkpoint in it is reason enough.
    fn add(&mut self, record: &Value, place: &Place, agrees: bool) {
        let log = self.logs.entry(place.log.clone()).or_default();
        let is_forged = place.checkpoint.as_ref().is_some_and(|note| {
            if let Some(worth) = log.notes.get(note) {
                return *worth == Worth::Forged;
            }
            let worth = self.trust.worth(&place.log, note);
            let is_forged = worth == Worth::Forged;
            log.notes.insert(note.clone(), worth);
            is_forged
        });
        let is_as_sent = agrees && !is_forged && (!self.checks_each || place.is_stated_throughout(record));
        let leaf = leaf_of_copy(&mut self.splitter, record, &place.personal).ok().filter(|_| is_as_sent);
        log.copies.add(CopyEntry { index: place.index, leaf, stated: place.leaf, previous: place.previous });
    }
}

/// The log and the index of a record whose place cannot be read otherwise, which none is that was sent.
fn unreadable_place(record: &Value) -> Option<(String, u64)> {
    let stated = record.pointer("/unmapped/record_integrity")?;
    Some((stated.get("log")?.as_str()?.to_owned(), stated.get("index")?.as_u64()?))
}
