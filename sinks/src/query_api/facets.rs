//! `GET /api/v1/audit/terms` and `GET /api/v1/audit/histogram`.

use std::sync::Arc;

use axum::{Extension, extract::State};
use edge::api_error::ApiError;
use http::Uri;
use schemas::{Timestamp, access::Principal};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    body::Answer,
    described::{ItemRefusals, ListRefusals},
    freshness::{Freshness, await_positions},
    paging::{DEFAULT_LIMIT, check_range, limit},
    parameters::Parameters,
    searches::{Saved, resolved},
};
use crate::read_models::{
    Positions,
    audit_entry::{
        facets::{self, HistogramPoint, HistogramStep, TermItem, TermsFilter},
        read::{AuditFilter, STAGE},
    },
};

/// Limit on the terms of the answer.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Most {
    /// Most terms in the answer.
    #[serde(deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u16>,
}

/// Terms of a field of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TermsAnswer {
    /// Those seen most first.
    pub items: Vec<TermItem>,
    /// Whether all terms of the field are kept: of a field with more than 20,000 the first ones are.
    pub complete: bool,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// The distance between two points.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Steps {
    /// The distance between two points; a larger one is taken where there would be more than 1,000 points. `hour` by default.
    #[param(inline)]
    step: Option<HistogramStep>,
}

/// Numbers of entries over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistogramAnswer {
    /// Newest first; points without entries are left out.
    pub points: Vec<HistogramPoint>,
    /// The distance between two points.
    pub step: HistogramStep,
    /// Whether the time was over before everything was counted.
    pub partial: bool,
    /// The instant down to which everything was counted, where the answer is partial: ask again with it as `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub reached: Option<Timestamp>,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// The terms of a field: for completion, and for what there is to filter by. Those seen most come first.
#[utoipa::path(
    get,
    path = "/api/v1/audit/terms",
    tag = "audit",
    params(TermsFilter, Most, Freshness),
    responses((status = 200, body = TermsAnswer), ListRefusals),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn terms(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<TermsAnswer>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (filter, most, freshness) = (given.take(), given.take::<Most>(), given.take::<Freshness>());
    given.finish()?;
    await_positions(&api, caller.tenant(), STAGE, &freshness.positions()).await?;
    let (pool, tenant) = (api.pool.clone(), caller.tenant().clone());
    let limit = most.limit.unwrap_or(DEFAULT_LIMIT);
    let question = async move { facets::terms(&pool, &tenant, &filter, limit).await };
    let answer = api.ask(caller.tenant(), question).await?;
    Ok(answer.map(|facets::Terms { items, complete, positions }| TermsAnswer {
        items,
        complete,
        position: positions,
    }))
}

/// Number of entries that fulfil the filter, over time.
#[utoipa::path(
    get,
    path = "/api/v1/audit/histogram",
    tag = "audit",
    params(AuditFilter, Saved, Steps, Freshness),
    responses((status = 200, body = HistogramAnswer), ItemRefusals),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn histogram(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<HistogramAnswer>, ApiError> {
    let mut given = resolved(&api, caller.tenant(), &uri).await?;
    let (filter, steps, freshness) =
        (given.take::<AuditFilter>(), given.take::<Steps>(), given.take::<Freshness>());
    check_range(filter.from, filter.to, &mut given);
    given.finish()?;
    await_positions(&api, caller.tenant(), STAGE, &freshness.positions()).await?;
    let (pool, tenant) = (api.pool.clone(), caller.tenant().clone());
    let step = steps.step.unwrap_or_default();
    let question = async move { facets::histogram(&pool, &tenant, &filter, step).await };
    let answer = api.ask(caller.tenant(), question).await?;
    Ok(answer.map(|counted| HistogramAnswer {
        points: counted.points,
        step: counted.step,
        partial: counted.reached.is_some(),
        reached: counted.reached,
        position: counted.positions,
    }))
}
