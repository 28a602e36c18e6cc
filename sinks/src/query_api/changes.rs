//! `GET /api/v1/changes` and `GET /api/v1/changes/{id}`.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
};
use edge::api_error::ApiError;
use http::Uri;
use schemas::access::Principal;

use super::{
    Api,
    body::Answer,
    described::{ItemRefusals, ListRefusals},
    freshness::Freshness,
    paging::{Asked, Found, List, Listed, Paging, found, listed},
    parameters::{Parameters, id_in_path},
};
use crate::read_models::change_review::read::{self, ChangeDetail, ChangeFilter, ChangeItem, ChangesRequest};

const LIST: List = List { route: "/api/v1/changes", stage: Some(read::STAGE) };
/// Longest id that is looked for, in bytes; none is kept longer.
const MAX_ID_BYTES: usize = 512;

/// A page of changes.
pub type ChangesPage = Listed<ChangeItem>;
/// One change in full.
pub type ChangeAnswer = Found<ChangeDetail>;

/// The tenant's proposed changes, those with the newest facts first.
#[utoipa::path(
    get,
    path = "/api/v1/changes",
    operation_id = "changes",
    tag = "changes",
    params(ChangeFilter, Paging, Freshness),
    responses((status = 200, body = Listed<ChangeItem>), ListRefusals),
    security(("api_key" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<ChangesPage>, ApiError> {
    let asked = Asked::<ChangeFilter>::of(&uri, |_, _| {})?;
    listed(&api, caller.tenant(), LIST, asked, |pool, tenant, filter, at| async move {
        read::page(&pool, &tenant, &ChangesRequest { filter, after: at.after, limit: at.limit }).await
    })
    .await
}

/// One of the tenant's changes: its plan, score and factors, approvals, timeline, and impossible steps.
#[utoipa::path(
    get,
    path = "/api/v1/changes/{id}",
    operation_id = "change",
    tag = "changes",
    params(("id" = String, Path, description = "The change's id, percent-encoded"), Freshness),
    responses((status = 200, body = Found<ChangeDetail>), ItemRefusals),
    security(("api_key" = ["read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Answer<ChangeAnswer>, ApiError> {
    let freshness = Parameters::only(&uri)?;
    let id = id_in_path(id, MAX_ID_BYTES)?;
    found(&api, caller.tenant(), read::STAGE, &freshness, |pool, tenant| async move {
        read::by_id(&pool, &tenant, &id, chrono::Utc::now()).await
    })
    .await
}
