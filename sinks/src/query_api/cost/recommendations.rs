//! `GET /api/v1/cost/recommendations`: what would cost less, and what became of it.

use std::sync::Arc;

use axum::{Extension, extract::State};
use edge::api_error::ApiError;
use http::Uri;
use schemas::{Timestamp, access::Principal, changes::cost::RecommendationKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

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
            self, CostFilter, Recommendation, RecommendationStatus, Recommendations, RecommendationsRequest,
            STAGE, SavingSum,
        },
        parameters::instant,
    },
};

/// Recommendations that lower costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostRecommendations {
    /// The largest saving first.
    pub items: Vec<Recommendation>,
    /// Of all that fit the question, by currency.
    pub totals: Vec<SavingSum>,
    /// Whether the items are all, and every resource was looked at.
    pub complete: bool,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// Filter of recommendations.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// The instant to look from (RFC 3339): what was known by then. Now by default.
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    known_at: Option<Timestamp>,
    /// Another name of `known_at`; of both the earlier counts.
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
    /// Only of this kind.
    #[param(inline)]
    kind: Option<RecommendationKind>,
    /// Only with this status; `open` by default.
    #[param(inline)]
    status: Option<WantedStatus>,
    /// Most recommendations in the answer.
    #[serde(deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u16>,
}

/// A status, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum WantedStatus {
    /// Nobody has decided.
    #[default]
    Open,
    /// Accepted, with what became of the saving: the newest 20.
    Accepted,
    /// Dismissed, as long as the rules still say so.
    Dismissed,
    /// With any status.
    All,
}

impl WantedStatus {
    const fn status(self) -> Option<RecommendationStatus> {
        match self {
            Self::Open => Some(RecommendationStatus::Open),
            Self::Accepted => Some(RecommendationStatus::Accepted),
            Self::Dismissed => Some(RecommendationStatus::Dismissed),
            Self::All => None,
        }
    }
}

/// Resources that nobody uses, that are larger or dearer than their use needs or need not run all the time, and usage that is
/// steady enough to commit to: each with its saving, risk, effort and confidence, and the charges, measurements and prices
/// behind it. Accepted ones tell whether the saving came.
#[utoipa::path(
    get,
    path = "/api/v1/cost/recommendations",
    tag = "cost",
    params(CostFilter, Wanted, Freshness),
    responses((status = 200, body = CostRecommendations), ListRefusals),
    security(("api_key" = ["cost:read"]))
)]
pub(in crate::query_api) async fn recommendations(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<CostRecommendations>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (filter, wanted) = (given.take::<CostFilter>(), given.take::<Wanted>());
    let freshness = given.take::<Freshness>();
    given.finish()?;
    await_positions(&api, caller.tenant(), STAGE, &freshness.positions()).await?;
    let (pool, tenant) = (api.pool.clone(), caller.tenant().clone());
    let Wanted { known_at, as_of, kind, status, limit } = wanted;
    let request = RecommendationsRequest {
        at: known_at.into_iter().chain(as_of).min().unwrap_or_else(chrono::Utc::now),
        filter,
        kind,
        status: status.unwrap_or_default().status(),
        limit: limit.unwrap_or(DEFAULT_LIMIT),
    };
    let question = async move { read::recommendations(&pool, &tenant, &request).await };
    let answer = api.ask(caller.tenant(), question).await?;
    Ok(answer.map(|Recommendations { items, totals, complete, positions }| CostRecommendations {
        items,
        totals,
        complete,
        position: positions,
    }))
}
