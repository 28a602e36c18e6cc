//! `GET /api/v1/cost/workloads`: what each Kubernetes workload costs.

use std::sync::Arc;

use axum::{Extension, extract::State};
use edge::api_error::ApiError;
use http::Uri;
use schemas::{access::Principal, changes::cost::BudgetCost};
use serde::{Deserialize, Serialize};
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
            self, CostFilter, CostView, CurrencyWorkloads, STAGE, Workloads, WorkloadsBy, WorkloadsRequest,
        },
    },
};

/// Costs of Kubernetes workloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CostWorkloads {
    /// Of each currency.
    pub currencies: Vec<CurrencyWorkloads>,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// Cost to divide, and grouping of the answer.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Grouped {
    /// The cost that is divided; `billed` by default.
    #[param(inline)]
    cost: Option<BudgetCost>,
    /// Grouping; `workload` by default.
    #[param(inline)]
    by: Option<WorkloadsBy>,
    /// Most workloads of each currency in the answer.
    #[serde(deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u16>,
}

/// Costs of Kubernetes workloads: the cost of each node is divided among its pods by the larger of request and usage, day by
/// day; the rest is idle. Workloads, others and idle capacity add up to the cost of the nodes, to the last digit.
#[utoipa::path(
    get,
    path = "/api/v1/cost/workloads",
    tag = "cost",
    params(CostView, CostFilter, Grouped, Freshness),
    responses((status = 200, body = CostWorkloads), ListRefusals),
    security(("api_key" = ["cost:read"]))
)]
pub(in crate::query_api) async fn workloads(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<CostWorkloads>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, filter) = (given.take::<CostView>(), given.take::<CostFilter>());
    let (Grouped { cost, by, limit }, freshness) = (given.take::<Grouped>(), given.take::<Freshness>());
    check_view(&view, &mut given);
    given.finish()?;
    await_positions(&api, caller.tenant(), STAGE, &freshness.positions()).await?;
    let (pool, tenant) = (api.pool.clone(), caller.tenant().clone());
    let request = WorkloadsRequest {
        view,
        filter,
        cost: cost.unwrap_or(BudgetCost::Billed),
        by: by.unwrap_or_default(),
        limit: usize::from(limit.unwrap_or(DEFAULT_LIMIT)),
    };
    let question = async move { read::workloads(&pool, &tenant, &request).await };
    let answer = api.ask(caller.tenant(), question).await?;
    Ok(answer.map(|Workloads { currencies, positions }| CostWorkloads { currencies, position: positions }))
}
