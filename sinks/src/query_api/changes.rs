//! `GET /api/v1/changes` and `GET /api/v1/changes/{id}`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State, rejection::PathRejection},
};
use http::Uri;
use schemas::{
    access::Principal,
    changes::change_review::{PlanReading, Route},
    problem::Problem,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    answer::{Refusal, nothing_here},
    cursor::Binding,
    freshness::{await_positions, parse_positions},
    paging::Paging,
    parameters::Parameters,
    uncancelled,
};
use crate::read_models::{
    Positions,
    change_review::{
        ApprovalState, Decision, ProvisioningState,
        read::{self, ChangeDetail, ChangeFilter, ChangeItem, ChangesRequest},
    },
};

const ROUTE: &str = "/api/v1/changes";
/// Longest id that is looked for, in bytes; none is kept longer.
const MAX_ID_BYTES: usize = 512;

/// A page of changes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ChangesPage {
    /// Those with the newest facts first.
    pub items: Vec<ChangeItem>,
    /// Give it as `cursor`, with the same filter, for the next page; absent on the last one.
    pub next_cursor: Option<String>,
    /// Topic, then partition, to the next offset to apply: the page reflects every record before it, none after.
    pub position: Positions,
}

/// One change with all that is known of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ChangeAnswer {
    /// The change.
    pub item: ChangeDetail,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    pub position: Positions,
}

/// The tenant's proposed changes, those with the newest facts first.
#[utoipa::path(
    get,
    path = "/api/v1/changes",
    tag = "changes",
    params(
        ("state" = Option<String>, Query, description = "How far the approval is: not_requested, requested, \
            risk_assessed, human_review or decided"),
        ("decision" = Option<String>, Query, description = "approved, rejected, auto or blocked"),
        ("provisioning" = Option<String>, Query, description = "How far the change is: not_requested, requested, \
            validated, planned, approved, applied, monitored, completed, failed or rolled_back"),
        ("route" = Option<String>, Query, description = "auto, review, two_person or block"),
        ("plan" = Option<String>, Query, description = "How much of the plan could be read: read, partly, unreadable \
            or absent"),
        ("project" = Option<String>, Query, description = "Project, whole"),
        ("requester" = Option<String>, Query, description = "Id of who asked first, whole"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 50 by default"),
        ("min_position" = Option<String>, Query, description = "<topic>/<partition>:<position>, several separated \
            by commas: wait up to 2 s until the answer reflects them"),
    ),
    responses(
        (status = 200, body = ChangesPage),
        (status = 400, body = Problem, description = "invalid-query, invalid-cursor"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 503, body = Problem),
    ),
    security(("api_key" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Json<ChangesPage>, Refusal> {
    let (mut request, paging) = parse(&uri)?;
    let binding = Binding::of(ROUTE, &caller.tenant, &request.filter);
    request.after = paging.begin(&api, read::STAGE, &binding).await?;
    let (pool, tenant) = (api.pool.clone(), caller.tenant.clone());
    let page = uncancelled(async move { read::page(&pool, &tenant, &request).await }).await?;
    let next_cursor = page.next.map(|end| api.cursor_key.seal(&binding, &end));
    Ok(Json(ChangesPage { items: page.items, next_cursor, position: page.positions }))
}

/// One of the tenant's changes: its plan, score and factors, approvals, timeline, and what could not be.
#[utoipa::path(
    get,
    path = "/api/v1/changes/{id}",
    tag = "changes",
    params(
        ("id" = String, Path, description = "The change's id, percent-encoded"),
        ("min_position" = Option<String>, Query, description = "As for the list"),
    ),
    responses(
        (status = 200, body = ChangeAnswer),
        (status = 400, body = Problem, description = "invalid-query"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem, description = "Unknown, or another tenant's: the same bytes"),
        (status = 503, body = Problem),
    ),
    security(("api_key" = ["read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<ChangeAnswer>, Refusal> {
    let mut parameters = Parameters::of(&uri);
    let wanted = parse_positions(&mut parameters);
    parameters.finish()?;
    let storable = |id: &String| id.len() <= MAX_ID_BYTES && !id.contains('\0');
    let change_id = id.ok().map(|Path(id)| id).filter(storable).ok_or_else(nothing_here)?;
    await_positions(&api, read::STAGE, &wanted).await?;
    let pool = api.pool.clone();
    let (item, position) =
        uncancelled(async move { read::by_id(&pool, &caller.tenant, &change_id).await }).await?;
    let item = item.ok_or_else(nothing_here)?;
    Ok(Json(ChangeAnswer { item, position }))
}

/// The question, and which page of its answer.
fn parse(uri: &Uri) -> Result<(ChangesRequest, Paging), Refusal> {
    let mut given = Parameters::of(uri);
    let filter = ChangeFilter {
        state: given.parsed(
            "state",
            "the state of an approval, for example human_review",
            ApprovalState::from_name,
        ),
        decision: given.parsed("decision", "approved, rejected, auto or blocked", Decision::from_name),
        provisioning: given.parsed(
            "provisioning",
            "the state of a change, for example applied",
            ProvisioningState::from_name,
        ),
        route: given.parsed("route", "auto, review, two_person or block", Route::from_name),
        plan: given.parsed("plan", "read, partly, unreadable or absent", PlanReading::from_name),
        project: given.text("project"),
        requester: given.text("requester"),
    };
    let paging = Paging::of(&mut given);
    given.finish()?;
    Ok((ChangesRequest { filter, after: None, limit: paging.limit }, paging))
}
