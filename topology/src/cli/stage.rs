//! `weir stage`: what an operator decides about a halted partition.

use clap::{Args, Subcommand};
use schemas::Topic;
use sinks::{
    TopicPartition,
    positions::{self, AcceptedGap, PositionChange},
};

use super::{Outcome, output::note, place::Place};

/// Arguments of `weir stage`.
#[derive(Debug, Args)]
pub(super) struct StageArgs {
    #[command(subcommand)]
    command: StageCommand,
}

#[derive(Debug, Subcommand)]
enum StageCommand {
    /// Go on without the records up to an offset: they are gone, or nobody wants them.
    AcceptGap {
        #[command(flatten)]
        place: PartitionArgs,
        /// The offset to go on from.
        #[arg(long)]
        to: i64,
        /// Why; written down beside the gap.
        #[arg(long)]
        reason: String,
    },
    /// Lift a halt, once its cause is mended.
    Resume {
        #[command(flatten)]
        place: PartitionArgs,
    },
}

/// One partition of one stage.
#[derive(Debug, Args)]
pub(super) struct PartitionArgs {
    /// The stage, as in `weir lag`.
    pub(super) stage: String,
    /// The topic, for example weir.activity.v1.
    #[arg(long, value_parser = topic)]
    pub(super) topic: Topic,
    #[arg(long)]
    pub(super) partition: i32,
}

impl PartitionArgs {
    pub(super) fn partition(&self) -> TopicPartition {
        TopicPartition { topic: self.topic, partition: self.partition }
    }
}

fn topic(name: &str) -> Result<Topic, String> {
    Topic::from_name(name)
        .ok_or_else(|| format!("no such topic; there are {}", Topic::ALL.map(Topic::name).join(", ")))
}

/// Carries the decision out; the running stage takes the partition up again by itself.
pub(super) async fn stage(args: StageArgs) -> anyhow::Result<Outcome> {
    let pool = sinks::postgres::operator_pool(&Place::find().await?.endpoints.database_url, 1)?;
    match args.command {
        StageCommand::AcceptGap { place, to, reason } => {
            let change = PositionChange { stage: place.stage.clone(), partition: place.partition() };
            let by = std::env::var("USER").unwrap_or_else(|_| "weir stage".to_owned());
            let left_out = positions::accept_gap(&pool, &change, &AcceptedGap { to, reason, by }).await?;
            note(&format!(
                "{} goes on at {to}; offsets {left_out:?} are written down as left out",
                place.stage
            ));
        }
        StageCommand::Resume { place } => {
            let change = PositionChange { stage: place.stage.clone(), partition: place.partition() };
            let Some(why) = positions::resume(&pool, &change).await? else {
                note(&format!("{} was not halted there", place.stage));
                return Ok(Outcome::No);
            };
            note(&format!("{} goes on; it was halted: {why}", place.stage));
        }
    }
    Ok(Outcome::Done)
}
