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

/// Counts of replayed, refused and removed records.
#[derive(Default)]
struct Tally {
    selected: u64,
    replayed: u64,
    /// Records whose rows were removed before they could be replayed.
    gone: Vec<ParkedPlace>,
    gone_total: u64,
    refused: Vec<(ParkedPlace, String)>,
    refusals: u64,
}

/// Refusals, and records that are gone, that are named one by one; more are only counted.
const MAX_NAMED: usize = 100;

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
                Ok(Replayed::Published) => tally.replayed += 1,
                Ok(Replayed::Gone) => tally.miss(place),
                Err(Failure::Refused(why)) => tally.refuse(place, &why),
                Err(Failure::Broken(error)) => return Err(error),
            }
        }
        last = Some(end);
    }
}

/// Result for one record.
enum Replayed {
    /// It was published, or would be.
    Published,
    /// Somebody has removed its row meanwhile.
    Gone,
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
) -> Result<Replayed, Failure> {
    let record = settling.record(place).await.context("reading a parked record").map_err(Failure::Broken)?;
    let Some(mut record) = record else { return Ok(Replayed::Gone) };
    replayer.prepare(place, &mut record).await?;
    if dry_run {
        return Ok(Replayed::Published);
    }
    replayer.publish(place, &record).await?;
    settling.replayed(place, by).await.context(
        "the last record is published and could not be marked; it will be published once more, which changes nothing",
    ).map_err(Failure::Broken)?;
    Ok(Replayed::Published)
}

impl Tally {
    fn refuse(&mut self, place: &ParkedPlace, why: &ReplayError) {
        self.refusals += 1;
        if self.refused.len() < MAX_NAMED {
            self.refused.push((place.clone(), why.to_string()));
        }
    }

    fn miss(&mut self, place: &ParkedPlace) {
        self.gone_total += 1;
        if self.gone.len() < MAX_NAMED {
            self.gone.push(place.clone());
        }
    }

    /// What was done, in one line.
    fn told(&self, dry_run: bool) -> String {
        let would = if dry_run { "would be replayed" } else { "replayed" };
        let mut parts = vec![format!("{} of {} parked records {would}", self.replayed, self.selected)];
        let others = [(self.refusals, "refused"), (self.gone_total, "gone")];
        let others = others.into_iter().filter(|(count, _)| *count > 0);
        parts.extend(others.map(|(count, word)| format!("{count} {word}")));
        parts.join(", ")
    }
}

fn print(tally: &Tally, dry_run: bool, output: Format) -> anyhow::Result<()> {
    let at = |place: &ParkedPlace| {
        json!({
            "topic": place.partition.topic.name(), "partition": place.partition.partition, "offset": place.offset,
        })
    };
    let refused = |(place, why): &(ParkedPlace, String)| {
        let mut refused = at(place);
        refused["why"] = why.as_str().into();
        refused
    };
    if output == Format::Table {
        for (place, why) in &tally.refused {
            let at = place.partition;
            note(&format!("{}/{} offset {}: {why}", at.topic, at.partition, place.offset));
        }
        for place in &tally.gone {
            let at = place.partition;
            note(&format!(
                "{}/{} offset {}: removed before it was replayed",
                at.topic, at.partition, place.offset
            ));
        }
    }
    printing::outcome(
        &json!({
            "selected": tally.selected, "replayed": tally.replayed, "dry_run": dry_run,
            "refused": tally.refused.iter().map(refused).collect::<Vec<Value>>(), "refusals": tally.refusals,
            "gone": tally.gone.iter().map(at).collect::<Vec<Value>>(), "gone_total": tally.gone_total,
        }),
        &tally.told(dry_run),
        output,
    )
}

#[cfg(test)]
mod tests {
    use schemas::Topic;
    use sinks::TopicPartition;

    use super::*;

    #[test]
    fn a_record_that_is_gone_is_not_told_as_replayed() {
        let mut tally = Tally { selected: 3, replayed: 3, ..Tally::default() };
        assert_eq!(tally.told(false), "3 of 3 parked records replayed");
        tally.replayed = 2;
        tally.miss(&ParkedPlace {
            partition: TopicPartition { topic: Topic::Activity, partition: 0 },
            offset: 7,
            replays: 0,
        });
        assert_eq!(tally.told(true), "2 of 3 parked records would be replayed, 1 gone");
    }
}
