//! Facts about entities, read together: their exposures, and the decisions about them.

use std::sync::LazyLock;

use projections::risk::{EntityFacts, Exposure, KeyHazard, MAX_DECISIONS, Triage, Weight, hour_of};
use schemas::Timestamp;
use sqlx::{FromRow, PgConnection, Row, postgres::PgRow};

use super::{
    rules::Rules,
    table::{EntityHour, StoredExposure},
};

/// Exposures of entities, each from an hour on, up to another.
static EXPOSURES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT nth, {}
           FROM unnest($1::risk_entity[]) WITH ORDINALITY AS a(tenant_id, entity_kind, entity, from_hour, nth)
           JOIN risk_exposure USING (tenant_id, entity_kind, entity)
          WHERE hour >= from_hour AND ($2::bigint IS NULL OR hour <= $2)",
        StoredExposure::COLUMNS
    )
});

/// Names an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntityKey<'a> {
    pub(super) tenant: &'a str,
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
}

impl<'a> EntityKey<'a> {
    /// Asks for the entity, from an hour on.
    pub(super) fn asked(self, from_hour: i64) -> EntityHour<'a> {
        EntityHour { tenant_id: self.tenant, entity_kind: self.kind, entity: self.id, from_hour }
    }
}

/// An entity of which facts are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) entity: EntityKey<'a>,
    /// The first hour of exposures; `None` if they are known already.
    pub(super) from_hour: Option<i64>,
    /// Whether there may be decisions about its weight.
    pub(super) weights: bool,
    /// Whether there may be decisions about its incidents.
    pub(super) triages: bool,
}

impl<'a> Wanted<'a> {
    /// Everything about an entity.
    pub(super) fn all(entity: EntityKey<'a>) -> Self {
        Self { entity, from_hour: Some(i64::MIN), weights: true, triages: true }
    }
}

/// The facts that are wanted, in the same order: exposures where an hour is given, and of weights and triages the newest [`MAX_DECISIONS`] each.
/// With `until`, none that came after it.
pub(super) async fn load(
    connection: &mut PgConnection,
    rules: &mut Rules,
    wanted: &[Wanted<'_>],
    until: Option<Timestamp>,
) -> sqlx::Result<Vec<EntityFacts>> {
    let mut loaded = vec![EntityFacts::default(); wanted.len()];
    let read = Read { wanted, until };
    read.exposures(connection, rules, &mut loaded).await?;
    read.weights(connection, &mut loaded).await?;
    read.triages(connection, &mut loaded).await?;
    Ok(loaded)
}

struct Read<'a> {
    wanted: &'a [Wanted<'a>],
    until: Option<Timestamp>,
}

impl Read<'_> {
    /// The places of those entities of which this is wanted, and how they are asked for.
    fn asked(&self, is_wanted: impl Fn(&Wanted<'_>) -> bool) -> (Vec<usize>, Vec<EntityHour<'_>>) {
        let each = self.wanted.iter().enumerate().filter(|(_, wanted)| is_wanted(wanted));
        each.map(|(place, wanted)| (place, wanted.entity.asked(wanted.from_hour.unwrap_or(i64::MIN)))).unzip()
    }

    async fn exposures(
        &self,
        connection: &mut PgConnection,
        rules: &mut Rules,
        loaded: &mut [EntityFacts],
    ) -> sqlx::Result<()> {
        let (places, asked) = self.asked(|wanted| wanted.from_hour.is_some());
        if asked.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(EXPOSURES.as_str())
            .bind(asked)
            .bind(self.until.map(hour_of))
            .fetch_all(&mut *connection)
            .await?;
        let mut stored: Vec<(usize, StoredExposure)> = Vec::with_capacity(rows.len());
        for row in &rows {
            stored.push((place(row, &places)?, StoredExposure::from_row(row)?));
        }
        let tenant = |place: usize| self.wanted[place].entity.tenant;
        let keys = stored.iter().map(|(place, one)| (tenant(*place), one.rule_key)).collect();
        rules.read(connection, keys).await?;
        for (place, one) in stored {
            loaded[place].exposures.push(exposure(one, tenant(place), rules)?);
        }
        for facts in loaded {
            facts.exposures.sort_by(|a, b| (&a.rule.id, a.hour).cmp(&(&b.rule.id, b.hour)));
        }
        Ok(())
    }

    async fn weights(&self, connection: &mut PgConnection, loaded: &mut [EntityFacts]) -> sqlx::Result<()> {
        let (places, asked) = self.asked(|wanted| wanted.weights);
        if asked.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(
            "SELECT a.nth, w.*
               FROM unnest($1::risk_entity[]) WITH ORDINALITY AS a(tenant_id, entity_kind, entity, from_hour, nth)
              CROSS JOIN LATERAL (
                    SELECT w.weight_source, w.decided_at, w.event_id, w.expires_at, w.factor_thousandths
                      FROM risk_weight AS w
                     WHERE w.tenant_id = a.tenant_id AND w.entity_kind = a.entity_kind AND w.entity = a.entity
                       AND ($2::timestamptz IS NULL OR w.decided_at <= $2)
                     ORDER BY w.decided_at DESC, w.event_id DESC LIMIT $3) AS w
              ORDER BY a.nth, w.decided_at, w.event_id",
        )
        .bind(asked)
        .bind(self.until)
        .bind(max_decisions())
        .fetch_all(connection)
        .await?;
        for row in &rows {
            loaded[place(row, &places)?].weights.push(Weight {
                source: row.try_get("weight_source")?,
                decided_at: row.try_get("decided_at")?,
                event_id: row.try_get("event_id")?,
                expires_at: row.try_get("expires_at")?,
                factor_thousandths: row.try_get("factor_thousandths")?,
            });
        }
        Ok(())
    }

    async fn triages(&self, connection: &mut PgConnection, loaded: &mut [EntityFacts]) -> sqlx::Result<()> {
        let (places, asked) = self.asked(|wanted| wanted.triages);
        if asked.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(
            "SELECT a.nth, t.*
               FROM unnest($1::risk_entity[]) WITH ORDINALITY AS a(tenant_id, entity_kind, entity, from_hour, nth)
              CROSS JOIN LATERAL (
                    SELECT t.incident_id, t.decided_at, t.event_id, t.decision, t.rules, t.reason, t.actor
                      FROM risk_triage AS t
                     WHERE t.tenant_id = a.tenant_id AND t.entity_kind = a.entity_kind AND t.entity = a.entity
                       AND ($2::timestamptz IS NULL OR t.decided_at <= $2)
                     ORDER BY t.decided_at DESC, t.event_id DESC LIMIT $3) AS t
              ORDER BY a.nth, t.decided_at, t.event_id",
        )
        .bind(asked)
        .bind(self.until)
        .bind(max_decisions())
        .fetch_all(connection)
        .await?;
        for row in &rows {
            loaded[place(row, &places)?].triages.push(Triage {
                incident_id: row.try_get("incident_id")?,
                decided_at: row.try_get("decided_at")?,
                event_id: row.try_get("event_id")?,
                decision: row.try_get("decision")?,
                rules: row.try_get("rules")?,
                reason: row.try_get("reason")?,
                actor: row.try_get("actor")?,
            });
        }
        Ok(())
    }
}

/// An exposure as it is computed with.
fn exposure(stored: StoredExposure, tenant: &str, rules: &Rules) -> sqlx::Result<Exposure> {
    let hazards = stored.dedupe_keys.into_iter().zip(stored.key_micronats);
    Ok(Exposure {
        rule: rules.rule(tenant, stored.rule_key)?,
        hour: stored.hour,
        hazards: hazards.map(|(key, micronats)| KeyHazard { key, micronats }).collect(),
        signals: stored.signals,
        first_at: stored.first_at,
        last_at: stored.last_at,
        last_event_id: stored.last_event_id,
    })
}

fn max_decisions() -> i64 {
    i64::try_from(MAX_DECISIONS).expect("small")
}

/// Place of the entity that the row's `nth`, counted from 1, names among `places`.
pub(super) fn place(row: &PgRow, places: &[usize]) -> sqlx::Result<usize> {
    let nth: i64 = row.try_get("nth")?;
    let place = usize::try_from(nth - 1).ok().and_then(|nth| places.get(nth).copied());
    place.ok_or_else(|| sqlx::Error::Decode("a row of an entity that was not asked for".into()))
}
