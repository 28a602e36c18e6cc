//! `weir dead-letter`: records that were set aside, and why.

use clap::{Args, Subcommand};
use serde_json::json;
use sinks::parking::{self, ParkedKey, ParkedRecord, ParkedSummary};

use super::{
    Outcome,
    output::{self, Format, note},
    place::Place,
    stage::PartitionArgs,
};

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
        /// Only those of this stage.
        #[arg(long)]
        stage: Option<String>,
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
    },
}

/// Lists or shows.
pub(super) async fn dead_letter(args: DeadLetterArgs) -> anyhow::Result<Outcome> {
    let pool = sinks::postgres::operator_pool(&Place::find().await?.endpoints.database_url, 1)?;
    match args.command {
        DeadLetterCommand::List { stage, limit, output } => {
            print_list(&parking::list(&pool, stage.as_deref(), limit).await?, output)?;
        }
        DeadLetterCommand::Show { place, offset } => {
            let key = ParkedKey { stage: place.stage.clone(), partition: place.partition(), offset };
            let Some(record) = parking::show(&pool, &key).await? else {
                note("no such parked record; `weir dead-letter list` shows them");
                return Ok(Outcome::No);
            };
            output::json(&shown(&record))?;
        }
    }
    Ok(Outcome::Done)
}

fn summary(parked: &ParkedSummary) -> serde_json::Value {
    json!({
        "stage": parked.stage, "topic": parked.topic, "partition": parked.partition, "offset": parked.record_offset,
        "recorded_at": parked.recorded_at, "tenant": parked.tenant_id, "event_id": parked.event_id,
        "value_size": parked.value_size, "reason": parked.reason, "detail": parked.detail,
        "parked_at": parked.parked_at, "status": parked.status, "replays": parked.replays,
    })
}

/// Text as text, other bytes in hexadecimal.
fn shown(record: &ParkedRecord) -> serde_json::Value {
    let bytes = |bytes: &Option<Vec<u8>>| {
        let bytes = bytes.as_ref()?;
        Some(
            std::str::from_utf8(bytes)
                .map_or_else(|_| json!({ "hex": output::hex(bytes) }), |text| json!(text)),
        )
    };
    let mut shown = summary(&record.summary);
    shown["key"] = json!(bytes(&record.key));
    shown["value"] = json!(bytes(&record.value));
    shown["headers"] = json!(record.headers);
    shown
}

fn print_list(parked: &[ParkedSummary], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::json(&parked.iter().map(summary).collect::<Vec<_>>())?,
        Format::Ndjson => parked.iter().try_for_each(|parked| output::json(&summary(parked)))?,
        Format::Table => {
            let mut table =
                output::table(&["parked", "stage", "topic", "partition", "offset", "reason", "detail"]);
            for parked in parked {
                table.add_row([
                    parked.parked_at.format("%F %T").to_string(),
                    parked.stage.clone(),
                    parked.topic.clone(),
                    parked.partition.to_string(),
                    parked.record_offset.to_string(),
                    parked.reason.clone(),
                    parked.detail.clone(),
                ]);
            }
            output::print_table(&table, "nothing is parked");
        }
    }
    Ok(())
}
