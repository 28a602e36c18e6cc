//! `weir dead-letter`: records that were set aside, why, and what is decided about them.

mod printing;
mod replay;
mod selection;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use schemas::ParkReason;
use serde_json::json;
use sinks::{
    parking::{self, ParkedKey, Resolution, Settling, Status},
    positions::Operator,
};

use super::{
    Outcome,
    acted_for::acted_for,
    output::{Format, note},
    place::Place,
    stage::{PartitionArgs, operator},
};
use selection::{SelectionArgs, park_reason};

/// Arguments of `weir dead-letter`.
#[derive(Debug, Args)]
pub(super) struct DeadLetterArgs {
    #[command(subcommand)]
    command: DeadLetterCommand,
}

#[derive(Debug, Subcommand)]
enum DeadLetterCommand {
    /// List parked records, the newest first.
    List {
        #[command(flatten)]
        selection: SelectionArgs,
        /// Only those parked for this reason, for example undecodable.
        #[arg(long, visible_alias = "parked-as", value_parser = park_reason)]
        reason: Option<ParkReason>,
        /// Only records of this status; all, if not given.
        #[arg(long, value_enum)]
        status: Option<StatusArg>,
        #[arg(long, default_value_t = 50)]
        limit: u16,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Show one parked record as it was read: key, value and headers.
    Show {
        #[command(flatten)]
        place: PartitionArgs,
        #[arg(long)]
        offset: i64,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Replay parked records, once their cause is fixed.
    ///
    /// Each goes to its own topic and partition with the bytes, key and headers it had, and every stage meets
    /// it again: one that has applied it counts a duplicate. A record is marked once the broker has
    /// acknowledged it, so a command that is killed may publish one record twice, which changes nothing. What
    /// fails again is parked again, under its new offset. A record is replayed three times at most.
    Replay {
        #[command(flatten)]
        selection: SelectionArgs,
        /// Only those parked for this reason, for example `duplicate_id_conflict`.
        #[arg(long, visible_alias = "parked-as", value_parser = park_reason)]
        reason: Option<ParkReason>,
        /// Every waiting record, where no other option selects.
        #[arg(long)]
        all: bool,
        /// Also those that were replayed before.
        #[arg(long)]
        again: bool,
        /// Records a second.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: u32,
        /// Only say what would be published.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        log: AuditLogArgs,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Discard parked records: they stay listed, and need no decision any more.
    Discard {
        #[command(flatten)]
        selection: SelectionArgs,
        /// Only those parked for this reason.
        #[arg(long, value_parser = park_reason)]
        parked_as: Option<ParkReason>,
        /// Reason, stored with each discarded record.
        #[arg(long)]
        reason: String,
        /// Every waiting record, where no other option selects.
        #[arg(long)]
        all: bool,
        /// Only say how many.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        log: AuditLogArgs,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
}

/// Audit log that also records the decision; `--tenant` selects records.
#[derive(Debug, Args)]
struct AuditLogArgs {
    /// The tenant in whose audit log the decision is kept, as an event; without it, that of the local deployment.
    #[arg(long, env = "WEIR_TENANT")]
    audit_tenant: Option<String>,
}

impl AuditLogArgs {
    fn operator(&self) -> anyhow::Result<Operator> {
        Ok(operator(acted_for(self.audit_tenant.as_deref())?))
    }
}

/// A parked record's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusArg {
    /// Waits for a decision.
    Parked,
    /// Was replayed.
    Replayed,
    /// Was discarded.
    Discarded,
}

/// Lists, shows or settles.
pub(super) async fn dead_letter(args: DeadLetterArgs) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    let pool = sinks::postgres::operator_pool(&place.endpoints.database_url, 2)?;
    match args.command {
        DeadLetterCommand::List { selection, reason, status, limit, output } => {
            let statuses = match status {
                None => vec![Status::Parked, Status::Replayed, Status::Discarded],
                Some(StatusArg::Parked) => vec![Status::Parked],
                Some(StatusArg::Replayed) => vec![Status::Replayed],
                Some(StatusArg::Discarded) => vec![Status::Discarded],
            };
            let listed = parking::list(&pool, &selection.with(reason), (&statuses, limit)).await?;
            printing::list(&listed, output)?;
            Ok(Outcome::Done)
        }
        DeadLetterCommand::Show { place, offset, output } => {
            let key = ParkedKey { stage: place.stage.clone(), partition: place.partition(), offset };
            let Some(record) = parking::show(&pool, &key).await? else {
                note("no such parked record; `weir dead-letter list` shows them");
                return Ok(Outcome::No);
            };
            printing::record(&record, output)?;
            Ok(Outcome::Done)
        }
        DeadLetterCommand::Replay { selection, reason, all, again, rate, dry_run, log, output } => {
            let wanted = selection.with(reason);
            selection::demand_one(&wanted, all)?;
            let by = log.operator()?;
            let asked = replay::Asked { selection: wanted, again, rate, dry_run, by };
            replay::replay(&place, &mut alone(&pool).await?, (&asked, output)).await
        }
        DeadLetterCommand::Discard { selection, parked_as, reason, all, dry_run, log, output } => {
            let wanted = selection.with(parked_as);
            selection::demand_one(&wanted, all)?;
            if reason.trim().is_empty() {
                bail!("--reason must say why they are discarded; it is stored with each record");
            }
            let by = log.operator()?;
            let mut settling = alone(&pool).await?;
            let discarded = if dry_run {
                settling.count(&wanted, &[Status::Parked]).await?
            } else {
                discard(&mut settling, &wanted, (&by, &reason)).await?
            };
            let would = if dry_run { "would be discarded" } else { "discarded" };
            printing::outcome(
                &json!({ "discarded": discarded, "dry_run": dry_run }),
                &format!("{discarded} parked records {would}"),
                output,
            )?;
            if discarded == 0 {
                note(&selection::nothing_selected(0));
                return Ok(Outcome::No);
            }
            Ok(Outcome::Done)
        }
    }
}

/// The right to settle, which one command has at a time.
async fn alone(pool: &sinks::postgres::PgPool) -> anyhow::Result<Settling> {
    match Settling::begin(pool).await? {
        Some(settling) => Ok(settling),
        None => bail!("another `weir dead-letter replay` or `discard` is at work; wait for it to end"),
    }
}

async fn discard(
    settling: &mut Settling,
    selection: &parking::Selection,
    (by, reason): (&Operator, &str),
) -> anyhow::Result<u64> {
    settling.announce((selection, &[Status::Parked]), Resolution::Discard { reason }, by).await?;
    let mut discarded = 0;
    loop {
        match settling.discard(selection, (&by.name, reason)).await? {
            0 => return Ok(discarded),
            some => discarded += some,
        }
    }
}
