//! One entity: how much it is at risk, and every reason for it.

use std::collections::BTreeMap;

use schemas::{TenantId, Timestamp, changes::risk::Entity};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    super::{
        assessment::{Assessment, View, assess, hour_of},
        entity_facts::{self, EntityFacts},
    },
    STAGE,
    signals::{self, SignalItem},
};
use crate::read_models::snapshot::{Positions, ReadError, Snapshot};

/// How many signals come with an entity; the others are paged.
const NEWEST_SIGNALS: u16 = 20;

/// What is asked about an entity.
#[derive(Debug, Clone)]
pub struct EntityRequest {
    /// Which.
    pub entity: Entity,
    /// At which instant; now if absent.
    pub as_of: Option<Timestamp>,
    /// How closely to look at the past.
    pub history: Step,
    /// The present, by the reader's clock.
    pub now: Timestamp,
}

/// The distance between two points of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Step {
    /// The last 30 days.
    #[default]
    Day,
    /// The last 7 days.
    Hour,
}

impl Step {
    const fn seconds(self) -> i64 {
        match self {
            Self::Day => 86_400,
            Self::Hour => 3600,
        }
    }

    const fn points(self) -> i64 {
        match self {
            Self::Day => 30,
            Self::Hour => 7 * 24,
        }
    }
}

/// One entity and why it is at risk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EntityDetail {
    /// The entity's kind.
    pub kind: String,
    /// The entity's id.
    pub id: String,
    /// 0 to 100 with two digits: 100·(1 − e^(−hazard)).
    pub score: f64,
    /// `unknown`, `low` (from 20), `moderate` (from 40), `high` (from 70) or `critical` (from 90).
    pub level: String,
    /// The instant that score and contributions are of.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// What weights multiply its hazard by.
    pub factor: f64,
    /// By rule, largest first; their scores sum to the score.
    pub contributions: Vec<RuleContribution>,
    /// What was decided about the entity's weight, newest first.
    pub weights: Vec<WeightItem>,
    /// Rules that were found to be wrong about it.
    pub dismissed: Vec<DismissedRule>,
    /// The score at the end of each of the last days or hours, oldest first.
    pub history: Vec<HistoryPoint>,
    /// The newest signals; all of them are at `…/signals`.
    pub signals: Vec<SignalItem>,
}

/// What one rule contributes to a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleContribution {
    /// The rule's id.
    pub rule: String,
    /// The rule's title.
    pub title: String,
    /// Who wrote the rule.
    pub author: Option<String>,
    /// The rule's level.
    pub level: String,
    /// Its part of the score.
    pub score: f64,
    /// Signals that count.
    pub signals: i64,
    /// When the first of them came.
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    /// When the last of them came.
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
    /// Whether the rule fired more than it may contribute: three times its largest single hazard.
    pub capped: bool,
}

/// A decision about an entity's weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, FromRow)]
pub struct WeightItem {
    /// `criticality`, or `watchlist:<name>`.
    #[sqlx(rename = "weight_source")]
    pub source: String,
    /// The decision in a word.
    pub decision: String,
    /// What it multiplies hazard by.
    pub factor: f64,
    /// Whether it counts now: the latest of its source that has not ended.
    #[sqlx(skip)]
    pub in_force: bool,
    /// Who decided.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub decided_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// The event that holds the decision.
    pub event_id: Uuid,
}

/// A rule that was found to be wrong about an entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DismissedRule {
    /// The rule's id.
    pub rule: String,
    /// Its signals up to the end of this instant's hour do not count.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
}

/// The score at one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPoint {
    /// The instant.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The score, by what was known of event time then.
    pub score: f64,
}

/// The entity, or `None` where nothing is known of it.
pub async fn detail(
    pool: &PgPool,
    tenant: &TenantId,
    request: &EntityRequest,
) -> Result<(Option<EntityDetail>, Positions), ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let connection = snapshot.connection();
    let key = (tenant.as_str(), request.entity.kind.name(), request.entity.id());
    let facts = entity_facts::load(connection, &[key], &[i64::MIN]).await?.remove(0);
    if facts.exposures.is_empty() && facts.weights.is_empty() && facts.triages.is_empty() {
        return Ok((None, snapshot.positions));
    }
    let at = request.as_of.unwrap_or(request.now);
    let view = View::as_of(at);
    let assessment = assessed(&facts, view);
    let score = assessment.score(hour_of(at));
    let authors = authors(connection, key).await?;
    let thousandths = u32::try_from(assessment.factor.thousandths).unwrap_or(u32::MAX);
    let detail = EntityDetail {
        kind: request.entity.kind.name().to_owned(),
        id: request.entity.id().to_owned(),
        score: score.value(),
        level: score.level().name().to_owned(),
        as_of: at,
        factor: f64::from(thousandths) / 1000.0,
        contributions: contributions(&assessment, hour_of(at), &authors),
        weights: weights(connection, key, view).await?,
        dismissed: dismissed(&facts, view),
        history: history(&facts, at, request),
        signals: signals::newest(connection, tenant, (&request.entity, request.as_of), NEWEST_SIGNALS)
            .await?,
    };
    Ok((Some(detail), snapshot.positions))
}

fn assessed(facts: &EntityFacts, view: View) -> Assessment {
    assess(&facts.exposures, &facts.weights, &facts.dismissals(view), view)
}

fn contributions(
    assessment: &Assessment,
    hour: i64,
    authors: &BTreeMap<String, String>,
) -> Vec<RuleContribution> {
    let shares = assessment.shares(assessment.score(hour));
    let of_rules = assessment.contributions.iter().zip(shares);
    let one = of_rules.map(|(contribution, share)| RuleContribution {
        rule: contribution.rule_id.clone(),
        title: contribution.rule_title.clone(),
        author: authors.get(&contribution.rule_id).cloned(),
        level: contribution.level.clone(),
        score: share.value(),
        signals: contribution.signals,
        first_at: contribution.first_at,
        last_at: contribution.last_at,
        capped: contribution.capped,
    });
    one.collect()
}

/// Who wrote the rules that fired on the entity.
async fn authors(
    connection: &mut PgConnection,
    (tenant, kind, entity): (&str, &str, &str),
) -> Result<BTreeMap<String, String>, ReadError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT r.rule_id, s.rule_author
           FROM (SELECT DISTINCT rule_id FROM risk_exposure
                  WHERE tenant_id = $1 AND entity_kind = $2 AND entity = $3) AS r
          CROSS JOIN LATERAL (SELECT rule_author FROM risk_signal AS s
                               WHERE s.tenant_id = $1 AND s.entity_kind = $2 AND s.entity = $3 AND s.rule_id = r.rule_id
                               ORDER BY occurred_at DESC LIMIT 1) AS s
          WHERE s.rule_author IS NOT NULL",
    )
    .bind(tenant)
    .bind(kind)
    .bind(entity)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().collect())
}

async fn weights(
    connection: &mut PgConnection,
    (tenant, kind, entity): (&str, &str, &str),
    view: View,
) -> Result<Vec<WeightItem>, ReadError> {
    let rows: Vec<WeightItem> = sqlx::query_as(
        "SELECT weight_source, decision, factor_thousandths / 1000.0::float8 AS factor, actor, reason, decided_at,
                expires_at, event_id
           FROM risk_weight WHERE tenant_id = $1 AND entity_kind = $2 AND entity = $3
          ORDER BY decided_at DESC, event_id DESC",
    )
    .bind(tenant)
    .bind(kind)
    .bind(entity)
    .fetch_all(connection)
    .await?;
    let mut rows: Vec<WeightItem> = rows.into_iter().filter(|row| view.knows(row.decided_at)).collect();
    for place in 0..rows.len() {
        let superseded = rows[..place].iter().any(|newer| newer.source == rows[place].source);
        let ended = rows[place].expires_at.is_some_and(|end| view.now.is_some_and(|now| end <= now));
        rows[place].in_force = !superseded && !ended;
    }
    Ok(rows)
}

fn dismissed(facts: &EntityFacts, view: View) -> Vec<DismissedRule> {
    let mut latest: BTreeMap<String, Timestamp> = BTreeMap::new();
    for dismissal in facts.dismissals(view) {
        let until = latest.entry(dismissal.rule_id).or_insert(dismissal.decided_at);
        *until = (*until).max(dismissal.decided_at);
    }
    latest.into_iter().map(|(rule, until)| DismissedRule { rule, until }).collect()
}

/// The last days or hours, each by what was known at its end; the last point is the instant itself.
fn history(facts: &EntityFacts, at: Timestamp, request: &EntityRequest) -> Vec<HistoryPoint> {
    let step = request.history.seconds();
    let now = at.timestamp();
    let ends = (1..request.history.points()).rev().map(|back| (now.div_euclid(step) - back + 1) * step - 1);
    let ends = ends.filter(|end| *end < now).filter_map(|end| Timestamp::from_timestamp(end, 0));
    let point = |at: Timestamp| HistoryPoint {
        at,
        score: assessed(facts, View::as_of(at)).score(hour_of(at)).value(),
    };
    ends.chain([at]).map(point).collect()
}
