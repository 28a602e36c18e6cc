//! `min_position`: reading one's own write. A request waits, for a bounded time, until its records are applied.

use std::time::Duration;

use schemas::{Topic, problem::ProblemKind};
use tokio::time::{Instant, sleep};

use super::{Api, answer::Refusal, parameters::Parameters};
use crate::read_models::{Positions, pipeline};

/// How long a request waits at most.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// How often it looks.
const PAUSE: Duration = Duration::from_millis(20);
/// How many requests may wait at the same time.
pub(super) const MAX_WAITING: usize = 64;
/// Most partitions in one `min_position`.
const MAX_PARTITIONS: usize = 64;

/// Takes `min_position`: `<topic>/<partition>:<position>`, several separated by commas.
pub(super) fn parse_positions(given: &mut Parameters) -> Positions {
    let expected = "<topic>/<partition>:<position>, at most 64 of them, separated by commas";
    given.parsed("min_position", expected, positions).unwrap_or_default()
}

fn positions(text: &str) -> Option<Positions> {
    let mut positions = Positions::new();
    for (index, place) in text.split(',').enumerate() {
        let (topic, rest) = place.split_once('/')?;
        let (partition, position) = rest.split_once(':')?;
        let (topic, partition) = (Topic::from_name(topic)?.name(), partition.parse().ok()?);
        let position =
            position.parse().ok().filter(|position: &i64| *position >= 0 && index < MAX_PARTITIONS)?;
        positions.entry(topic.to_owned()).or_default().insert(partition, position);
    }
    Some(positions)
}

/// Returns once the stage has applied everything before the positions; refuses when that takes too long.
pub(super) async fn await_positions(
    api: &Api,
    stage: &'static str,
    wanted: &Positions,
) -> Result<(), Refusal> {
    if wanted.is_empty() {
        return Ok(());
    }
    let _turn = api.waiting.try_acquire().map_err(|_| {
        Refusal::new(ProblemKind::Overloaded, "too many requests wait for a min_position; try again")
    })?;
    let give_up_at = Instant::now() + MAX_WAIT;
    while !pipeline::has_reached(&api.pool, stage, wanted).await? {
        if Instant::now() >= give_up_at {
            let detail = "the stage has not come so far within 2 s; try again, or see /api/v1/pipeline";
            return Err(Refusal::new(ProblemKind::PositionNotReached, detail));
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read() {
        let read = positions("weir.activity.v1/0:7,weir.activity.v1/3:9,weir.usage.v1/0:0").expect("valid");
        assert_eq!(read["weir.activity.v1"], [(0, 7), (3, 9)].into());
        assert_eq!(read["weir.usage.v1"], [(0, 0)].into());
        for bad in
            ["", ",", "weir.activity.v1/0", "weir.activity.v1/0:-1", "other/0:1", "weir.activity.v1/x:1"]
        {
            assert_eq!(positions(bad), None, "{bad}");
        }
        assert_eq!(positions(&vec!["weir.activity.v1/0:7"; 65].join(",")), None);
    }
}
