//! `GET /api/v1/cost/…`: costs over time and by dimension, as known at any instant.

mod allocation;
mod export;
mod outlook;
mod recommendations;
mod workloads;

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
};
use chrono::NaiveDate;
use edge::api_error::ApiError;
use http::Uri;
use schemas::{Timestamp, access::Principal};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use allocation::AllocationAnswer;
pub(super) use allocation::{__path_allocation, allocation};
pub(super) use export::{__path_export, export};
pub(super) use outlook::{__path_anomalies, __path_forecast, anomalies, forecast};
pub use outlook::{CostAnomalies, CostForecast};
pub use recommendations::CostRecommendations;
pub(super) use recommendations::{__path_recommendations, recommendations};
pub use workloads::CostWorkloads;
pub(super) use workloads::{__path_workloads, workloads};

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
    cost::read::{
        self, BreakdownItem, BudgetItem, BudgetsRequest, By, ChargeRecord, ChargesRequest, CostFilter,
        CostSums, CostView, Dimension, ReconciliationLine, ReconciliationRequest, ResourceCost, STAGE, Step,
        TimePoint,
    },
    parameters::{instant, text},
};

const BUDGETS: List = List { route: "/api/v1/cost/budgets", stage: Some(STAGE) };
const CHARGES: List = List { route: "/api/v1/cost/charges", stage: Some(STAGE) };
const RECONCILIATION: List = List { route: "/api/v1/cost/reconciliation", stage: Some(STAGE) };
/// Longest id of a resource that is looked for, in bytes.
const MAX_ID_BYTES: usize = 4_096;

/// Total costs of the charges that fulfil the filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CostSummary {
    /// Totals of each currency; currencies are never added up.
    pub totals: Vec<CostSums>,
    /// The first day with a charge.
    #[schema(value_type = Option<String>, format = Date)]
    pub first_day: Option<NaiveDate>,
    /// The last day with a charge.
    #[schema(value_type = Option<String>, format = Date)]
    pub last_day: Option<NaiveDate>,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// Costs over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CostTimeseries {
    /// Oldest first; days without charges are left out.
    pub points: Vec<TimePoint>,
    /// Whether these are all; otherwise the newest are.
    pub complete: bool,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// Costs by a dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CostBreakdown {
    /// Highest billed and accrued cost together first.
    pub items: Vec<BreakdownItem>,
    /// Whether these are all.
    pub complete: bool,
    /// Of each currency, all values together.
    pub totals: Vec<CostSums>,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// Costs of a resource.
pub type ResourceAnswer = Found<ResourceCost>;
/// A page of charges.
pub type ChargesPage = Listed<ChargeRecord>;

/// A page of a reconciliation.
pub type ReconciliationPage = Listed<ReconciliationLine>;

/// A page of budgets.
pub type BudgetsPage = Listed<BudgetItem>;

/// Period and instant of the budgets to read.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct BudgetView {
    /// A day of the period that is asked for (`2026-01-31`, UTC); today by default.
    #[serde(deserialize_with = "read::day")]
    #[param(value_type = Option<String>, format = Date)]
    day: Option<NaiveDate>,
    /// Instant of knowledge (RFC 3339): costs as known then, budgets as decided by then. Now by default.
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    known_at: Option<Timestamp>,
    /// Whether to forecast each budget's spending at the end of the period.
    #[serde(deserialize_with = "flag")]
    forecast: Option<bool>,
}

/// `true` or `false`.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let flag = text.map(|text| text.parse().map_err(|_| "must be true or false"));
    flag.transpose().map_err(serde::de::Error::custom)
}

/// The distance between two points.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Steps {
    /// The distance between two points; `day` by default.
    #[param(inline)]
    step: Option<Step>,
}

/// Selection of one resource.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct OneResource {
    /// FOCUS `ResourceId`, or the id that events give the resource.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    resource: Option<String>,
}

/// A view and a resource, as one.
#[derive(Debug, Clone, Default, Serialize)]
struct Reconciled {
    view: CostView,
    resource: OneResource,
}

/// Dimension or tag to break costs down by.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Parts {
    /// The dimension; `service` by default.
    #[param(inline)]
    by: Option<Dimension>,
    /// The key of a tag whose values are broken down by, instead of a dimension.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    tag_key: Option<String>,
    /// Most values in the answer.
    #[serde(deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u16>,
}

/// A filter and an instant, as one.
#[derive(Debug, Clone, Default, Serialize)]
struct Looked {
    view: CostView,
    filter: CostFilter,
}

/// Refuses what contradicts itself.
fn check_view(view: &CostView, given: &mut Parameters) {
    if view.from.zip(view.to).is_some_and(|(from, to)| from > to) {
        given.refuse("from", "must not lie after to");
    }
}

/// Total costs in each currency.
#[utoipa::path(
    get,
    path = "/api/v1/cost/summary",
    tag = "cost",
    params(CostView, CostFilter, Freshness),
    responses((status = 200, body = CostSummary), ListRefusals),
    security(("api_key" = ["cost:read"]))
)]
pub(super) async fn summary(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<CostSummary>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, filter) = (given.take::<CostView>(), given.take::<CostFilter>());
    let freshness = given.take::<Freshness>();
    check_view(&view, &mut given);
    given.finish()?;
    await_positions(&api, caller.tenant(), STAGE, &freshness.positions()).await?;
    let (pool, tenant) = (api.pool.clone(), caller.tenant().clone());
    let question = async move { read::summary(&pool, &tenant, &view, &filter).await };
    let answer = api.ask(caller.tenant(), question).await?;
    Ok(answer.map(|read::Summary { totals, first_day, last_day, positions }| CostSummary {
        totals,
        first_day,
        last_day,
        position: positions,
    }))
}

/// Costs by day, week or month.
#[utoipa::path(
    get,
    path = "/api/v1/cost/timeseries",
    tag = "cost",
    params(CostView, CostFilter, Steps, Freshness),
    responses((status = 200, body = CostTimeseries), ListRefusals),
    security(("api_key" = ["cost:read"]))
)]
pub(super) async fn timeseries(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<CostTimeseries>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, filter) = (given.take::<CostView>(), given.take::<CostFilter>());
    let (steps, freshness) = (given.take::<Steps>(), given.take::<Freshness>());
    check_view(&view, &mut given);
    given.finish()?;
    await_positions(&api, caller.tenant(), STAGE, &freshness.positions()).await?;
    let (pool, tenant) = (api.pool.clone(), caller.tenant().clone());
    let step = steps.step.unwrap_or_default();
    let question = async move { read::timeseries(&pool, &tenant, &view, &filter, step).await };
    let answer = api.ask(caller.tenant(), question).await?;
    Ok(answer.map(|read::Timeseries { points, complete, positions }| CostTimeseries {
        points,
        complete,
        position: positions,
    }))
}

/// Costs by the values of a dimension.
#[utoipa::path(
    get,
    path = "/api/v1/cost/breakdown",
    tag = "cost",
    params(CostView, CostFilter, Parts, Freshness),
    responses((status = 200, body = CostBreakdown), ListRefusals),
    security(("api_key" = ["cost:read"]))
)]
pub(super) async fn breakdown(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<CostBreakdown>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, filter) = (given.take::<CostView>(), given.take::<CostFilter>());
    let (by, freshness) = (given.take::<Parts>(), given.take::<Freshness>());
    check_view(&view, &mut given);
    given.finish()?;
    await_positions(&api, caller.tenant(), STAGE, &freshness.positions()).await?;
    let (pool, tenant) = (api.pool.clone(), caller.tenant().clone());
    let question = async move {
        let by_what = by.tag_key.map_or(By::Dimension(by.by.unwrap_or(Dimension::Service)), By::Tag);
        read::breakdown(&pool, &tenant, &view, &filter, by_what, by.limit.unwrap_or(DEFAULT_LIMIT)).await
    };
    let answer = api.ask(caller.tenant(), question).await?;
    Ok(answer.map(|read::Breakdown { items, complete, totals, positions }| CostBreakdown {
        items,
        complete,
        totals,
        position: positions,
    }))
}

/// Costs of one resource: totals, parts and days.
#[utoipa::path(
    get,
    path = "/api/v1/cost/resources/{id}",
    operation_id = "cost_resource",
    tag = "cost",
    params(
        ("id" = String, Path, description = "FOCUS `ResourceId`, or the id that events give it, percent-encoded"),
        CostView,
        Freshness,
    ),
    responses((status = 200, body = Found<ResourceCost>), ItemRefusals),
    security(("api_key" = ["cost:read"]))
)]
pub(super) async fn resource(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Answer<ResourceAnswer>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, freshness) = (given.take::<CostView>(), given.take::<Freshness>());
    check_view(&view, &mut given);
    given.finish()?;
    let id = id_in_path(id, MAX_ID_BYTES)?;
    found(&api, caller.tenant(), STAGE, &freshness, |pool, tenant| async move {
        read::resource(&pool, &tenant, &view, &id).await
    })
    .await
}

/// Charges one by one, oldest first: those that count at the instant.
#[utoipa::path(
    get,
    path = "/api/v1/cost/charges",
    tag = "cost",
    params(CostView, CostFilter, Paging, Freshness),
    responses((status = 200, body = Listed<ChargeRecord>), ListRefusals),
    security(("api_key" = ["cost:read"]))
)]
pub(super) async fn charges(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<ChargesPage>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, filter) = (given.take::<CostView>(), given.take::<CostFilter>());
    check_view(&view, &mut given);
    let asked = Asked::with(Looked { view, filter }, given)?;
    listed(&api, caller.tenant(), CHARGES, asked, |pool, tenant, looked, at| async move {
        let Looked { view, filter } = looked;
        let request = ChargesRequest { view, filter, after: at.after, limit: at.limit };
        read::charges(&pool, &tenant, &request).await
    })
    .await
}

/// Accrued beside charged costs, by resource, day and currency: every difference with its reasons. Covers resources
/// that an event created, changed or deleted.
#[utoipa::path(
    get,
    path = "/api/v1/cost/reconciliation",
    tag = "cost",
    params(CostView, OneResource, Paging, Freshness),
    responses((status = 200, body = Listed<ReconciliationLine>), ListRefusals),
    security(("api_key" = ["cost:read"]))
)]
pub(super) async fn reconciliation(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<ReconciliationPage>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, resource) = (given.take::<CostView>(), given.take::<OneResource>());
    check_view(&view, &mut given);
    let asked = Asked::with(Reconciled { view, resource }, given)?;
    let now = chrono::Utc::now();
    listed(&api, caller.tenant(), RECONCILIATION, asked, move |pool, tenant, asked, at| async move {
        let Reconciled { view, resource } = asked;
        let known_at = view.instant().unwrap_or(now);
        let (resource, after, limit) = (resource.resource, at.after, at.limit);
        let request =
            ReconciliationRequest { from: view.from, to: view.to, known_at, resource, after, limit };
        read::reconciliation(&pool, &tenant, &request).await
    })
    .await
}

/// The budgets in force, by name: what may be spent in the period, what is, and which thresholds were reached when.
#[utoipa::path(
    get,
    path = "/api/v1/cost/budgets",
    tag = "cost",
    params(BudgetView, Paging, Freshness),
    responses((status = 200, body = Listed<BudgetItem>), ListRefusals),
    security(("api_key" = ["cost:read"]))
)]
pub(super) async fn budgets(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<BudgetsPage>, ApiError> {
    let asked = Asked::<BudgetView>::of(&uri, |_, _| {})?;
    let today = chrono::Utc::now().date_naive();
    listed(&api, caller.tenant(), BUDGETS, asked, move |pool, tenant, view, at| async move {
        let BudgetView { day, known_at, forecast } = view;
        let day = day.unwrap_or(today);
        // A period that has not begun is forecast from its day on.
        let asked_on = known_at.map_or(today, |instant| instant.date_naive());
        let forecast_from = forecast.unwrap_or_default().then_some(asked_on.max(day));
        let request = BudgetsRequest { day, known_at, forecast_from, after: at.after, limit: at.limit };
        read::budgets(&pool, &tenant, &request).await
    })
    .await
}
