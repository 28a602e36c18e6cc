//! `GET /api/v1/risk/…`: who is at risk and why, and incidents.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State, rejection::PathRejection},
};
use http::Uri;
use schemas::{
    Timestamp,
    access::Principal,
    changes::risk::{Entity, EntityKind, TriageDecision},
    problem::Problem,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

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
    risk::{
        RiskLevel,
        read::{
            STAGE,
            entities::{self, EntityFilter, EntityPageRequest, EntityRisk},
            entity::{self, EntityDetail, EntityRequest, Step},
            incidents::{self, IncidentDetail, IncidentFilter, IncidentItem, IncidentPageRequest},
            signals::{self, SignalItem, SignalPageRequest},
        },
    },
};

const ENTITIES: &str = "/api/v1/risk/entities";
const SIGNALS: &str = "/api/v1/risk/entities/{kind}/{id}/signals";
const INCIDENTS: &str = "/api/v1/risk/incidents";

/// A page of the leaderboard.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EntitiesPage {
    /// Most at risk first.
    pub items: Vec<EntityRisk>,
    /// Give it as `cursor`, with the same filter, for the next page; absent on the last one.
    pub next_cursor: Option<String>,
    /// The instant that the scores are of.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// Topic, then partition, to the next offset to apply: the page reflects every record before it, none after.
    pub position: Positions,
}

/// One entity and why it is at risk.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EntityAnswer {
    /// The entity.
    pub item: EntityDetail,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    pub position: Positions,
}

/// A page of an entity's signals.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SignalsPage {
    /// Newest first.
    pub items: Vec<SignalItem>,
    /// Give it as `cursor`, with the same filter, for the next page; absent on the last one.
    pub next_cursor: Option<String>,
    /// Topic, then partition, to the next offset to apply: the page reflects every record before it, none after.
    pub position: Positions,
}

/// A page of incidents.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct IncidentsPage {
    /// Newest first.
    pub items: Vec<IncidentItem>,
    /// Give it as `cursor`, with the same filter, for the next page; absent on the last one.
    pub next_cursor: Option<String>,
    /// Topic, then partition, to the next offset to apply: the page reflects every record before it, none after.
    pub position: Positions,
}

/// One incident with the decisions about it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct IncidentAnswer {
    /// The incident.
    pub item: IncidentDetail,
    /// Topic, then partition, to the next offset to apply: the answer reflects every record before it, none after.
    pub position: Positions,
}

/// The tenant's entities, most at risk first.
///
/// An instant of the past is computed from the exposures of that time, to the hour.
#[utoipa::path(
    get,
    path = "/api/v1/risk/entities",
    tag = "risk",
    params(
        ("kind" = Option<String>, Query, description = "user, service_account, role, host, resource, project or \
            network_address"),
        ("level" = Option<String>, Query, description = "The lowest level: low, moderate, high or critical"),
        ("as_of" = Option<String>, Query, description = "The instant to look from (RFC 3339); now by default"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 50 by default"),
        ("min_position" = Option<String>, Query, description = "As for the audit log"),
    ),
    responses(
        (status = 200, body = EntitiesPage),
        (status = 400, body = Problem, description = "invalid-query, invalid-cursor"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 503, body = Problem),
    ),
    security(("api_key" = ["risk:read"]))
)]
pub(super) async fn entities(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Json<EntitiesPage>, Refusal> {
    let mut given = Parameters::of(&uri);
    let filter = EntityFilter {
        kind: kind(&mut given, "kind"),
        min_level: given.parsed("level", "unknown, low, moderate, high or critical", RiskLevel::from_name),
        as_of: given.instant("as_of"),
    };
    let paging = Paging::of(&mut given);
    given.finish()?;
    let question = (&filter, filter.min_level.map(RiskLevel::name));
    let binding = Binding::of(ENTITIES, &caller.tenant, &question);
    let after = paging.begin(&api, STAGE, &binding).await?;
    let now = chrono::Utc::now();
    let as_of = filter.as_of.unwrap_or(now);
    let request = EntityPageRequest { filter: filter.clone(), after, limit: paging.limit, now };
    let (pool, tenant) = (api.pool.clone(), caller.tenant.clone());
    let page = uncancelled(async move { entities::page(&pool, &tenant, &request).await }).await?;
    let next_cursor = page.next.map(|end| api.cursor_key.seal(&binding, &end));
    Ok(Json(EntitiesPage { items: page.items, next_cursor, as_of, position: page.positions }))
}

/// One entity: its score, what every rule contributes to it, its weights, its history and its newest signals.
#[utoipa::path(
    get,
    path = "/api/v1/risk/entities/{kind}/{id}",
    tag = "risk",
    params(
        ("kind" = String, Path, description = "user, service_account, role, host, resource, project or network_address"),
        ("id" = String, Path, description = "The entity's id; a slash in it is written %2F"),
        ("as_of" = Option<String>, Query, description = "The instant to look from (RFC 3339); now by default"),
        ("history" = Option<String>, Query, description = "day: the last 30 days (default); hour: the last 7 days by hour"),
        ("min_position" = Option<String>, Query, description = "As for the audit log"),
    ),
    responses(
        (status = 200, body = EntityAnswer),
        (status = 400, body = Problem, description = "invalid-query"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem, description = "Nothing is known of it, or it is another tenant's: the same bytes"),
        (status = 503, body = Problem),
    ),
    security(("api_key" = ["risk:read"]))
)]
pub(super) async fn entity(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    named: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
) -> Result<Json<EntityAnswer>, Refusal> {
    let mut given = Parameters::of(&uri);
    let as_of = given.instant("as_of");
    let history = given.parsed("history", "day or hour", |text| match text {
        "day" => Some(Step::Day),
        "hour" => Some(Step::Hour),
        _ => None,
    });
    let wanted = parse_positions(&mut given);
    given.finish()?;
    let entity = named_entity(named)?;
    await_positions(&api, STAGE, &wanted).await?;
    let request =
        EntityRequest { entity, as_of, history: history.unwrap_or_default(), now: chrono::Utc::now() };
    let pool = api.pool.clone();
    let (item, position) =
        uncancelled(async move { entity::detail(&pool, &caller.tenant, &request).await }).await?;
    let item = item.ok_or_else(nothing_here)?;
    Ok(Json(EntityAnswer { item, position }))
}

/// An entity's signals, newest first: which rule fired on which event, and why.
#[utoipa::path(
    get,
    path = "/api/v1/risk/entities/{kind}/{id}/signals",
    tag = "risk",
    params(
        ("kind" = String, Path, description = "user, service_account, role, host, resource, project or network_address"),
        ("id" = String, Path, description = "The entity's id; a slash in it is written %2F"),
        ("from" = Option<String>, Query, description = "Earliest instant (RFC 3339)"),
        ("to" = Option<String>, Query, description = "First instant that is too late (RFC 3339)"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 50 by default"),
        ("min_position" = Option<String>, Query, description = "As for the audit log"),
    ),
    responses(
        (status = 200, body = SignalsPage),
        (status = 400, body = Problem, description = "invalid-query, invalid-cursor"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 503, body = Problem),
    ),
    security(("api_key" = ["risk:read"]))
)]
pub(super) async fn signals(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    named: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
) -> Result<Json<SignalsPage>, Refusal> {
    let mut given = Parameters::of(&uri);
    let (from, to) = given.range();
    let paging = Paging::of(&mut given);
    given.finish()?;
    let entity = named_entity(named)?;
    let question = (entity.kind.name(), entity.id(), from, to);
    let binding = Binding::of(SIGNALS, &caller.tenant, &question);
    let after = paging.begin(&api, STAGE, &binding).await?;
    let request = SignalPageRequest { entity: entity.clone(), from, to, after, limit: paging.limit };
    let (pool, tenant) = (api.pool.clone(), caller.tenant.clone());
    let page = uncancelled(async move { signals::page(&pool, &tenant, &request).await }).await?;
    let next_cursor = page.next.map(|end| api.cursor_key.seal(&binding, &end));
    Ok(Json(SignalsPage { items: page.items, next_cursor, position: page.positions }))
}

/// The tenant's incidents, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/risk/incidents",
    tag = "risk",
    params(
        ("status" = Option<String>, Query, description = "open, acknowledged, closed or false_positive"),
        ("kind" = Option<String>, Query, description = "Kind of the entity"),
        ("entity" = Option<String>, Query, description = "Id of the entity, whole"),
        ("from" = Option<String>, Query, description = "It went on at or after this instant (RFC 3339)"),
        ("to" = Option<String>, Query, description = "It opened before this instant (RFC 3339)"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u16>, Query, description = "1 to 1000, 50 by default"),
        ("min_position" = Option<String>, Query, description = "As for the audit log"),
    ),
    responses(
        (status = 200, body = IncidentsPage),
        (status = 400, body = Problem, description = "invalid-query, invalid-cursor"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 503, body = Problem),
    ),
    security(("api_key" = ["risk:read"]))
)]
pub(super) async fn incidents(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Json<IncidentsPage>, Refusal> {
    let mut given = Parameters::of(&uri);
    let statuses = "open, acknowledged, closed or false_positive";
    let (from, to) = given.range();
    let filter = IncidentFilter {
        status: given.parsed("status", statuses, TriageDecision::from_name),
        kind: kind(&mut given, "kind"),
        entity: given.text("entity"),
        from,
        to,
    };
    let paging = Paging::of(&mut given);
    given.finish()?;
    let question = (&filter, filter.status.map(TriageDecision::name));
    let binding = Binding::of(INCIDENTS, &caller.tenant, &question);
    let after = paging.begin(&api, STAGE, &binding).await?;
    let request = IncidentPageRequest { filter: filter.clone(), after, limit: paging.limit };
    let (pool, tenant) = (api.pool.clone(), caller.tenant.clone());
    let page = uncancelled(async move { incidents::page(&pool, &tenant, &request).await }).await?;
    let next_cursor = page.next.map(|end| api.cursor_key.seal(&binding, &end));
    Ok(Json(IncidentsPage { items: page.items, next_cursor, position: page.positions }))
}

/// One of the tenant's incidents, with every decision about it.
#[utoipa::path(
    get,
    path = "/api/v1/risk/incidents/{id}",
    tag = "risk",
    params(
        ("id" = Uuid, Path, description = "The incident's id"),
        ("min_position" = Option<String>, Query, description = "As for the audit log"),
    ),
    responses(
        (status = 200, body = IncidentAnswer),
        (status = 400, body = Problem, description = "invalid-query"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem, description = "Unknown, or another tenant's: the same bytes"),
        (status = 503, body = Problem),
    ),
    security(("api_key" = ["risk:read"]))
)]
pub(super) async fn incident(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<IncidentAnswer>, Refusal> {
    let mut given = Parameters::of(&uri);
    let wanted = parse_positions(&mut given);
    given.finish()?;
    let id = id.ok().and_then(|Path(id)| Uuid::try_parse(&id).ok()).ok_or_else(nothing_here)?;
    await_positions(&api, STAGE, &wanted).await?;
    let pool = api.pool.clone();
    let (item, position) =
        uncancelled(async move { incidents::by_id(&pool, &caller.tenant, id).await }).await?;
    let item = item.ok_or_else(nothing_here)?;
    Ok(Json(IncidentAnswer { item, position }))
}

fn kind(given: &mut Parameters, name: &'static str) -> Option<EntityKind> {
    let expected = "user, service_account, role, host, resource, project or network_address";
    given.parsed(name, expected, EntityKind::from_name)
}

/// The entity that the address names; what cannot be one is not there.
fn named_entity(named: Result<Path<(String, String)>, PathRejection>) -> Result<Entity, Refusal> {
    let named = named.ok().and_then(|Path((kind, id))| Entity::new(EntityKind::from_name(&kind)?, &id));
    named.ok_or_else(nothing_here)
}
