//! `weir verify`: is the audit log as it was? Over the database, or over what others have kept of it.

mod copies;
mod kept;
mod parted;
mod tile_folder;
mod tiles;
mod unique;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use audit_log::{
    keys::{PublicKey, Purpose},
    verify::{Fault, Kind, ProofFile, Report, SomeEntries, Trust},
};
use chrono::NaiveDateTime;
use clap::Args;
use schemas::Timestamp;
use sinks::log_store::Kept;

use copies::{Begin, Copied, Source, begin};
pub(super) use tile_folder::TileFolder;

use super::{
    Outcome,
    output::{self, Format},
    place::{self, Place},
};

/// Arguments of `weir verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// An export of the audit log with its records, as NDJSON: each entry is there once, and others may be missing.
    #[arg(long, value_name = "FILE", group = "source")]
    export: Option<PathBuf>,
    /// A SIEM's copy: one OCSF record a line, in any order, repeated deliveries allowed.
    #[arg(long, value_name = "FILE", group = "source")]
    siem: Option<PathBuf>,
    /// A folder of checkpoints and tiles, as `weir audit tiles` writes it.
    #[arg(long, value_name = "DIR", group = "source")]
    tiles: Option<PathBuf>,
    /// The proof of one entry, as `weir audit proof` prints it.
    #[arg(long, value_name = "FILE", group = "source")]
    proof: Option<PathBuf>,
    /// The deployment's public key, or a file of such keys; by default the key that is set here.
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// Demands the cosignature of this witness: its public key, or a file of such keys.
    #[arg(long, value_name = "KEY")]
    witness: Vec<String>,
    /// A checkpoint of the log from elsewhere, such as a witness's: a file that holds a signed note. What is verified must be
    /// its continuation.
    #[arg(long, value_name = "FILE", conflicts_with = "proof")]
    checkpoint: Vec<PathBuf>,
    /// What others have kept of the logs: a folder as `weir audit tiles` writes it, or a witness's folder. The database must be its
    /// continuation; of an export or a copy, it tells the leaves that the file does not hold.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["tiles", "proof"])]
    kept: Option<PathBuf>,
    /// The first entry of a log that a SIEM's copy holds: LOG=INDEX, or INDEX if the file holds one log. held begins each log with
    /// the first entry that is there. By default each begins with entry 0.
    #[arg(
        long,
        value_name = "START",
        requires = "siem",
        conflicts_with_all = ["export", "tiles", "proof"],
        value_parser = begin
    )]
    from: Vec<Begin>,
    /// The SIEM's copy is of a sink with a filter: each record is checked by itself, and no chain, so that missing entries are
    /// found by the sink's statements alone.
    #[arg(
        long,
        requires = "siem",
        conflicts_with_all = ["export", "tiles", "proof", "from", "hour", "checkpoint", "witness"]
    )]
    filtered: bool,
    /// Of a SIEM's copy, only what sinks stated in this hour, in UTC, such as 2026-11-29T14: how many records
    /// each was owed, how many the copy holds, misses and holds twice. The file may hold no more than that
    /// hour's records and statements.
    #[arg(
        long,
        value_name = "HOUR",
        requires = "siem",
        value_parser = hour,
        conflicts_with_all = ["export", "tiles", "proof", "from", "checkpoint", "witness", "kept"]
    )]
    hour: Option<Timestamp>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// An hour by its beginning, or by any instant of it.
fn hour(text: &str) -> Result<Timestamp, String> {
    let begun = NaiveDateTime::parse_from_str(&format!("{text}:00"), "%Y-%m-%dT%H:%M").map(|at| at.and_utc());
    let instant = || text.parse::<Timestamp>();
    begun.or_else(|_| instant()).map_err(|_| "an hour is written like 2026-11-29T14".to_owned())
}

/// Verifies, prints the result, and exits with 1 if there is a fault; with 2 if it could not verify.
pub(super) async fn verify(args: VerifyArgs) -> anyhow::Result<Outcome> {
    match report_of(&args).await {
        Ok(report) => {
            print(&report, args.output)?;
            Ok(if report.ok { Outcome::Done } else { Outcome::No })
        }
        Err(error) => {
            output::complain(&error);
            Ok(Outcome::Usage)
        }
    }
}

async fn report_of(args: &VerifyArgs) -> anyhow::Result<Report> {
    let trust = Trust { keys: keys(args)?, witnesses: given_keys(&args.witness, Purpose::Witness)? };
    if let Some(file) = &args.proof {
        let text = place::read(file)?;
        let proof: ProofFile = unique::read(text.as_bytes())
            .and_then(serde_json::from_value)
            .with_context(|| format!("{} is no proof of an entry", file.display()))?;
        return Ok(Report::of([(1, proof.check(&trust))]));
    }
    let notes = args.checkpoint.iter().map(|file| place::read(file)).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(dir) = &args.tiles {
        return tiles::verify(dir, &trust, &notes);
    }
    let mut kept = match &args.kept {
        Some(dir) => kept::kept(dir, &trust.keys)?,
        None => Kept::default(),
    };
    let siem = if args.filtered { Source::FilteredSiem } else { Source::Siem };
    let siem = args.siem.as_deref().map(|file| (file, siem));
    if let Some((file, source)) = siem.or(args.export.as_deref().map(|file| (file, Source::Export))) {
        let (from, hour) = (args.from.as_slice(), args.hour);
        return copies::verify(&Copied { file, source, from, hour, notes: &notes, kept: &kept }, &trust);
    }
    kept.notes.extend(notes);
    let place = Place::find().await?;
    Ok(sinks::log_store::verify(&place.endpoints.database_url, &trust, &kept).await?)
}

fn keys(args: &VerifyArgs) -> anyhow::Result<Vec<PublicKey>> {
    let keys =
        if args.key.is_empty() { Place::here()?.log_keys()? } else { given_keys(&args.key, Purpose::Log)? };
    if keys.is_empty() {
        bail!(
            "no public key of the log is known here: give it with --key (the query API tells it at \
             /.well-known/weir-log-keys, `weir audit key` prints it)"
        );
    }
    Ok(keys)
}

/// Keys as texts, or as files of texts.
pub(super) fn given_keys(given: &[String], purpose: Purpose) -> anyhow::Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    for text in given {
        let path = Path::new(text);
        let text = if path.is_file() { place::read(path)? } else { text.clone() };
        keys.extend(place::public_keys(&text, purpose)?);
    }
    Ok(keys)
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(report);
    }
    for text in &notes_of(report) {
        output::note(text);
    }
    output::line(&output::printable(&result_of(report)));
    Ok(())
}

/// Sentences about what is no fault by itself, and about intervals that a copy does not hold.
fn notes_of(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(report.retired.iter().map(|retired| {
        format!(
            "retention removed {} entries of {}, which is there from entry {} on",
            retired.entries, retired.log, retired.from
        )
    }));
    notes.extend(report.erased.iter().map(|erased| {
        format!(
            "{} entries of {} lost their personal part, the first of them entry {}: GET /api/v1/erasures lists the erasures \
             that account for it",
            erased.entries, erased.log, erased.first
        )
    }));
    notes.extend((report.unlogged > 0).then(|| {
        format!("{} rows are from before there was a log, and nothing vouches for them", report.unlogged)
    }));
    notes.extend(report.first_resource_only.iter().map(|some| {
        format!(
            "{} entries of {} have several resources and are found by the first alone, the first of them entry {}: an earlier \
             version wrote them",
            some.entries, some.log, some.first
        )
    }));
    notes.extend(report.uncovered.iter().map(|last| {
        format!(
            "no checkpoint with the signatures that are demanded covers the last {} entries of {}, from entry {} on",
            last.entries, last.log, last.first
        )
    }));
    notes.extend(deliveries_of(report));
    notes
}

/// Sentences about intervals that sinks stated, and what a copy holds of them.
fn deliveries_of(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(together(&report.single).map(|(counted, _)| {
        format!("{counted} were checked one by one: whether others are missing between them is not known")
    }));
    notes.extend(together(&report.unanchored).map(|(counted, first)| {
        format!(
            "no checkpoint could be compared with {counted}, the first of them entry {first}: leaves before or between them are not \
             known"
        )
    }));
    notes.extend(report.incomplete.iter().map(|gap| {
        format!(
            "of entries {} to {} of {}, the sink {} delivered {}, and the copy holds {}",
            gap.from,
            gap.to - 1,
            gap.log,
            gap.sink,
            gap.owed,
            gap.held
        )
    }));
    notes.extend(report.hour.iter().map(|one| {
        format!(
            "of {}, the sink {} was owed {} in that hour: {} parked, {} held, {} missing, {} doubled",
            one.log, one.sink, one.owed, one.parked, one.held, one.missing, one.doubled
        )
    }));
    notes
}

/// The number of some entries of several logs in words, and the first of them; nothing if there are none.
fn together(some: &[SomeEntries]) -> Option<(String, String)> {
    let first = some.first()?;
    let entries: u64 = some.iter().map(|one| one.entries).sum();
    Some((format!("{entries} entries of {} logs", some.len()), format!("{} of {}", first.first, first.log)))
}

/// The result in one sentence.
fn result_of(report: &Report) -> String {
    let counted = format!("{} entries of {} logs", report.entries, report.logs);
    let Some(Fault { log, index, kind }) = &report.first_fault else {
        return format!("{counted}: all as they were");
    };
    let rewritten = report.rewritten.iter().find(|range| range.log == *log && range.first == *index);
    match (kind, rewritten) {
        (Kind::Checkpoint, _) => format!(
            "{counted}: no checkpoint of {log} bears the signatures that are demanded, so nothing vouches for its \
             entries; one is signed within seconds of an append: `weir doctor` says whether the signer runs. --checkpoint \
             takes one from GET /api/v1/audit/logs/{log}/checkpoint or from `weir audit tiles`"
        ),
        (Kind::Rewritten, Some(range)) => {
            let behind = range.first + range.entries;
            format!(
                "{counted}: entries {index} to {} of {log} are not as they were: {kind}; the checkpoint of {behind} entries has \
                 another root",
                behind - 1
            )
        }
        _ => format!("{counted}: entry {index} of {log} is not as it was: {kind}"),
    }
}

#[cfg(test)]
mod tests;
