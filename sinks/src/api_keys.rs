//! API keys as they are stored. For operators' connections: `postgres::operator_pool`.

use rand::{TryRngCore, rngs::OsRng};
use schemas::{
    TenantId, Timestamp,
    access::{ApiKey, NewApiKey, Pepper, Scope},
};
use secrecy::SecretString;
use sqlx::{FromRow, PgPool};

/// What a new key is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    /// The tenant it speaks for.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// A key that was just made: the only moment its secret exists in clear.
#[derive(Debug)]
pub struct CreatedKey {
    /// The key as stored.
    pub key: ApiKey,
    /// What is shown to its owner, once.
    pub token: SecretString,
}

/// Why a key was not made, or the keys not read.
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
        /// What is wrong.
        why: String,
    },
    /// Postgres refused or does not answer.
    #[error("the database did not do it")]
    Database(#[from] sqlx::Error),
}

/// Makes a key and stores all of it but its secret.
pub async fn create(pool: &PgPool, pepper: &Pepper, request: &KeyRequest) -> Result<CreatedKey, KeyError> {
    let mut random = [0; 64];
    OsRng.try_fill_bytes(&mut random).map_err(|error| KeyError::Random(error.to_string()))?;
    let made = NewApiKey::generate(pepper, &random);
    let row: KeyRow = sqlx::query_as(
        "INSERT INTO api_key (id, tenant_id, name, scopes, secret_hmac) VALUES ($1, $2, $3, $4, $5)
         RETURNING id, tenant_id, name, scopes, secret_hmac, created_at, revoked_at",
    )
    .bind(&made.id)
    .bind(request.tenant.as_str())
    .bind(&request.name)
    .bind(request.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>())
    .bind(made.secret_hmac.as_slice())
    .fetch_one(pool)
    .await?;
    Ok(CreatedKey { key: row.into_key()?, token: made.token })
}

/// All keys, also the revoked ones, oldest first.
pub async fn list(pool: &PgPool) -> Result<Vec<ApiKey>, KeyError> {
    let rows: Vec<KeyRow> = sqlx::query_as(
        "SELECT id, tenant_id, name, scopes, secret_hmac, created_at, revoked_at FROM api_key
          ORDER BY created_at, id",
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(KeyRow::into_key).collect()
}

/// The keys that work now. One that this version cannot read is left out and named in the log: it must not lock the
/// others out.
pub async fn load_all(pool: &PgPool) -> Result<Vec<ApiKey>, KeyError> {
    let rows: Vec<KeyRow> = sqlx::query_as(
        "SELECT id, tenant_id, name, scopes, secret_hmac, created_at, revoked_at FROM api_key
          WHERE revoked_at IS NULL",
    )
    .fetch_all(pool)
    .await?;
    let readable = |row: KeyRow| {
        row.into_key().inspect_err(|error| tracing::warn!(%error, "an API key is left out")).ok()
    };
    Ok(rows.into_iter().filter_map(readable).collect())
}

/// Ends a key; false if there is none of that id that still works.
pub async fn revoke(pool: &PgPool, id: &str) -> Result<bool, KeyError> {
    let done = sqlx::query("UPDATE api_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL")
        .bind(id)
        .execute(pool)
        .await?;
    Ok(done.rows_affected() == 1)
}

#[derive(FromRow)]
struct KeyRow {
    id: String,
    tenant_id: String,
    name: String,
    scopes: Vec<String>,
    secret_hmac: Vec<u8>,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
}

impl KeyRow {
    fn into_key(self) -> Result<ApiKey, KeyError> {
        let malformed = |why: String| KeyError::Malformed { id: self.id.clone(), why };
        let scope = |name: &String| {
            Scope::from_name(name).ok_or_else(|| malformed(format!("scope {name:?} is unknown")))
        };
        let scopes = self.scopes.iter().map(scope).collect::<Result<_, _>>()?;
        let tenant = TenantId::new(&self.tenant_id).map_err(|error| malformed(error.to_string()))?;
        let secret_hmac = self.secret_hmac.as_slice().try_into();
        let secret_hmac = secret_hmac.map_err(|_| malformed("its hash is not 32 bytes long".into()))?;
        let Self { id, name, created_at, revoked_at, .. } = self;
        Ok(ApiKey { id, tenant, name, scopes, secret_hmac, created_at, revoked_at })
    }
}
