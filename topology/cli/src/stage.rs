//! `weir stage`: what an operator decides about a halted partition, and under which rules stages decided.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use schemas::{TenantId, Topic, rfc3339};
use sinks::{
    TopicPartition,
    positions::{self, AcceptedGap, Operator, PositionChange},
};
use topology::runtime::offline::instants::Instants;

use super::{
    Outcome,
    acted_for::acted_for,
    lag,
    output::{self, Format, note},
    place::Place,
    settings::kafka_security,
};

/// Arguments of `weir stage`.
#[derive(Debug, Args)]
pub(super) struct StageArgs {
    #[command(subcommand)]
    command: StageCommand,
}

#[derive(Debug, Subcommand)]
enum StageCommand {
    /// Continue without the records up to an offset: they are lost, or not wanted.
    AcceptGap {
        #[command(flatten)]
        place: PartitionArgs,
        /// The offset to continue at; no less than the log's first, and no more than the one behind its last.
        #[arg(long)]
        to: i64,
        /// Reason, stored with the gap.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        log: AuditLogArgs,
    },
    /// Lift a halt, once its cause is mended. A halt that this does not pass is refused, with what does.
    Resume {
        #[command(flatten)]
        place: PartitionArgs,
        #[command(flatten)]
        log: AuditLogArgs,
    },
    /// List the rule sets and policy sets under which stages decided: from which offset of each partition on.
    Rules {
        /// Only this stage.
        stage: Option<String>,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
}

/// Audit log that also records the decision.
#[derive(Debug, Args)]
pub(super) struct AuditLogArgs {
    /// The tenant in whose audit log the decision is kept, as an event; without it, that of the local deployment.
    #[arg(long, env = "WEIR_TENANT")]
    tenant: Option<String>,
}

impl AuditLogArgs {
    /// The operator who decides.
    pub(super) fn operator(&self) -> anyhow::Result<Operator> {
        Ok(operator(acted_for(self.tenant.as_deref())?))
    }
}

/// The account that this process runs under, whose decisions that tenant's audit log keeps.
pub(super) fn operator(tenant: TenantId) -> Operator {
    Operator { name: account(), tenant }
}

/// The account that this process runs under, as the system knows it and no variable says.
pub(super) fn account() -> String {
    let uid = nix::unistd::getuid();
    let account = nix::unistd::User::from_uid(uid).ok().flatten();
    account.map_or_else(|| format!("uid {uid}"), |account| account.name)
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

pub(super) fn topic(name: &str) -> Result<Topic, String> {
    Topic::from_name(name)
        .ok_or_else(|| format!("no such topic; there are {}", Topic::ALL.map(Topic::name).join(", ")))
}

async fn rules(place: &Place, stage: Option<&str>, output: Format) -> anyhow::Result<Outcome> {
    if let Some(stage) = stage {
        lag::check_stage(&lag::declared_stages(&place.settings)?, stage)?;
    }
    let pool = sinks::read_models::reader_pool(&place.endpoints.database_url, 1)?;
    let rows = positions::decided_under(&pool, stage).await.context("reading the stages' rule sets")?;
    match output {
        Format::Json => output::json(&rows)?,
        Format::Ndjson => rows.iter().try_for_each(output::json)?,
        Format::Table => {
            let mut table = output::table(&[
                "stage",
                "topic",
                "partition",
                "from offset",
                "to offset",
                "rule set",
                "since",
            ]);
            for row in &rows {
                table.add_row([
                    row.stage.clone(),
                    row.topic.clone(),
                    row.partition.to_string(),
                    row.from_offset.to_string(),
                    row.to_offset.to_string(),
                    row.rule_set.clone(),
                    rfc3339(row.since),
                ]);
            }
            output::print_table(&table, "no stage with rules has decided about a record");
        }
    }
    Ok(Outcome::Done)
}

/// Carries the decision out; the running stage takes the partition up again by itself.
pub(super) async fn stage(args: StageArgs) -> anyhow::Result<Outcome> {
    let here = Place::find().await?;
    let pool = sinks::postgres::operator_pool(&here.endpoints.database_url, 1)?;
    match args.command {
        StageCommand::Rules { stage, output } => return rules(&here, stage.as_deref(), output).await,
        StageCommand::AcceptGap { place, to, reason, log } => {
            let by = log.operator()?;
            let change = PositionChange { stage: place.stage.clone(), partition: place.partition() };
            let (low, high) = log_ends(&here, change.partition).await?;
            check_within_log(to, low, high)?;
            let gap = AcceptedGap { to, reason };
            let left_out = positions::accept_gap(&pool, &change, (&gap, &by)).await?;
            note(&format!(
                "{} continues at {to}; offsets {left_out:?} are recorded as left out",
                place.stage
            ));
        }
        StageCommand::Resume { place, log } => {
            let change = PositionChange { stage: place.stage.clone(), partition: place.partition() };
            let Some(why) = positions::resume(&pool, &change, &log.operator()?).await? else {
                note(&format!("{} was not halted there", place.stage));
                return Ok(Outcome::No);
            };
            note(&format!("{} is resumed; it was halted: {why}", place.stage));
        }
    }
    Ok(Outcome::Done)
}

/// A partition's oldest offset, and the one behind its last record.
async fn log_ends(place: &Place, partition: TopicPartition) -> anyhow::Result<(i64, i64)> {
    let kafka = Instants { bootstrap: place.endpoints.kafka.clone(), extra: kafka_security() };
    let TopicPartition { topic, partition: number } = partition;
    kafka
        .ends(partition)
        .await
        .with_context(|| format!("asking Kafka where {topic}/{number} begins and ends"))
}

/// Refuses an offset that the log does not reach: the partition would halt there again.
fn check_within_log(to: i64, low: i64, high: i64) -> anyhow::Result<()> {
    if !(low..=high).contains(&to) {
        bail!(
            "the log begins at {low} and ends at {high}: --to {to} is outside of it, and the stage would halt there again"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_ends_within_the_log() {
        for (to, fits) in [(4, false), (5, true), (7, true), (9, true), (10, false), (i64::MAX, false)] {
            assert_eq!(check_within_log(to, 5, 9).is_ok(), fits, "{to}");
        }
        let refused = check_within_log(10, 5, 9).expect_err("beyond the end").to_string();
        assert!(refused.contains("begins at 5 and ends at 9"), "{refused}");
    }
}
