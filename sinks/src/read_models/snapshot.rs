//! Snapshots in which read models are read: one read-only transaction, for one tenant that is named before
//! the first query.

use std::{collections::BTreeMap, time::Duration};

use futures_util::TryStreamExt;
use schemas::{TenantId, Timestamp};
use sqlx::{
    AssertSqlSafe, Executor, PgConnection, PgPool, Postgres, QueryBuilder, Row, SqlSafeStr as _, SqlStr,
    Transaction,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};

use super::computed::NotComputed;

/// Time limit of one statement.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait of a reader for a free connection; after it, the caller is asked to retry.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// Attempts to get a working connection: those that a restarted server broke are met one by one.
const BEGIN_ATTEMPTS: usize = 3;

/// Bytes of values after which a page ends early; the next continues from there. This much memory is reserved
/// for an answer.
pub const MAX_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Topic, then partition, to the next offset to apply: an answer reflects every record before it, and none after.
pub type Positions = BTreeMap<String, BTreeMap<i32, i64>>;

/// Error of reading a read model.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Postgres does not answer; try again.
    #[error("the database cannot be reached now")]
    Unavailable(#[source] sqlx::Error),
    /// The statement timeout struck; ask for less.
    #[error("the query took longer than {} s", STATEMENT_TIMEOUT.as_secs())]
    TooSlow,
    /// The answer follows from more than one query may read. The text says what to ask for instead.
    #[error("the query would read too much: {0}")]
    TooMuch(&'static str),
    /// Postgres refused the query: a fault of Weir's, or a migration is missing.
    #[error("the database refused the query")]
    Refused(#[source] sqlx::Error),
    /// The stored data is not in the form in which it was written.
    #[error("the stored record cannot be read: {0}")]
    Unreadable(String),
}

impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(db) => match db.code().as_deref() {
                Some("57014") => Self::TooSlow,
                // Shutdown and start-up, connections, resources, fail-over.
                Some(code) if ["57P", "08", "53", "25006"].iter().any(|class| code.starts_with(class)) => {
                    Self::Unavailable(error)
                }
                _ => Self::Refused(error),
            },
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => Self::Refused(error),
            _ => Self::Unavailable(error),
        }
    }
}

impl From<NotComputed> for ReadError {
    fn from(error: NotComputed) -> Self {
        match error {
            NotComputed::TooSlow => Self::TooSlow,
            NotComputed::Panicked => Self::Unreadable(error.to_string()),
        }
    }
}

/// Connects readers: role `weir_reader` (so that row-level security applies to every login), read only,
/// bounded.
///
/// No connection is made before the first query.
pub fn reader_pool(url: &str, max_connections: u32) -> sqlx::Result<PgPool> {
    let millis = STATEMENT_TIMEOUT.as_millis().to_string();
    let options = url.parse::<PgConnectOptions>()?.application_name("weir-query").options([
        ("statement_timeout", millis.as_str()),
        ("idle_in_transaction_session_timeout", "10000"),
        ("default_transaction_read_only", "on"),
    ]);
    Ok(pool_of(options, max_connections, "SET ROLE weir_reader"))
}

/// Connects a stage's own readers, which look at the rows of all tenants: role `weir_writer`. Their queries name the tenant.
///
/// No connection is made before the first query.
pub(crate) fn writer_pool(url: &str, max_connections: u32) -> sqlx::Result<PgPool> {
    let options = url
        .parse::<PgConnectOptions>()?
        .application_name("weir-stage")
        .options([("statement_timeout", "30000"), ("idle_in_transaction_session_timeout", "600000")]);
    Ok(pool_of(options, max_connections, "SET ROLE weir_writer"))
}

/// Connections like the pool's, apart from it: for queries that must be answered while all of the pool's are
/// busy.
pub fn companion_pool(pool: &PgPool, max_connections: u32) -> PgPool {
    pool_of(PgConnectOptions::clone(&pool.connect_options()), max_connections, "SET ROLE weir_reader")
}

fn pool_of(options: PgConnectOptions, max_connections: u32, role: &'static str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(move |connection, _| Box::pin(async move { connection.execute(role).await.map(drop) }))
        .connect_lazy_with(options)
}

/// The rows of one page.
#[derive(Debug)]
pub struct Page<T, K> {
    /// Items, in the documented order.
    pub items: Vec<T>,
    /// Key of the page's last row, if there is a next page.
    pub next: Option<K>,
    /// The instant down to which a search looked before its time was over, if it was.
    pub reached: Option<Timestamp>,
    /// Positions that the page reflects.
    pub positions: Positions,
}

/// Position and size of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageAt<K> {
    /// Only rows after this one; from the beginning without it.
    pub after: Option<K>,
    /// Most rows on the page.
    pub limit: u16,
}

/// A consistent view of one tenant's rows and of the stage positions that they reflect.
///
/// Dropping it ends its transaction, after the answer has been sent.
pub(crate) struct Snapshot {
    tx: Transaction<'static, Postgres>,
    /// Positions of the stage in this snapshot.
    pub(crate) positions: Positions,
}

impl Snapshot {
    /// Opens a view for the tenant, with the positions of one stage, or the least of all stages' positions.
    pub(crate) async fn open(
        pool: &PgPool,
        tenant: &TenantId,
        stage: Option<&str>,
    ) -> Result<Self, ReadError> {
        let mut tx = begin(pool).await?;
        // One round trip: the tenant must be set before any row is asked for, the positions come along.
        let row = sqlx::query(
            "SELECT set_config('app.tenant_id', $1, true), p.topics, p.partitions, p.positions
               FROM (SELECT array_agg(topic) AS topics, array_agg(partition) AS partitions,
                            array_agg(position) AS positions
                       FROM (SELECT topic, partition, min(position) AS position FROM stage_position
                              WHERE $2 IS NULL OR stage = $2 GROUP BY topic, partition) AS s) AS p",
        )
        .bind(tenant.as_str())
        .bind(stage)
        .fetch_one(&mut *tx)
        .await?;
        let topics: Option<Vec<String>> = row.try_get(1)?;
        let partitions: Option<Vec<i32>> = row.try_get(2)?;
        let offsets: Option<Vec<i64>> = row.try_get(3)?;
        let mut positions = Positions::new();
        let places = partitions.unwrap_or_default().into_iter().zip(offsets.unwrap_or_default());
        for (topic, (partition, position)) in topics.unwrap_or_default().into_iter().zip(places) {
            positions.entry(topic).or_default().insert(partition, position);
        }
        Ok(Self { tx, positions })
    }

    /// The connection, inside the view.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// A page of rows. The query must ask for one row more than the limit: it says that there is a next page. A page
    /// ends early after [`MAX_PAGE_BYTES`].
    pub(crate) async fn page<T, K>(
        mut self,
        query: &mut QueryBuilder<Postgres>,
        limit: u16,
        decode: impl Fn(&PgRow) -> Result<T, ReadError>,
        key: impl Fn(&T) -> K,
    ) -> Result<Page<T, K>, ReadError> {
        let (mut items, mut bytes, mut more) = (Vec::with_capacity(usize::from(limit)), 0, false);
        let mut rows = query.build().fetch(&mut *self.tx);
        while let Some(row) = rows.try_next().await? {
            more = items.len() == usize::from(limit) || bytes > MAX_PAGE_BYTES;
            if more {
                break;
            }
            bytes += size_of_values(&row);
            items.push(decode(&row)?);
        }
        drop(rows);
        let next = items.last().filter(|_| more).map(key);
        Ok(Page { items, next, reached: None, positions: self.positions })
    }
}

/// Bytes of a row's values, as they were sent.
pub(crate) fn size_of_values(row: &PgRow) -> usize {
    let size =
        |index| row.try_get_raw(index).ok().and_then(|value| value.as_bytes().ok()).map_or(0, <[u8]>::len);
    (0..row.len()).map(size).sum()
}

const BEGIN: SqlStr = SqlStr::from_static("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");

/// A read-only transaction with one snapshot for all its statements.
pub(crate) async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, ReadError> {
    begin_with(pool, BEGIN).await
}

/// The same for a tenant: row-level security returns its rows. Takes no more round trips than [`begin`].
pub(crate) async fn begin_for(
    pool: &PgPool,
    tenant: &TenantId,
) -> Result<Transaction<'static, Postgres>, ReadError> {
    // A tenant's id has no character that means anything within quotes.
    let begin = format!("{}; SELECT set_config('app.tenant_id', '{tenant}', true)", BEGIN.as_str());
    begin_with(pool, AssertSqlSafe(begin).into_sql_str()).await
}

async fn begin_with(pool: &PgPool, begin: SqlStr) -> Result<Transaction<'static, Postgres>, ReadError> {
    let mut attempt = 1;
    loop {
        match pool.begin_with(begin.clone()).await.map_err(ReadError::from) {
            Err(ReadError::Unavailable(error))
                if attempt < BEGIN_ATTEMPTS && !matches!(error, sqlx::Error::PoolTimedOut) =>
            {
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_whether_to_come_back() {
        assert!(matches!(ReadError::from(sqlx::Error::PoolTimedOut), ReadError::Unavailable(_)));
        assert!(matches!(
            ReadError::from(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())),
            ReadError::Unavailable(_)
        ));
        assert!(matches!(
            ReadError::from(sqlx::Error::ColumnNotFound("actor".into())),
            ReadError::Refused(_)
        ));
    }
}
