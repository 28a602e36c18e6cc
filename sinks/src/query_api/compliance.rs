//! `GET /api/v1/compliance/…`: posture, controls, verdicts, resources, findings, waivers and scorecards, as of any instant.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
};
use edge::api_error::ApiError;
use http::Uri;
use projections::compliance::FrameworkPosture;
use schemas::{Timestamp, access::Principal};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    body::Answer,
    described::{ItemRefusals, ListRefusals},
    freshness::{Freshness, await_positions},
    paging::{Asked, DEFAULT_LIMIT, Found, List, Listed, Paging, found, limit, listed},
    parameters::{Parameters, id_in_path},
};
use crate::read_models::{
    Positions,
    compliance::read::{
        self, ControlDetail, ControlItem, ControlRequest, FindingItem, FindingsFilter, FindingsRequest,
        PostureRequest, ProjectPosture, ResourceDetail, STAGE, ScorecardItem, ScorecardsRequest, VerdictItem,
        VerdictsFilter, VerdictsRequest, WaiverItem, WaiversFilter, WaiversRequest,
    },
    parameters::{instant, text},
};

const FINDINGS: List = List { route: "/api/v1/compliance/findings", stage: Some(STAGE) };
const VERDICTS: List = List { route: "/api/v1/compliance/verdicts", stage: Some(STAGE) };
const WAIVERS: List = List { route: "/api/v1/compliance/waivers", stage: Some(STAGE) };
const SCORECARDS: List = List { route: "/api/v1/compliance/scorecards", stage: Some(STAGE) };
/// Longest id that is looked for, in bytes; none is kept longer.
const MAX_ID_BYTES: usize = 1_024;

/// A page of findings.
pub type FindingsPage = Listed<FindingItem>;
/// A page of verdicts.
pub type VerdictsPage = Listed<VerdictItem>;
/// A page of waivers.
pub type WaiversPage = Listed<WaiverItem>;
/// A page of scorecards.
pub type ScorecardsPage = Listed<ScorecardItem>;
/// One resource.
pub type ResourcePostureAnswer = Found<ResourceDetail>;

/// The posture at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PostureAnswer {
    /// The instant.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// Resources that exist and were judged.
    pub resources: u64,
    /// Of each framework, by name.
    pub frameworks: Vec<FrameworkPosture>,
    /// The controls of the framework, by id, where one is asked for.
    pub controls: Vec<ControlItem>,
    /// Of each project, where one framework is asked for.
    pub projects: Vec<ProjectPosture>,
    /// Whether these are all projects; otherwise the first by name are.
    pub complete: bool,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// One control, in every framework that names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ControlAnswer {
    /// The instant.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// By framework.
    pub frameworks: Vec<ControlDetail>,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// Instant of the answer.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct View {
    /// The instant (RFC 3339), by the time of events; now by default.
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
}

impl View {
    fn instant(self) -> Timestamp {
        self.as_of.unwrap_or_else(chrono::Utc::now)
    }
}

/// The part of the posture that is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Part {
    /// Only this framework, as policies name it; then each project by itself as well.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    framework: Option<String>,
    /// Only resources of this project.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    project: Option<String>,
}

/// Parts of a control to return.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Evidence {
    /// Only in this framework.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    framework: Option<String>,
    /// Most verdicts of each framework.
    #[serde(deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u16>,
}

/// The projects that are asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct OfProject {
    /// Only this project.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    project: Option<String>,
}

/// A filter and an instant, as one.
#[derive(Debug, Clone, Serialize)]
struct Looked<F> {
    view: View,
    filter: F,
}

fn looked<F: serde::de::DeserializeOwned + IntoParams>(uri: &Uri) -> Result<Asked<Looked<F>>, ApiError> {
    let mut given = Parameters::of(uri);
    let (view, filter) = (given.take::<View>(), given.take::<F>());
    Asked::with(Looked { view, filter }, given)
}

/// The posture by framework: controls that pass and fail, coverage, age of the evidence, and scores with and without
/// waivers.
#[utoipa::path(
    get,
    path = "/api/v1/compliance/posture",
    tag = "compliance",
    params(View, Part, Freshness),
    responses((status = 200, body = PostureAnswer), ListRefusals),
    security(("api_key" = ["compliance:read"]))
)]
pub(super) async fn posture(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<PostureAnswer>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, part, freshness) = (given.take::<View>(), given.take::<Part>(), given.take::<Freshness>());
    given.finish()?;
    await_positions(&api, caller.tenant(), STAGE, &freshness.positions()).await?;
    let (pool, tenant, catalogue) = (api.pool.clone(), caller.tenant().clone(), api.controls.current());
    let as_of = view.instant();
    let request = PostureRequest { as_of, framework: part.framework, project: part.project };
    let question = async move { read::posture(&pool, &tenant, &request, &catalogue).await };
    let answer = api.ask(caller.tenant(), question).await?;
    Ok(answer.map(|posture| PostureAnswer {
        as_of,
        resources: posture.resources,
        frameworks: posture.frameworks,
        controls: posture.controls,
        projects: posture.projects,
        complete: posture.complete,
        position: posture.positions,
    }))
}

/// One control, in every framework that names it, with the verdicts that are evidence for it.
#[utoipa::path(
    get,
    path = "/api/v1/compliance/controls/{id}",
    tag = "compliance",
    params(("id" = String, Path, description = "The control as policies name it, percent-encoded"), View, Evidence,
        Freshness),
    responses((status = 200, body = ControlAnswer), ItemRefusals),
    security(("api_key" = ["compliance:read"]))
)]
pub(super) async fn control(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Answer<ControlAnswer>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, evidence) = (given.take::<View>(), given.take::<Evidence>());
    let freshness = given.take::<Freshness>();
    given.finish()?;
    let (as_of, catalogue) = (view.instant(), api.controls.current());
    let request = ControlRequest {
        control: id_in_path(id, MAX_ID_BYTES)?,
        framework: evidence.framework,
        as_of,
        limit: evidence.limit.unwrap_or(DEFAULT_LIMIT),
    };
    let answer = found(&api, caller.tenant(), STAGE, &freshness, |pool, tenant| async move {
        read::control(&pool, &tenant, &request, &catalogue).await
    });
    let answer = answer.await?;
    Ok(answer.map(|Found { item, position }| ControlAnswer { as_of, frameworks: item, position }))
}

/// Verdicts, by resource and policy: each with the policy's hash, the event and its place in the log.
#[utoipa::path(
    get,
    path = "/api/v1/compliance/verdicts",
    tag = "compliance",
    params(View, VerdictsFilter, Paging, Freshness),
    responses((status = 200, body = Listed<VerdictItem>), ListRefusals),
    security(("api_key" = ["compliance:read"]))
)]
pub(super) async fn verdicts(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<VerdictsPage>, ApiError> {
    let asked = looked::<VerdictsFilter>(&uri)?;
    listed(&api, caller.tenant(), VERDICTS, asked, |pool, tenant, Looked { view, filter }, at| async move {
        let request = VerdictsRequest { filter, as_of: view.instant(), after: at.after, limit: at.limit };
        read::verdicts(&pool, &tenant, &request).await
    })
    .await
}

/// One resource: its state, verdicts, findings and earlier observations.
#[utoipa::path(
    get,
    path = "/api/v1/compliance/resources/{id}",
    operation_id = "compliance_resource",
    tag = "compliance",
    params(("id" = String, Path, description = "The resource's id, percent-encoded"), View, Freshness),
    responses((status = 200, body = Found<ResourceDetail>), ItemRefusals),
    security(("api_key" = ["compliance:read"]))
)]
pub(super) async fn resource(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Answer<ResourcePostureAnswer>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, freshness) = (given.take::<View>(), given.take::<Freshness>());
    given.finish()?;
    let id = id_in_path(id, MAX_ID_BYTES)?;
    found(&api, caller.tenant(), STAGE, &freshness, |pool, tenant| async move {
        read::resource(&pool, &tenant, &id, view.instant()).await
    })
    .await
}

/// Findings, those that opened last first, with the time by which each ought to be closed.
#[utoipa::path(
    get,
    path = "/api/v1/compliance/findings",
    tag = "compliance",
    params(View, FindingsFilter, Paging, Freshness),
    responses((status = 200, body = Listed<FindingItem>), ListRefusals),
    security(("api_key" = ["compliance:read"]))
)]
pub(super) async fn findings(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<FindingsPage>, ApiError> {
    let asked = looked::<FindingsFilter>(&uri)?;
    listed(&api, caller.tenant(), FINDINGS, asked, |pool, tenant, Looked { view, filter }, at| async move {
        let request = FindingsRequest { filter, as_of: view.instant(), after: at.after, limit: at.limit };
        read::findings(&pool, &tenant, &request).await
    })
    .await
}

/// Waivers, by id: what each waives, who asked for it and who granted it, and steps that count for nothing.
#[utoipa::path(
    get,
    path = "/api/v1/compliance/waivers",
    tag = "compliance",
    params(View, WaiversFilter, Paging, Freshness),
    responses((status = 200, body = Listed<WaiverItem>), ListRefusals),
    security(("api_key" = ["compliance:read"]))
)]
pub(super) async fn waivers(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<WaiversPage>, ApiError> {
    let asked = looked::<WaiversFilter>(&uri)?;
    listed(&api, caller.tenant(), WAIVERS, asked, |pool, tenant, Looked { view, filter }, at| async move {
        let request = WaiversRequest { filter, as_of: view.instant(), after: at.after, limit: at.limit };
        read::waivers(&pool, &tenant, &request).await
    })
    .await
}

/// Scorecards of projects, by name. A score without evidence is absent.
#[utoipa::path(
    get,
    path = "/api/v1/compliance/scorecards",
    tag = "compliance",
    params(View, OfProject, Paging, Freshness),
    responses((status = 200, body = Listed<ScorecardItem>), ListRefusals),
    security(("api_key" = ["compliance:read"]))
)]
pub(super) async fn scorecards(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<ScorecardsPage>, ApiError> {
    let asked = looked::<OfProject>(&uri)?;
    listed(&api, caller.tenant(), SCORECARDS, asked, |pool, tenant, Looked { view, filter }, at| async move {
        let request = ScorecardsRequest {
            as_of: view.instant(),
            project: filter.project,
            after: at.after,
            limit: at.limit,
        };
        read::scorecards(&pool, &tenant, &request).await
    })
    .await
}
