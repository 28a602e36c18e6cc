//! Properties of every table: tenants are kept apart, and a rebuild gives the same rows.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};

use crate::{faults::projections, support};

/// Tables that the rebuild test does not compare, and why.
const NOT_COMPARED: [(&str, &str); 29] = [
    ("_sqlx_migrations", "says which migrations have run"),
    ("access_event", "is emptied by the relay"),
    ("api_key", "is written by operators"),
    ("audit_checkpoint", "is signed when the signer comes to it"),
    (
        "audit_term",
        "counts about how often a term was seen; that its days cover all rows is tested with the search",
    ),
    ("audit_term_field", "as audit_term"),
    ("audit_retired", "says what retention removed, which depends on the clock"),
    ("retention_round", "says when old rows were last removed"),
    ("audit_tile_part", "lies in pieces as the batches came; the tests of the log join them"),
    ("audit_epoch", "counts what this database has forgotten"),
    ("audit_topic_position", "is noted by the relay of the audit topic"),
    (
        "change_budget",
        "says what was known of costs when a change was last heard of; the tests of budgets compare it",
    ),
    ("cost_reported", "says which forecasts and anomalies were reported, which depends on the clock"),
    ("dashboard_login", "is written by operators"),
    ("erasure_progress", "says how far erasures are; the tests of retention compare what they do"),
    ("event_outbox", "is emptied by a gateway"),
    ("outbox", "is emptied by the relay"),
    ("position_gap", "is written by operators"),
    ("principal_use", "says who used the services, which no topic tells"),
    ("service_replica", "says which processes run"),
    ("siem_backfill", "holds what operators ask for, and how far it was written"),
    ("siem_interval", "counts what sinks delivered, by the minutes in which they did"),
    ("siem_stretch", "says which entries sinks have passed; the tests of sinks compare it with the log"),
    ("siem_sink", "says how sinks stand, and which of them an operator has paused"),
    ("stage_rule_set", "says since when a rule set is in force, which depends on the batches"),
    ("stage_position", "says who owns a partition, and where the stage stands"),
    ("tenant_limit", "is written by operators"),
    ("tenant_use", "counts what came over HTTP"),
    ("zstd_dictionary", "is written when a version starts"),
];

async fn names(connection: &mut PgConnection, question: &'static str) -> Vec<String> {
    sqlx::query_scalar(question).fetch_all(connection).await.expect("the catalogue answers")
}

#[tokio::test]
async fn every_table_with_a_tenant_has_forced_row_level_security() {
    let mut connection = PgConnection::connect(&support::database().await).await.expect("a database");
    let with_tenant = names(
        &mut connection,
        "SELECT c.relname::text FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
          WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
            AND a.attname = 'tenant_id' AND NOT a.attisdropped ORDER BY 1",
    )
    .await;
    let protected = names(
        &mut connection,
        "SELECT c.relname::text FROM pg_class AS c
          WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND c.relforcerowsecurity
            AND EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid)
            AND (NOT has_table_privilege('weir_reader', c.oid, 'SELECT')
                 OR EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polcmd IN ('r', '*')
                               AND pg_get_expr(p.polqual, p.polrelid) LIKE '%app.tenant_id%')) ORDER BY 1",
    )
    .await;
    assert!(with_tenant.iter().any(|table| table == "risk_rule"), "{with_tenant:?}");
    let open: Vec<&String> = with_tenant.iter().filter(|table| !protected.contains(table)).collect();
    assert_eq!(open, [""; 0], "call weir_tenant_table in the migration");
}

#[tokio::test]
async fn every_table_is_compared_with_a_rebuild_or_has_a_reason() {
    let mut connection = PgConnection::connect(&support::database().await).await.expect("a database");
    let tables = names(
        &mut connection,
        "SELECT relname::text FROM pg_class
          WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace ORDER BY 1",
    )
    .await;
    let excused: Vec<&str> = NOT_COMPARED.iter().map(|(table, _)| *table).collect();
    let forgotten: Vec<&String> = tables
        .iter()
        .filter(|table| !projections::TABLES.contains(&table.as_str()) && !excused.contains(&table.as_str()))
        .collect();
    assert_eq!(forgotten, [""; 0], "compare it in faults::projections, or say here why not");
    let gone = projections::TABLES.iter().chain(&excused).filter(|table| !tables.iter().any(|t| t == *table));
    assert_eq!(gone.collect::<Vec<_>>(), [""; 0].iter().collect::<Vec<_>>(), "no such table");
}

/// Roles that serve all tenants; no request tells them one.
const OF_ALL_TENANTS: [&str; 4] = ["weir_owner", "weir_operator", "weir_service", "weir_writer"];

/// Frees a table from what its rows must be like, and puts a row of each of two tenants there.
const TWO_TENANTS: &str = "
DO $$
DECLARE
  tab regclass;
  item record;
BEGIN
  FOR tab IN SELECT c.oid::regclass FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
              WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
                AND a.attname = 'tenant_id' AND NOT a.attisdropped LOOP
    FOR item IN SELECT conname FROM pg_constraint WHERE conrelid = tab AND contype IN ('p', 'u', 'f', 'c', 'x') LOOP
      EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', tab, item.conname);
    END LOOP;
    FOR item IN SELECT attname FROM pg_attribute
                 WHERE attrelid = tab AND attnum > 0 AND NOT attisdropped AND attnotnull AND attidentity = '' LOOP
      EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', tab, item.attname);
    END LOOP;
    EXECUTE format('INSERT INTO %s (tenant_id) VALUES (''acme''), (''other'')', tab);
  END LOOP;
END $$";

/// Rows of each tenant that a role sees in a table while a tenant is named.
async fn seen(connection: &mut PgConnection, role: &str, table: &str, tenant: &str) -> Vec<Option<String>> {
    let mut tx = connection.begin().await.expect("begun");
    sqlx::raw_sql(AssertSqlSafe(format!("SET LOCAL ROLE {role}"))).execute(&mut *tx).await.expect("a role");
    let set = sqlx::query("SELECT set_config('app.tenant_id', $1, true)").bind(tenant);
    set.execute(&mut *tx).await.expect("set");
    let all = format!("SELECT tenant_id FROM {table} ORDER BY 1");
    sqlx::query_scalar(AssertSqlSafe(all)).fetch_all(&mut *tx).await.expect("it may read the table")
}

#[tokio::test]
async fn no_role_sees_a_foreign_row_by_row_level_security_alone() {
    let mut connection = PgConnection::connect(&support::database().await).await.expect("a database");
    sqlx::raw_sql("SET session_replication_role = replica")
        .execute(&mut connection)
        .await
        .expect("a superuser");
    sqlx::raw_sql(TWO_TENANTS).execute(&mut connection).await.expect("rows in every table");
    let granted: Vec<(String, String)> = sqlx::query_as(
        "SELECT r.rolname::text, c.oid::regclass::text FROM pg_roles AS r, pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
          WHERE (r.rolname LIKE 'weir\\_%' OR r.rolname LIKE 'grafana\\_%') AND NOT r.rolcanlogin
            AND r.rolname <> ALL($1) AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
            AND c.relnamespace = 'public'::regnamespace AND a.attname = 'tenant_id' AND NOT a.attisdropped
            AND has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')
          ORDER BY 1, 2",
    )
    .bind(OF_ALL_TENANTS.as_slice())
    .fetch_all(&mut connection)
    .await
    .expect("the catalogue answers");
    let roles: BTreeSet<&str> = granted.iter().map(|(role, _)| role.as_str()).collect();
    assert!(roles.contains("weir_reader") && roles.contains("weir_decisions"), "{roles:?}");
    assert!(granted.len() > 40, "{}", granted.len());
    for (role, table) in &granted {
        for tenant in ["acme", "other", "nobody", ""] {
            let rows = seen(&mut connection, role, table, tenant).await;
            let foreign = rows.iter().any(|row| row.as_deref() != Some(tenant));
            assert!(!foreign, "{role} sees {rows:?} in {table} as {tenant:?}");
        }
    }
    let own = seen(&mut connection, "weir_reader", "audit_entry", "acme").await;
    assert_eq!(own, [Some("acme".to_owned())], "and its own rows it sees");
}

/// A session puts its own tables before those of the schema, unless it is told where to look for them.
#[tokio::test]
async fn functions_of_the_owner_look_for_no_tables_of_the_session() {
    let mut connection = PgConnection::connect(&support::database().await).await.expect("a database");
    let unsafe_ones = names(
        &mut connection,
        "SELECT oid::regprocedure::text FROM pg_proc
          WHERE prosecdef AND pronamespace = 'public'::regnamespace
            AND NOT EXISTS (SELECT FROM unnest(proconfig) AS s WHERE s ~ '^search_path=.*, ?pg_temp$')",
    )
    .await;
    assert_eq!(unsafe_ones, [""; 0], "SET search_path = .., pg_temp");
}

/// A tenant of which a login of dashboards may see nothing.
const FOREIGN: &str = "SET app.tenant_id = 'other'; SET ROLE grafana_reader";

/// Whoever edits a panel can write any SQL that the login may run.
#[tokio::test]
async fn a_login_of_dashboards_sees_its_own_tenant_whatever_its_session_says() {
    let url = support::database().await;
    let mut owner = PgConnection::connect(&url).await.expect("a database");
    let login = format!("dashboard_{}", uuid::Uuid::new_v4().simple());
    let made = format!(
        "SET session_replication_role = replica;
         CREATE ROLE {login} LOGIN PASSWORD 'a password of dashboards' IN ROLE grafana_reader;
         INSERT INTO dashboard_login VALUES ('{login}', 'acme');"
    );
    sqlx::raw_sql(AssertSqlSafe(made + TWO_TENANTS)).execute(&mut owner).await.expect("rows and a login");
    let options: PgConnectOptions = url.parse().expect("a URL");
    let options = options.username(&login).password("a password of dashboards");
    let mut dashboard = PgConnection::connect_with(&options).await.expect("it may log in");
    let readable = names(
        &mut dashboard,
        "SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
          WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
            AND a.attname = 'tenant_id' AND NOT a.attisdropped AND has_table_privilege(c.oid, 'SELECT')",
    )
    .await;
    assert!(readable.len() > 20, "{readable:?}");
    // What the session makes for itself says nothing about whose it is.
    let fake = "CREATE TEMP TABLE dashboard_login AS SELECT session_user AS login, 'other' AS tenant_id";
    sqlx::raw_sql(fake).execute(&mut dashboard).await.expect("a table of its own");
    for table in &readable {
        let count = format!("SELECT count(*) FROM {table}");
        sqlx::raw_sql(FOREIGN).execute(&mut dashboard).await.expect("it may say so");
        let seen: i64 =
            sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut dashboard).await.expect("a count");
        assert_eq!(seen, 0, "{table}");
        sqlx::raw_sql("RESET ROLE").execute(&mut dashboard).await.expect("the login again");
    }
    sqlx::raw_sql("SET app.tenant_id = 'acme'").execute(&mut dashboard).await.expect("set");
    let own: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_entry")
        .fetch_one(&mut dashboard)
        .await
        .expect("a count");
    assert_eq!(own, 1, "and its own row it sees");
    // A role that owns a table stays, and what a session made for itself goes only after its connection is closed.
    sqlx::raw_sql("DROP TABLE pg_temp.dashboard_login").execute(&mut dashboard).await.expect("its own table");
    dashboard.close().await.expect("closed");
    let gone = format!("DROP ROLE {login}");
    sqlx::raw_sql(AssertSqlSafe(gone)).execute(&mut owner).await.expect("no rights are left");
}
