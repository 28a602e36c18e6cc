//! `weir import`: the records of files, published.

mod s3;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use indicatif::{ProgressBar, ProgressStyle};
use producers::{
    import::{self, ImportOptions, ImportSummary, Progress, Start, StateOptions},
    kafka::Purpose,
    sources::{
        Received, SourceFormat,
        focus::{Delivery, DeliveryMode},
        terraform::state::WORKSPACE,
    },
};
use schemas::Timestamp;
use tokio_util::sync::CancellationToken;

use self::s3::Fetched;
use super::{
    Outcome,
    acted_for::acted_for,
    output::{self, Format, note},
    place::Place,
    shutdown,
};

/// Arguments of `weir import`.
#[derive(Debug, Args)]
#[command(after_help = sources())]
pub(super) struct ImportArgs {
    /// Format of the files; the list below describes each.
    #[arg(value_parser = source())]
    source: SourceFormat,
    /// Files, and folders that are read to every depth; also compressed (gzip, zstd), in UTF-8 or UTF-16. Or
    /// `s3://BUCKET/PREFIX`: all objects whose keys begin so, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
    /// AWS_REGION and AWS_ENDPOINT_URL from the environment.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Tenant of the events; without it, that of the local deployment.
    #[arg(long, env = "WEIR_TENANT")]
    tenant: Option<String>,
    /// Of focus: when the issuer made the charges known (RFC 3339), instead of what they say (x_ExportDateTime).
    #[arg(long, value_name = "INSTANT")]
    known_at: Option<Timestamp>,
    /// Of focus: the charges take the place of all of the same provider, billing account and billing period that were
    /// known before them.
    #[arg(long)]
    replace: bool,
    /// Of config: the workspace that Terraform states are of, as plans name it; `terraform` by default.
    #[arg(long, value_name = "NAME")]
    workspace: Option<String>,
    /// Of config: when the resources of Terraform states were so (RFC 3339); the time of the file by default.
    #[arg(long, value_name = "INSTANT")]
    observed_at: Option<Timestamp>,
    /// Go on where an interrupted import of the same paths stopped.
    #[arg(long)]
    resume: bool,
    /// Exit with 0 although records or files were rejected, or nothing was published.
    #[arg(long)]
    allow_rejects: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// The sources that are read from files.
fn importable() -> impl Iterator<Item = SourceFormat> {
    SourceFormat::ALL.iter().copied().filter(|format| format.row().received == Received::WithKey)
}

fn source() -> impl TypedValueParser<Value = SourceFormat> {
    PossibleValuesParser::new(importable().map(SourceFormat::slug))
        .map(|slug| SourceFormat::from_slug(&slug).expect("one of the values that are possible"))
}

fn sources() -> String {
    let line = |format: SourceFormat| format!("  {:<18}{}\n", format.slug(), format.row().takes);
    format!("Sources:\n{}", importable().map(line).collect::<String>())
}

/// Imports; exit code 1 if a file could not be read to its end, anything was rejected, or nothing was published.
pub(super) async fn import(args: ImportArgs) -> anyhow::Result<Outcome> {
    let delivery = Delivery {
        known_at: args.known_at,
        mode: if args.replace { DeliveryMode::Replace } else { DeliveryMode::Append },
    };
    if args.source != SourceFormat::Focus && delivery != Delivery::default() {
        anyhow::bail!("--known-at and --replace are of charges: `weir import focus`");
    }
    let of_states = args.workspace.is_some() || args.observed_at.is_some();
    if args.source != SourceFormat::Config && of_states {
        anyhow::bail!("--workspace and --observed-at are of Terraform states: `weir import config`");
    }
    let tenant = acted_for(args.tenant.as_deref())?;
    let place = Place::find().await?;
    let producer = place.producer("import", Purpose::Bulk).await?;
    let stop = shutdown::on_signal();
    let state_dir = place.home.join("imports");
    let (paths, fetched) = local(args.paths, &state_dir.join("s3"), &stop).await?;
    let options = ImportOptions {
        format: args.source,
        tenant,
        state_dir,
        start: if args.resume { Start::Resumed } else { Start::Over },
        state: StateOptions {
            workspace: args.workspace.clone().unwrap_or_else(|| WORKSPACE.to_owned()),
            observed_at: args.observed_at,
        },
        delivery,
        stop,
    };
    let bar = bar();
    let summary = import::import(paths, options, &producer, |progress| show(&bar, &progress)).await?;
    bar.finish_and_clear();
    print(&summary, args.source, args.output)?;
    for objects in fetched {
        if summary.is_complete() {
            objects.remove();
        } else {
            let folder = objects.folder().display();
            note(&format!(
                "the objects stay in {folder} for the next import; without one, remove the folder"
            ));
        }
    }
    Ok(match (summary.interrupted, summary.is_clean() || args.allow_rejects) {
        (true, _) => Outcome::Interrupted,
        (false, true) => Outcome::Done,
        (false, false) => Outcome::No,
    })
}

/// The paths, with the folders of fetched objects in place of locations of S3; and these folders.
async fn local(
    paths: Vec<PathBuf>,
    folder: &Path,
    stop: &CancellationToken,
) -> anyhow::Result<(Vec<PathBuf>, Vec<Fetched>)> {
    let (mut local, mut fetched) = (Vec::with_capacity(paths.len()), Vec::<Fetched>::new());
    for path in paths {
        let Some(location) = s3::Location::of(&path)? else {
            local.push(path);
            continue;
        };
        // A location that is named twice is imported once.
        if fetched.iter().any(|one| one.is_of(&location)) {
            continue;
        }
        let objects = s3::fetch(location, folder, stop).await?;
        local.push(objects.folder().to_owned());
        fetched.push(objects);
    }
    Ok((local, fetched))
}

/// Drawn on a terminal only.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes}  {msg}  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_length(progress.bytes_total);
    bar.set_position(progress.bytes_done);
    bar.set_message(format!("{} records, {} files", progress.counts.read, progress.files_done));
}

fn print(summary: &ImportSummary, source: SourceFormat, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(summary);
    }
    let counts = summary.counts;
    output::line(&format!(
        "{} records of {} files: {} published, {} duplicates, {} rejected",
        counts.read, summary.files, counts.published, counts.duplicates, counts.rejected
    ));
    let times_assumed = match source {
        SourceFormat::Focus => {
            "charges count as known since their file was last written: FOCUS has no column for it"
        }
        _ => "without a readable time of their own: one was assumed",
    };
    let odd = [
        (counts.ids_derived, "without an id of their own: it is derived from their content"),
        (counts.times_assumed, times_assumed),
        (counts.fields_empty, "name no actor, or have fields of a wrong type that were left empty"),
    ];
    for (number, what) in odd.into_iter().filter(|(number, _)| *number > 0) {
        note(&format!("{number} {what}"));
    }
    for rejection in summary.rejections.iter().chain(&summary.skipped) {
        let record = rejection.record.map(|record| format!(" record {record}")).unwrap_or_default();
        note(&format!("{}{record}: {}", rejection.file, rejection.reason));
    }
    if summary.resumed_files > 0 || summary.resumed_records > 0 {
        note(&format!(
            "of these, {} files and {} records of others had been published before the interruption",
            summary.resumed_files, summary.resumed_records
        ));
    }
    if summary.interrupted {
        note("interrupted; the same command with --resume continues");
    } else if counts.published == 0 && counts.duplicates == 0 {
        note("nothing was published");
    } else {
        note("`weir lag --wait` returns when they are applied, `weir query audit` shows them");
    }
    Ok(())
}
