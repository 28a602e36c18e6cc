//! Logins of the services, each with the roles that its process takes on and no other.

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, postgres::PgConnectOptions};

use super::MigrateError;
use crate::session::connect_admin;

/// A process of the pipeline, as Postgres knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// `weir run gateway`: credentials, limits, use; one tenant's budgets at a time.
    Gateway,
    /// `weir run query-api`: the same, and one tenant's read models at a time.
    QueryApi,
    /// `weir run` with stages and sinks: facts, read models and positions of all tenants.
    Stages,
}

impl Login {
    /// Every login.
    pub const ALL: [Self; 3] = [Self::Gateway, Self::QueryApi, Self::Stages];

    /// The login's name in the whole server.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "weir_gateway",
            Self::QueryApi => "weir_query_api",
            Self::Stages => "weir_stages",
        }
    }

    /// The roles that its connections take on with `SET ROLE`.
    const fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Gateway => &["weir_service", "weir_decisions"],
            Self::QueryApi => &["weir_service", "weir_reader"],
            Self::Stages => &["weir_writer"],
        }
    }
}

/// Makes these logins with their passwords, or gives those that are there new ones. To be called once the
/// database is [migrated](super::migrate()), by a role that may create roles. By themselves they may do
/// nothing.
pub async fn make_logins(admin_url: &str, logins: &[(Login, SecretString)]) -> Result<(), MigrateError> {
    if logins.is_empty() {
        return Ok(());
    }
    let mut connection = connect_admin(admin_url).await?;
    let mut transaction = connection.begin().await?;
    // Passwords stand in the statements; only a superuser may keep those out of the server's log.
    let quiet = "SELECT set_config(name, value, true)
                   FROM (VALUES ('log_statement', 'none'), ('log_min_duration_statement', '-1'),
                                ('log_min_error_statement', 'panic')) AS quiet(name, value)
                  WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)";
    transaction.execute(quiet).await?;
    transaction.execute("SELECT pg_advisory_xact_lock(hashtext('weir_logins'))").await?;
    for (login, password) in logins {
        let statement: String = sqlx::query_scalar(
            "SELECT format('%s ROLE %I LOGIN NOINHERIT PASSWORD %L',
                           CASE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = $1) THEN 'ALTER' ELSE 'CREATE' END,
                           $1, $2)",
        )
        .bind(login.name())
        .bind(password.expose_secret())
        .fetch_one(&mut *transaction)
        .await?;
        transaction.execute(AssertSqlSafe(statement)).await?;
        let granted = format!("GRANT {} TO {}", login.roles().join(", "), login.name());
        transaction.execute(AssertSqlSafe(granted)).await?;
    }
    transaction.commit().await?;
    Ok(connection.close().await?)
}

/// The database's URL as this login connects to it.
pub fn login_url(database_url: &str, login: Login, password: &SecretString) -> sqlx::Result<String> {
    let options = database_url.parse::<PgConnectOptions>()?;
    Ok(options.username(login.name()).password(password.expose_secret()).to_url_lossy().to_string())
}
