//! Uses of credentials, and events about access, which a gateway publishes ([`crate::event_outbox`]). For connections of
//! `postgres::service_pool`.

use std::collections::HashMap;

use chrono::TimeDelta;
pub use edge::trail::{AccessEvent, Recording, Trail, Use};
use edge::trail::{roles_changed, signed_in};
use schemas::{TenantId, Timestamp, access::Principal};
use sqlx::{FromRow, PgConnection, PgPool};
use tracing::error;

use crate::session::{Failure, FailureKind};

/// A person or a service that was away for so long signs in anew.
const SESSION_GAP: TimeDelta = TimeDelta::hours(1);
/// Principals that were not seen for so long are forgotten.
const USE_IS_KEPT: TimeDelta = TimeDelta::days(400);
/// Principals that are listed at most.
const MAX_LISTED: i64 = 10_000;

/// A principal, and when it was let in.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct PrincipalUse {
    /// Tenant.
    pub tenant_id: String,
    /// A key's id, or the issuer and its subject.
    pub principal: String,
    /// `api_key`, `person` or `service`.
    pub kind: String,
    /// As events name it.
    pub actor: String,
    /// Name for people.
    pub actor_name: Option<String>,
    /// The issuer of its tokens.
    pub issuer: Option<String>,
    /// The roles that it had last.
    pub roles: Vec<String>,
    /// Its roles when it was last seen.
    pub scopes: Vec<String>,
    /// Client address of its last request.
    pub address: String,
    /// Time of its first admission.
    pub first_used_at: Timestamp,
    /// Time of its last admission, to some minutes.
    pub last_used_at: Timestamp,
}

/// Stored use of a principal.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
struct Before {
    tenant_id: String,
    principal: String,
    roles: Vec<String>,
    last_used_at: Timestamp,
}

/// Writes down who was let in, with the events that follow from it: the first use of a credential, a
/// sign-in after an hour without a request, and other roles than the last time. Replicas that see the same
/// principal make one event of it. A use that can never be stored is left out, with an error in the log: it
/// must not hold back those of others.
pub async fn note_uses(pool: &PgPool, uses: &[Use]) -> sqlx::Result<()> {
    let mut parts = vec![uses];
    while let Some(part) = parts.pop() {
        let Err(error) = note_together(pool, part).await else { continue };
        if let Some((Use { principal, .. }, why)) = halved(&mut parts, part, error)? {
            let (tenant, kind) = (principal.tenant(), principal.kind());
            error!(%tenant, kind, error = why, "the use of a credential cannot be stored; it is left out");
        }
    }
    Ok(())
}

/// Writes all of the uses, or none.
async fn note_together(pool: &PgPool, uses: &[Use]) -> sqlx::Result<()> {
    if uses.is_empty() {
        return Ok(());
    }
    let mut tx = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('principal_use'))").execute(&mut *tx).await?;
    let ids = |of: fn(&Use) -> String| uses.iter().map(of).collect::<Vec<_>>();
    let known: Vec<Before> = sqlx::query_as(
        "SELECT u.tenant_id, u.principal, u.roles, u.last_used_at
           FROM unnest($1::text[], $2::text[]) AS a(tenant_id, principal) JOIN principal_use AS u USING (tenant_id, principal)",
    )
    .bind(ids(|used| used.principal.tenant().to_string()))
    .bind(ids(|used| used.principal.id().into_owned()))
    .fetch_all(&mut *tx)
    .await?;
    let known: HashMap<(&str, &str), &Before> =
        known.iter().map(|before| ((before.tenant_id.as_str(), before.principal.as_str()), before)).collect();
    let before = |used: &Use| {
        let (tenant, id) = (used.principal.tenant().as_str(), used.principal.id());
        known.get(&(tenant, id.as_ref())).copied()
    };
    let events: Vec<AccessEvent> = uses.iter().flat_map(|used| told(used, before(used))).collect();
    upsert(&mut tx, uses).await?;
    insert(&mut tx, &events).await?;
    tx.commit().await
}

/// The events that follow from a use.
fn told(used: &Use, before: Option<&Before>) -> Vec<AccessEvent> {
    let Some(before) = before else { return vec![signed_in(used, true)] };
    let mut events = Vec::new();
    if matches!(*used.principal, Principal::ApiKey(_)) {
        return events;
    }
    if used.at - before.last_used_at > SESSION_GAP {
        events.push(signed_in(used, false));
    }
    if used.principal.actor().roles != before.roles {
        events.push(roles_changed(used, &before.roles));
    }
    events
}

async fn upsert(tx: &mut PgConnection, uses: &[Use]) -> sqlx::Result<()> {
    for used in uses {
        let actor = used.principal.actor();
        let scopes: Vec<&str> = used.principal.scopes().iter().map(|scope| scope.name()).collect();
        sqlx::query(
            "INSERT INTO principal_use AS u (tenant_id, principal, kind, actor, actor_name, issuer, roles, scopes, address,
                                             first_used_at, last_used_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
             ON CONFLICT (tenant_id, principal) DO UPDATE
                SET actor_name = excluded.actor_name, roles = excluded.roles, scopes = excluded.scopes,
                    address = excluded.address, last_used_at = greatest(u.last_used_at, excluded.last_used_at)",
        )
        .bind(used.principal.tenant().as_str())
        .bind(used.principal.id())
        .bind(used.principal.kind())
        .bind(&actor.id)
        .bind(&actor.name)
        .bind(&actor.account)
        .bind(&actor.roles)
        .bind(&scopes)
        .bind(used.address.to_string())
        .bind(used.at)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Keeps events until they are published: all of them, or none.
pub async fn keep(pool: &PgPool, events: &[AccessEvent]) -> sqlx::Result<()> {
    let mut connection = pool.acquire().await?;
    insert(&mut connection, events).await
}

/// Keeps events until they are published. One that can never be stored is left out, with an error in the log: it
/// must not hold back the others.
pub async fn keep_each(pool: &PgPool, events: &[AccessEvent]) -> sqlx::Result<()> {
    let mut parts = vec![events];
    while let Some(part) = parts.pop() {
        let Err(error) = keep(pool, part).await else { continue };
        if let Some((AccessEvent { id, tenant, .. }, why)) = halved(&mut parts, part, error)? {
            error!(%tenant, event_id = %id, error = why, "an access event cannot be stored; it is left out");
        }
    }
    Ok(())
}

/// Puts the halves of a part that can never be stored back among the parts. Of a part of one the item is returned, with the
/// reason; any other error is returned as such.
fn halved<'a, T>(
    parts: &mut Vec<&'a [T]>,
    part: &'a [T],
    error: sqlx::Error,
) -> sqlx::Result<Option<(&'a T, String)>> {
    let failure = Failure::of(&error);
    if !matches!(failure.kind, FailureKind::Rejected(_)) {
        return Err(error);
    }
    if let [item] = part {
        return Ok(Some((item, failure.message)));
    }
    let (first, second) = part.split_at(part.len() / 2);
    parts.extend([second, first]);
    Ok(None)
}

async fn insert(connection: &mut PgConnection, events: &[AccessEvent]) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let activity = |event: &AccessEvent| {
        serde_json::to_string(&event.activity).map_err(|error| sqlx::Error::Encode(Box::new(error)))
    };
    sqlx::query(
        "INSERT INTO access_event (tenant_id, event_id, occurred_at, correlation_id, activity, details)
         SELECT * FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[])
         ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(events.iter().map(|event| event.tenant.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| *event.id.as_uuid()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.occurred_at).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.correlation_id.as_deref()).collect::<Vec<_>>())
    .bind(events.iter().map(activity).collect::<Result<Vec<_>, _>>()?)
    .bind(events.iter().map(|event| event.details.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

/// Forgets principals that were not let in for 400 days.
pub async fn forget(pool: &PgPool, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM principal_use WHERE last_used_at < $1")
        .bind(now - USE_IS_KEPT)
        .execute(pool)
        .await
        .map(drop)
}

/// The principals that were let in, of one tenant or of all: by tenant, the last used first.
pub async fn list(pool: &PgPool, only: Option<&TenantId>) -> sqlx::Result<Vec<PrincipalUse>> {
    sqlx::query_as(
        "SELECT tenant_id, principal, kind, actor, actor_name, issuer, roles, scopes, address, first_used_at, last_used_at
           FROM principal_use WHERE $1::text IS NULL OR tenant_id = $1
          ORDER BY tenant_id, last_used_at DESC, principal LIMIT $2",
    )
    .bind(only.map(TenantId::as_str))
    .bind(MAX_LISTED)
    .fetch_all(pool)
    .await
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::Arc};

    use schemas::access::{KeyHolder, Role, TokenSubject};

    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_timestamp(1_767_323_040 + 60 * minutes, 0).expect("an instant")
    }

    fn used(principal: Principal, minutes: i64) -> Use {
        let (principal, address) = (Arc::new(principal), IpAddr::from([192, 0, 2, 1]));
        Use { principal, address, at: at(minutes) }
    }

    fn person(roles: &[Role]) -> Principal {
        Principal::Person(TokenSubject {
            issuer: "https://issuer.test".to_owned(),
            id: "mara".to_owned(),
            name: None,
            tenant: TenantId::new("acme").expect("a tenant"),
            roles: roles.to_vec(),
            scopes: Vec::new(),
            expires_at: at(0),
        })
    }

    fn key() -> Principal {
        Principal::ApiKey(KeyHolder {
            id: "key00001".to_owned(),
            succeeds: None,
            name: "ci".to_owned(),
            tenant: TenantId::new("acme").expect("a tenant"),
            scopes: Vec::new(),
            sources: Vec::new(),
        })
    }

    #[track_caller]
    fn check(principal: Principal, before: Option<(i64, &[&str])>, expected: &[&str]) {
        let before = before.map(|(minutes, roles)| Before {
            tenant_id: "acme".to_owned(),
            principal: String::new(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            last_used_at: at(minutes),
        });
        let events = told(&used(principal, 100), before.as_ref());
        let kinds: Vec<String> = events.iter().map(|event| format!("{:?}", event.activity.kind)).collect();
        assert_eq!(kinds, expected);
    }

    #[test]
    fn first_uses_sign_ins_and_other_roles_are_told_and_nothing_else() {
        check(key(), None, &["SignedIn"]);
        check(key(), Some((-9_999, &[])), &[]);
        check(person(&[Role::Viewer]), None, &["SignedIn"]);
        check(person(&[Role::Viewer]), Some((40, &["viewer"])), &[]);
        check(person(&[Role::Viewer]), Some((39, &["viewer"])), &["SignedIn"]);
        check(person(&[Role::Viewer]), Some((200, &["viewer"])), &[]);
        check(person(&[Role::Admin]), Some((99, &["viewer"])), &["PermissionChanged"]);
        check(person(&[Role::Admin]), Some((0, &[])), &["SignedIn", "PermissionChanged"]);
    }
}
