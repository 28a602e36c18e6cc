//! `GET /api/v1/audit/searches`, `GET /api/v1/audit/searches/{name}`, and the parameter `saved` of the audit log's
//! other routes.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
};
use edge::api_error::ApiError;
use http::Uri;
use schemas::{TenantId, access::Principal, changes::retention::MAX_SEARCH_NAME_BYTES, problem::ProblemKind};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Api,
    body::Answer,
    described::{ItemRefusals, ListRefusals},
    freshness::Freshness,
    paging::{Asked, Found, List, Listed, Paging, Unfiltered, found, listed},
    parameters::{Parameters, id_in_path},
};
use crate::read_models::{
    parameters::text,
    retention::{
        read::STAGE,
        searches::{self, SavedSearchItem},
    },
};

const SEARCHES: List = List { route: "/api/v1/audit/searches", stage: Some(STAGE) };

/// A page of saved searches.
pub type SearchesPage = Listed<SavedSearchItem>;
/// A saved search.
pub type SearchAnswer = Found<SavedSearchItem>;

/// A saved search as the filter of a request.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Saved {
    /// Name of a saved search, whose filter is taken; a filter of the request's own takes the place of the saved one of
    /// its name.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 128, pattern = r"^[^\u0000]*$")]
    saved: Option<String>,
}

/// The request's parameters, with those of the saved search that it names.
pub(super) async fn resolved(api: &Api, tenant: &TenantId, uri: &Uri) -> Result<Parameters, ApiError> {
    let mut given = Parameters::of(uri);
    let Some(name) = given.take::<Saved>().saved else { return Ok(given) };
    let (pool, of) = (api.pool.clone(), tenant.clone());
    let question = async move { searches::search(&pool, &of, &name).await };
    let (search, _) = api.ask(tenant, question).await?.value;
    let search = search.ok_or_else(|| {
        let detail =
            "saved: no search is saved under this name; GET /api/v1/audit/searches lists those that are";
        ApiError::new(ProblemKind::NotFound, detail)
    })?;
    given.add_missing(search.filter);
    Ok(given)
}

/// The tenant's saved searches of the audit log, by name.
#[utoipa::path(
    get,
    path = "/api/v1/audit/searches",
    operation_id = "saved_searches",
    tag = "audit",
    params(Paging, Freshness),
    responses((status = 200, body = Listed<SavedSearchItem>), ListRefusals),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<SearchesPage>, ApiError> {
    let asked = Asked::<Unfiltered>::of(&uri, |_, _| {})?;
    listed(&api, caller.tenant(), SEARCHES, asked, |pool, tenant, _, at| async move {
        searches::searches(&pool, &tenant, at.after, at.limit).await
    })
    .await
}

/// One of the tenant's saved searches of the audit log.
#[utoipa::path(
    get,
    path = "/api/v1/audit/searches/{name}",
    operation_id = "saved_search",
    tag = "audit",
    params(("name" = String, Path, description = "The search's name, percent-encoded"), Freshness),
    responses((status = 200, body = Found<SavedSearchItem>), ItemRefusals),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Answer<SearchAnswer>, ApiError> {
    let freshness = Parameters::only(&uri)?;
    let name = id_in_path(name, MAX_SEARCH_NAME_BYTES)?;
    found(&api, caller.tenant(), STAGE, &freshness, |pool, tenant| async move {
        searches::search(&pool, &tenant, &name).await
    })
    .await
}
