//! Signals of one entity: which rule fired on which event, and why.

use schemas::{TenantId, Timestamp, changes::risk::Entity};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, PgPool, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::STAGE;
use crate::read_models::{
    parameters::instant,
    snapshot::{Page, ReadError, Snapshot},
};

/// A rule that fired on an event, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, FromRow)]
pub struct SignalItem {
    /// The event; `/api/v1/audit/{event_id}` holds it.
    pub event_id: Uuid,
    /// Time of the event.
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Timestamp,
    /// The rule's id.
    pub rule_id: String,
    /// The rule's version.
    pub rule_version: String,
    /// The rule's title.
    pub rule_title: String,
    /// Author of the rule.
    pub rule_author: Option<String>,
    /// The file that the rule came from.
    pub rule_file: String,
    /// The rule's level.
    pub level: String,
    /// 1 to 99.
    pub score: i16,
    /// Hazard that the signal added, in millionths of a nat; an owner's is half of it.
    pub hazard_micronats: i64,
    /// ATT&CK tactics.
    pub tactics: Vec<String>,
    /// ATT&CK techniques.
    pub techniques: Vec<String>,
    /// Actor, as the event names them.
    pub actor: String,
    /// Action, as the source names it.
    pub action: String,
    /// The system that observed it.
    pub source: String,
    /// The native record's format.
    pub native_format: String,
    /// Field to value: what in the record made the rule fire.
    #[schema(value_type = Object)]
    #[sqlx(try_from = "Matched")]
    pub matched: serde_json::Value,
}

/// A stored JSON text.
#[derive(sqlx::Type)]
#[sqlx(transparent)]
struct Matched(String);

impl TryFrom<Matched> for serde_json::Value {
    type Error = serde_json::Error;

    fn try_from(Matched(text): Matched) -> Result<Self, Self::Error> {
        serde_json::from_str(&text)
    }
}

/// Key of the last signal of a page: signals are ordered by all three fields, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalPageKey {
    /// `occurred_at` of the last signal.
    pub occurred_at: Timestamp,
    /// Its event.
    pub event_id: Uuid,
    /// Its rule.
    pub rule_id: String,
}

/// Filter on signals; an absent parameter matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct SignalFilter {
    /// Earliest instant (RFC 3339).
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// First instant that is too late (RFC 3339).
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
}

/// One page of an entity's signals.
#[derive(Debug, Clone)]
pub struct SignalPageRequest {
    /// Entity whose signals are listed.
    pub entity: Entity,
    /// Filter on the signals.
    pub filter: SignalFilter,
    /// Only signals after this one, that is older.
    pub after: Option<SignalPageKey>,
    /// Most signals on the page.
    pub limit: u16,
}

/// The columns of a [`SignalItem`].
const COLUMNS: &str = "s.event_id, s.occurred_at, s.rule_id, r.version AS rule_version, r.title AS rule_title, \
    r.author AS rule_author, r.file AS rule_file, r.level, s.score, s.hazard_micronats, r.tactics, r.techniques, s.actor, \
    s.action, s.source, s.native_format, s.matched";

/// A page of the entity's signals, newest first.
pub async fn page(
    pool: &PgPool,
    tenant: &TenantId,
    request: &SignalPageRequest,
) -> Result<Page<SignalItem, SignalPageKey>, ReadError> {
    let snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let mut query = select(tenant, &request.entity);
    if let Some(from) = request.filter.from {
        query.push(" AND s.occurred_at >= ").push_bind(from);
    }
    if let Some(to) = request.filter.to {
        query.push(" AND s.occurred_at < ").push_bind(to);
    }
    if let Some(after) = &request.after {
        query
            .push(" AND (s.occurred_at, s.event_id, s.rule_id COLLATE \"C\") < (")
            .push_bind(after.occurred_at);
        query.push(", ").push_bind(after.event_id).push(", ").push_bind(after.rule_id.clone()).push(")");
    }
    query.push(" ORDER BY s.occurred_at DESC, s.event_id DESC, s.rule_id COLLATE \"C\" DESC LIMIT ");
    query.push_bind(i64::from(request.limit) + 1);
    let key = |last: &SignalItem| SignalPageKey {
        occurred_at: last.occurred_at,
        event_id: last.event_id,
        rule_id: last.rule_id.clone(),
    };
    snapshot.page(&mut query, request.limit, |row| Ok(SignalItem::from_row(row)?), key).await
}

/// The entity's newest signals, up to an instant where one is given.
pub(super) async fn newest(
    connection: &mut PgConnection,
    tenant: &TenantId,
    (entity, until): (&Entity, Option<Timestamp>),
    limit: u16,
) -> Result<Vec<SignalItem>, ReadError> {
    let mut query = select(tenant, entity);
    if let Some(until) = until {
        query.push(" AND s.occurred_at <= ").push_bind(until);
    }
    query.push(" ORDER BY s.occurred_at DESC, s.event_id DESC, s.rule_id COLLATE \"C\" DESC LIMIT ");
    query.push_bind(i64::from(limit));
    Ok(query.build_query_as().fetch_all(connection).await?)
}

fn select(tenant: &TenantId, entity: &Entity) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("SELECT ");
    query.push(COLUMNS);
    query.push(" FROM risk_signal AS s JOIN risk_rule AS r USING (tenant_id, rule_key) WHERE s.tenant_id = ");
    query.push_bind(tenant.as_str().to_owned());
    query.push(" AND s.entity_kind = ").push_bind(entity.kind.name());
    query.push(" AND s.entity = ").push_bind(entity.id().to_owned());
    query
}
