//! Exports and SIEMs' copies: OCSF records in NDJSON, each of which states its place in its log.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
};

use anyhow::{Context, bail};
use audit_log::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    integrity::{Place, leaf_of_copy},
    record::Splitter,
    verify::{Copies, CopyEntry, Delivered, Fault, Incomplete, Kind, Repeats, Report, Trust},
};
use schemas::Timestamp;
use serde_json::Value;
use siem::completeness::Statement;

use super::parted::Parted;

/// The longest line that is read, in bytes.
const MAX_LINE_BYTES: u64 = 32 * 1024 * 1024;
const HOUR_MS: i64 = 3_600_000;
/// Members in which SIEMs wrap what they were given.
const WRAPPINGS: [&str; 4] = ["event", "_source", "record", "data"];

/// One log as it is read.
#[derive(Default)]
struct Log {
    copies: Copies,
    /// By note: whether it is signed, and what it says.
    checkpoints: HashMap<String, Option<Checkpoint>>,
    /// Statements of sinks on how many records they delivered, with their times in milliseconds since 1970.
    statements: Vec<(i64, Statement)>,
}

/// A file of copies.
pub(super) struct Copied<'a> {
    pub(super) file: &'a Path,
    pub(super) repeats: Repeats,
    /// The first index that the file holds of each log.
    pub(super) from: u64,
    /// The hour of which alone the statements count.
    pub(super) hour: Option<Timestamp>,
}

/// Verifies a file, with checkpoints from elsewhere.
pub(super) fn verify(copied: &Copied<'_>, trust: &Trust, notes: &[String]) -> anyhow::Result<Report> {
    let Copied { file, repeats, from, hour } = *copied;
    let mut logs: BTreeMap<String, Log> = BTreeMap::new();
    let mut reader = BufReader::new(File::open(file).with_context(|| format!("opening {}", file.display()))?);
    let (mut line, mut number) = (Vec::new(), 0_u64);
    let (mut splitter, mut parted) = (Splitter::default(), Parted::default());
    loop {
        line.clear();
        if reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let value: Value = serde_json::from_slice(&line)
            .with_context(|| format!("line {number} of {} is no JSON", file.display()))?;
        if let Some(record) = parted.take(record_of(&value)) {
            take(&mut logs, &record, trust, &mut splitter);
        }
    }
    // What is not whole is looked at as it is, and found wanting.
    for record in parted.into_rest() {
        take(&mut logs, &record, trust, &mut splitter);
    }
    if logs.is_empty() {
        bail!("no line of {} states its place in a log", file.display());
    }
    for note in notes {
        let signed = SignedCheckpoint::parse(note).context("a checkpoint is no signed note")?;
        let log = logs.keys().find(|log| trust.open(log, note).is_ok()).cloned();
        let log = log.with_context(|| {
            format!(
                "the checkpoint of {} is none of the file's logs, or not signed",
                signed.checkpoint.origin
            )
        })?;
        let known = &mut logs.entry(log).or_default().checkpoints;
        known.insert(note.clone(), Some(signed.checkpoint));
    }
    if let Some(hour) = hour {
        return of_hour(logs, hour);
    }
    let mut incomplete = Vec::new();
    let report = Report::of(logs.into_iter().map(|(name, log)| {
        let checkpoints: Vec<Checkpoint> = log.checkpoints.into_values().flatten().collect();
        let statements: Vec<Statement> = log.statements.into_iter().map(|(_, statement)| statement).collect();
        let (missing, gap) = gaps(&name, &log.copies, &statements);
        incomplete.extend(missing);
        let (entries, fault) = if statements.iter().any(Statement::is_filtered) {
            log.copies.check_each(&name)
        } else {
            log.copies.check(&name, &checkpoints, (repeats, from))
        };
        (entries, fault.or(gap))
    }));
    Ok(Report { incomplete, ..report })
}

/// Verifies the intervals that sinks stated in one hour, and nothing else: the file may hold no more than
/// that.
fn of_hour(logs: BTreeMap<String, Log>, hour: Timestamp) -> anyhow::Result<Report> {
    let (mut incomplete, mut delivered, mut checked) = (Vec::new(), Vec::new(), Vec::new());
    for (name, log) in logs {
        let is_in = |time_ms: i64| time_ms.div_euclid(HOUR_MS) == hour.timestamp_millis().div_euclid(HOUR_MS);
        let mut statements: Vec<Statement> = Vec::new();
        for (_, statement) in log.statements.into_iter().filter(|(time_ms, _)| is_in(*time_ms)) {
            // One that was delivered twice is one.
            if !statements.contains(&statement) {
                statements.push(statement);
            }
        }
        if statements.is_empty() {
            continue;
        }
        delivered.extend(by_sink(&name, &log.copies, &statements));
        let (missing, gap) = gaps(&name, &log.copies, &statements);
        incomplete.extend(missing);
        let ranges: Vec<_> = statements.iter().map(|statement| statement.from..statement.to).collect();
        let (entries, fault) = log.copies.within(&ranges).check_each(&name);
        checked.push((entries, fault.or(gap)));
    }
    if checked.is_empty() {
        bail!(
            "no sink stated anything in the hour {}: see statement_s in docs/siem.md",
            hour.format("%Y-%m-%dT%H")
        );
    }
    Ok(Report { incomplete, hour: delivered, ..Report::of(checked) })
}

/// The statements on one log by sink, and what the copies hold of them.
fn by_sink(log: &str, copies: &Copies, statements: &[Statement]) -> Vec<Delivered> {
    let indices = copies.indices();
    let mut sinks: BTreeMap<&str, Delivered> = BTreeMap::new();
    for statement in statements {
        let range = statement.from..statement.to;
        let held = indices.range(range.clone()).count() as u64;
        let of_sink = sinks.entry(&statement.sink).or_insert_with(|| Delivered {
            log: log.to_owned(),
            sink: statement.sink.clone(),
            owed: 0,
            parked: 0,
            held: 0,
            missing: 0,
            doubled: 0,
        });
        of_sink.owed += statement.count;
        of_sink.parked += statement.parked;
        of_sink.held += held;
        of_sink.missing += statement.owed().saturating_sub(held);
        of_sink.doubled += copies.count_in(&range) - held;
    }
    sinks.into_values().collect()
}

/// Intervals of which the copies hold fewer records than were delivered, and the first entry that is missing for
/// certain; of a sink with a filter, the first of the interval.
fn gaps(log: &str, copies: &Copies, statements: &[Statement]) -> (Vec<Incomplete>, Option<Fault>) {
    let held = copies.indices();
    let (mut incomplete, mut first): (Vec<Incomplete>, Option<u64>) = (Vec::new(), None);
    for statement in statements {
        let range = statement.from..statement.to;
        let here = held.range(range.clone()).count() as u64;
        if here >= statement.owed() {
            continue;
        }
        let is_certain = !statement.is_filtered() && statement.parked == 0;
        let gap = range.clone().find(|index| is_certain && !held.contains(index)).unwrap_or(statement.from);
        first = Some(first.map_or(gap, |first| first.min(gap)));
        incomplete.push(Incomplete {
            log: log.to_owned(),
            sink: statement.sink.clone(),
            from: range.start,
            to: range.end,
            owed: statement.owed(),
            held: here,
        });
    }
    incomplete.sort_by(|a, b| (a.from, a.to, &a.sink).cmp(&(b.from, b.to, &b.sink)));
    // A statement that was delivered twice is one.
    incomplete.dedup();
    (incomplete, first.map(|index| Fault { log: log.to_owned(), index, kind: Kind::Missing }))
}

/// The record, out of what a SIEM has wrapped around it, and without the time that Elasticsearch is given beside it.
fn record_of(value: &Value) -> Cow<'_, Value> {
    let wrapped =
        WRAPPINGS.iter().filter_map(|name| value.get(name)).find(|inner| inner.get("class_uid").is_some());
    let record = wrapped.unwrap_or(value);
    if record.get("@timestamp").is_none() {
        return Cow::Borrowed(record);
    }
    let mut record = record.clone();
    record.as_object_mut().map(|members| members.remove("@timestamp"));
    Cow::Owned(record)
}

/// Takes one record in. A record without a place is none of the log's; one that was has its index missing.
fn take(logs: &mut BTreeMap<String, Log>, record: &Value, trust: &Trust, splitter: &mut Splitter) {
    if let Some(statement) = Statement::stated(record) {
        let time_ms = record.get("time").and_then(Value::as_i64).unwrap_or_default();
        logs.entry(statement.log.clone()).or_default().statements.push((time_ms, statement));
        return;
    }
    let Some(place) = Place::stated(record) else { return };
    let log = logs.entry(place.log.clone()).or_default();
    let opened = place.checkpoint.map(|note| {
        let open = |note: &String| trust_of_the_log_alone(trust).open(&place.log, note).ok();
        log.checkpoints.entry(note).or_insert_with_key(open).is_some()
    });
    // A record with a forged checkpoint was edited.
    let leaf = leaf_of_copy(splitter, record, &place.personal).ok().filter(|_| opened != Some(false));
    let (index, stated, previous) = (place.index, place.leaf, place.previous);
    log.copies.add(CopyEntry { index, leaf, stated, previous });
}

/// Records carry checkpoints as they were signed, before any witness had cosigned them.
fn trust_of_the_log_alone(trust: &Trust) -> Trust {
    Trust { keys: trust.keys.clone(), witnesses: Vec::new() }
}
