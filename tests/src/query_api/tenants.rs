//! Nobody reads what is not theirs, whatever a statement forgets.

use std::borrow::Cow;

use reqwest::StatusCode;
use sinks::query_api::{AuditAnswer, AuditPage};
use sqlx::{Executor, PgPool};
use uuid::Uuid;

use super::fixture::{Api, READERS, entry};

#[tokio::test]
async fn tenants_see_nothing_of_each_other() {
    let mut api = Api::start().await;
    let mut foreign = entry(1, "Secret");
    foreign.tenant = "other";
    api.insert(&foreign).await;
    for n in 0..3 {
        api.insert(&entry(n, "Own")).await;
    }
    assert_eq!(api.actions("").await, ["Own", "Own", "Own"]);
    assert_eq!(api.actions("action=Secret").await, [""; 0]);
    let found: AuditAnswer = api.get("other", &format!("/api/v1/audit/{}", foreign.event_id)).await;
    assert_eq!(found.item.action, "Secret");
    let foreign_answer = api.ask("acme", &format!("/api/v1/audit/{}", foreign.event_id)).await;
    let unknown_answer = api.ask("acme", &format!("/api/v1/audit/{}", Uuid::new_v4())).await;
    assert_eq!(foreign_answer.0, StatusCode::NOT_FOUND);
    assert_eq!(foreign_answer, unknown_answer, "the same bytes");

    let page: AuditPage = api.get("acme", "/api/v1/audit?limit=1").await;
    let cursor = page.next_cursor.expect("more");
    assert_eq!(
        api.refused("other", &format!("/api/v1/audit?limit=1&cursor={cursor}")).await,
        "invalid-cursor"
    );
    let other_filter = format!("/api/v1/audit?action=Own&cursor={cursor}");
    assert_eq!(api.refused("acme", &other_filter).await, "invalid-cursor");
    assert_eq!(api.refused("acme", &format!("/api/v1/parked?cursor={cursor}")).await, "invalid-cursor");
}

#[tokio::test]
async fn row_level_security_holds_where_no_statement_names_a_tenant() {
    let mut api = Api::start().await;
    api.insert(&entry(1, "Own")).await;
    assert_eq!(count(&api.readers, Some("acme")).await, 1);
    assert_eq!(count(&api.readers, Some("other")).await, 0);
    assert_eq!(count(&api.readers, Some("")).await, 0);
    // A setting does not outlive its transaction, whoever gets the connection next.
    for _ in 0..2 * READERS {
        assert_eq!(count(&api.readers, None).await, 0);
    }
    let unprotected: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
          WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace
            AND NOT (c.relrowsecurity AND c.relforcerowsecurity)",
    )
    .fetch_all(&mut api.owner)
    .await
    .expect("asked");
    assert_eq!(unprotected, [""; 0], "tables with a tenant and without forced row-level security");
}

/// All entries that a reader sees after naming a tenant, or none.
async fn count(readers: &PgPool, tenant: Option<&str>) -> i64 {
    let mut tx = readers.begin().await.expect("begun");
    if let Some(tenant) = tenant {
        let set = sqlx::query("SELECT set_config('app.tenant_id', $1, true)").bind(tenant);
        set.execute(&mut *tx).await.expect("set");
    }
    sqlx::query_scalar("SELECT count(*) FROM audit_entry").fetch_one(&mut *tx).await.expect("counted")
}

#[tokio::test]
async fn readers_may_only_read_and_only_what_readers_need() {
    let api = Api::start().await;
    for (statement, expected) in [
        ("DELETE FROM audit_entry", "25006"),
        ("SET TRANSACTION READ WRITE; DELETE FROM audit_entry", "42501"),
        ("SET TRANSACTION READ WRITE; UPDATE stage_position SET position = 0", "42501"),
        ("SELECT * FROM audit_entry_default", "42501"),
        ("SELECT * FROM api_key", "42501"),
        ("SELECT * FROM outbox", "42501"),
    ] {
        let error = api.readers.execute(sqlx::raw_sql(statement)).await.expect_err(statement);
        let code = error.as_database_error().and_then(|error| error.code().map(Cow::into_owned));
        assert_eq!(code.as_deref(), Some(expected), "{statement}: {error}");
    }
}
