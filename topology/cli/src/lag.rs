//! `weir lag`: how far each stage is behind its topics.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use schemas::Topic;
use sinks::read_models::pipeline::{self as positions, DeclaredStage, LogEnds, Stage};

use super::{
    Outcome,
    output::{self, Format, note},
    place::Place,
    settings::{Settings, kafka_security},
};
use topology::{pipeline, runtime::offline::log_ends::EndsReader};

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Arguments of `weir lag`.
#[derive(Debug, Args)]
pub(super) struct LagArgs {
    /// Return once every stage has applied everything that the topics held when this command began.
    #[arg(long)]
    wait: bool,
    /// Only this stage.
    #[arg(long)]
    stage: Option<String>,
    /// With `--wait`: how long at most, for example 90s or 5m.
    #[arg(long, default_value = "60s", value_parser = duration, requires = "wait")]
    timeout: Duration,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Stages measured against their topics' ends.
pub(super) struct Gauge {
    reader: EndsReader,
    pool: sinks::postgres::PgPool,
    declared: Vec<DeclaredStage>,
    only: Option<String>,
}

impl Gauge {
    /// For the pipeline at this place. Connects when it is read.
    pub(super) fn new(place: &Place) -> anyhow::Result<Self> {
        let declared = declared_stages(&place.settings)?;
        Ok(Self {
            reader: EndsReader::new(&place.endpoints.kafka, &kafka_security(), topics_of(&declared))?,
            pool: sinks::read_models::reader_pool(&place.endpoints.database_url, 1)?,
            declared,
            only: None,
        })
    }

    /// Shows one stage only.
    fn narrow_to(&mut self, stage: &str) -> anyhow::Result<()> {
        check_stage(&self.declared, stage)?;
        self.only = Some(stage.to_owned());
        Ok(())
    }

    /// Current state of every stage.
    pub(super) async fn read(&self) -> anyhow::Result<Vec<Stage>> {
        let ends = self.ends().await?;
        self.against(&ends).await
    }

    async fn ends(&self) -> anyhow::Result<LogEnds> {
        self.reader.read().await.context("asking Kafka how much its topics hold")
    }

    async fn against(&self, ends: &LogEnds) -> anyhow::Result<Vec<Stage>> {
        let stages = positions::stages(&self.pool, &self.declared, Some(ends)).await;
        let mut stages = stages.context("reading the stages' positions")?;
        stages.retain(|stage| self.only.as_ref().is_none_or(|only| *only == stage.name));
        Ok(stages)
    }
}

/// Fails unless there is a stage of that name.
pub(super) fn check_stage(declared: &[DeclaredStage], name: &str) -> anyhow::Result<()> {
    if !declared.iter().any(|declared| declared.name == name) {
        bail!("{name:?} is no stage; `weir topology show` lists them");
    }
    Ok(())
}

/// The stages of the pipeline and of the settings' sinks, as the read models know them.
pub(super) fn declared_stages(settings: &Settings) -> anyhow::Result<Vec<DeclaredStage>> {
    let stage = |stage: &topology::topology::Stage| DeclaredStage {
        name: stage.name().to_owned(),
        topics: stage.topics().to_vec(),
    };
    let sinks = topology::siem::stages(settings.sinks()?);
    Ok(pipeline::declaration().and(sinks).stages().iter().map(stage).collect())
}

/// Every topic that the stages read, once.
pub(super) fn topics_of(stages: &[DeclaredStage]) -> Vec<Topic> {
    let topics: BTreeSet<Topic> = stages.iter().flat_map(|stage| stage.topics.iter().copied()).collect();
    topics.into_iter().collect()
}

/// Records that the stages have not settled.
pub(super) fn behind(stages: &[Stage]) -> i64 {
    stages.iter().filter_map(|stage| stage.lag).sum()
}

/// Prints the lag, and waits until it is 0 if asked.
pub(super) async fn lag(args: LagArgs) -> anyhow::Result<Outcome> {
    let mut gauge = Gauge::new(&Place::find().await?)?;
    if let Some(only) = &args.stage {
        gauge.narrow_to(only)?;
    }
    let ends = gauge.ends().await?;
    let deadline = tokio::time::Instant::now() + args.timeout;
    loop {
        let stages = gauge.against(&ends).await?;
        let behind = behind(&stages);
        if !args.wait || behind == 0 {
            print(&stages, args.output)?;
            return Ok(Outcome::Done);
        }
        if tokio::time::Instant::now() >= deadline {
            print(&stages, args.output)?;
            note(&format!("after {:?} the stages are still {behind} records behind", args.timeout));
            return Ok(Outcome::No);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn print(stages: &[Stage], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::json(&serde_json::json!({ "stages": stages }))?,
        Format::Ndjson => stages.iter().try_for_each(output::json)?,
        Format::Table => {
            let columns = ["stage", "lag", "applied", "duplicate", "ignored", "parked", "waiting", "halted"];
            let mut table = output::table(&columns);
            for stage in stages {
                let counts = stage.counts;
                let mut row =
                    vec![stage.name.clone(), stage.lag.map_or_else(|| "?".to_owned(), |lag| lag.to_string())];
                let numbers =
                    [counts.applied, counts.duplicate, counts.ignored, counts.parked, stage.waiting];
                row.extend(numbers.map(|n| n.to_string()));
                let halted = stage.partitions.iter().filter_map(|partition| {
                    let why = partition.halted.as_deref()?;
                    Some(format!("{}/{}: {why}", partition.topic, partition.partition))
                });
                row.push(halted.collect::<Vec<_>>().join("; "));
                table.add_row(row);
            }
            output::print_table(&table, "the pipeline has no stages");
        }
    }
    Ok(())
}

/// `90s`, `5m`, `2h`, `250ms`, or a plain number of seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..digits].parse().map_err(|_| "a duration is a number and ms, s, m or h".to_owned())?;
    match &text[digits..] {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(number.saturating_mul(3_600))),
        unit => Err(format!("{unit:?} is no unit of time; use ms, s, m or h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("60s"), Ok(Duration::from_mins(1)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        for bad in ["", "s", "5 m", "-1s", "1d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
