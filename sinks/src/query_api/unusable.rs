//! `GET /api/v1/risk/unusable`: events that should have counted and could not.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use http::Uri;
use schemas::{access::Principal, problem::Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, answer::Refusal, cursor::Binding, paging::Paging, parameters::Parameters, uncancelled};
use crate::read_models::{
    Positions,
    risk::read::{
        STAGE,
        unusable::{self, UnusableItem},
    },
};

/// A page of events that should have counted and could not.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UnusablePage {
    /// Newest first.
    pub items: Vec<UnusableItem>,
    /// Give it as `cursor` for the next page; absent on the last one.
    pub next_cursor: Option<String>,
    /// Topic, then partition, to the next offset to apply: the page reflects every record before it, none after.
    pub position: Positions,
}

/// Events that should have counted and could not, newest first: records that rules could not read, decisions about
/// risk that say nothing.
#[utoipa::path(
    get,
    path = "/api/v1/risk/unusable",
    tag = "risk",
    params(
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 50 by default"),
        ("min_position" = Option<String>, Query, description = "As for the audit log"),
    ),
    responses(
        (status = 200, body = UnusablePage),
        (status = 400, body = Problem, description = "invalid-query, invalid-cursor"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 503, body = Problem),
    ),
    security(("api_key" = ["risk:read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Json<UnusablePage>, Refusal> {
    let mut given = Parameters::of(&uri);
    let paging = Paging::of(&mut given);
    given.finish()?;
    let binding = Binding::of("/api/v1/risk/unusable", &caller.tenant, &());
    let (after, limit) = (paging.begin(&api, STAGE, &binding).await?, paging.limit);
    let (pool, tenant) = (api.pool.clone(), caller.tenant.clone());
    let page = uncancelled(async move { unusable::page(&pool, &tenant, (after, limit)).await }).await?;
    let next_cursor = page.next.map(|end| api.cursor_key.seal(&binding, &end));
    Ok(Json(UnusablePage { items: page.items, next_cursor, position: page.positions }))
}
