//! The leaderboard: who is most at risk, now or at any instant before.
//!
//! It is one range of an index: all hazards halve together, so that the order that was written stays right. Looked at anew
//! are entities whose weight has ended by itself since they were written, and those of which something has become known
//! since the instant, one by one. Now, that is only whom a source with a wrong clock dated into the future.

use std::{cmp::Ordering, time::Instant};

use projections::risk::{EntityFacts, RiskLevel, Score, TopRule, View, Weight, factor, hour_of, top_rules};
use schemas::{TenantId, Timestamp, changes::risk::EntityKind};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, PgPool, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use super::{
    super::table::StoredEntityRisk,
    STAGE,
    changed::{AT_A_TIME, MAX_CHANGED, OwnedName, Since, push_decided_since, weights_of},
};
use crate::read_models::{
    computed::computed,
    parameters::instant,
    snapshot::{Page, ReadError, STATEMENT_TIMEOUT, Snapshot},
};

/// Advice where the weights of more entities have ended than one query reads again.
const TOO_MANY_ENDED: &str = "the weights of too many entities have ended by themselves; ask for one kind";

/// Filter on entities; an absent parameter matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct EntityFilter {
    /// The entity's kind.
    #[param(inline)]
    pub kind: Option<EntityKind>,
    /// The lowest level.
    #[serde(rename = "level")]
    #[param(inline)]
    pub min_level: Option<RiskLevel>,
    /// Instant of the answer (RFC 3339); now by default.
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Timestamp>,
}

/// Key of the last entity of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityPageKey {
    /// The bits of the last entity's sort key: exact, as decimal digits are not.
    pub sort_bits: u64,
    /// Its kind.
    pub kind: String,
    /// Its id.
    pub id: String,
}

impl EntityPageKey {
    fn sort_key(&self) -> f64 {
        f64::from_bits(self.sort_bits)
    }
}

/// One page of the leaderboard.
#[derive(Debug, Clone)]
pub struct EntityPageRequest {
    /// Filter on the entities.
    pub filter: EntityFilter,
    /// Only entities after this one.
    pub after: Option<EntityPageKey>,
    /// Most entities on the page.
    pub limit: u16,
    /// The present, by the reader's clock.
    pub now: Timestamp,
}

/// Risk of an entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EntityRisk {
    /// `user`, `service_account`, `role`, `host`, `resource`, `project` or `network_address`.
    pub kind: String,
    /// Its id within the tenant.
    pub id: String,
    /// 0 to 100 with two digits: 100·(1 − e^(−hazard)).
    pub score: f64,
    /// `unknown`, `low` (from 20), `moderate` (from 40), `high` (from 70) or `critical` (from 90).
    pub level: String,
    /// Product of the weights, by which the hazard is multiplied.
    pub factor: f64,
    /// Signals that count.
    pub signals: i64,
    /// Rules that count.
    pub rules: i32,
    /// Time of the first of them.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub first_at: Option<Timestamp>,
    /// Time of the last of them.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_at: Option<Timestamp>,
    /// The rules that contribute most, at most three.
    pub top_rules: Vec<TopRule>,
}

/// An entity with its place in the order.
struct Ranked {
    sort_key: f64,
    newest_hour: i64,
    entity: EntityRisk,
}

impl Ranked {
    /// Scores it at an hour.
    fn scored(mut self, hour: i64) -> Self {
        let score = Score::at(self.sort_key, hour.max(self.newest_hour));
        self.entity.score = score.value();
        score.level().name().clone_into(&mut self.entity.level);
        self
    }

    fn order(&self, other: &Self) -> Ordering {
        let name = |ranked: &Self| (ranked.entity.kind.clone(), ranked.entity.id.clone());
        other.sort_key.total_cmp(&self.sort_key).then_with(|| name(self).cmp(&name(other)))
    }

    fn is_after(&self, key: &EntityPageKey) -> bool {
        let by_key = key.sort_key().total_cmp(&self.sort_key);
        by_key.then_with(|| (&self.entity.kind, &self.entity.id).cmp(&(&key.kind, &key.id))).is_gt()
    }

    fn page_key(&self) -> EntityPageKey {
        EntityPageKey {
            sort_bits: self.sort_key.to_bits(),
            kind: self.entity.kind.clone(),
            id: self.entity.id.clone(),
        }
    }
}

/// A page of the tenant's entities, most at risk first.
pub async fn page(
    pool: &PgPool,
    tenant: &TenantId,
    request: &EntityPageRequest,
) -> Result<Page<EntityRisk, EntityPageKey>, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let at = request.filter.as_of.unwrap_or(request.now);
    let question = Question { tenant, request, at };
    let connection = snapshot.connection();
    let mut ranked = question.unchanged(connection).await?;
    ranked.extend(question.changed_since(connection).await?);
    ranked.sort_by(Ranked::order);
    let limit = usize::from(request.limit);
    let next = (ranked.len() > limit).then(|| ranked[limit - 1].page_key());
    ranked.truncate(limit);
    let items = ranked.into_iter().map(|ranked| ranked.scored(hour_of(at)).entity).collect();
    Ok(Page { items, next, reached: None, positions: snapshot.positions })
}

/// Columns of [`EntityRow`].
fn columns() -> String {
    format!("entity_kind, entity, {}", StoredEntityRisk::COLUMNS)
}

struct Question<'a> {
    tenant: &'a TenantId,
    request: &'a EntityPageRequest,
    at: Timestamp,
}

#[derive(FromRow)]
struct EntityRow {
    entity_kind: String,
    entity: String,
    #[sqlx(flatten)]
    risk: StoredEntityRisk,
}

impl From<EntityRow> for Ranked {
    fn from(EntityRow { entity_kind, entity, risk }: EntityRow) -> Self {
        let entity = EntityRisk {
            kind: entity_kind,
            id: entity,
            score: 0.0,
            level: String::new(),
            factor: f64::from(risk.factor_thousandths) / 1000.0,
            signals: risk.signals,
            rules: risk.rules,
            first_at: risk.first_at,
            last_at: risk.last_at,
            top_rules: risk.top_rules.0,
        };
        Self { sort_key: risk.sort_key, newest_hour: risk.newest_hour, entity }
    }
}

impl Question<'_> {
    fn view(&self) -> View {
        View::as_of(self.at)
    }

    /// One entity more than the page holds, if there are enough.
    fn wanted(&self) -> usize {
        usize::from(self.request.limit) + 1
    }

    /// The sort key that the lowest level begins at.
    fn lowest(&self) -> Option<f64> {
        let lowest = self.request.filter.min_level.filter(|level| *level > RiskLevel::Unknown)?;
        Some(lowest.from().sort_key_at(hour_of(self.at)))
    }

    /// Columns of the stored entities of which nothing has become known since the instant.
    fn select(&self, columns: &str) -> QueryBuilder<Postgres> {
        let mut query = QueryBuilder::new("SELECT ");
        query.push(columns).push(" FROM entity_risk WHERE tenant_id = ");
        query.push_bind(self.tenant.as_str().to_owned());
        query.push(" AND sort_key > '-Infinity'");
        if let Some(kind) = self.request.filter.kind {
            query.push(" AND entity_kind = ").push_bind(kind.name());
        }
        query.push(" AND newest_hour <= ").push_bind(hour_of(self.at));
        query.push(" AND (entity_kind, entity) NOT IN (");
        push_decided_since(&mut query, self.tenant, self.at);
        query.push(")");
        query
    }

    async fn unchanged(&self, connection: &mut PgConnection) -> Result<Vec<Ranked>, ReadError> {
        let mut query = self.select(&columns());
        query.push(" AND (factor_until IS NULL OR factor_until > ").push_bind(self.at).push(")");
        if let Some(lowest) = self.lowest() {
            query.push(" AND sort_key >= ").push_bind(lowest);
        }
        if let Some(after) = &self.request.after {
            query.push(" AND sort_key <= ").push_bind(after.sort_key());
            query.push(" AND (sort_key < ").push_bind(after.sort_key());
            query.push(" OR (entity_kind COLLATE \"C\", entity COLLATE \"C\") > (");
            query.push_bind(after.kind.clone()).push(", ").push_bind(after.id.clone()).push("))");
        }
        query.push(" ORDER BY sort_key DESC, entity_kind COLLATE \"C\", entity COLLATE \"C\" LIMIT ");
        query.push_bind(i64::try_from(self.wanted()).unwrap_or(i64::MAX));
        let rows: Vec<EntityRow> = query.build_query_as().fetch_all(&mut *connection).await?;
        let mut ranked: Vec<Ranked> = rows.into_iter().map(Ranked::from).collect();
        ranked.extend(self.ended(connection).await?);
        Ok(ranked)
    }

    fn is_wanted(&self, ranked: &Ranked) -> bool {
        self.lowest().is_none_or(|lowest| ranked.sort_key >= lowest)
            && self.request.after.as_ref().is_none_or(|after| ranked.is_after(after))
    }

    /// Entities of which a weight has ended by itself since they were written, with the factor that is left; the
    /// first of them.
    async fn ended(&self, connection: &mut PgConnection) -> Result<Vec<Ranked>, ReadError> {
        let names = self.names_of_ended(connection).await?;
        let (began, mut top) = (Instant::now(), Vec::new());
        for some in names.chunks(AT_A_TIME) {
            if began.elapsed() > STATEMENT_TIMEOUT {
                return Err(ReadError::TooMuch(TOO_MANY_ENDED));
            }
            let rows = self.rows_of(connection, some).await?;
            let names: Vec<OwnedName> =
                rows.iter().map(|row| (row.entity_kind.clone(), row.entity.clone())).collect();
            let weights = weights_of(connection, self.tenant, &names).await?;
            for (row, weights) in rows.into_iter().zip(weights) {
                self.keep(&mut top, self.without_ended(row, &weights));
            }
        }
        Ok(top)
    }

    async fn names_of_ended(&self, connection: &mut PgConnection) -> Result<Vec<OwnedName>, ReadError> {
        let mut query = self.select("entity_kind, entity");
        query.push(" AND factor_until <= ").push_bind(self.at);
        query.push(" LIMIT ").push_bind(MAX_CHANGED + 1);
        let names: Vec<OwnedName> = query.build_query_as().fetch_all(connection).await?;
        let too_many = i64::try_from(names.len()).is_ok_and(|count| count > MAX_CHANGED);
        if too_many { Err(ReadError::TooMuch(TOO_MANY_ENDED)) } else { Ok(names) }
    }

    async fn rows_of(
        &self,
        connection: &mut PgConnection,
        names: &[OwnedName],
    ) -> Result<Vec<EntityRow>, ReadError> {
        let (kinds, ids): (Vec<String>, Vec<String>) = names.iter().cloned().unzip();
        let mut query = QueryBuilder::new("SELECT ");
        query.push(columns()).push(" FROM entity_risk WHERE tenant_id = ");
        query.push_bind(self.tenant.as_str().to_owned());
        query.push(" AND (entity_kind, entity) IN (SELECT * FROM unnest(").push_bind(kinds);
        query.push("::text[], ").push_bind(ids).push("::text[]))");
        Ok(query.build_query_as().fetch_all(connection).await?)
    }

    /// The entity with the factor of the weights that have not ended.
    fn without_ended(&self, mut row: EntityRow, weights: &[Weight]) -> Ranked {
        let left = i32::try_from(factor(weights, self.view()).thousandths).unwrap_or(i32::MAX);
        row.risk.sort_key += (f64::from(left) / f64::from(row.risk.factor_thousandths.max(1))).log2();
        row.risk.factor_thousandths = left;
        Ranked::from(row)
    }

    /// Entities of which something has become known since the instant, by what was known then; the first of them.
    async fn changed_since(&self, connection: &mut PgConnection) -> Result<Vec<Ranked>, ReadError> {
        let since = Since { tenant: self.tenant, at: self.at, kind: self.request.filter.kind };
        let mut changed = since.changed(connection).await?;
        let (mut top, view) = (Vec::new(), self.view());
        while let Some(known) = changed.next(connection).await? {
            let work = move || -> Vec<Ranked> {
                known.into_iter().map(|(name, facts)| ranked(name, &facts, view)).collect()
            };
            for ranked in computed(work).await? {
                self.keep(&mut top, ranked);
            }
        }
        Ok(top)
    }

    /// Keeps what may be on the page; now and then what cannot be is let go.
    fn keep(&self, top: &mut Vec<Ranked>, ranked: Ranked) {
        if !ranked.sort_key.is_finite() || !self.is_wanted(&ranked) {
            return;
        }
        top.push(ranked);
        if top.len() > 4 * self.wanted() {
            top.sort_by(Ranked::order);
            top.truncate(self.wanted());
        }
    }
}

fn ranked((kind, id): OwnedName, facts: &EntityFacts, view: View) -> Ranked {
    let assessment = facts.assess(view);
    let top_rules = top_rules(&assessment);
    let thousandths = u32::try_from(assessment.factor.thousandths).unwrap_or(u32::MAX);
    let entity = EntityRisk {
        kind,
        id,
        score: 0.0,
        level: String::new(),
        factor: f64::from(thousandths) / 1000.0,
        signals: assessment.signals(),
        rules: i32::try_from(assessment.contributions.len()).unwrap_or(i32::MAX),
        first_at: assessment.contributions.iter().map(|contribution| contribution.first_at).min(),
        last_at: assessment.contributions.iter().map(|contribution| contribution.last_at).max(),
        top_rules,
    };
    Ranked { sort_key: assessment.sort_key(), newest_hour: assessment.newest_hour, entity }
}
