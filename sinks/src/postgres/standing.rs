//! State of a database, read for `weir doctor`.

use std::collections::BTreeSet;

use schemas::Timestamp;
use sqlx::{Connection as _, Executor as _, FromRow, PgConnection};

use super::migrate::MIGRATIONS;
use crate::{
    session::connect_admin,
    siem::control::{self, StoredSink},
};

/// State of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The server's version, as `160004`.
    pub server_version: i32,
    /// Current time of the server's clock.
    pub clock: Timestamp,
    /// Whether it is a standby.
    pub is_standby: bool,
    /// Connections that the server takes.
    pub connections_at_most: i64,
    /// Connections that it has.
    pub connections: i64,
    /// Whether a commit waits for the disk (`synchronous_commit` and `fsync`).
    pub is_durable: bool,
    /// The migrations, where the user may see them.
    pub migrations: Option<Migrations>,
    /// The outbox and the audit log, where the migrations are as they should be.
    pub work: Option<Work>,
    /// Entries that sinks have passed and not delivered, where the migrations are as they should be.
    pub gaps: Option<Vec<Gap>>,
    /// Every sink that was ever run or paused, where the migrations are as they should be.
    pub sinks: Option<Vec<StoredSink>>,
    /// The reason for which work, gaps or sinks could not be read.
    pub unread: Option<String>,
}

/// Entries of the audit log that a sink has passed and not delivered.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Gap {
    /// The sink.
    pub sink: String,
    /// `<topic>/<partition>`.
    pub log: String,
    /// Index of the first entry.
    pub first_index: i64,
    /// Index behind the last entry.
    pub next_index: i64,
    /// Entries in between that the sink's filter takes.
    pub missing: i64,
    /// Time of the earliest of their events.
    pub since: Timestamp,
}

/// Migrations of a database against those of this program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Migrations {
    /// Those that the database lacks.
    pub missing: Vec<i64>,
    /// Those that this program does not know.
    pub unknown: Vec<i64>,
}

/// Pending work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// Age in seconds of the oldest outbox record that is not published yet.
    pub outbox_age_s: Option<i64>,
    /// Records of the outbox that their topic refuses for good.
    pub outbox_set_aside: i64,
    /// Logs that have grown and were not signed for five minutes, or are shorter than what was signed.
    pub unsigned_logs: Vec<String>,
    /// Hours since a round that removes old rows was completed, or since the audit log began where none was; `None` where
    /// there is no log.
    pub retention_idle_hours: Option<i64>,
    /// Groups of audit entries that should have been removed two days before the last round.
    pub retention_overdue_groups: i64,
}

/// Reads the state of the database of that URL, as the user of that URL.
pub async fn standing(url: &str) -> sqlx::Result<Standing> {
    let mut connection = connect_admin(url).await?;
    connection.execute("SET statement_timeout = '10s'").await?;
    let (server_version, clock, is_standby, connections_at_most, connections, is_durable) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, clock_timestamp(), pg_is_in_recovery(),
                current_setting('max_connections')::bigint,
                (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                current_setting('fsync')::bool AND current_setting('synchronous_commit') <> 'off'",
    )
    .fetch_one(&mut connection)
    .await?;
    let migrations = migrations(&mut connection).await.ok();
    let mut unread: Option<String> = None;
    let mut failed = |error: sqlx::Error| {
        unread.get_or_insert_with(|| error.to_string());
    };
    let work = match &migrations {
        Some(migrations) if !migrations.missing.is_empty() => None,
        _ => work(&mut connection).await.map_err(&mut failed).ok(),
    };
    let (gaps, sinks) = match work {
        Some(_) => {
            let gaps = sqlx::query_as("SELECT * FROM siem_gaps()").fetch_all(&mut connection).await;
            let sinks = control::list(&mut connection).await;
            (gaps.map_err(&mut failed).ok(), sinks.map_err(&mut failed).ok())
        }
        None => (None, None),
    };
    connection.close().await?;
    Ok(Standing {
        server_version,
        clock,
        is_standby,
        connections_at_most,
        connections,
        is_durable,
        migrations,
        work,
        gaps,
        sinks,
        unread,
    })
}

async fn migrations(connection: &mut PgConnection) -> sqlx::Result<Migrations> {
    let own: BTreeSet<i64> = MIGRATIONS.iter().map(|own| own.version).collect();
    let any: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    let mut applied = BTreeSet::new();
    if any {
        let versions: Vec<i64> = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
            .fetch_all(connection)
            .await?;
        applied.extend(versions);
    }
    Ok(Migrations {
        missing: own.difference(&applied).copied().collect(),
        unknown: applied.difference(&own).copied().collect(),
    })
}

async fn work(connection: &mut PgConnection) -> sqlx::Result<Work> {
    connection.execute("SET ROLE weir_operator").await?;
    let (outbox_age_s, outbox_set_aside) = sqlx::query_as(
        "SELECT extract(epoch FROM now() - min(created_at) FILTER (WHERE set_aside_at IS NULL))::bigint,
                count(*) FILTER (WHERE set_aside_at IS NOT NULL)
           FROM outbox",
    )
    .fetch_one(&mut *connection)
    .await?;
    let unsigned_logs = sqlx::query_scalar(
        "SELECT l.log FROM audit_log AS l
           LEFT JOIN LATERAL (SELECT size, signed_at FROM audit_checkpoint AS c
                               WHERE c.log = l.log ORDER BY size DESC LIMIT 1) AS c ON true
          WHERE c.size IS NULL OR c.size > l.size
             OR (c.size < l.size AND c.signed_at < now() - interval '5 minutes')
          ORDER BY l.log",
    )
    .fetch_all(&mut *connection)
    .await?;
    let (retention_idle_hours, retention_overdue_groups) = sqlx::query_as(
        "SELECT (extract(epoch FROM now() - coalesce(
                  (SELECT completed_at FROM retention_round),
                  (SELECT signed_at FROM audit_checkpoint ORDER BY log, size LIMIT 1))) / 3600)::bigint,
                coalesce((SELECT overdue_groups FROM retention_round), 0)",
    )
    .fetch_one(connection)
    .await?;
    Ok(Work { outbox_age_s, outbox_set_aside, unsigned_logs, retention_idle_hours, retention_overdue_groups })
}
