//! `GET /api/v1/holds`, `GET /api/v1/erasures` and `GET /api/v1/subjects/{subject}`.

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
    paging::{Asked, Found, List, Listed, Paging, Unfiltered, found, listed},
    parameters::{Parameters, id_in_path},
};
use crate::read_models::retention::read::{self, ErasureItem, HoldFilter, HoldItem, SubjectItem};

const HOLDS: List = List { route: "/api/v1/holds", stage: Some(read::STAGE) };
const ERASURES: List = List { route: "/api/v1/erasures", stage: Some(read::STAGE) };
/// Longest id that is looked for, in bytes; commands take none that is longer.
const MAX_ID_BYTES: usize = 512;

/// A page of legal holds.
pub type HoldsPage = Listed<HoldItem>;
/// A page of erasures.
pub type ErasuresPage = Listed<ErasureItem>;
/// Erasure state of a subject.
pub type SubjectAnswer = Found<SubjectItem>;

/// The tenant's legal holds, by scope, subject and name.
#[utoipa::path(
    get,
    path = "/api/v1/holds",
    tag = "retention",
    params(HoldFilter, Paging, Freshness),
    responses((status = 200, body = Listed<HoldItem>), ListRefusals),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn holds(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<HoldsPage>, ApiError> {
    let asked = Asked::<HoldFilter>::of(&uri, |_, _| {})?;
    listed(&api, caller.tenant(), HOLDS, asked, |pool, tenant, filter, at| async move {
        read::holds(&pool, &tenant, filter, (at.after, at.limit)).await
    })
    .await
}

/// Requests to erase people's data and how far each is, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/erasures",
    tag = "retention",
    params(Paging, Freshness),
    responses((status = 200, body = Listed<ErasureItem>), ListRefusals),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn erasures(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<ErasuresPage>, ApiError> {
    let asked = Asked::<Unfiltered>::of(&uri, |_, _| {})?;
    listed(&api, caller.tenant(), ERASURES, asked, |pool, tenant, _, at| async move {
        read::erasures(&pool, &tenant, (at.after, at.limit)).await
    })
    .await
}

/// Preview of an erasure of a subject: the data that it covers, the holds that forbid it, and its progress
/// once it is requested.
#[utoipa::path(
    get,
    path = "/api/v1/subjects/{subject}",
    tag = "retention",
    params(("subject" = String, Path, description = "The person's id as events name their actor, percent-encoded"), Freshness),
    responses((status = 200, body = Found<SubjectItem>), ItemRefusals),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn subject(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Answer<SubjectAnswer>, ApiError> {
    let freshness = Parameters::only(&uri)?;
    let id = id_in_path(id, MAX_ID_BYTES)?;
    found(&api, caller.tenant(), read::STAGE, &freshness, |pool, tenant| async move {
        read::subject(&pool, &tenant, &id).await
    })
    .await
}
