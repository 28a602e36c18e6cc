//! Entities of which something has become known since an instant, by what was known then.

use std::time::Instant;

use projections::risk::{EntityFacts, Weight, hour_of};
use schemas::{TenantId, Timestamp, changes::risk::EntityKind};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::super::{
    entity_facts::{EntityKey, Wanted, load},
    rules::Rules,
};
use crate::read_models::snapshot::{ReadError, STATEMENT_TIMEOUT};

/// Most entities that one query assesses again; with more, a later instant must be requested.
pub(super) const MAX_CHANGED: i64 = 100_000;
/// Entities whose facts are in memory at a time.
pub(super) const AT_A_TIME: usize = 500;
/// Advice where too much has changed since an instant.
const ASK_LATER: &str = "too much has become known since as_of; ask for a later as_of, or for one kind";

/// Kind and id.
pub(super) type OwnedName = (String, String);

/// Adds a query for the entities about which a decision was made since an instant.
pub(super) fn push_decided_since(query: &mut QueryBuilder<Postgres>, tenant: &TenantId, at: Timestamp) {
    query.push("SELECT entity_kind, entity FROM risk_weight WHERE tenant_id = ");
    query.push_bind(tenant.as_str().to_owned()).push(" AND decided_at > ").push_bind(at);
    query.push(" UNION SELECT entity_kind, entity FROM risk_triage WHERE tenant_id = ");
    query.push_bind(tenant.as_str().to_owned()).push(" AND decided_at > ").push_bind(at);
}

/// Selection of entities that changed: tenant, time and kind.
pub(super) struct Since<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) at: Timestamp,
    pub(super) kind: Option<EntityKind>,
}

impl Since<'_> {
    /// The entities, to be visited some at a time.
    pub(super) async fn changed(&self, connection: &mut PgConnection) -> Result<Changed<'_>, ReadError> {
        let names = self.names(connection).await?;
        Ok(Changed { since: self, names, visited: 0, began: Instant::now() })
    }

    async fn names(&self, connection: &mut PgConnection) -> Result<Vec<OwnedName>, ReadError> {
        let mut query = QueryBuilder::new("SELECT entity_kind, entity FROM (");
        query.push("SELECT entity_kind, entity FROM entity_risk WHERE tenant_id = ");
        query.push_bind(self.tenant.as_str().to_owned());
        query.push(" AND newest_hour > ").push_bind(hour_of(self.at)).push(" UNION ");
        push_decided_since(&mut query, self.tenant, self.at);
        query.push(") AS changed");
        if let Some(kind) = self.kind {
            query.push(" WHERE entity_kind = ").push_bind(kind.name());
        }
        query.push(" LIMIT ").push_bind(MAX_CHANGED + 1);
        let names: Vec<OwnedName> = query.build_query_as().fetch_all(connection).await?;
        let too_many = i64::try_from(names.len()).is_ok_and(|count| count > MAX_CHANGED);
        if too_many { Err(ReadError::TooMuch(ASK_LATER)) } else { Ok(names) }
    }
}

/// Entities that are visited some at a time, so that there may be many of them.
pub(super) struct Changed<'a> {
    since: &'a Since<'a>,
    names: Vec<OwnedName>,
    visited: usize,
    began: Instant,
}

impl Changed<'_> {
    /// The next ones, each with what was known of it at the instant. Fails once visiting takes too long.
    pub(super) async fn next(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Option<Vec<(OwnedName, EntityFacts)>>, ReadError> {
        let left = &self.names[self.visited..];
        let some = &left[..left.len().min(AT_A_TIME)];
        if some.is_empty() {
            return Ok(None);
        }
        if self.began.elapsed() > STATEMENT_TIMEOUT {
            return Err(ReadError::TooMuch(ASK_LATER));
        }
        let facts = facts_of(connection, self.since.tenant, some, self.since.at).await?;
        let known = some.iter().cloned().zip(facts).collect();
        self.visited += some.len();
        Ok(Some(known))
    }
}

/// All that was known of entities at an instant.
async fn facts_of(
    connection: &mut PgConnection,
    tenant: &TenantId,
    names: &[OwnedName],
    until: Timestamp,
) -> Result<Vec<EntityFacts>, ReadError> {
    let wanted: Vec<Wanted<'_>> =
        names.iter().map(|(kind, id)| Wanted::all(EntityKey { tenant: tenant.as_str(), kind, id })).collect();
    Ok(load(connection, &mut Rules::default(), &wanted, Some(until)).await?)
}

/// The decisions about the entities' weights, of each entity in the same order.
pub(super) async fn weights_of(
    connection: &mut PgConnection,
    tenant: &TenantId,
    names: &[OwnedName],
) -> Result<Vec<Vec<Weight>>, ReadError> {
    let tenant = tenant.as_str();
    let entities = names.iter().map(|(kind, id)| EntityKey { tenant, kind, id });
    let wanted: Vec<Wanted<'_>> =
        entities.map(|entity| Wanted { entity, from_hour: None, weights: true, triages: false }).collect();
    let known = load(connection, &mut Rules::default(), &wanted, None).await?;
    Ok(known.into_iter().map(|facts| facts.weights).collect())
}
