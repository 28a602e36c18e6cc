//! What is known of entities: their exposures and what was decided about them, read together.

use projections::risk::{EntityFacts, Exposure, MAX_DECISIONS, Triage, Weight, hour_of};
use schemas::Timestamp;
use sqlx::{PgConnection, Row, postgres::PgRow};

/// Names an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntityKey<'a> {
    pub(super) tenant: &'a str,
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
}

/// Keys as columns.
pub(super) struct Keys<'a> {
    pub(super) tenants: Vec<&'a str>,
    pub(super) kinds: Vec<&'a str>,
    pub(super) ids: Vec<&'a str>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(entities: &[EntityKey<'a>]) -> Self {
        Self {
            tenants: entities.iter().map(|entity| entity.tenant).collect(),
            kinds: entities.iter().map(|entity| entity.kind).collect(),
            ids: entities.iter().map(|entity| entity.id).collect(),
        }
    }
}

/// Which facts about entities are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) entities: &'a [EntityKey<'a>],
    /// By entity, the first hour of exposures.
    pub(super) from_hours: &'a [i64],
    /// Nothing that happened after this instant.
    pub(super) until: Option<Timestamp>,
}

impl Wanted<'_> {
    /// These facts, by entity: exposures, and of weights and triages the newest [`MAX_DECISIONS`] each.
    pub(super) async fn load(&self, connection: &mut PgConnection) -> sqlx::Result<Vec<EntityFacts>> {
        let mut loaded = vec![EntityFacts::default(); self.entities.len()];
        self.load_exposures(connection, &mut loaded).await?;
        self.load_weights(connection, &mut loaded).await?;
        self.load_triages(connection, &mut loaded).await?;
        Ok(loaded)
    }

    async fn load_exposures(
        &self,
        connection: &mut PgConnection,
        loaded: &mut [EntityFacts],
    ) -> sqlx::Result<()> {
        let keys = Keys::of(self.entities);
        let rows = sqlx::query(
            "SELECT a.nth, x.rule_id, x.rule_title, x.level, x.hour, x.micronats, x.signals, x.first_at, x.last_at,
                    x.tactics, x.techniques
               FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
                      WITH ORDINALITY AS a(tenant_id, entity_kind, entity, from_hour, nth)
               JOIN risk_exposure AS x USING (tenant_id, entity_kind, entity)
              WHERE x.hour >= a.from_hour AND ($5::bigint IS NULL OR x.hour <= $5)
              ORDER BY a.nth, x.rule_id COLLATE \"C\", x.dedupe_key COLLATE \"C\", x.hour",
        )
        .bind(&keys.tenants)
        .bind(&keys.kinds)
        .bind(&keys.ids)
        .bind(self.from_hours)
        .bind(self.until.map(hour_of))
        .fetch_all(connection)
        .await?;
        for row in &rows {
            of_entity(loaded, row)?.exposures.push(Exposure {
                rule_id: row.try_get("rule_id")?,
                rule_title: row.try_get("rule_title")?,
                level: row.try_get("level")?,
                hour: row.try_get("hour")?,
                micronats: row.try_get("micronats")?,
                signals: row.try_get("signals")?,
                first_at: row.try_get("first_at")?,
                last_at: row.try_get("last_at")?,
                tactics: row.try_get("tactics")?,
                techniques: row.try_get("techniques")?,
            });
        }
        Ok(())
    }

    async fn load_weights(
        &self,
        connection: &mut PgConnection,
        loaded: &mut [EntityFacts],
    ) -> sqlx::Result<()> {
        let keys = Keys::of(self.entities);
        let rows = sqlx::query(
            "SELECT a.nth, w.*
               FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS a(tenant_id, entity_kind, entity, nth)
              CROSS JOIN LATERAL (
                    SELECT w.weight_source, w.decided_at, w.event_id, w.expires_at, w.factor_thousandths
                      FROM risk_weight AS w
                     WHERE w.tenant_id = a.tenant_id AND w.entity_kind = a.entity_kind AND w.entity = a.entity
                       AND ($4::timestamptz IS NULL OR w.decided_at <= $4)
                     ORDER BY w.decided_at DESC, w.event_id DESC LIMIT $5) AS w
              ORDER BY a.nth, w.decided_at, w.event_id",
        )
        .bind(&keys.tenants)
        .bind(&keys.kinds)
        .bind(&keys.ids)
        .bind(self.until)
        .bind(max_decisions())
        .fetch_all(connection)
        .await?;
        for row in &rows {
            of_entity(loaded, row)?.weights.push(Weight {
                source: row.try_get("weight_source")?,
                decided_at: row.try_get("decided_at")?,
                event_id: row.try_get("event_id")?,
                expires_at: row.try_get("expires_at")?,
                factor_thousandths: row.try_get("factor_thousandths")?,
            });
        }
        Ok(())
    }

    async fn load_triages(
        &self,
        connection: &mut PgConnection,
        loaded: &mut [EntityFacts],
    ) -> sqlx::Result<()> {
        let keys = Keys::of(self.entities);
        let rows = sqlx::query(
            "SELECT a.nth, t.*
               FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS a(tenant_id, entity_kind, entity, nth)
              CROSS JOIN LATERAL (
                    SELECT t.incident_id, t.decided_at, t.event_id, t.decision, t.rules, t.reason, t.actor
                      FROM risk_triage AS t
                     WHERE t.tenant_id = a.tenant_id AND t.entity_kind = a.entity_kind AND t.entity = a.entity
                       AND ($4::timestamptz IS NULL OR t.decided_at <= $4)
                     ORDER BY t.decided_at DESC, t.event_id DESC LIMIT $5) AS t
              ORDER BY a.nth, t.decided_at, t.event_id",
        )
        .bind(&keys.tenants)
        .bind(&keys.kinds)
        .bind(&keys.ids)
        .bind(self.until)
        .bind(max_decisions())
        .fetch_all(connection)
        .await?;
        for row in &rows {
            of_entity(loaded, row)?.triages.push(Triage {
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

fn max_decisions() -> i64 {
    i64::try_from(MAX_DECISIONS).expect("small")
}

/// The facts of the entity whose place, counted from 1, is the row's `nth`.
fn of_entity<'l>(loaded: &'l mut [EntityFacts], row: &PgRow) -> sqlx::Result<&'l mut EntityFacts> {
    let nth: i64 = row.try_get("nth")?;
    let place = usize::try_from(nth - 1).ok().and_then(|place| loaded.get_mut(place));
    place.ok_or_else(|| sqlx::Error::Decode("a row of an entity that was not asked for".into()))
}
