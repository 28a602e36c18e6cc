//! `weir dead-letter replay`: one record after the other, in the order of the logs.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use sinks::{
    parking::{ParkedPlace, Resolution, Selection, Settling, Status},
    positions::Operator,
};
use tokio::time::{MissedTickBehavior, interval};

use super::{printing, selection::nothing_selected};
use crate::{
    Outcome,
    output::{Format, note},
    place::Place,
    settings::kafka_security,
    shutdown,
};
use topology::runtime::offline::replay::{ReplayError, Replayer};

/// Places read at a time; their bytes are read one by one.
const PAGE: u16 = 500;

/// Records to replay, and the pace.
pub(super) struct Asked {
    pub(super) selection: Selection,
    /// Also records that were replayed before.
    pub(super) again: bool,
    /// Records a second; at least one, and fewer than a billion.
    pub(super) rate: u32,
    pub(super) dry_run: bool,
    pub(super) by: Operator,
}

/// Counts of replayed and refused records.
#[derive(Default)]
struct Tally {
    selected: u64,
    replayed: u64,
    refused: Vec<(ParkedPlace, String)>,
    refusals: u64,
}

/// Refusals that are named one by one; more are only counted.
const NAMED_REFUSALS: usize = 100;

/// Publishes the records, or says what would be published. `No`, if there were none, or some were refused.
pub(super) async fn replay(
    place: &Place,
    settling: &mut Settling,
    (asked, output): (&Asked, Format),
) -> anyhow::Result<Outcome> {
    let replayer = Replayer::new(&place.endpoints.kafka, &kafka_security())?;
    let mut tally = Tally::default();
    let outcome = all(settling, &replayer, (asked, &mut tally)).await;
    print(&tally, asked.dry_run, output)?;
    let interrupted = outcome?;
    if !interrupted && tally.selected == 0 {
        // With --again they would have been selected.
        let before = settling.count(&asked.selection, &[Status::Replayed]).await;
        note(&nothing_selected(before.context("counting the replayed records")?));
        return Ok(Outcome::No);
    }
    Ok(match (interrupted, tally.refusals) {
        (true, _) => Outcome::Interrupted,
        (false, 0) => Outcome::Done,
        (false, _) => Outcome::No,
    })
}

/// Whether it was interrupted.
async fn all(
    settling: &mut Settling,
    replayer: &Replayer,
    (asked, tally): (&Asked, &mut Tally),
) -> anyhow::Result<bool> {
    let statuses: &[Status] =
        if asked.again { &[Status::Parked, Status::Replayed] } else { &[Status::Parked] };
    let stop = shutdown::on_signal();
    if !asked.dry_run {
        settling.announce((&asked.selection, statuses), Resolution::Replay, &asked.by).await?;
    }
    let mut ticks = interval(Duration::from_secs(1) / asked.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<ParkedPlace> = None;
    loop {
        let places = settling.places(&asked.selection, statuses, (last.as_ref(), PAGE)).await?;
        let Some(end) = places.last().cloned() else { return Ok(false) };
        for place in &places {
            if !asked.dry_run {
                ticks.tick().await;
            }
            if stop.is_cancelled() {
                note("interrupted: what was published is marked, the rest still waits");
                return Ok(true);
            }
            tally.selected += 1;
            match one(settling, replayer, (place, asked.dry_run, &asked.by.name)).await {
                Ok(()) => tally.replayed += 1,
                Err(Failure::Refused(why)) => tally.refuse(place, &why),
                Err(Failure::Broken(error)) => return Err(error),
            }
        }
        last = Some(end);
    }
}

/// Reason for which one record was not replayed, or not marked as replayed.
enum Failure {
    /// This record cannot be replayed; others can.
    Refused(ReplayError),
    /// No record can be replayed now.
    Broken(anyhow::Error),
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        if error.is_the_records_own() { Self::Refused(error) } else { Self::Broken(error.into()) }
    }
}

async fn one(
    settling: &mut Settling,
    replayer: &Replayer,
    (place, dry_run, by): (&ParkedPlace, bool, &str),
) -> Result<(), Failure> {
    let record = settling.record(place).await.context("reading a parked record").map_err(Failure::Broken)?;
    // Gone meanwhile: somebody has removed the row.
    let Some(mut record) = record else { return Ok(()) };
    replayer.prepare(place, &mut record).await?;
    if dry_run {
        return Ok(());
    }
    replayer.publish(place, &record).await?;
    settling.replayed(place, by).await.context(
        "the last record is published and could not be marked; it will be published once more, which changes nothing",
    ).map_err(Failure::Broken)
}

impl Tally {
    fn refuse(&mut self, place: &ParkedPlace, why: &ReplayError) {
        self.refusals += 1;
        if self.refused.len() < NAMED_REFUSALS {
            self.refused.push((place.clone(), why.to_string()));
        }
    }
}

fn print(tally: &Tally, dry_run: bool, output: Format) -> anyhow::Result<()> {
    let refused = |(place, why): &(ParkedPlace, String)| {
        json!({
            "topic": place.partition.topic.name(), "partition": place.partition.partition, "offset": place.offset,
            "why": why,
        })
    };
    if output == Format::Table {
        for (place, why) in &tally.refused {
            let at = place.partition;
            note(&format!("{}/{} offset {}: {why}", at.topic, at.partition, place.offset));
        }
    }
    let would = if dry_run { "would be replayed" } else { "replayed" };
    let refused_too = match tally.refusals {
        0 => String::new(),
        refusals => format!(", {refusals} refused"),
    };
    printing::outcome(
        &json!({
            "selected": tally.selected, "replayed": tally.replayed, "dry_run": dry_run,
            "refused": tally.refused.iter().map(refused).collect::<Vec<Value>>(), "refusals": tally.refusals,
        }),
        &format!("{} of {} parked records {would}{refused_too}", tally.replayed, tally.selected),
        output,
    )
}
