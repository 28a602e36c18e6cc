//! `GET /api/v1/cost/anomalies` and `/forecast`: what was unusual, and what is to come.

use std::sync::Arc;

use axum::{Extension, extract::State};
use edge::api_error::ApiError;
use http::Uri;
use schemas::{access::Principal, changes::cost::BudgetCost};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::check_view;
use crate::{
    query_api::{
        Api,
        body::Answer,
        described::ListRefusals,
        freshness::{Freshness, await_positions},
        paging::{DEFAULT_LIMIT, limit},
        parameters::Parameters,
    },
    read_models::{
        Positions,
        cost::read::{
            self, Anomalies, AnomaliesRequest, CostAnomaly, CostFilter, CostView, CurrencyForecast,
            ForecastRequest, Forecasts, MAX_FORECAST_DAYS, STAGE,
        },
    },
};

/// Number of days to forecast by default.
const FORECAST_DAYS: u16 = 90;

/// Cost anomalies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostAnomalies {
    /// The largest impact first.
    pub items: Vec<CostAnomaly>,
    /// Whether these are all, and every series was examined.
    pub complete: bool,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// Forecast of the costs of future days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostForecast {
    /// Of each currency.
    pub forecasts: Vec<CurrencyForecast>,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// Cost to examine, and the most anomalies to return.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Unusual {
    /// Cost to examine; `billed` by default.
    #[param(inline)]
    cost: Option<BudgetCost>,
    /// Most anomalies in the answer.
    #[serde(deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u16>,
}

/// Cost to forecast, and the number of days.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct ToCome {
    /// The cost that is forecast; `billed` by default.
    #[param(inline)]
    cost: Option<BudgetCost>,
    /// Number of days to forecast.
    #[serde(deserialize_with = "days")]
    #[param(minimum = 1, maximum = 366, default = 90)]
    days: Option<u16>,
}

fn days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    match Option::<u16>::deserialize(deserializer)? {
        Some(days) if !(1..=MAX_FORECAST_DAYS).contains(&days) => {
            Err(serde::de::Error::custom(format!("must be a whole number from 1 to {MAX_FORECAST_DAYS}")))
        }
        days => Ok(days),
    }
}

/// Days that cost more or less than expected, and first spends, of the last 30 days or those that are asked for: each with its
/// expected range, the dimension that explains it, and the infrastructure event and actor behind it. Per series (a resource,
/// or what has none in one account, service and region), never of a total; purchases are left out.
#[utoipa::path(
    get,
    path = "/api/v1/cost/anomalies",
    tag = "cost",
    params(CostView, CostFilter, Unusual, Freshness),
    responses((status = 200, body = CostAnomalies), ListRefusals),
    security(("api_key" = ["cost:read"]))
)]
pub(in crate::query_api) async fn anomalies(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<CostAnomalies>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, filter) = (given.take::<CostView>(), given.take::<CostFilter>());
    let (unusual, freshness) = (given.take::<Unusual>(), given.take::<Freshness>());
    check_view(&view, &mut given);
    given.finish()?;
    await_positions(&api, caller.tenant(), STAGE, &freshness.positions()).await?;
    let (pool, tenant) = (api.pool.clone(), caller.tenant().clone());
    let today = view.instant().unwrap_or_else(chrono::Utc::now).date_naive();
    let (cost, limit) = (unusual.cost.unwrap_or(BudgetCost::Billed), unusual.limit.unwrap_or(DEFAULT_LIMIT));
    let request = AnomaliesRequest { view, filter, cost, today, limit };
    let question = async move { read::anomalies(&pool, &tenant, &request).await };
    let answer = api.ask(caller.tenant(), question).await?;
    Ok(answer.map(|Anomalies { items, complete, positions }| CostAnomalies {
        items,
        complete,
        position: positions,
    }))
}

/// Forecast of daily costs with 80 % and 95 % prediction intervals, from at most two years of completed days.
/// Accrued costs count; purchases are listed apart.
#[utoipa::path(
    get,
    path = "/api/v1/cost/forecast",
    tag = "cost",
    params(CostView, CostFilter, ToCome, Freshness),
    responses((status = 200, body = CostForecast), ListRefusals),
    security(("api_key" = ["cost:read"]))
)]
pub(in crate::query_api) async fn forecast(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<CostForecast>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, filter) = (given.take::<CostView>(), given.take::<CostFilter>());
    let (to_come, freshness) = (given.take::<ToCome>(), given.take::<Freshness>());
    check_view(&view, &mut given);
    given.finish()?;
    await_positions(&api, caller.tenant(), STAGE, &freshness.positions()).await?;
    let (pool, tenant) = (api.pool.clone(), caller.tenant().clone());
    let today = view.instant().unwrap_or_else(chrono::Utc::now).date_naive();
    let (cost, days) = (to_come.cost.unwrap_or(BudgetCost::Billed), to_come.days.unwrap_or(FORECAST_DAYS));
    let request = ForecastRequest { view, filter, cost, today, days };
    let question = async move { read::forecasts(&pool, &tenant, &request).await };
    let answer = api.ask(caller.tenant(), question).await?;
    Ok(answer.map(|Forecasts { forecasts, positions }| CostForecast { forecasts, position: positions }))
}
