//! `weir verify`: is the audit log as it was? Over the database, or over what others have kept of it.

mod copies;
mod parted;
mod tiles;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use audit_log::{
    Hash,
    keys::{PublicKey, Purpose},
    verify::{Fault, Kind, ProofFile, Repeats, Report, Trust},
};
use chrono::NaiveDateTime;
use clap::Args;
use schemas::Timestamp;

use copies::Copied;

use super::{
    Outcome,
    output::{self, Format},
    place::{self, Place},
};

/// Arguments of `weir verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// An export of the audit log: one OCSF record a line, each entry once.
    #[arg(long, value_name = "FILE", group = "source")]
    export: Option<PathBuf>,
    /// A SIEM's copy: one OCSF record a line, in any order, repeated deliveries allowed.
    #[arg(long, value_name = "FILE", group = "source")]
    siem: Option<PathBuf>,
    /// A folder of checkpoints and tiles, as `weir audit tiles` and witnesses write it.
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
    /// A checkpoint of the log from elsewhere, for an export or a copy: a file that holds a signed note.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Leaves that a witness has kept, for the database: a folder as for --tiles.
    #[arg(long, value_name = "DIR", conflicts_with = "source")]
    kept: Option<PathBuf>,
    /// The first index that an export or a copy holds of each log.
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    from: u64,
    /// Of a SIEM's copy, only what sinks stated in this hour, in UTC, such as 2026-11-29T14: how many records
    /// each was owed, how many the copy holds, misses and holds twice. The file may hold no more than that
    /// hour's records and statements.
    #[arg(long, value_name = "HOUR", requires = "siem", value_parser = hour)]
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
        let proof: ProofFile = serde_json::from_str(&text)
            .with_context(|| format!("{} is no proof of an entry", file.display()))?;
        return Ok(Report::of([(1, proof.check(&trust))]));
    }
    if let Some(dir) = &args.tiles {
        return tiles::verify(dir, &trust);
    }
    let copies = args.siem.as_deref().map(|file| (file, Repeats::Allowed));
    if let Some((file, repeats)) = copies.or(args.export.as_deref().map(|file| (file, Repeats::Refused))) {
        let notes =
            args.checkpoint.iter().map(|file| place::read(file)).collect::<anyhow::Result<Vec<_>>>()?;
        let copy = Copied { file, repeats, from: args.from, hour: args.hour };
        return copies::verify(&copy, &trust, &notes);
    }
    let kept: BTreeMap<String, Vec<Hash>> = match &args.kept {
        Some(dir) => tiles::leaves(dir)?,
        None => BTreeMap::new(),
    };
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
    let counted = format!("{} entries of {} logs", report.entries, report.logs);
    for retired in &report.retired {
        output::note(&format!(
            "retention removed {} entries of {}, which is there from entry {} on",
            retired.entries, retired.log, retired.from
        ));
    }
    for gap in &report.incomplete {
        output::note(&format!(
            "of entries {} to {} of {}, the sink {} delivered {}, and the copy holds {}",
            gap.from,
            gap.to - 1,
            gap.log,
            gap.sink,
            gap.owed,
            gap.held
        ));
    }
    for one in &report.hour {
        output::note(&format!(
            "of {}, the sink {} was owed {} in that hour: {} parked, {} held, {} missing, {} doubled",
            one.log, one.sink, one.owed, one.parked, one.held, one.missing, one.doubled
        ));
    }
    match &report.first_fault {
        None => output::line(&format!("{counted}: all as they were")),
        Some(Fault { log, kind: Kind::Checkpoint, .. }) => output::line(&format!(
            "{counted}: no checkpoint of {log} bears the signatures that are demanded, so nothing vouches for its \
             entries; one is signed within seconds of an append: `weir doctor` says whether the signer runs"
        )),
        Some(fault) => {
            output::line(&format!(
                "{counted}: entry {} of {} is not as it was: {}",
                fault.index, fault.log, fault.kind
            ));
        }
    }
    Ok(())
}
