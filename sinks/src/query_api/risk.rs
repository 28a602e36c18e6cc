//! `GET /api/v1/risk/…`: who is at risk and why, and incidents.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
};
use edge::api_error::ApiError;
use http::Uri;
use schemas::{
    Timestamp,
    access::Principal,
    changes::risk::{Entity, EntityKind},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    body::Answer,
    described::{ItemRefusals, ListRefusals},
    freshness::Freshness,
    paging::{Asked, Found, List, Listed, Paging, check_range, found, listed},
    parameters::Parameters,
};
use crate::read_models::{
    Positions,
    parameters::instant,
    risk::read::{
        STAGE,
        entities::{self, EntityFilter, EntityPageRequest, EntityRisk},
        entity::{self, EntityDetail, EntityRequest, Step},
        incidents::{self, IncidentDetail, IncidentFilter, IncidentItem, IncidentPageRequest},
        signals::{self, SignalFilter, SignalItem, SignalPageRequest},
    },
};

const ENTITIES: List = List { route: "/api/v1/risk/entities", stage: Some(STAGE) };
const SIGNALS: List = List { route: "/api/v1/risk/entities/{kind}/{id}/signals", stage: Some(STAGE) };
const INCIDENTS: List = List { route: "/api/v1/risk/incidents", stage: Some(STAGE) };

/// A page of the leaderboard.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EntitiesPage {
    /// Most at risk first.
    pub items: Vec<EntityRisk>,
    /// Give it as `cursor`, with the same filter, for the next page; null on the last one.
    pub next_cursor: Option<String>,
    /// The instant that the scores are of.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// Topic, then partition, to the next offset to apply: the page reflects every record before it, none after.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, i64>>)]
    pub position: Positions,
}

/// One entity, and the reasons for its risk.
pub type EntityAnswer = Found<EntityDetail>;
/// A page of an entity's signals.
pub type SignalsPage = Listed<SignalItem>;
/// A page of incidents.
pub type IncidentsPage = Listed<IncidentItem>;
/// One incident with the decisions about it.
pub type IncidentAnswer = Found<IncidentDetail>;

/// The entity that an address names.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct EntityPath {
    /// The entity's kind.
    #[param(inline)]
    kind: EntityKind,
    /// The entity's id; a slash in it is written %2F.
    #[param(min_length = 1)]
    id: String,
}

/// Instant and step of an entity's history.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct EntityView {
    /// Instant of the answer (RFC 3339); now by default.
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
    /// `day`: the last 30 days (default); `hour`: the last 7 days by hour.
    #[param(inline)]
    history: Option<Step>,
}

/// The tenant's entities, most at risk first.
///
/// An instant of the past is computed from the exposures of that time, to the hour.
#[utoipa::path(
    get,
    path = "/api/v1/risk/entities",
    tag = "risk",
    params(EntityFilter, Paging, Freshness),
    responses((status = 200, body = EntitiesPage), ListRefusals),
    security(("api_key" = ["risk:read"]))
)]
pub(super) async fn entities(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<EntitiesPage>, ApiError> {
    let asked = Asked::<EntityFilter>::of(&uri, |_, _| {})?;
    let now = chrono::Utc::now();
    let as_of = asked.filter.as_of.unwrap_or(now);
    let page = listed(&api, caller.tenant(), ENTITIES, asked, |pool, tenant, filter, at| async move {
        let request = EntityPageRequest { filter, after: at.after, limit: at.limit, now };
        entities::page(&pool, &tenant, &request).await
    });
    Ok(page.await?.map(|Listed { items, next_cursor, position, .. }| EntitiesPage {
        items,
        next_cursor,
        as_of,
        position,
    }))
}

/// One entity: its score, what every rule contributes to it, its weights, its history and its newest signals.
#[utoipa::path(
    get,
    path = "/api/v1/risk/entities/{kind}/{id}",
    tag = "risk",
    params(EntityPath, EntityView, Freshness),
    responses((status = 200, body = Found<EntityDetail>), ItemRefusals),
    security(("api_key" = ["risk:read"]))
)]
pub(super) async fn entity(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    named: Result<Path<EntityPath>, PathRejection>,
    uri: Uri,
) -> Result<Answer<EntityAnswer>, ApiError> {
    let mut given = Parameters::of(&uri);
    let (view, freshness) = (given.take::<EntityView>(), given.take());
    given.finish()?;
    let request = EntityRequest {
        entity: named_entity(named)?,
        as_of: view.as_of,
        history: view.history.unwrap_or_default(),
        now: chrono::Utc::now(),
    };
    found(&api, caller.tenant(), STAGE, &freshness, |pool, tenant| async move {
        entity::detail(&pool, &tenant, &request).await
    })
    .await
}

/// An entity's signals, newest first: which rule fired on which event, and why.
#[utoipa::path(
    get,
    path = "/api/v1/risk/entities/{kind}/{id}/signals",
    tag = "risk",
    params(EntityPath, SignalFilter, Paging, Freshness),
    responses((status = 200, body = Listed<SignalItem>), ItemRefusals),
    security(("api_key" = ["risk:read"]))
)]
pub(super) async fn signals(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    named: Result<Path<EntityPath>, PathRejection>,
    uri: Uri,
) -> Result<Answer<SignalsPage>, ApiError> {
    let range = |filter: &SignalFilter, given: &mut Parameters| check_range(filter.from, filter.to, given);
    let asked = Asked::<SignalFilter>::of(&uri, range)?;
    let entity = named_entity(named)?;
    let asked = asked.map(|filter| (entity.kind.name(), entity.id().to_owned(), filter));
    listed(&api, caller.tenant(), SIGNALS, asked, |pool, tenant, (_, _, filter), at| async move {
        let request = SignalPageRequest { entity, filter, after: at.after, limit: at.limit };
        signals::page(&pool, &tenant, &request).await
    })
    .await
}

/// The tenant's incidents, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/risk/incidents",
    tag = "risk",
    params(IncidentFilter, Paging, Freshness),
    responses((status = 200, body = Listed<IncidentItem>), ListRefusals),
    security(("api_key" = ["risk:read"]))
)]
pub(super) async fn incidents(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Answer<IncidentsPage>, ApiError> {
    let range = |filter: &IncidentFilter, given: &mut Parameters| check_range(filter.from, filter.to, given);
    let asked = Asked::<IncidentFilter>::of(&uri, range)?;
    listed(&api, caller.tenant(), INCIDENTS, asked, |pool, tenant, filter, at| async move {
        let request = IncidentPageRequest { filter, after: at.after, limit: at.limit };
        incidents::page(&pool, &tenant, &request).await
    })
    .await
}

/// One of the tenant's incidents, with every decision about it.
#[utoipa::path(
    get,
    path = "/api/v1/risk/incidents/{id}",
    tag = "risk",
    params(("id" = Uuid, Path, description = "The incident's id"), Freshness),
    responses((status = 200, body = Found<IncidentDetail>), ItemRefusals),
    security(("api_key" = ["risk:read"]))
)]
pub(super) async fn incident(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    id: Result<Path<Uuid>, PathRejection>,
    uri: Uri,
) -> Result<Answer<IncidentAnswer>, ApiError> {
    let freshness = Parameters::only(&uri)?;
    let Path(id) = id.map_err(|_| ApiError::not_found())?;
    found(&api, caller.tenant(), STAGE, &freshness, |pool, tenant| async move {
        incidents::by_id(&pool, &tenant, id).await
    })
    .await
}

/// The entity that the address names; what cannot be one is not there.
fn named_entity(named: Result<Path<EntityPath>, PathRejection>) -> Result<Entity, ApiError> {
    let named = named.ok().and_then(|Path(EntityPath { kind, id })| Entity::new(kind, &id));
    named.ok_or_else(ApiError::not_found)
}
