//! `weir sink`: lists sinks, tests one, pauses, resumes, and delivers again.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use chrono::{SecondsFormat, Utc};
use clap::{Args, Subcommand};
use schemas::{Timestamp, Topic};
use serde::Serialize;
use serde_json::json;
use siem::{
    Message, Verdict,
    settings::{Records, Sink},
};
use sinks::{
    TopicPartition, positions,
    read_models::pipeline::Stage,
    siem::{
        backfill,
        control::{self, StoredSink},
    },
};
use topology::{runtime::offline::instants::Instants, siem::STAGE_PREFIX};

use super::{
    Outcome,
    lag::Gauge,
    output::{self, Format, note},
    place::Place,
    settings::kafka_security,
    stage::AuditLogArgs,
    up::LOCAL_TENANT,
};

/// Arguments of `weir sink`.
#[derive(Debug, Args)]
pub(super) struct SinkArgs {
    #[command(subcommand)]
    command: SinkCommand,
}

#[derive(Debug, Subcommand)]
enum SinkCommand {
    /// Show each sink of the settings: its state, what it has delivered and parked, how far it is behind.
    List {
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Send one marked record, and show what the receiver said. Positions stay where they are.
    Test {
        /// The sink's name.
        name: String,
    },
    /// Send nothing more until the sink is resumed; its position stays.
    Pause {
        /// The sink's name.
        name: String,
        /// Reason, stored with the pause.
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        log: AuditLogArgs,
    },
    /// Go on after a pause.
    Resume {
        /// The sink's name.
        name: String,
        #[command(flatten)]
        log: AuditLogArgs,
    },
    /// Say where a new sink begins, before it runs for the first time; without this it begins with all that its topic holds.
    Start {
        /// The sink's name.
        name: String,
        /// `beginning`, `now`, or an instant such as 2026-01-05T14:00:00Z: records that arrive or arrived since then.
        #[arg(long)]
        from: String,
        #[command(flatten)]
        log: AuditLogArgs,
    },
    /// Deliver what the sink has not passed and its topic does not hold any more: entries out of PostgreSQL, from an instant or from
    /// the beginning of the log.
    Backfill {
        /// The sink's name.
        name: String,
        /// `beginning`, or an instant such as 2026-01-05T14:00:00Z: entries that arrived since then.
        #[arg(long)]
        from: String,
        #[command(flatten)]
        log: AuditLogArgs,
    },
    /// Deliver again what was delivered before, with the same ids: from an instant, or all that the topic holds.
    Replay {
        /// The sink's name.
        name: String,
        /// `beginning`, or an instant such as 2026-01-05T14:00:00Z: records that arrived since then.
        #[arg(long)]
        from: String,
        #[command(flatten)]
        log: AuditLogArgs,
    },
}

/// One sink, as `weir sink list` shows it.
#[derive(Debug, Serialize)]
struct SinkRow {
    name: String,
    kind: &'static str,
    /// `delivering`, `retrying`, `refused`, `paused`, `halted` or `new`.
    state: String,
    /// The receiver's answer, or the operator who paused the sink.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    delivered: i64,
    parked: i64,
    /// Entries of a backfill that are still to be read from PostgreSQL.
    #[serde(skip_serializing_if = "is_zero")]
    backfill: i64,
    /// Records that are not settled; none where Kafka does not answer.
    lag: Option<i64>,
    /// Age of the oldest of them in seconds; 0 where nothing waits.
    oldest_undelivered_s: Option<f64>,
}

/// Does what was asked.
pub(super) async fn sink(args: SinkArgs) -> anyhow::Result<Outcome> {
    match args.command {
        SinkCommand::List { output } => list(output).await,
        SinkCommand::Test { name } => {
            let place = Place::here()?;
            test(&named(&place, &name)?).await
        }
        SinkCommand::Pause { name, reason, log } => pause(&name, &reason, &log).await,
        SinkCommand::Resume { name, log } => resume(&name, &log).await,
        SinkCommand::Start { name, from, log } => start(&name, &from, &log).await,
        SinkCommand::Backfill { name, from, log } => backfill(&name, &from, &log).await,
        SinkCommand::Replay { name, from, log } => replay(&name, &from, &log).await,
    }
}

async fn pause(name: &str, reason: &str, log: &AuditLogArgs) -> anyhow::Result<Outcome> {
    let by = log.operator()?;
    let place = Place::find().await?;
    let sink = named(&place, name)?;
    control::pause(&place.operator_pool()?, &sink.name, &by, reason).await.context("pausing the sink")?;
    note(&format!("{name} is paused; `weir sink resume {name}` resumes it at its position"));
    Ok(Outcome::Done)
}

async fn resume(name: &str, log: &AuditLogArgs) -> anyhow::Result<Outcome> {
    let by = log.operator()?;
    let place = Place::find().await?;
    let sink = named(&place, name)?;
    let was = control::resume(&place.operator_pool()?, &sink.name, &by).await.context("resuming the sink")?;
    let Some(was) = was else {
        note(&format!("{name} was not paused"));
        return Ok(Outcome::No);
    };
    note(&format!("{name} resumes within seconds; it was paused by {was}"));
    Ok(Outcome::Done)
}

fn named(place: &Place, name: &str) -> anyhow::Result<Sink> {
    let sinks = place.settings.sinks()?;
    let names = sinks.iter().map(|sink| sink.name.clone()).collect::<Vec<_>>().join(", ");
    match sinks.into_iter().find(|sink| sink.name == name) {
        Some(sink) => Ok(sink),
        None if names.is_empty() => bail!("the settings name no sink: [[sink]] in weir.toml (docs/siem.md)"),
        None => bail!("{name:?} is no sink of the settings; there are {names}"),
    }
}

async fn list(output: Format) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    let sinks = place.settings.sinks()?;
    let stored = control::list(&place.operator_pool()?).await.context("reading how the sinks stand")?;
    let stored: BTreeMap<String, StoredSink> =
        stored.into_iter().map(|sink| (sink.name.clone(), sink)).collect();
    let stages = Gauge::new(&place)?.read().await?;
    let instants = instants(&place);
    let mut rows = Vec::with_capacity(sinks.len());
    for sink in &sinks {
        let stage = stages.iter().find(|stage| stage.name == format!("{STAGE_PREFIX}{}", sink.name));
        let stage = stage.context("every sink of the settings is a stage")?;
        rows.push(row(sink, stage, stored.get(&sink.name), &instants).await?);
    }
    match output {
        Format::Json => output::json(&rows)?,
        Format::Ndjson => rows.iter().try_for_each(output::json)?,
        Format::Table => {
            let mut table =
                output::table(&["sink", "kind", "state", "delivered", "parked", "lag", "oldest", "why"]);
            for row in rows {
                let unknown = || "?".to_owned();
                table.add_row(vec![
                    row.name,
                    row.kind.to_owned(),
                    row.state,
                    row.delivered.to_string(),
                    row.parked.to_string(),
                    row.lag.map_or_else(unknown, |lag| lag.to_string()),
                    row.oldest_undelivered_s.map_or_else(unknown, |seconds| format!("{seconds:.0} s")),
                    row.why.unwrap_or_default(),
                ]);
            }
            output::print_table(&table, "the settings name no sink: [[sink]] in weir.toml (docs/siem.md)");
        }
    }
    Ok(Outcome::Done)
}

async fn row(
    sink: &Sink,
    running: &Stage,
    stored: Option<&StoredSink>,
    instants: &Instants,
) -> anyhow::Result<SinkRow> {
    let behind = running.partitions.iter().filter(|partition| partition.lag.is_some_and(|lag| lag > 0));
    let places = behind.filter_map(|partition| {
        let topic = Topic::from_name(&partition.topic)?;
        Some((TopicPartition { topic, partition: partition.partition }, partition.position?))
    });
    let oldest = match running.lag {
        Some(0) => Some(0.0),
        None => None,
        Some(_) => {
            instants.oldest(places.collect()).await.context("asking Kafka for the oldest record")?.map(age_s)
        }
    };
    let halted = running.partitions.iter().filter_map(|partition| partition.halted.clone());
    let halted = halted.filter(|why| !sinks::HaltReason::from_stored(why).kind.heals_by_itself()).min();
    let paused = stored.and_then(|stored| {
        let by = stored.paused_by.as_ref()?;
        Some(
            stored
                .paused_why
                .as_ref()
                .filter(|why| !why.is_empty())
                .map_or(by.clone(), |why| format!("{by}: {why}")),
        )
    });
    let told = stored.and_then(|stored| stored.state.clone()).filter(|state| state != "paused");
    let (state, why) = match (paused, halted) {
        (Some(paused), _) => ("paused".to_owned(), Some(paused)),
        (None, Some(halted)) => ("halted".to_owned(), Some(halted)),
        (None, None) => {
            (told.unwrap_or_else(|| "new".to_owned()), stored.and_then(|stored| stored.why.clone()))
        }
    };
    Ok(SinkRow {
        name: sink.name.clone(),
        kind: sink.destination.kind(),
        state,
        why,
        delivered: running.counts.applied,
        parked: running.counts.parked,
        backfill: stored.map_or(0, |stored| stored.backfill),
        lag: running.lag,
        oldest_undelivered_s: oldest,
    })
}

fn age_s(time: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds between two instants of our time")]
    let seconds = (Utc::now() - time).num_milliseconds().max(0) as f64 / 1e3;
    seconds
}

const fn topic_of(sink: &Sink) -> Topic {
    match sink.records {
        Records::Audit => Topic::Audit,
        Records::Findings => Topic::Findings,
    }
}

fn instants(place: &Place) -> Instants {
    Instants { bootstrap: place.endpoints.kafka.clone(), extra: kafka_security() }
}

async fn test(sink: &Sink) -> anyhow::Result<Outcome> {
    let message = sink.ocsf_version.of(test_message(&uuid::Uuid::new_v4().to_string(), Utc::now()));
    let verdict = sinks::siem::probe(sink, &message).await?;
    let id = &message.id;
    let (outcome, told) = match verdict {
        Verdict::Delivered => (Outcome::Done, format!("taken: look for the id {id}")),
        Verdict::Taken { acknowledgement } => (
            Outcome::Done,
            format!("taken as number {acknowledgement}, to be acknowledged: look for the id {id}"),
        ),
        Verdict::Items(items) if items.iter().all(|item| *item == siem::verdict::ItemFate::Delivered) => {
            (Outcome::Done, format!("taken: look for the id {id}"))
        }
        Verdict::Items(items) => (Outcome::No, format!("not taken: {items:?}")),
        Verdict::Retry { why, .. } | Verdict::RetryThen { why, .. } => {
            (Outcome::No, format!("not taken now, and a sink would try again: {why}"))
        }
        Verdict::Refused { why, .. } | Verdict::TooLarge { why } => (Outcome::No, format!("refused: {why}")),
        Verdict::NotCompressed { why } => {
            (Outcome::No, format!("it reads no gzip, and a sink would send plain bodies: {why}"))
        }
        Verdict::Pause { why } => (Outcome::No, format!("not taken, and a sink would pause: {why}")),
    };
    note(&format!("{}: {told}", sink.name));
    Ok(outcome)
}

/// A record that says of itself that it is a test.
fn test_message(uid: &str, now: Timestamp) -> Message {
    let record = json!({
        "activity_id": 99,
        "activity_name": "Test",
        "category_uid": 0,
        "class_name": "Base Event",
        "class_uid": 0,
        "message": "weir sink test: this record says only that a sink reaches its receiver",
        "metadata": {
            "product": { "name": "Weir", "vendor_name": "Weir" },
            "tenant_uid": LOCAL_TENANT,
            "uid": uid,
            "version": "1.8.0",
        },
        "severity": "Informational",
        "severity_id": 1,
        "time": now.timestamp_millis(),
        "type_uid": 99,
        "unmapped": { "weir_test": true },
    });
    Message {
        id: format!("test-{uid}"),
        time_ms: now.timestamp_millis(),
        tenant: LOCAL_TENANT.to_owned(),
        class_uid: 0,
        severity_id: 1,
        place: None,
        json: record.to_string().into_bytes().into(),
    }
}

/// The instant that `--from` names; `None`: the beginning of the topic.
fn instant(from: &str) -> anyhow::Result<Option<Timestamp>> {
    if from == "beginning" {
        return Ok(None);
    }
    let parsed = chrono::DateTime::parse_from_rfc3339(from).with_context(|| {
        format!("--from {from:?} is neither `beginning` nor an instant such as 2026-01-05T14:00:00Z")
    })?;
    Ok(Some(parsed.with_timezone(&Utc)))
}

async fn start(name: &str, from: &str, log: &AuditLogArgs) -> anyhow::Result<Outcome> {
    let by = log.operator()?;
    let place = Place::find().await?;
    let sink = named(&place, name)?;
    let at = if from == "now" { Some(Utc::now()) } else { instant(from)? };
    let kafka = instants(&place);
    let cluster_id = kafka.cluster_id().await.context("asking Kafka for the cluster's id")?;
    let cluster_id = cluster_id.context("Kafka does not tell the cluster's id")?;
    let offsets = kafka.offsets(topic_of(&sink), at).await.context("asking Kafka for offsets")?;
    let stage = format!("{STAGE_PREFIX}{name}");
    positions::begin_at(&place.operator_pool()?, (&stage, &cluster_id), &offsets, &by)
        .await
        .context("noting where the sink begins")?;
    let lowest = kafka.offsets(topic_of(&sink), None).await.context("asking Kafka for offsets")?;
    let oldest = kafka.oldest(lowest).await.context("asking Kafka for the oldest record")?;
    note(&begins(&sink, from, at, oldest));
    Ok(Outcome::Done)
}

/// The start of a new sink, and the records before it that its topic lacks; `at`: the instant that was asked for, `oldest`: the
/// time of the topic's oldest record.
fn begins(sink: &Sink, from: &str, at: Option<Timestamp>, oldest: Option<Timestamp>) -> String {
    let (name, topic) = (&sink.name, topic_of(sink));
    let begins = format!("{name} begins with records since {from} once `weir run sinks` runs it");
    let holds = match oldest {
        Some(oldest) if at.is_some_and(|at| at >= oldest) => return begins,
        Some(oldest) => {
            format!("{topic} holds records since {}", oldest.to_rfc3339_opts(SecondsFormat::Secs, true))
        }
        None => format!("{topic} holds no record"),
    };
    let older = match sink.records {
        Records::Audit => {
            format!(
                "`weir sink backfill {name} --from {from}` brings older ones from PostgreSQL once it runs"
            )
        }
        Records::Findings => "older ones are not delivered".to_owned(),
    };
    format!("{begins}; {holds}: {older}")
}

async fn backfill(name: &str, from: &str, log: &AuditLogArgs) -> anyhow::Result<Outcome> {
    let by = log.operator()?;
    let place = Place::find().await?;
    let sink = named(&place, name)?;
    if sink.records != Records::Audit {
        bail!(
            "{name} delivers findings, which {} alone holds: `weir sink replay` delivers them again",
            Topic::Findings
        );
    }
    let asked = backfill::ask(&place.operator_pool()?, name, instant(from)?, &by)
        .await
        .with_context(|| format!("asking for a backfill of {name}"))?;
    let backfill::Asked { logs, entries, under_way } = asked;
    if entries > 0 {
        note(&format!(
            "{name} gets up to {entries} entries of {logs} logs from PostgreSQL, each under its id, while `weir run audit` and \
             `weir run sinks` run; `weir sink list` shows how many are to come"
        ));
    }
    if under_way > 0 {
        note(&format!("{under_way} entries that were asked for before are still to come"));
    }
    if entries == 0 && under_way == 0 {
        note(&format!("{name} has passed every entry since {from}, or will come to it by itself"));
    }
    Ok(if entries > 0 { Outcome::Done } else { Outcome::No })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

async fn replay(name: &str, from: &str, log: &AuditLogArgs) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    let sink = named(&place, name)?;
    let at = instant(from)?;
    let by = log.operator()?;
    let pool = place.operator_pool()?;
    let offsets = instants(&place).offsets(topic_of(&sink), at).await.context("asking Kafka for offsets")?;
    let stage = format!("{STAGE_PREFIX}{name}");
    let again = positions::rewind(&pool, &stage, &offsets, &by);
    let again = again.await.context("moving the sink's position back")?;
    if again == 0 {
        note(&format!("{name} has passed no record since {from}: there is nothing to deliver again"));
        return Ok(Outcome::No);
    }
    note(&format!(
        "{name} delivers offsets again, at most {again} records, each under its id; a running `weir run sinks` begins \
         within seconds"
    ));
    Ok(Outcome::Done)
}
