//! Entities of which something has become known since an instant, by what was known then.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use schemas::{TenantId, Timestamp, changes::risk::EntityKind};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use super::super::{
    assessment::{Exposure, View, Weight, hour_of},
    entity_facts::{EntityFacts, Triage},
};
use crate::read_models::snapshot::ReadError;

/// Kind and id.
pub(super) type EntityName = (String, String);

/// Adds a question for the entities about which something was decided since an instant.
pub(super) fn push_decided_since(query: &mut QueryBuilder<Postgres>, tenant: &TenantId, at: Timestamp) {
    query.push("SELECT entity_kind, entity FROM risk_weight WHERE tenant_id = ");
    query.push_bind(tenant.as_str().to_owned()).push(" AND decided_at > ").push_bind(at);
    query.push(" UNION SELECT entity_kind, entity FROM risk_triage WHERE tenant_id = ");
    query.push_bind(tenant.as_str().to_owned()).push(" AND decided_at > ").push_bind(at);
}

/// Whose entities, since when, and of which kind.
pub(super) struct Since<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) at: Timestamp,
    pub(super) kind: Option<EntityKind>,
}

impl Since<'_> {
    /// Visits the entities one at a time, so that there may be any number of them.
    pub(super) async fn each(
        &self,
        connection: &mut PgConnection,
        mut visit: impl FnMut(EntityName, &EntityFacts),
    ) -> Result<(), ReadError> {
        // Now, there are none but for wrong clocks: then nothing else is asked.
        if !self.are_any(connection).await? {
            return Ok(());
        }
        let view = View::as_of(self.at);
        let mut decided = Decided {
            weights: weights(connection, self.tenant, view).await?,
            triages: triages(connection, self.tenant, view).await?,
        };
        let mut query = self.exposures();
        let mut rows = query.build_query_as::<ExposureRow>().fetch(connection);
        let mut current: Option<(EntityName, EntityFacts)> = None;
        while let Some(row) = rows.try_next().await? {
            let (name, exposure) = ((row.entity_kind, row.entity), row.exposure);
            match &mut current {
                Some((known, facts)) if *known == name => facts.exposures.push(exposure),
                _ => {
                    let facts = EntityFacts { exposures: vec![exposure], ..decided.take(&name) };
                    if let Some((name, facts)) = current.replace((name, facts)) {
                        visit(name, &facts);
                    }
                }
            }
        }
        if let Some((name, facts)) = current {
            visit(name, &facts);
        }
        Ok(())
    }

    async fn are_any(&self, connection: &mut PgConnection) -> Result<bool, ReadError> {
        let mut query = QueryBuilder::new("SELECT EXISTS (");
        self.push_changed(&mut query);
        query.push(")");
        Ok(query.build_query_scalar().fetch_one(connection).await?)
    }

    fn push_changed(&self, query: &mut QueryBuilder<Postgres>) {
        query.push("SELECT entity_kind, entity FROM entity_risk WHERE tenant_id = ");
        query.push_bind(self.tenant.as_str().to_owned());
        query.push(" AND newest_hour > ").push_bind(hour_of(self.at)).push(" UNION ");
        push_decided_since(query, self.tenant, self.at);
    }

    /// Their exposures up to the instant, one entity after the other.
    fn exposures(&self) -> QueryBuilder<Postgres> {
        let mut query = QueryBuilder::new(
            "SELECT entity_kind, entity, rule_id, rule_title, level, hour, micronats, signals, first_at, last_at,
                    '{}'::text[] AS tactics, '{}'::text[] AS techniques
               FROM risk_exposure WHERE tenant_id = ",
        );
        query.push_bind(self.tenant.as_str().to_owned());
        if let Some(kind) = self.kind {
            query.push(" AND entity_kind = ").push_bind(kind.name());
        }
        query.push(" AND hour <= ").push_bind(hour_of(self.at));
        query.push(" AND (entity_kind, entity) IN (");
        self.push_changed(&mut query);
        query.push(") ORDER BY entity_kind, entity, rule_id, dedupe_key, hour");
        query
    }
}

/// What was decided about entities.
struct Decided {
    weights: HashMap<EntityName, Vec<Weight>>,
    triages: HashMap<EntityName, Vec<Triage>>,
}

impl Decided {
    fn take(&mut self, name: &EntityName) -> EntityFacts {
        EntityFacts {
            exposures: Vec::new(),
            weights: self.weights.remove(name).unwrap_or_default(),
            triages: self.triages.remove(name).unwrap_or_default(),
        }
    }
}

#[derive(FromRow)]
struct ExposureRow {
    entity_kind: String,
    entity: String,
    #[sqlx(flatten)]
    exposure: Exposure,
}

#[derive(FromRow)]
struct WeightRow {
    entity_kind: String,
    entity: String,
    #[sqlx(flatten)]
    weight: Weight,
}

/// The tenant's weights, by entity.
pub(super) async fn weights(
    connection: &mut PgConnection,
    tenant: &TenantId,
    view: View,
) -> Result<HashMap<EntityName, Vec<Weight>>, ReadError> {
    let rows: Vec<WeightRow> = sqlx::query_as(
        "SELECT entity_kind, entity, weight_source, decided_at, event_id, expires_at, factor_thousandths
           FROM risk_weight WHERE tenant_id = $1",
    )
    .bind(tenant.as_str())
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<EntityName, Vec<Weight>> = HashMap::new();
    for row in rows.into_iter().filter(|row| view.knows(row.weight.decided_at)) {
        found.entry((row.entity_kind, row.entity)).or_default().push(row.weight);
    }
    Ok(found)
}

#[derive(FromRow)]
struct TriageRow {
    entity_kind: String,
    entity: String,
    #[sqlx(flatten)]
    triage: Triage,
}

/// The tenant's decisions about incidents, by entity.
async fn triages(
    connection: &mut PgConnection,
    tenant: &TenantId,
    view: View,
) -> Result<HashMap<EntityName, Vec<Triage>>, ReadError> {
    let rows: Vec<TriageRow> = sqlx::query_as(
        "SELECT entity_kind, entity, incident_id, decided_at, event_id, decision, rules, reason, actor
           FROM risk_triage WHERE tenant_id = $1",
    )
    .bind(tenant.as_str())
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<EntityName, Vec<Triage>> = HashMap::new();
    for row in rows.into_iter().filter(|row| view.knows(row.triage.decided_at)) {
        found.entry((row.entity_kind, row.entity)).or_default().push(row.triage);
    }
    Ok(found)
}
