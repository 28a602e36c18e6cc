//! Properties of every table: tenants are kept apart, and a rebuild gives the same rows.

use sqlx::{Connection, PgConnection};

use crate::{faults::projections, support};

/// Tables that the rebuild test does not compare, and why.
const NOT_COMPARED: [(&str, &str); 23] = [
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
    ("erasure_progress", "says how far erasures are; the tests of retention compare what they do"),
    ("outbox", "is emptied by the relay"),
    ("position_gap", "is written by operators"),
    ("principal_use", "says who used the services, which no topic tells"),
    ("service_replica", "says which processes run"),
    ("siem_sink", "says how sinks stand, and which of them an operator has paused"),
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
