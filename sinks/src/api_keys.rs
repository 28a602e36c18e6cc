//! API keys as they are stored. For operators' connections: `postgres::operator_pool`.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use ipnet::IpNet;
use rand::{TryRngCore, rngs::OsRng};
use schemas::{
    TenantId, Timestamp,
    access::{ApiKey, NewApiKey, Pepper, Scope},
};
use secrecy::SecretString;
use sqlx::{FromRow, PgConnection, PgPool};

/// Age after which a key's last use is stored again.
const LAST_USE_AGE: TimeDelta = TimeDelta::minutes(30);

/// Request for a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    /// The tenant it speaks for.
    pub tenant: TenantId,
    /// Name for people.
    pub name: String,
    /// Scopes that the key grants.
    pub scopes: Vec<Scope>,
    /// Time at which it expires, if it does.
    pub expires_at: Option<Timestamp>,
    /// The `CloudEvents` sources that it may publish for; empty for all.
    pub sources: Vec<String>,
    /// The networks that it may be used from; empty for all.
    pub networks: Vec<IpNet>,
}

/// A key that was just made: the only moment its secret exists in clear.
#[derive(Debug)]
pub struct CreatedKey {
    /// The key as stored.
    pub key: ApiKey,
    /// The token, shown to its owner once.
    pub token: SecretString,
}

/// A key and its successor.
#[derive(Debug)]
pub struct RotatedKey {
    /// The successor.
    pub made: CreatedKey,
    /// Time at which the old key expires.
    pub old_until: Timestamp,
}

/// Error of creating a key or of reading the stored keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(String),
    /// A stored key cannot be one, for example because a later version added a scope.
    #[error("key {id}: {why}")]
    Malformed {
        /// The key's id.
        id: String,
        /// Description of the fault.
        why: String,
    },
    /// Postgres refused or does not answer.
    #[error("the database refused or is unreachable")]
    Database(#[from] sqlx::Error),
}

/// A key as every statement here reads it.
macro_rules! key_columns {
    () => {
        "id, succeeds, tenant_id, name, scopes, secret_hmac, created_at, revoked_at, expires_at, last_used_at, sources, networks"
    };
}

/// Creates a key and stores all of it but its secret.
pub async fn create(
    connection: &mut PgConnection,
    pepper: &Pepper,
    request: &KeyRequest,
) -> Result<CreatedKey, KeyError> {
    insert(connection, pepper, request, None).await
}

/// Stores a new key, which succeeds the key of that id if one is given.
async fn insert(
    connection: &mut PgConnection,
    pepper: &Pepper,
    request: &KeyRequest,
    succeeds: Option<&str>,
) -> Result<CreatedKey, KeyError> {
    let mut random = [0; 64];
    OsRng.try_fill_bytes(&mut random).map_err(|error| KeyError::Random(error.to_string()))?;
    let made = NewApiKey::generate(pepper, &random);
    let row: KeyRow = sqlx::query_as(concat!(
        "INSERT INTO api_key (id, tenant_id, name, scopes, secret_hmac, expires_at, sources, networks, succeeds)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         RETURNING ",
        key_columns!()
    ))
    .bind(&made.id)
    .bind(request.tenant.as_str())
    .bind(&request.name)
    .bind(request.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>())
    .bind(made.secret_hmac.as_slice())
    .bind(request.expires_at)
    .bind(&request.sources)
    .bind(request.networks.iter().map(ToString::to_string).collect::<Vec<_>>())
    .bind(succeeds)
    .fetch_one(connection)
    .await?;
    Ok(CreatedKey { key: row.into_key()?, token: made.token })
}

/// Creates a key like that one, held by the same holder, and lets the old one expire at the given time, or earlier if it expires
/// before. `None` if there is no key of that id that still works.
pub async fn rotate(
    connection: &mut PgConnection,
    pepper: &Pepper,
    id: &str,
    old_until: Timestamp,
    new_until: Option<Timestamp>,
) -> Result<Option<RotatedKey>, KeyError> {
    let row: Option<KeyRow> = sqlx::query_as(concat!(
        "UPDATE api_key SET expires_at = LEAST(expires_at, $2)
          WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
         RETURNING ",
        key_columns!()
    ))
    .bind(id)
    .bind(old_until)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(old) = row.map(KeyRow::into_key).transpose()? else { return Ok(None) };
    let ApiKey { id, succeeds, tenant, name, scopes, sources, networks, expires_at, .. } = old;
    let first = succeeds.unwrap_or(id);
    let request = KeyRequest { tenant, name, scopes, expires_at: new_until, sources, networks };
    let made = insert(connection, pepper, &request, Some(&first)).await?;
    Ok(Some(RotatedKey { made, old_until: expires_at.unwrap_or(old_until) }))
}

/// All keys, also the revoked ones, oldest first.
pub async fn list(pool: &PgPool) -> Result<Vec<ApiKey>, KeyError> {
    let rows: Vec<KeyRow> =
        sqlx::query_as(concat!("SELECT ", key_columns!(), " FROM api_key ORDER BY created_at, id"))
            .fetch_all(pool)
            .await?;
    rows.into_iter().map(KeyRow::into_key).collect()
}

/// The valid keys, and those that ended within 90 days, to attribute refused tokens. One that this version
/// cannot read is left out and named in the log: it must not lock the others out.
pub async fn load_all(pool: &PgPool) -> Result<Vec<ApiKey>, KeyError> {
    let rows: Vec<KeyRow> = sqlx::query_as(concat!(
        "SELECT ",
        key_columns!(),
        " FROM api_key
          WHERE (revoked_at IS NULL OR revoked_at > now() - interval '90 days')
            AND (expires_at IS NULL OR expires_at > now() - interval '90 days')"
    ))
    .fetch_all(pool)
    .await?;
    let readable = |row: KeyRow| {
        row.into_key()
            .inspect_err(|error| tracing::warn!(%error, "ignoring a stored API key that is not valid"))
            .ok()
    };
    Ok(rows.into_iter().filter_map(readable).collect())
}

/// Revokes a key; `None` if no valid key has that id.
pub async fn revoke(connection: &mut PgConnection, id: &str) -> Result<Option<ApiKey>, KeyError> {
    let row: Option<KeyRow> = sqlx::query_as(concat!(
        "UPDATE api_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING ",
        key_columns!()
    ))
    .bind(id)
    .fetch_optional(connection)
    .await?;
    row.map(KeyRow::into_key).transpose()
}

/// Writes down that these keys were used, unless that was written lately.
pub async fn mark_used(pool: &PgPool, ids: &BTreeSet<String>, now: Timestamp) -> Result<(), KeyError> {
    sqlx::query(
        "UPDATE api_key SET last_used_at = $2
          WHERE id = ANY ($1) AND (last_used_at IS NULL OR last_used_at < $3)",
    )
    .bind(ids.iter().map(String::as_str).collect::<Vec<_>>())
    .bind(now)
    .bind(now - LAST_USE_AGE)
    .execute(pool)
    .await?;
    Ok(())
}

#[derive(FromRow)]
struct KeyRow {
    id: String,
    succeeds: Option<String>,
    tenant_id: String,
    name: String,
    scopes: Vec<String>,
    secret_hmac: Vec<u8>,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    sources: Vec<String>,
    networks: Vec<String>,
}

impl KeyRow {
    fn into_key(self) -> Result<ApiKey, KeyError> {
        let malformed = |why: String| KeyError::Malformed { id: self.id.clone(), why };
        let scope = |name: &String| {
            Scope::from_name(name).ok_or_else(|| malformed(format!("scope {name:?} is unknown")))
        };
        let network = |text: &String| text.parse().map_err(|_| malformed(format!("{text:?} is no network")));
        let scopes = self.scopes.iter().map(scope).collect::<Result<_, _>>()?;
        let networks = self.networks.iter().map(network).collect::<Result<_, _>>()?;
        let tenant = TenantId::new(&self.tenant_id).map_err(|error| malformed(error.to_string()))?;
        let secret_hmac = self.secret_hmac.as_slice().try_into();
        let secret_hmac = secret_hmac.map_err(|_| malformed("its hash is not 32 bytes long".into()))?;
        Ok(ApiKey {
            id: self.id,
            succeeds: self.succeeds,
            tenant,
            name: self.name,
            scopes,
            secret_hmac,
            created_at: self.created_at,
            revoked_at: self.revoked_at,
            expires_at: self.expires_at,
            last_used_at: self.last_used_at,
            sources: self.sources,
            networks,
        })
    }
}
