//! `GET /api/v1/cost/allocation`: what each team pays, by the rules in force and by rules that are tried.

use std::sync::Arc;

use axum::{Extension, extract::State};
use edge::api_error::ApiError;
use http::Uri;
use schemas::{
    access::Principal,
    changes::cost::{BudgetCost, allocation_rules},
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::check_view;
use crate::{
    query_api::{
        Api,
        body::Answer,
        described::ListRefusals,
        freshness::{Freshness, await_positions},
        parameters::Parameters,
    },
    read_models::{
        Positions,
        cost::read::{
            self, Allocated, AllocationRequest, AllocationRulesInForce, CostFilter, CostView,
            CurrencyAllocation, STAGE,
        },
    },
};

/// Costs allocated to each team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AllocationAnswer {
    /// The rules in force at the instant.
    pub in_force: AllocationRulesInForce,
    /// Costs by bucket, of each currency, by these rules.
    pub allocation: Vec<CurrencyAllocation>,
    /// The same by the rules that are tried; null if the request tries none.
    pub tried: Option<Vec<CurrencyAllocation>>,
    /// Reason for which the tried rules are not valid.
    pub fault: Option<String>,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// Cost to allocate, and rules to try beside those in force.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(in crate::query_api) struct Tried {
    /// The cost that is allocated; `billed` by default.
    #[param(inline)]
    cost: Option<BudgetCost>,
    /// Rules to try beside those in force: a JSON list as `POST /api/v1/cost/allocation` of the gateway takes it, in ASCII. What is
    /// none is told in `fault`.
    #[serde(deserialize_with = "ascii")]
    #[param(max_length = 16384, pattern = r"^[\x20-\x7e]*$")]
    rules: Option<String>,
}

/// Longest list of rules in an address, in bytes: as long as rules that can be set. Percent-encoded it fits into a request's head.
const MAX_RULES_BYTES: usize = 16 * 1024;

fn ascii<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    match &text {
        Some(text) if text.len() > MAX_RULES_BYTES => {
            Err(serde::de::Error::custom(format!("must have at most {MAX_RULES_BYTES} bytes")))
        }
        Some(text) if !text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) => {
            Err(serde::de::Error::custom(
                "must be printable ASCII; JSON writes other characters as \\u and four digits",
            ))
        }
        _ => Ok(text),
    }
}

/// Costs of each team: a cost goes to the first allocation rule that matches it, with separate buckets for
/// shared, idle and untagged costs. The buckets add up to the total, to the last digit.
#[utoipa::path(
    get,
    path = "/api/v1/cost/allocation",
    tag = "cost",
    params(CostView, CostFilter, Tried, Freshness),
    responses((status = 200, body = AllocationAnswer), ListRefusals),
    security(("api_key" = ["cost:read"]))
)]
pub(in crate::query_api) async fn allocation(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<AllocationAnswer>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, filter) = (given.take::<CostView>(), given.take::<CostFilter>());
    let (tried, freshness) = (given.take::<Tried>(), given.take::<Freshness>());
    check_view(&view, &mut given);
    given.finish()?;
    await_positions(&api, caller.tenant(), STAGE, &freshness.positions()).await?;
    let (pool, tenant) = (api.pool.clone(), caller.tenant().clone());
    let cost = tried.cost.unwrap_or(BudgetCost::Billed);
    let (tried, fault) = match tried.rules.map(|text| allocation_rules(&text)) {
        Some(Err(fault)) => (None, Some(fault)),
        rules => (rules.and_then(Result::ok), None),
    };
    let request = AllocationRequest { view, filter, cost, tried };
    let question = async move { read::allocation(&pool, &tenant, &request).await };
    let answer = api.ask(caller.tenant(), question).await?;
    Ok(answer.map(|Allocated { in_force, allocation, tried, positions }| AllocationAnswer {
        in_force,
        allocation,
        tried,
        fault,
        position: positions,
    }))
}
