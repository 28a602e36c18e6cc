//! Searches by the filters of block ranges find what a look at every row finds, page by page.

use chrono::NaiveDate;
use schemas::TenantId;
use sinks::{
    made_up_log,
    read_models::{
        audit_entry::read::{self, AuditFilter, Detail, PageRequest},
        reader_pool,
    },
};
use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::support;

const ROWS: u64 = 60_000;
const TENANT: &str = "t3";

/// Ids on all pages.
async fn found(pool: &PgPool, filter: &AuditFilter, limit: u16) -> Vec<Uuid> {
    let tenant = TenantId::new(TENANT).expect("valid");
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest { filter: filter.clone(), after, limit, detail: Detail::Columns };
        let page = read::page(pool, &tenant, &request).await.expect("a page");
        ids.extend(page.items.iter().map(|item| item.event_id));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

/// Ids of the rows that fulfil a condition, with an index or without one.
async fn rows(connection: &mut PgConnection, condition: &str) -> Vec<Uuid> {
    let sql = format!(
        "SELECT event_id FROM audit_entry WHERE tenant_id = '{TENANT}' AND {condition}
          ORDER BY occurred_at DESC, event_id DESC"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(connection).await.expect("rows")
}

#[tokio::test]
async fn a_rare_term_is_found_wherever_it_is() {
    let database = support::database().await;
    let today: NaiveDate = "2026-03-17".parse().expect("a day");
    made_up_log::fill(&database, ROWS, today, |_| {}).await.expect("filled");
    assert_eq!(made_up_log::filled(&database).await.expect("counted"), Some(ROWS));
    let mut owner = PgConnection::connect(&database).await.expect("a database");
    // A field with too many terms: its rare ones may not be in the dictionary.
    for statement in [
        "DELETE FROM audit_term WHERE field = 'address' AND term LIKE '10.0.%'",
        "UPDATE audit_term_field SET overflowed = true WHERE field = 'address'",
    ] {
        sqlx::query(statement).execute(&mut owner).await.expect("done");
    }
    let address: String = sqlx::query_scalar(
        "SELECT actor_ip FROM audit_entry WHERE tenant_id = 't3' AND actor_ip LIKE '10.0.%' LIMIT 1",
    )
    .fetch_one(&mut owner)
    .await
    .expect("an address");
    let resource: String = sqlx::query_scalar(
        "SELECT resource FROM audit_entry WHERE tenant_id = 't3' AND resource LIKE 'arn:aws:s3:::bucket-%'
          GROUP BY 1 ORDER BY count(*), 1 LIMIT 1",
    )
    .fetch_one(&mut owner)
    .await
    .expect("a resource");
    let of_resource = format!("(resource = '{resource}' OR '{resource}' = ANY (other_resources))");
    let of_address = format!("actor_ip = '{address}'");
    let pool = reader_pool(&database, 1).expect("a pool");
    let text = |text: &str| Some(text.to_owned());
    let all = AuditFilter::default();
    let at = |text: &str| Some(text.parse().expect("an instant"));
    for (filter, condition) in [
        (AuditFilter { action: text("Action3"), ..all.clone() }, "action = 'Action3'"),
        (AuditFilter { actor: text("user1"), ..all.clone() }, "actor = 'user1'"),
        (AuditFilter { resource: text(&resource), ..all.clone() }, of_resource.as_str()),
        (AuditFilter { address: text(&address), ..all.clone() }, of_address.as_str()),
        (AuditFilter { address: text("198.51.100.1"), ..all.clone() }, "false"),
        (AuditFilter { correlation: text("run-3"), ..all.clone() }, "correlation_id = 'run-3'"),
        (AuditFilter { correlation: text("run-of-nobody"), ..all.clone() }, "false"),
        (AuditFilter { text: text("ACTION38"), ..all.clone() }, "action ILIKE '%action38%'"),
        (
            AuditFilter { actor: text("user1"), outcome: Some(read::AuditOutcome::Success), ..all.clone() },
            "actor = 'user1' AND outcome = 'success'",
        ),
        (
            AuditFilter {
                action: text("Action3"),
                from: at("2025-06-10T07:00:00Z"),
                to: at("2025-12-24T00:00:00Z"),
                ..all.clone()
            },
            "action = 'Action3' AND occurred_at >= '2025-06-10T07:00:00Z' AND occurred_at < '2025-12-24'",
        ),
    ] {
        let expected = rows(&mut owner, condition).await;
        assert_eq!(found(&pool, &filter, 3).await, expected, "{filter:?}");
        assert_eq!(found(&pool, &filter, 1_000).await, expected, "{filter:?}");
        assert!(condition == "false" || !expected.is_empty(), "{filter:?} is about something");
    }
}

/// One with two other resources, and one with more than the filters know by their place.
#[tokio::test]
async fn a_rare_resource_is_found_behind_the_first() {
    let database = support::database().await;
    made_up_log::fill(&database, ROWS, "2026-03-17".parse().expect("a day"), |_| {}).await.expect("filled");
    let mut owner = PgConnection::connect(&database).await.expect("a database");
    let pool = reader_pool(&database, 1).expect("a pool");
    for resource in ["arn:aws:s3:::aside", "arn:aws:s3:::last"] {
        let expected = rows(&mut owner, &format!("'{resource}' = ANY (other_resources)")).await;
        assert_eq!(expected.len(), 1, "{resource}");
        let named = AuditFilter { resource: Some(resource.to_owned()), ..AuditFilter::default() };
        let part = AuditFilter { text: Some(resource.to_uppercase()), ..AuditFilter::default() };
        for filter in [named, part] {
            assert_eq!(found(&pool, &filter, 50).await, expected, "{filter:?}");
        }
        assert!(asks_filters(&mut owner, &["other_resource"], resource).await, "{resource}");
        assert!(asks_filters(&mut owner, &["resource", "other_resource"], resource).await, "{resource}");
    }
}

/// Whether a lookup of a term asks the filters of other resources, or every row is read.
async fn asks_filters(owner: &mut PgConnection, fields: &[&str], term: &str) -> bool {
    const SCANS: &str =
        "SELECT coalesce(sum(pg_stat_get_xact_numscans(inhrelid)), 0)::bigint FROM pg_inherits
          WHERE inhparent = 'audit_entry_bloom_others'::regclass";
    let mut tx = owner.begin().await.expect("begun");
    let set = sqlx::query("SELECT set_config('app.tenant_id', $1, true)").bind(TENANT);
    set.execute(&mut *tx).await.expect("set");
    let before: i64 = sqlx::query_scalar(SCANS).fetch_one(&mut *tx).await.expect("counted");
    let look_up = "SELECT count(*) FROM audit_entry_with_any($1, $2, '2000-01-01', '2100-01-01')";
    let held: i64 = sqlx::query_scalar(look_up)
        .bind(fields)
        .bind(vec![term; fields.len()])
        .fetch_one(&mut *tx)
        .await
        .expect("looked up");
    assert_eq!(held, 1, "{fields:?}");
    let after: i64 = sqlx::query_scalar(SCANS).fetch_one(&mut *tx).await.expect("counted");
    tx.rollback().await.expect("undone");
    after > before
}

#[tokio::test]
async fn the_filters_are_asked_for_the_tenant_of_the_session_alone() {
    let database = support::database().await;
    made_up_log::fill(&database, 4_000, "2026-03-17".parse().expect("a day"), |_| {}).await.expect("filled");
    let pool = reader_pool(&database, 1).expect("a pool");
    let ask = "SELECT DISTINCT tenant_id
                 FROM audit_entry_with_any('{action}', '{GetObject}', '2000-01-01', '2100-01-01')";
    let mut tx = pool.begin().await.expect("begun");
    let nobody: Vec<String> = sqlx::query_scalar(ask).fetch_all(&mut *tx).await.expect("asked");
    assert!(nobody.is_empty(), "without a tenant there is no row: {nobody:?}");
    sqlx::query("SELECT set_config('app.tenant_id', 't5', true)").execute(&mut *tx).await.expect("set");
    let own: Vec<String> = sqlx::query_scalar(ask).fetch_all(&mut *tx).await.expect("asked");
    assert_eq!(own, ["t5"]);
}
