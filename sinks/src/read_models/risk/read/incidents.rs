//! Incidents, newest first, and one with the decisions about it.

use projections::risk::{EntityName, IncidentRule, MAX_DECISIONS, finding};
use schemas::{
    TenantId, Timestamp,
    changes::risk::{EntityKind, TriageDecision},
};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder, types::Json};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    super::{stored::answered, table::StoredIncident},
    STAGE,
};
use crate::read_models::{
    parameters::{instant, text},
    snapshot::{Page, Positions, ReadError, Snapshot},
};

/// Filter on incidents; an absent parameter matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct IncidentFilter {
    /// Its status.
    #[param(inline)]
    pub status: Option<TriageDecision>,
    /// The kind of its entity.
    #[param(inline)]
    pub kind: Option<EntityKind>,
    /// The id of its entity, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub entity: Option<String>,
    /// It was still going on at or after this instant (RFC 3339).
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// It opened before this instant (RFC 3339).
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
}

/// Key of the last incident of a page: incidents are ordered by both fields, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentPageKey {
    /// `last_at` of the last incident.
    pub last_at: Timestamp,
    /// Its id.
    pub id: Uuid,
}

/// One page of incidents.
#[derive(Debug, Clone)]
pub struct IncidentPageRequest {
    /// Filter on the incidents.
    pub filter: IncidentFilter,
    /// Only incidents after this one.
    pub after: Option<IncidentPageKey>,
    /// Most incidents on the page.
    pub limit: u16,
}

/// A period in which an entity's risk crossed the incident threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IncidentItem {
    /// The incident's id; it follows from the entity and the hour in which it opened.
    pub id: Uuid,
    /// Title in one line.
    pub title: String,
    /// The entity's kind.
    pub entity_kind: String,
    /// The entity's id.
    pub entity: String,
    /// `open`, `acknowledged`, `closed` or `false_positive`.
    pub status: String,
    /// A tactic that came after the last decision opened it again.
    pub reopened: bool,
    /// `hazard` (the score 90 within 24 hours) or `tactics` (three tactics of four rules above `informational` within 7 days).
    pub cause: String,
    /// The score of its worst 24 hours.
    pub score: f64,
    /// Highest level of a rule that fired.
    pub level: String,
    /// Time at which it opened, to the hour.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    /// The first signal that led to it.
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    /// Its last signal.
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
    /// Its signals.
    pub signals: i64,
    /// The rules that fired, by id.
    pub rules: Vec<IncidentRule>,
    /// ATT&CK tactics.
    pub tactics: Vec<String>,
    /// ATT&CK techniques.
    pub techniques: Vec<String>,
    /// Reason of the last decision.
    pub reason: Option<String>,
    /// Actor who decided.
    pub decided_by: Option<String>,
    /// Time of the last decision.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Timestamp>,
}

/// An incident and every decision about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IncidentDetail {
    /// The incident.
    #[serde(flatten)]
    pub incident: IncidentItem,
    /// The newest 200, oldest first.
    pub decisions: Vec<DecisionItem>,
}

/// Decision about an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, FromRow)]
pub struct DecisionItem {
    /// `open`, `acknowledged`, `closed` or `false_positive`.
    pub decision: String,
    /// The rules whose hazard a false positive removes.
    pub rules: Vec<String>,
    /// Reason of the decision.
    pub reason: Option<String>,
    /// Actor who decided.
    pub actor: String,
    /// Time of the decision.
    #[schema(value_type = String, format = DateTime)]
    pub decided_at: Timestamp,
    /// The event that holds the decision.
    pub event_id: Uuid,
}

#[derive(FromRow)]
struct NamedRow {
    entity_kind: String,
    entity: String,
    #[sqlx(flatten)]
    incident: StoredIncident,
    rules: Json<Vec<IncidentRule>>,
}

impl From<NamedRow> for IncidentItem {
    fn from(row: NamedRow) -> Self {
        let Json(rules) = row.rules;
        let incident = row.incident.with(rules.iter().map(answered).collect());
        Self {
            title: finding::title(EntityName { kind: &row.entity_kind, id: &row.entity }, &incident),
            score: finding::score(&incident).value(),
            id: incident.id,
            entity_kind: row.entity_kind,
            entity: row.entity,
            status: incident.status.name,
            reopened: incident.status.reopened,
            cause: incident.cause,
            level: incident.level,
            opened_at: start_of(incident.opened_hour),
            first_at: incident.first_at,
            last_at: incident.last_at,
            signals: incident.signals,
            rules,
            tactics: incident.tactics,
            techniques: incident.techniques,
            reason: incident.status.reason,
            decided_by: incident.status.decided_by,
            decided_at: incident.status.decided_at,
        }
    }
}

fn start_of(hour: i64) -> Timestamp {
    Timestamp::from_timestamp(hour.saturating_mul(3600), 0).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A page of the tenant's incidents, newest first.
pub async fn page(
    pool: &PgPool,
    tenant: &TenantId,
    request: &IncidentPageRequest,
) -> Result<Page<IncidentItem, IncidentPageKey>, ReadError> {
    let snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let filter = &request.filter;
    let mut query = select(tenant);
    if let Some(status) = filter.status {
        query.push(" AND i.status = ").push_bind(status.name());
    }
    if let Some(kind) = filter.kind {
        query.push(" AND i.entity_kind = ").push_bind(kind.name());
    }
    if let Some(entity) = &filter.entity {
        query.push(" AND i.entity = ").push_bind(entity.clone());
    }
    if let Some(from) = filter.from {
        query.push(" AND i.last_at >= ").push_bind(from);
    }
    if let Some(to) = filter.to {
        query.push(" AND i.opened_hour * 3600 < ").push_bind(to.timestamp());
    }
    if let Some(after) = request.after {
        query.push(" AND i.last_at <= ").push_bind(after.last_at);
        query.push(" AND (i.last_at < ").push_bind(after.last_at);
        query.push(" OR i.id > ").push_bind(after.id).push(")");
    }
    query.push(" ORDER BY i.last_at DESC, i.id LIMIT ").push_bind(i64::from(request.limit) + 1);
    let key = |last: &IncidentItem| IncidentPageKey { last_at: last.last_at, id: last.id };
    snapshot.page(&mut query, request.limit, |row| Ok(NamedRow::from_row(row)?.into()), key).await
}

/// The tenant's incident with that id.
pub async fn by_id(
    pool: &PgPool,
    tenant: &TenantId,
    id: Uuid,
) -> Result<(Option<IncidentDetail>, Positions), ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let mut query = select(tenant);
    query.push(" AND i.id = ").push_bind(id);
    let row: Option<NamedRow> = query.build_query_as().fetch_optional(snapshot.connection()).await?;
    let Some(row) = row else { return Ok((None, snapshot.positions)) };
    let mut decisions: Vec<DecisionItem> = sqlx::query_as(
        "SELECT decision, rules, reason, actor, decided_at, event_id FROM risk_triage
          WHERE tenant_id = $1 AND entity_kind = $2 AND entity = $3 AND incident_id = $4
          ORDER BY decided_at DESC, event_id DESC LIMIT $5",
    )
    .bind(tenant.as_str())
    .bind(&row.entity_kind)
    .bind(&row.entity)
    .bind(id)
    .bind(i64::try_from(MAX_DECISIONS).expect("small"))
    .fetch_all(snapshot.connection())
    .await?;
    decisions.reverse();
    let detail = IncidentDetail { incident: row.into(), decisions };
    Ok((Some(detail), snapshot.positions))
}

/// The rules of an incident: by key, or as the release before wrote them.
const RULES: &str = ", CASE WHEN i.rule_keys IS NULL THEN i.rules ELSE (
    SELECT coalesce(jsonb_agg(jsonb_build_object('id', r.rule_id, 'title', r.title, 'level', r.level,
                                                 'signals', k.signals) ORDER BY k.nth), '[]')
      FROM unnest(i.rule_keys, i.rule_signals) WITH ORDINALITY AS k(rule_key, signals, nth)
      JOIN risk_rule AS r ON r.tenant_id = i.tenant_id AND r.rule_key = k.rule_key) END AS rules";

fn select(tenant: &TenantId) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("SELECT entity_kind, entity, ");
    query.push(StoredIncident::COLUMNS).push(RULES).push(" FROM incident AS i WHERE i.tenant_id = ");
    query.push_bind(tenant.as_str().to_owned());
    query
}
