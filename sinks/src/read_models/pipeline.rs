//! Reads the state of the stages: positions, lag, counts, halts, and parked records.

use std::collections::BTreeMap;

use schemas::{TenantId, Timestamp, Topic};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    batch::TopicPartition,
    read_models::{
        parameters::text,
        snapshot::{Page, Positions, ReadError, Snapshot, begin},
    },
};

/// End offset of each partition: the offset that its next record will get. Refreshed by the process's Kafka
/// client.
pub type LogEnds = BTreeMap<TopicPartition, i64>;

/// A stage that ought to run, and what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredStage {
    /// Its name, as in `stage_position`.
    pub name: String,
    /// The topics it reads.
    pub topics: Vec<Topic>,
}

/// One stage, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// The stage's name.
    pub name: String,
    /// The worst of its partitions.
    pub state: StageState,
    /// Records not yet settled, over all partitions; absent while the topics' ends are unknown.
    pub lag: Option<i64>,
    /// Sums over the partitions.
    #[serde(flatten)]
    pub counts: Counts,
    /// Parked records without a decision: neither replayed nor discarded. One that was replayed and
    /// failed again is parked again, and waits again.
    #[serde(default)]
    pub waiting: i64,
    /// By topic and number.
    pub partitions: Vec<StagePartition>,
}

/// State of a stage, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    /// A partition is halted until an operator intervenes.
    Halted,
    /// The end offsets of the topics are unknown.
    Unknown,
    /// There are records to settle.
    Behind,
    /// Everything that the topics held is settled.
    Current,
}

/// Records of a stage since it began, by their settlement. Each record counts in exactly one field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// Changed the read models.
    pub applied: i64,
    /// Were stored already.
    pub duplicate: i64,
    /// Have no effect, by a named rule.
    pub ignored: i64,
    /// Were parked in `parked_record`; they count here for ever, whatever an operator decided about them
    /// since.
    pub parked: i64,
}

/// One partition of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StagePartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to apply; absent while the partition was never owned.
    pub position: Option<i64>,
    /// The offset that the topic's next record will get, if known.
    pub end: Option<i64>,
    /// `end − position`; all of the partition while it was never owned.
    pub lag: Option<i64>,
    /// Records of the partition by their settlement.
    #[serde(flatten)]
    pub counts: Counts,
    /// Parked records without a decision.
    #[serde(default)]
    pub waiting: i64,
    /// The process that owns it, or owned it last.
    pub owner: Option<String>,
    /// Number of times that the partition was claimed.
    pub owner_epoch: Option<i64>,
    /// Time of the last claim.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub claimed_at: Option<Timestamp>,
    /// Time at which its position last moved.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub updated_at: Option<Timestamp>,
    /// Reason for which the partition is halted, if it is.
    pub halted: Option<String>,
}

/// All stages: what `stage_position` holds, and what is declared and was never claimed.
pub async fn stages(
    pool: &PgPool,
    declared: &[DeclaredStage],
    ends: Option<&LogEnds>,
) -> Result<Vec<Stage>, ReadError> {
    let mut tx = begin(pool).await?;
    let rows: Vec<PositionRow> = sqlx::query_as(
        "SELECT stage, topic, partition, position, owner, owner_epoch, claimed_at, updated_at,
                applied, duplicate, ignored, parked, parked - replayed - discarded AS waiting, halted
           FROM stage_position",
    )
    .fetch_all(&mut *tx)
    .await?;
    Ok(join(rows, declared, ends))
}

/// Positions that all of the stages have settled: the least of each partition.
pub fn settled(stages: &[Stage]) -> Positions {
    let mut settled = Positions::new();
    for place in stages.iter().flat_map(|stage| &stage.partitions) {
        if let Some(position) = place.position {
            let least =
                settled.entry(place.topic.clone()).or_default().entry(place.partition).or_insert(position);
            *least = position.min(*least);
        }
    }
    settled
}

/// Positions of every stage, by name.
pub async fn positions(pool: &PgPool) -> Result<BTreeMap<String, Positions>, ReadError> {
    let rows: Vec<(String, String, i32, i64)> =
        sqlx::query_as("SELECT stage, topic, partition, position FROM stage_position")
            .fetch_all(pool)
            .await?;
    let mut stages: BTreeMap<String, Positions> = BTreeMap::new();
    for (stage, topic, partition, position) in rows {
        stages.entry(stage).or_default().entry(topic).or_default().insert(partition, position);
    }
    Ok(stages)
}

#[derive(Debug, FromRow)]
struct PositionRow {
    stage: String,
    topic: String,
    partition: i32,
    position: i64,
    owner: String,
    owner_epoch: i64,
    claimed_at: Timestamp,
    updated_at: Timestamp,
    applied: i64,
    duplicate: i64,
    ignored: i64,
    parked: i64,
    waiting: i64,
    halted: Option<String>,
}

fn join(rows: Vec<PositionRow>, declared: &[DeclaredStage], ends: Option<&LogEnds>) -> Vec<Stage> {
    let mut stages: BTreeMap<String, BTreeMap<(String, i32), StagePartition>> = BTreeMap::new();
    for stage in declared {
        let partitions = stages.entry(stage.name.clone()).or_default();
        let never_owned = ends.into_iter().flatten().filter(|(place, _)| stage.topics.contains(&place.topic));
        for (place, end) in never_owned {
            let topic = place.topic.name().to_owned();
            partitions.insert((topic.clone(), place.partition), unowned(topic, place.partition, *end));
        }
    }
    for row in rows {
        let end = Topic::from_name(&row.topic)
            .zip(ends)
            .and_then(|(topic, ends)| ends.get(&TopicPartition { topic, partition: row.partition }).copied());
        let (stage, partition) = row.into_partition(end);
        let key = (partition.topic.clone(), partition.partition);
        stages.entry(stage).or_default().insert(key, partition);
    }
    stages.into_iter().map(|(name, partitions)| sum_up(name, partitions.into_values().collect())).collect()
}

impl PositionRow {
    fn into_partition(self, end: Option<i64>) -> (String, StagePartition) {
        let partition = StagePartition {
            topic: self.topic,
            partition: self.partition,
            position: Some(self.position),
            end,
            // The ends were asked for earlier than the positions: a stage may be ahead of them.
            lag: end.map(|end| (end - self.position).max(0)),
            counts: Counts {
                applied: self.applied,
                duplicate: self.duplicate,
                ignored: self.ignored,
                parked: self.parked,
            },
            waiting: self.waiting,
            owner: Some(self.owner),
            owner_epoch: Some(self.owner_epoch),
            claimed_at: Some(self.claimed_at),
            updated_at: Some(self.updated_at),
            halted: self.halted,
        };
        (self.stage, partition)
    }
}

fn unowned(topic: String, partition: i32, end: i64) -> StagePartition {
    StagePartition {
        topic,
        partition,
        position: None,
        end: Some(end),
        lag: Some(end),
        counts: Counts::default(),
        waiting: 0,
        owner: None,
        owner_epoch: None,
        claimed_at: None,
        updated_at: None,
        halted: None,
    }
}

fn sum_up(name: String, partitions: Vec<StagePartition>) -> Stage {
    let mut counts = Counts::default();
    for partition in &partitions {
        counts.applied += partition.counts.applied;
        counts.duplicate += partition.counts.duplicate;
        counts.ignored += partition.counts.ignored;
        counts.parked += partition.counts.parked;
    }
    let waiting = partitions.iter().map(|partition| partition.waiting).sum();
    // A stage without a single known partition has a lag that nobody knows, not one of 0.
    let lag = (!partitions.is_empty())
        .then(|| partitions.iter().map(|partition| partition.lag).sum::<Option<i64>>())
        .flatten();
    let state = match lag {
        _ if partitions.iter().any(|partition| partition.halted.is_some()) => StageState::Halted,
        None => StageState::Unknown,
        Some(0) => StageState::Current,
        Some(_) => StageState::Behind,
    };
    Stage { name, state, lag, counts, waiting, partitions }
}

/// Filter on parked records; an absent parameter matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct ParkedFilter {
    /// The stage that parked them.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub stage: Option<String>,
    /// Class of the reason, for example `undecodable`.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub reason: Option<String>,
    /// Decision about the records.
    #[param(inline)]
    pub status: Option<ParkedStatus>,
}

/// Decision about a parked record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParkedStatus {
    /// No decision yet.
    Parked,
    /// It was replayed.
    Replayed,
    /// It was discarded.
    Discarded,
}

impl ParkedStatus {
    /// The status in rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}

/// Key of the last record of a page: parked records are ordered by these fields, last parked first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedKey(Timestamp, String, String, i32, i64);

/// One parked record, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize, Deserialize, ToSchema)]
pub struct ParkedItem {
    /// The stage that could not apply it.
    pub stage: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The record's offset.
    #[sqlx(rename = "record_offset")]
    pub offset: i64,
    /// Kafka's timestamp, if the record had one.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub recorded_at: Option<Timestamp>,
    /// The event's id, where it could be read.
    pub event_id: Option<Uuid>,
    /// Size of the value in bytes.
    pub value_size: i64,
    /// Class of the reason.
    pub reason: String,
    /// Description of the reason in one sentence, without payload.
    pub detail: String,
    /// Number of attempts to apply it.
    pub attempts: i32,
    /// Time of parking.
    #[schema(value_type = String, format = DateTime)]
    pub parked_at: Timestamp,
    /// `parked`, `replayed` or `discarded`.
    pub status: String,
}

impl ParkedItem {
    /// The record's place in the order of pages.
    fn key(&self) -> ParkedKey {
        ParkedKey(self.parked_at, self.stage.clone(), self.topic.clone(), self.partition, self.offset)
    }
}

/// The tenant's parked records, last parked first: at most `limit` of them, after the key.
///
/// Records whose tenant could not be read are visible to operators only.
pub async fn parked(
    pool: &PgPool,
    tenant: &TenantId,
    filter: &ParkedFilter,
    (after, limit): (Option<&ParkedKey>, u16),
) -> Result<Page<ParkedItem, ParkedKey>, ReadError> {
    let snapshot = Snapshot::open(pool, tenant, filter.stage.as_deref()).await?;
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT stage, topic, partition, record_offset, recorded_at, event_id, value_size, reason, detail,
                attempts, parked_at, status
           FROM parked_record WHERE tenant_id = ",
    );
    query.push_bind(tenant.as_str().to_owned());
    let equal = [
        (" AND stage = ", filter.stage.as_deref()),
        (" AND reason = ", filter.reason.as_deref()),
        (" AND status = ", filter.status.map(ParkedStatus::name)),
    ];
    for (condition, value) in equal {
        if let Some(value) = value {
            query.push(condition).push_bind(value.to_owned());
        }
    }
    if let Some(ParkedKey(parked_at, stage, topic, partition, offset)) = after {
        query.push(" AND (parked_at, stage, topic, partition, record_offset) < (").push_bind(*parked_at);
        query.push(", ").push_bind(stage.clone()).push(", ").push_bind(topic.clone());
        query.push(", ").push_bind(*partition).push(", ").push_bind(*offset).push(")");
    }
    query.push(" ORDER BY parked_at DESC, stage DESC, topic DESC, partition DESC, record_offset DESC LIMIT ");
    query.push_bind(i64::from(limit) + 1);
    snapshot.page(&mut query, limit, |row| Ok(ParkedItem::from_row(row)?), ParkedItem::key).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(partition: i32, position: i64, halted: Option<&str>) -> PositionRow {
        let at = Timestamp::from_timestamp(0, 0).expect("epoch");
        PositionRow {
            stage: "audit".into(),
            topic: Topic::Activity.name().into(),
            partition,
            position,
            owner: "one".into(),
            owner_epoch: 1,
            claimed_at: at,
            updated_at: at,
            applied: position,
            duplicate: 0,
            ignored: 0,
            parked: 0,
            waiting: 0,
            halted: halted.map(Into::into),
        }
    }

    fn ends(of: &[(i32, i64)]) -> LogEnds {
        of.iter().map(|(p, end)| (TopicPartition { topic: Topic::Activity, partition: *p }, *end)).collect()
    }

    fn audit() -> Vec<DeclaredStage> {
        vec![DeclaredStage { name: "audit".into(), topics: vec![Topic::Activity] }]
    }

    fn check(rows: Vec<PositionRow>, ends: Option<&LogEnds>, lag: Option<i64>, state: StageState) {
        let stages = join(rows, &audit(), ends);
        assert_eq!(stages.len(), 1);
        assert_eq!((stages[0].lag, stages[0].state), (lag, state));
    }

    #[test]
    fn lag_counts_partitions_that_nobody_ever_owned() {
        check(vec![row(0, 7, None)], Some(&ends(&[(0, 10), (1, 5)])), Some(8), StageState::Behind);
        check(vec![], Some(&ends(&[(0, 10)])), Some(10), StageState::Behind);
    }

    #[test]
    fn a_stage_ahead_of_the_ends_it_is_compared_with_has_no_lag() {
        check(vec![row(0, 12, None)], Some(&ends(&[(0, 10)])), Some(0), StageState::Current);
    }

    #[test]
    fn nothing_is_claimed_without_ends_and_a_halt_outweighs_all() {
        check(vec![row(0, 12, None)], None, None, StageState::Unknown);
        check(vec![], None, None, StageState::Unknown);
        check(vec![row(0, 12, Some("log_diverged"))], None, None, StageState::Halted);
        // The broker does not tell of one partition.
        check(vec![row(0, 1, None), row(1, 1, None)], Some(&ends(&[(0, 1)])), None, StageState::Unknown);
    }
}
