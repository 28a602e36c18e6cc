//! `GET /api/v1/pipeline` and `GET /api/v1/parked`.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use http::Uri;
use schemas::{access::Principal, problem::Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, answer::Refusal, cursor::Binding, paging::limit, parameters::Parameters, uncancelled};
use crate::read_models::{
    Positions,
    pipeline::{self, ParkedFilter, ParkedItem, Stage},
};

/// How the stages stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PipelineAnswer {
    /// By name.
    pub stages: Vec<Stage>,
    /// Topic, then partition, to the next offset to apply: every stage that reads it has settled what lies before.
    pub position: Positions,
}

/// A page of parked records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ParkedPage {
    /// Last parked first.
    pub items: Vec<ParkedItem>,
    /// Give it as `cursor`, with the same filter, for the next page; absent on the last one.
    pub next_cursor: Option<String>,
    /// Topic, then partition, to the next offset to apply: the page reflects every record before it.
    pub position: Positions,
}

/// Every stage: positions, lag, counts, owners and halts per partition.
#[utoipa::path(
    get,
    path = "/api/v1/pipeline",
    tag = "pipeline",
    responses(
        (status = 200, body = PipelineAnswer),
        (status = 400, body = Problem, description = "invalid-query"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 503, body = Problem),
    ),
    security(("api_key" = ["read"]))
)]
pub(super) async fn stages(State(api): State<Arc<Api>>, uri: Uri) -> Result<Json<PipelineAnswer>, Refusal> {
    Parameters::of(&uri).finish()?;
    let stages = uncancelled(async move {
        let ends = api.log_ends.borrow().clone();
        pipeline::stages(&api.pool, &api.stages, ends.as_deref()).await
    })
    .await?;
    let position = pipeline::settled(&stages);
    Ok(Json(PipelineAnswer { stages, position }))
}

/// The tenant's parked records, last parked first, without their bytes.
#[utoipa::path(
    get,
    path = "/api/v1/parked",
    tag = "pipeline",
    params(
        ("stage" = Option<String>, Query, description = "The stage that parked them"),
        ("reason" = Option<String>, Query, description = "Why, for example undecodable"),
        ("status" = Option<String>, Query, description = "parked, replayed or discarded"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 50 by default"),
    ),
    responses(
        (status = 200, body = ParkedPage),
        (status = 400, body = Problem, description = "invalid-query, invalid-cursor"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 503, body = Problem),
    ),
    security(("api_key" = ["read"]))
)]
pub(super) async fn parked(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Json<ParkedPage>, Refusal> {
    let mut given = Parameters::of(&uri);
    let status = |text: &str| ["parked", "replayed", "discarded"].contains(&text).then(|| text.to_owned());
    let filter = ParkedFilter {
        stage: given.text("stage"),
        reason: given.text("reason"),
        status: given.parsed("status", "parked, replayed or discarded", status),
    };
    let (cursor, limit) = (given.text("cursor"), limit(&mut given));
    given.finish()?;
    let binding = Binding::of("/api/v1/parked", &caller.tenant, &filter);
    let after = cursor.map(|cursor| api.cursor_key.open(&binding, &cursor)).transpose()?;
    let (pool, tenant) = (api.pool.clone(), caller.tenant.clone());
    let page =
        uncancelled(async move { pipeline::parked(&pool, &tenant, &filter, (after.as_ref(), limit)).await })
            .await?;
    let next_cursor = page.next.map(|end| api.cursor_key.seal(&binding, &end));
    Ok(Json(ParkedPage { items: page.items, next_cursor, position: page.positions }))
}
