//! Connections: who they are, and what they may wait for.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{SinkConfig, nodelay};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Facts about the database that a writer reads when it connects.
pub(crate) struct Session {
    pub(crate) connection: PgConnection,
    /// COPY FROM is refused where row-level security applies to the role, and stalls where small packets wait.
    pub(crate) may_copy: bool,
}

/// Connects a stage's writer: role `weir_writer`, nothing waits for ever, a frozen owner's locks are freed.
/// Refuses a server that is in recovery: what it holds may be behind, and it takes no writes.
pub(crate) async fn connect(config: &SinkConfig) -> sqlx::Result<Session> {
    let options = config.url.parse::<PgConnectOptions>()?;
    let options = options.application_name(&format!("weir-{}", config.stage)).options([
        ("statement_timeout", "10s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("synchronous_commit", "on"),
        ("default_transaction_isolation", "read committed"),
        ("TimeZone", "UTC"),
        // Rows are looked up by key. A plan that was made while the tables were empty would read all of them for ever.
        ("enable_seqscan", "off"),
    ]);
    let connecting = async {
        let mut connection = options.connect().await?;
        connection.execute("SET ROLE weir_writer").await?;
        let prompt = nodelay::set(&options).await;
        let row = connection
            .fetch_one("SELECT pg_is_in_recovery(), rolbypassrls OR rolsuper FROM pg_roles WHERE rolname = current_user")
            .await?;
        if row.try_get(0)? {
            let why = "the server is in recovery: it takes no writes";
            return Err(sqlx::Error::Io(std::io::Error::other(why)));
        }
        let bypasses: bool = row.try_get(1)?;
        Ok(Session { may_copy: bypasses && prompt, connection })
    };
    let late =
        |_| sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no connection within 5 s"));
    tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(late)?
}

/// A writer's connection for other uses than delivering, with the same settings.
pub(crate) async fn connect_writer(config: &SinkConfig) -> sqlx::Result<PgConnection> {
    connect(config).await.map(|session| session.connection)
}

/// Connections for operators: role `weir_operator`, which sees API keys, parked records and positions of all tenants, but
/// no audit rows. Connects when it is first used.
pub fn operator_pool(url: &str, max_connections: u32) -> sqlx::Result<PgPool> {
    pool_as("weir_operator", url, "weir-operator", max_connections)
}

/// Connections for services that authenticate: role `weir_service`, which checks credentials and counts use.
/// Connects when it is first used.
pub fn service_pool(url: &str, max_connections: u32) -> sqlx::Result<PgPool> {
    pool_as("weir_service", url, "weir-service", max_connections)
}

/// Connections for whoever decides about plans: role `weir_decisions`, which reads how one tenant's budgets stand at a time.
/// Connects when it is first used.
pub(crate) fn decisions_pool(url: &str, max_connections: u32) -> sqlx::Result<PgPool> {
    pool_as("weir_decisions", url, "weir-decisions", max_connections)
}

fn pool_as(role: &'static str, url: &str, name: &str, max_connections: u32) -> sqlx::Result<PgPool> {
    let options = url.parse::<PgConnectOptions>()?.application_name(name).options([
        ("statement_timeout", "10s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "10s"),
    ]);
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(CONNECT_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(
                async move { connection.execute(AssertSqlSafe(format!("SET ROLE {role}"))).await.map(drop) },
            )
        })
        // A `begin()` that was dropped half-way gives its connection back inside a transaction, and the next
        // borrower's writes would vanish with it.
        .after_release(|connection, _| {
            Box::pin(async move {
                // Without the BEGIN, Postgres would log a warning for every connection that is given back in order.
                connection.execute("BEGIN; ROLLBACK").await?;
                Ok(true)
            })
        })
        .connect_lazy_with(options))
}

/// A plain connection as the URL's role, for migrations. Whoever asks for a table behind a migration that
/// waits for it waits no longer than the lock's timeout.
pub(crate) async fn connect_admin(url: &str) -> sqlx::Result<PgConnection> {
    let options = url.parse::<PgConnectOptions>()?.application_name("weir-migrate");
    PgConnection::connect_with(&options.options([("lock_timeout", "5s")])).await
}
