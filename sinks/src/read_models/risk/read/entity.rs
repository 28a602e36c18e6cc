//! One entity: its risk, and every reason for it.

use std::collections::{BTreeMap, HashSet};

use projections::risk::{Assessment, EntityFacts, MAX_DECISIONS, View, hour_of};
use schemas::{TenantId, Timestamp, changes::risk::Entity};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    super::{
        entity_facts::{EntityKey, Wanted, load},
        rules::Rules,
    },
    STAGE,
    signals::{self, SignalItem},
};
use crate::read_models::{
    computed::computed,
    snapshot::{Positions, ReadError, Snapshot},
};

/// Number of signals that come with an entity; the others are paged.
const NEWEST_SIGNALS: u16 = 20;

/// Request for one entity.
#[derive(Debug, Clone)]
pub struct EntityRequest {
    /// The entity.
    pub entity: Entity,
    /// Instant of the answer; now if absent.
    pub as_of: Option<Timestamp>,
    /// Step of the history.
    pub history: Step,
    /// The present, by the reader's clock.
    pub now: Timestamp,
}

/// The distance between two points of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
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

/// One entity, and the reasons for its risk.
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
    /// Product of the weights, by which the hazard is multiplied.
    pub factor: f64,
    /// By rule, largest first; their scores sum to the score.
    pub contributions: Vec<RuleContribution>,
    /// Decisions about the entity's weight, newest first, at most 200.
    pub weights: Vec<WeightItem>,
    /// Rules that were found to be wrong about it.
    pub dismissed: Vec<DismissedRule>,
    /// The score at the end of each of the last days or hours, oldest first.
    pub history: Vec<HistoryPoint>,
    /// The newest signals; all of them are at `…/signals`.
    pub signals: Vec<SignalItem>,
}

/// Contribution of one rule to a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleContribution {
    /// The rule's id.
    pub rule: String,
    /// The rule's title.
    pub title: String,
    /// Author of the rule.
    pub author: Option<String>,
    /// The rule's level.
    pub level: String,
    /// Its part of the score.
    pub score: f64,
    /// Signals that count.
    pub signals: i64,
    /// Time of the first of them.
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    /// Time of the last of them.
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
    /// Factor by which it multiplies the hazard.
    pub factor: f64,
    /// Whether it counts now: the latest of its source that has not ended.
    #[sqlx(skip)]
    pub in_force: bool,
    /// Actor who decided.
    pub actor: String,
    /// Reason of the decision.
    pub reason: Option<String>,
    /// Time of the decision.
    #[schema(value_type = String, format = DateTime)]
    pub decided_at: Timestamp,
    /// Time at which it expires.
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
    let key =
        EntityKey { tenant: tenant.as_str(), kind: request.entity.kind.name(), id: request.entity.id() };
    let facts = load(connection, &mut Rules::default(), &[Wanted::all(key)], request.as_of).await?.remove(0);
    if facts.is_empty() && !is_known(connection, key).await? {
        return Ok((None, snapshot.positions));
    }
    let at = request.as_of.unwrap_or(request.now);
    let view = View::as_of(at);
    let weights = weights(connection, key, view).await?;
    let signals =
        signals::newest(connection, tenant, (&request.entity, request.as_of), NEWEST_SIGNALS).await?;
    let entity = request.entity.clone();
    let history_step = request.history;
    let work = move || {
        let assessment = facts.assess(view);
        let score = assessment.score(hour_of(at));
        let thousandths = u32::try_from(assessment.factor.thousandths).unwrap_or(u32::MAX);
        EntityDetail {
            kind: entity.kind.name().to_owned(),
            id: entity.id().to_owned(),
            score: score.value(),
            level: score.level().name().to_owned(),
            as_of: at,
            factor: f64::from(thousandths) / 1000.0,
            contributions: contributions(&assessment, hour_of(at)),
            weights,
            dismissed: dismissed(&facts, view),
            history: history(&facts, at, history_step),
            signals,
        }
    };
    // A history is an assessment for each of its points.
    Ok((Some(computed(work).await?), snapshot.positions))
}

/// Whether anything is known of the entity at all, be it later than what is asked for.
async fn is_known(connection: &mut PgConnection, key: EntityKey<'_>) -> Result<bool, ReadError> {
    let known = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM risk_exposure WHERE tenant_id = $1 AND entity_kind = $2 AND entity = $3)
             OR EXISTS (SELECT FROM risk_weight WHERE tenant_id = $1 AND entity_kind = $2 AND entity = $3)
             OR EXISTS (SELECT FROM risk_triage WHERE tenant_id = $1 AND entity_kind = $2 AND entity = $3)",
    )
    .bind(key.tenant)
    .bind(key.kind)
    .bind(key.id)
    .fetch_one(connection);
    Ok(known.await?)
}

fn contributions(assessment: &Assessment, hour: i64) -> Vec<RuleContribution> {
    let shares = assessment.shares(assessment.score(hour));
    let of_rules = assessment.contributions.iter().zip(shares);
    let one = of_rules.map(|(contribution, share)| RuleContribution {
        rule: contribution.rule.id.clone(),
        title: contribution.rule.title.clone(),
        author: contribution.rule.author.clone(),
        level: contribution.rule.level.name().to_owned(),
        score: share.value(),
        signals: contribution.signals,
        first_at: contribution.first_at,
        last_at: contribution.last_at,
        capped: contribution.capped,
    });
    one.collect()
}

async fn weights(
    connection: &mut PgConnection,
    key: EntityKey<'_>,
    view: View,
) -> Result<Vec<WeightItem>, ReadError> {
    let mut rows: Vec<WeightItem> = sqlx::query_as(
        "SELECT weight_source, decision, factor_thousandths / 1000.0::float8 AS factor, actor, reason, decided_at,
                expires_at, event_id
           FROM risk_weight WHERE tenant_id = $1 AND entity_kind = $2 AND entity = $3
            AND ($4::timestamptz IS NULL OR decided_at <= $4)
          ORDER BY decided_at DESC, event_id DESC LIMIT $5",
    )
    .bind(key.tenant)
    .bind(key.kind)
    .bind(key.id)
    .bind(view.until)
    .bind(i64::try_from(MAX_DECISIONS).expect("small"))
    .fetch_all(connection)
    .await?;
    let mut superseded: HashSet<String> = HashSet::new();
    for row in &mut rows {
        let is_latest = superseded.insert(row.source.clone());
        let ended = row.expires_at.is_some_and(|end| view.now.is_some_and(|now| end <= now));
        row.in_force = is_latest && !ended;
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
fn history(facts: &EntityFacts, at: Timestamp, points: Step) -> Vec<HistoryPoint> {
    let step = points.seconds();
    let now = at.timestamp();
    let ends = (1..points.points()).rev().map(|back| (now.div_euclid(step) - back + 1) * step - 1);
    let ends = ends.filter(|end| *end < now).filter_map(|end| Timestamp::from_timestamp(end, 0));
    let point =
        |at: Timestamp| HistoryPoint { at, score: facts.assess(View::as_of(at)).score(hour_of(at)).value() };
    ends.chain([at]).map(point).collect()
}
