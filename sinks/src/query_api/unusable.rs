//! `GET /api/v1/risk/unusable`: events that should have counted and could not.

use std::sync::Arc;

use axum::{Extension, extract::State};
use edge::api_error::ApiError;
use http::Uri;
use schemas::access::Principal;

use super::{
    Api,
    body::Answer,
    described::ListRefusals,
    freshness::Freshness,
    paging::{Asked, List, Listed, Paging, Unfiltered, listed},
};
use crate::read_models::risk::read::{
    STAGE,
    unusable::{self, UnusableItem},
};

const LIST: List = List { route: "/api/v1/risk/unusable", stage: Some(STAGE) };

/// A page of events that should have counted and could not.
pub type UnusablePage = Listed<UnusableItem>;

/// Events that should have counted and could not, newest first: records that rules could not read, decisions about
/// risk that say nothing.
#[utoipa::path(
    get,
    path = "/api/v1/risk/unusable",
    operation_id = "unusable_signals",
    tag = "risk",
    params(Paging, Freshness),
    responses((status = 200, body = Listed<UnusableItem>), ListRefusals),
    security(("api_key" = ["risk:read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<UnusablePage>, ApiError> {
    let asked = Asked::<Unfiltered>::of(&uri, |_, _| {})?;
    listed(&api, caller.tenant(), LIST, asked, |pool, tenant, _, at| async move {
        unusable::page(&pool, &tenant, (at.after, at.limit)).await
    })
    .await
}
