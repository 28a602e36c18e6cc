//! `GET /api/v1/pipeline` and `GET /api/v1/parked`.

use std::sync::Arc;

use axum::{Extension, extract::State};
use edge::api_error::ApiError;
use http::Uri;
use schemas::{
    Timestamp,
    access::{Principal, Scope},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    body::Answer,
    described::ListRefusals,
    paging::{Asked, List, Listed, Paging, Unfiltered, listed},
    parameters::Parameters,
};
use crate::read_models::{
    Positions,
    pipeline::{self, Counts, ParkedFilter, ParkedItem, Stage, StagePartition, StageState},
};

/// Records are parked by several stages: no one stage's position is waited for.
const PARKED: List = List { route: "/api/v1/parked", stage: None };

/// State of all stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PipelineAnswer {
    /// By name.
    pub stages: Vec<StageStanding>,
    /// Topic, then partition, to the next offset to apply: every stage that reads it has settled what lies before.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// State of one stage. Counts cover all tenants, and are shown to operators only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageStanding {
    /// The stage's name.
    pub name: String,
    /// The worst of its partitions.
    pub state: StageState,
    /// Records not yet settled, over all partitions; null while the topics' ends are unknown.
    pub lag: Option<i64>,
    /// Records of the stage by their settlement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub counts: Option<Counts>,
    /// Parked records without a decision: neither replayed nor discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub waiting: Option<i64>,
    /// By topic and number.
    pub partitions: Vec<PartitionStanding>,
}

/// State of one partition of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionStanding {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to apply; null while the partition was never owned.
    pub position: Option<i64>,
    /// The offset that the topic's next record will get, if known.
    pub end: Option<i64>,
    /// `end − position`; all of the partition while it was never owned.
    pub lag: Option<i64>,
    /// Shown to operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub operation: Option<PartitionOperation>,
}

/// Owner of a partition, and its records by their settlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionOperation {
    /// Records of the partition by their settlement.
    pub counts: Counts,
    /// Parked records without a decision.
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

impl StageStanding {
    fn new(stage: Stage, reader: Reader) -> Self {
        let told = reader == Reader::Operator;
        Self {
            name: stage.name,
            state: stage.state,
            lag: stage.lag,
            counts: told.then_some(stage.counts),
            waiting: told.then_some(stage.waiting),
            partitions: stage.partitions.into_iter().map(|p| PartitionStanding::new(p, reader)).collect(),
        }
    }
}

impl PartitionStanding {
    fn new(partition: StagePartition, reader: Reader) -> Self {
        let StagePartition { topic, partition: number, position, end, lag, .. } = partition;
        let operation = PartitionOperation {
            counts: partition.counts,
            waiting: partition.waiting,
            owner: partition.owner,
            owner_epoch: partition.owner_epoch,
            claimed_at: partition.claimed_at,
            updated_at: partition.updated_at,
            halted: partition.halted,
        };
        let operation = (reader == Reader::Operator).then_some(operation);
        Self { topic, partition: number, position, end, lag, operation }
    }
}

/// Kind of reader of the stages' state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Tenant,
    /// Holds the scope `stage:admin`.
    Operator,
}

/// A page of parked records.
pub type ParkedPage = Listed<ParkedItem>;

/// Every stage's positions and lag; to a credential with the scope `stage:admin` also counts, owners and halts.
#[utoipa::path(
    get,
    path = "/api/v1/pipeline",
    tag = "pipeline",
    responses((status = 200, body = PipelineAnswer), ListRefusals),
    security(("api_key" = ["read"]))
)]
pub(super) async fn stages(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<PipelineAnswer>, ApiError> {
    Parameters::only::<Unfiltered>(&uri)?;
    let reader = if caller.may(Scope::StageAdmin) { Reader::Operator } else { Reader::Tenant };
    let (pool, declared) = (api.pool.clone(), api.stages.clone());
    let ends = api.log_ends.borrow().clone();
    let question = async move { pipeline::stages(&pool, &declared, ends.as_deref()).await };
    let answer = api.ask(caller.tenant(), question).await?;
    Ok(answer.map(|stages| PipelineAnswer {
        position: pipeline::settled(&stages),
        stages: stages.into_iter().map(|stage| StageStanding::new(stage, reader)).collect(),
    }))
}

/// The tenant's parked records, last parked first, without their bytes.
#[utoipa::path(
    get,
    path = "/api/v1/parked",
    tag = "pipeline",
    params(ParkedFilter, Paging),
    responses((status = 200, body = Listed<ParkedItem>), ListRefusals),
    security(("api_key" = ["read"]))
)]
pub(super) async fn parked(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<ParkedPage>, ApiError> {
    let asked = Asked::<ParkedFilter>::without_freshness(&uri)?;
    listed(&api, caller.tenant(), PARKED, asked, |pool, tenant, filter, at| async move {
        pipeline::parked(&pool, &tenant, &filter, (at.after.as_ref(), at.limit)).await
    })
    .await
}
