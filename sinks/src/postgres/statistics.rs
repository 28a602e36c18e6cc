//! The planner's statistics, taken as tables grow.
//!
//! Autovacuum takes them once a minute at most. A backlog makes a table a thousand times as large meanwhile, and a statement
//! that was planned for the few rows before may then take minutes. So a sink has them taken whenever it has written as many
//! facts as the planner knows of.

use sqlx::PgConnection;
use tracing::warn;

/// Fewer facts than this make no difference.
const MIN_FACTS: u64 = 100;

/// Facts that a sink has written since statistics were taken.
#[derive(Debug)]
pub(super) struct Statistics {
    /// Tables that statements join; none: nothing is taken.
    tables: &'static [&'static str],
    written: u64,
    /// Facts after which they are taken; `None` until it is known how many rows the planner knows of.
    due_after: Option<u64>,
}

impl Statistics {
    pub(super) const fn of(tables: &'static [&'static str]) -> Self {
        Self { tables, written: 0, due_after: None }
    }

    /// Counts facts that were committed, and has statistics taken where these are due. Without them statements are slower, and
    /// that is all: so nothing fails with them.
    pub(super) async fn wrote(&mut self, connection: &mut PgConnection, facts: u64) {
        self.written += facts;
        if self.tables.is_empty() || self.written < self.due_after.unwrap_or(MIN_FACTS) {
            return;
        }
        match self.take_if_due(connection).await {
            Ok(planned) => self.due_after = Some(planned.max(MIN_FACTS)),
            Err(error) => {
                warn!(%error, "statistics of tables that grow were not taken: autovacuum takes them later");
                self.due_after = Some(self.written * 2);
            }
        }
    }

    /// Answers the number of rows that the planner knows of.
    async fn take_if_due(&mut self, connection: &mut PgConnection) -> sqlx::Result<u64> {
        let planned = self.planned_rows(connection).await?;
        if self.written < planned {
            return Ok(planned);
        }
        sqlx::query("SELECT weir_take_statistics($1)").bind(self.tables).execute(&mut *connection).await?;
        self.written = 0;
        self.planned_rows(connection).await
    }

    async fn planned_rows(&self, connection: &mut PgConnection) -> sqlx::Result<u64> {
        let rows: i64 = sqlx::query_scalar("SELECT weir_planned_rows($1)")
            .bind(self.tables)
            .fetch_one(connection)
            .await?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }
}
