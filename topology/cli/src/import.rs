//! `weir import`: the records of files, published.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use producers::{
    import::{self, ImportOptions, ImportSummary, Progress, Start},
    kafka::Purpose,
    sources::SourceFormat,
};
use schemas::TenantId;

use super::{
    Outcome,
    output::{self, Format, note},
    place::Place,
    shutdown,
    up::LOCAL_TENANT,
};

/// Arguments of `weir import`.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, Subcommand)]
enum Source {
    /// AWS CloudTrail: `Records` files, arrays, a record a line, EventBridge events, each also gzipped; folders.
    Cloudtrail(FilesArgs),
    /// Kubernetes audit: log files of `audit.k8s.io/v1` events, a record a line, arrays, `EventList`s.
    KubernetesAudit(FilesArgs),
    /// GitHub's audit log: exports as arrays or a record a line.
    GithubAudit(FilesArgs),
    /// Okta's system log: arrays or a record a line.
    Okta(FilesArgs),
    /// Terraform plans as `terraform show -json` writes them, one a file, each up to 1 MB.
    TerraformPlan(FilesArgs),
}

impl Source {
    fn split(self) -> (SourceFormat, FilesArgs) {
        match self {
            Self::Cloudtrail(args) => (SourceFormat::CloudTrail, args),
            Self::KubernetesAudit(args) => (SourceFormat::KubernetesAudit, args),
            Self::GithubAudit(args) => (SourceFormat::GithubAudit, args),
            Self::Okta(args) => (SourceFormat::OktaSystemLog, args),
            Self::TerraformPlan(args) => (SourceFormat::TerraformPlan, args),
        }
    }
}

#[derive(Debug, Args)]
struct FilesArgs {
    /// Files, and folders that are read to every depth.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Whose events they are.
    #[arg(long, default_value = LOCAL_TENANT)]
    tenant: String,
    /// Go on where an interrupted import of the same paths stopped.
    #[arg(long)]
    resume: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Imports; exit code 1 if a file could not be read to its end.
pub(super) async fn import(args: ImportArgs) -> anyhow::Result<Outcome> {
    let (format, args) = args.source.split();
    let place = Place::find().await?;
    let producer = place.producer("import", Purpose::Bulk).await?;
    let options = ImportOptions {
        format,
        tenant: TenantId::new(&args.tenant)?,
        state_dir: place.home.join("imports"),
        start: if args.resume { Start::Resumed } else { Start::Over },
        stop: shutdown::on_signal(),
    };
    let bar = bar();
    let summary = import::import(args.paths, options, &producer, |progress| show(&bar, &progress)).await?;
    bar.finish_and_clear();
    print(&summary, args.output)?;
    Ok(match (summary.interrupted, summary.is_complete()) {
        (true, _) => Outcome::Interrupted,
        (false, true) => Outcome::Done,
        (false, false) => Outcome::No,
    })
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

fn print(summary: &ImportSummary, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(summary);
    }
    let counts = summary.counts;
    output::line(&format!(
        "{} records of {} files: {} published, {} duplicates, {} rejected",
        counts.read, summary.files, counts.published, counts.duplicates, counts.rejected
    ));
    for rejection in summary.rejections.iter().chain(&summary.skipped) {
        let record = rejection.record.map(|record| format!(" record {record}")).unwrap_or_default();
        note(&format!("{}{record}: {}", rejection.file.display(), rejection.reason));
    }
    if summary.interrupted {
        note("interrupted; the same command with --resume goes on");
    } else {
        note("`weir lag --wait` returns when they are applied, `weir query audit` shows them");
    }
    Ok(())
}
