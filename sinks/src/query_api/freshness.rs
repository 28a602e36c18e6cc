//! `min_position`: reading one's own write. A request waits, for a bounded time, until its records are applied.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use edge::api_error::ApiError;
use schemas::{
    TenantId, Topic,
    problem::{Fault, ProblemKind},
};
use serde::{Deserialize, Deserializer, de::Error};
use sqlx::PgPool;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout_at},
};
use utoipa::IntoParams;

use super::Api;
use crate::read_models::{
    Positions, ReadError,
    pipeline::{self, DeclaredStage},
};

/// Longest wait of a request for a position.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// Interval at which a waiting request checks the positions, and the greatest age of the positions that it
/// sees.
const PAUSE: Duration = Duration::from_millis(20);
/// Most partitions in one `min_position`.
const MAX_PARTITIONS: usize = 64;

/// Positions by stage.
type ByStage = Arc<BTreeMap<String, Positions>>;

/// Positions of the stages, shared by all waiting requests: the database is queried once for all of them.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<Option<(Instant, ByStage)>>);

impl Standing {
    async fn now(&self, pool: &PgPool) -> Result<ByStage, ReadError> {
        let mut last = self.0.lock().await;
        if let Some((_, positions)) = last.as_ref().filter(|(at, _)| at.elapsed() < PAUSE) {
            return Ok(Arc::clone(positions));
        }
        let positions = Arc::new(pipeline::positions(pool).await?);
        *last = Some((Instant::now(), Arc::clone(&positions)));
        Ok(positions)
    }
}

/// Freshness that an answer must have.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Freshness {
    /// `<topic>/<partition>:<position>`, at most 64 of them separated by commas: wait up to 2 s until the answer reflects
    /// them, for example `weir.activity.v1/3:1207`. For a record just published the position is its offset + 1.
    #[serde(deserialize_with = "min_position")]
    #[param(
        value_type = Option<String>,
        pattern = r"^weir\.[a-z-]+\.v1/[0-9]+:[0-9]+(,weir\.[a-z-]+\.v1/[0-9]+:[0-9]+){0,63}$"
    )]
    min_position: Option<Positions>,
}

impl Freshness {
    /// The positions that the answer must reflect.
    pub(super) fn positions(&self) -> Positions {
        self.min_position.clone().unwrap_or_default()
    }
}

fn min_position<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Positions>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let expected = "must be <topic>/<partition>:<position>, at most 64 of them, separated by commas";
    positions(&text).map(Some).ok_or_else(|| Error::custom(expected))
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

/// Returns once the stage has applied everything before the positions; refuses when that takes too long, and at once
/// where the stage does not read one of the topics.
pub(super) async fn await_positions(
    api: &Api,
    tenant: &TenantId,
    stage: &'static str,
    wanted: &Positions,
) -> Result<(), ApiError> {
    if wanted.is_empty() {
        return Ok(());
    }
    check_topics(&api.stages, stage, wanted)?;
    let _turn = api.shares.waiting_read(tenant)?;
    let reached = async {
        while !has_reached(api.standing.now(&api.own_pool).await?.get(stage), wanted) {
            sleep(PAUSE).await;
        }
        Ok::<(), ReadError>(())
    };
    let Ok(reached) = timeout_at(Instant::now() + MAX_WAIT, reached).await else {
        let detail = "the stage has not come so far within 2 s; try again, or see /api/v1/pipeline";
        return Err(ApiError::new(ProblemKind::PositionNotReached, detail));
    };
    Ok(reached?)
}

/// Refuses positions of topics that the stage does not read: it would never reach them.
fn check_topics(stages: &[DeclaredStage], stage: &str, wanted: &Positions) -> Result<(), ApiError> {
    let Some(declared) = stages.iter().find(|declared| declared.name == stage) else { return Ok(()) };
    let read: Vec<&str> = declared.topics.iter().copied().map(Topic::name).collect();
    let Some(unread) = wanted.keys().find(|topic| !read.contains(&topic.as_str())) else { return Ok(()) };
    let detail = format!("this answer does not reflect {unread}; give positions of {}", read.join(", "));
    let fault = Fault { at: "min_position".to_owned(), detail };
    let problem = ApiError::new(ProblemKind::InvalidQuery, format!("{}: {}", fault.at, fault.detail));
    Err(problem.with_errors(vec![fault]))
}

/// Whether everything before the wanted positions is applied.
fn has_reached(stands: Option<&Positions>, wanted: &Positions) -> bool {
    wanted.iter().all(|(topic, partitions)| {
        let stands = stands.and_then(|stands| stands.get(topic));
        partitions.iter().all(|(partition, position)| {
            stands.and_then(|stands| stands.get(partition)).is_some_and(|stands| stands >= position)
        })
    })
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

    #[test]
    fn topics_that_the_stage_does_not_read_are_refused() {
        let stages =
            [DeclaredStage { name: "cost".into(), topics: vec![Topic::Usage, Topic::Infrastructure] }];
        let check = |stage: &str, wanted: &str| {
            check_topics(&stages, stage, &positions(wanted).expect("valid")).map_err(|error| {
                assert_eq!(error.problem().slug(), "invalid-query");
                error.problem().errors[0].detail.clone()
            })
        };
        assert_eq!(check("cost", "weir.usage.v1/0:7,weir.infrastructure.v1/9:9"), Ok(()));
        let told = "this answer does not reflect weir.activity.v1; \
                    give positions of weir.usage.v1, weir.infrastructure.v1";
        assert_eq!(check("cost", "weir.usage.v1/0:7,weir.activity.v1/0:7"), Err(told.to_owned()));
        assert_eq!(check("unknown", "weir.activity.v1/0:7"), Ok(()));
    }

    #[test]
    fn every_position_must_be_reached() {
        let at = |text: &str| positions(text).expect("valid");
        let stands = at("weir.activity.v1/0:7,weir.activity.v1/3:9");
        for (wanted, expected) in [
            ("weir.activity.v1/0:7", true),
            ("weir.activity.v1/0:6,weir.activity.v1/3:9", true),
            ("weir.activity.v1/0:8", false),
            ("weir.activity.v1/0:7,weir.activity.v1/1:0", false),
            ("weir.usage.v1/0:0", false),
        ] {
            assert_eq!(has_reached(Some(&stands), &at(wanted)), expected, "{wanted}");
        }
        assert!(!has_reached(None, &at("weir.activity.v1/0:0")));
    }
}
