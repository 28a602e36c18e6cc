//! The release before beside this one: its statements on migrated tables, and its rows in the answers of this
//! version.

use std::{borrow::Cow, collections::BTreeMap, path::Path, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use sinks::query_api::ShareLimits;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, migrate::Migrator};

use crate::{
    query_api::fixture::{Api, READERS},
    support,
};

/// Record of the newest release, which `tests/releases/record.py` wrote.
const RELEASE: &str = include_str!("../releases/0.2.0.json");
/// Names of tables and row types whose stage of the release before is stopped while it is migrated, as
/// `docs/upgrading.md` says: what it writes there has changed.
const STOPPED_STAGES: [&str; 2] = ["cost_charge", "cost_series"];
const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sinks/migrations");

#[derive(Deserialize)]
struct Release {
    migrations: Vec<i64>,
    row_types: BTreeMap<String, Vec<String>>,
    tables: BTreeMap<String, Vec<String>>,
    statements: Vec<Statement>,
    rows: BTreeMap<String, Rows>,
}

/// A statement, and the roles that may run it.
#[derive(Deserialize)]
struct Statement {
    roles: Vec<String>,
    sql: String,
}

#[derive(Deserialize)]
struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

impl Release {
    fn recorded() -> Self {
        serde_json::from_str(RELEASE).expect("what record.py writes")
    }

    /// The greatest value of a column.
    fn newest(&self, table: &str, column: &str) -> String {
        let Rows { columns, rows } = &self.rows[table];
        let at = columns.iter().position(|name| name == column).expect("a column");
        rows.iter().filter_map(|row| row[at].clone()).max().expect("a row")
    }

    /// A database as the release left it, with rows; its URL.
    async fn database(&self) -> String {
        let url = support::empty_database().await;
        let mut migrator = Migrator::new(Path::new(MIGRATIONS)).await.expect("migrations");
        let known =
            migrator.migrations.iter().filter(|migration| self.migrations.contains(&migration.version));
        migrator.migrations = Cow::Owned(known.cloned().collect());
        assert_eq!(migrator.migrations.len(), self.migrations.len(), "a released migration is never removed");
        let mut owner = PgConnection::connect(&url).await.expect("connected");
        migrator.run(&mut owner).await.expect("the release's migrations");
        // Rows come in any order, and without what triggers would add to them.
        owner.execute("SET session_replication_role = replica").await.expect("a superuser");
        for table in self.rows.keys() {
            owner.execute(AssertSqlSafe(format!("TRUNCATE \"{table}\" CASCADE"))).await.expect("emptied");
        }
        for (table, Rows { columns, rows }) in &self.rows {
            let columns = columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
            for row in rows {
                let values: Vec<String> = row.iter().map(|value| literal(value.as_deref())).collect();
                let values = values.join(", ");
                let insert =
                    format!("INSERT INTO \"{table}\" ({columns}) OVERRIDING SYSTEM VALUE VALUES ({values})");
                owner.execute(AssertSqlSafe(insert)).await.unwrap_or_else(|error| panic!("{table}: {error}"));
            }
        }
        url
    }

    /// This version's query API over its rows.
    async fn answered(&self) -> Api {
        let url = self.database().await;
        sinks::postgres::migrate(&url).await.expect("this version's migrations, over rows");
        let shares = ShareLimits { connections: READERS as usize, ..ShareLimits::default() };
        Api::over(url, shares).await
    }
}

/// The query API over rows of every table.
pub(crate) async fn answered() -> Api {
    Release::recorded().answered().await
}

fn literal(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |text| format!("'{}'", text.replace('\'', "''")))
}

/// Attributes of the composite types or tables, as the recorder writes them.
async fn attributes(connection: &mut PgConnection, kinds: &[&str]) -> BTreeMap<String, Vec<String>> {
    let rows: Vec<(String, Vec<String>)> = sqlx::query_as(
        "SELECT t.typname::text, array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
           FROM pg_type AS t JOIN pg_class AS c ON c.oid = t.typrelid
           JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          WHERE t.typnamespace = current_schema()::regnamespace AND c.relkind::text = ANY($1) AND NOT c.relispartition
          GROUP BY 1",
    )
    .bind(kinds)
    .fetch_all(connection)
    .await
    .expect("the catalog");
    rows.into_iter().collect()
}

/// Whether the statement can be planned by this role, or by the owner of the tables.
async fn plans(connection: &mut PgConnection, role: Option<&str>, sql: &str) -> Result<(), sqlx::Error> {
    let role = role.map_or_else(|| "NONE".to_owned(), |role| format!("\"{role}\""));
    connection.execute(AssertSqlSafe(format!("SET ROLE {role}"))).await?;
    connection.execute(AssertSqlSafe(format!("EXPLAIN (GENERIC_PLAN) {sql}"))).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_the_release_before_work_on_migrated_tables() {
    let release = Release::recorded();
    let url = release.database().await;
    sinks::postgres::migrate(&url).await.expect("this version's migrations, over rows");
    let mut connection = PgConnection::connect(&url).await.expect("connected");

    // What it sends and what it writes.
    let types = attributes(&mut connection, &["c"]).await;
    for (name, before) in release.row_types.iter().filter(|(name, _)| runs_on(name)) {
        assert_eq!(types.get(name), Some(before), "arrays of {name} are sent by the release before");
    }
    let tables = attributes(&mut connection, &["r", "p"]).await;
    for (table, before) in &release.tables {
        let now = tables.get(table).unwrap_or_else(|| panic!("{table} is gone"));
        let missing: Vec<_> = before.iter().filter(|column| !now.contains(column)).collect();
        assert!(missing.is_empty(), "{table} lacks {missing:?}, which the release before uses");
        for column in now.iter().filter(|column| runs_on(table) && !before.contains(column)) {
            let name = column.split_once(' ').expect("name and type").0;
            assert!(
                may_be_left_out(&mut connection, table, name).await,
                "{table}.{name} is demanded of writers"
            );
        }
    }

    // What it runs, each by those who ran it.
    assert!(release.statements.len() > 150, "{}", release.statements.len());
    let mut lost = Vec::new();
    for statement in &release.statements {
        let roles = statement.roles.iter().map(|role| Some(role.as_str()));
        for role in roles.chain([None]) {
            if let Err(error) = plans(&mut connection, role, &statement.sql).await {
                lost.push(format!("{role:?}: {error}: {}", statement.sql));
            }
        }
    }
    assert!(lost.is_empty(), "statements of the release before that do not run any more: {lost:#?}");
}

/// Whether the stage that writes there runs while its tables are migrated.
fn runs_on(name: &str) -> bool {
    !STOPPED_STAGES.iter().any(|stopped| name.starts_with(stopped))
}

async fn may_be_left_out(connection: &mut PgConnection, table: &str, column: &str) -> bool {
    sqlx::query_scalar(
        "SELECT is_nullable = 'YES' OR column_default IS NOT NULL OR is_identity = 'YES' OR is_generated <> 'NEVER'
           FROM information_schema.columns
          WHERE table_schema = current_schema() AND table_name = $1 AND column_name = $2",
    )
    .bind(table)
    .bind(column)
    .fetch_one(connection)
    .await
    .expect("the catalog")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_the_release_before_are_answered() {
    let release = Release::recorded();
    let api = release.answered().await;
    let entries = &release.rows["audit_entry"];
    let tenant = entries.columns.iter().position(|column| column == "tenant_id").expect("a column");
    let own = entries.rows.iter().filter(|row| row[tenant].as_deref() == Some("acme")).count();
    assert!(own >= 30, "{own}");
    let page: Value = api.get("acme", "/api/v1/audit?limit=1000&include=record").await;
    let items = page["items"].as_array().expect("entries");
    assert_eq!(items.len(), own);
    assert!(items.iter().all(|item| item["record"]["class_uid"].is_number()), "{items:?}");
    // Scores fade: as they were when the rows were recorded.
    let newest = release.newest("risk_signal", "occurred_at").replace(' ', "T").replace("+00", "Z");
    let page: Value = api.get("acme", &format!("/api/v1/risk/entities?as_of={newest}")).await;
    assert!(page["items"].as_array().is_some_and(|items| !items.is_empty()), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_waits_for_a_table_lets_others_pass() {
    let url = Release::recorded().database().await;
    // A report that takes its time: migration 0071 cannot have the table meanwhile.
    let mut report = PgConnection::connect(&url).await.expect("connected");
    report.execute("BEGIN; SELECT count(*) FROM compliance_waiver").await.expect("reads");
    let mut watch = PgConnection::connect(&url).await.expect("connected");
    let waits =
        "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'compliance_waiver'::regclass";
    let watching = async {
        for waiting in [true, false] {
            let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
            while sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut watch).await.expect("the catalog")
                != waiting
            {
                assert!(tokio::time::Instant::now() < deadline, "never {waiting}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        report.execute("ROLLBACK").await.expect("ended");
    };
    let (migrated, ()) = tokio::join!(sinks::postgres::migrate(&url), watching);
    migrated.expect("it is done once the report has ended");
}
