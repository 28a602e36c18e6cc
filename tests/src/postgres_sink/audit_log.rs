//! The table `audit_entry`: its partitions, its tenants, and that nobody edits it.

use std::borrow::Cow;

use sqlx::{Connection, Executor, PgConnection};

use super::fixture::{Place, apply, at, entry};
use schemas::{Timestamp, changes::AuditEntry};

fn entry_at(n: u64, at: &str) -> AuditEntry {
    let occurred_at = at.parse::<Timestamp>().expect("a time");
    AuditEntry { occurred_at, ..entry(n) }
}

async fn partitions(place: &mut Place) -> Vec<(String, i64)> {
    sqlx::query_as("SELECT tableoid::regclass::text, count(*) FROM audit_entry GROUP BY 1 ORDER BY 1")
        .fetch_all(&mut place.owner)
        .await
        .expect("counted")
}

#[tokio::test]
async fn each_month_has_its_partition_however_old_the_events_are() {
    let mut place = Place::new().await;
    let times = [
        "2000-01-01T00:00:00Z",
        "2019-12-31T23:59:59.999999Z",
        "2020-01-01T00:00:00Z",
        "9000-01-01T00:00:00Z",
    ];
    let entries = times.iter().zip(1..).map(|(time, n)| entry_at(n, time));
    assert_eq!(place.deliver(apply(entries)).await, [4, 0, 0, 0]);
    let expected = [
        ("audit_entry_2000_01".to_owned(), 1),
        ("audit_entry_2019_12".to_owned(), 1),
        ("audit_entry_2020_01".to_owned(), 1),
        ("audit_entry_default".to_owned(), 1),
    ];
    assert_eq!(partitions(&mut place).await, expected);
}

#[tokio::test]
async fn months_ahead_are_made_by_the_migration() {
    let mut place = Place::new().await;
    let ahead = place.number(
        "SELECT count(*) FROM generate_series(0, 2) AS n
          WHERE to_regclass('audit_entry_' || to_char(now() AT TIME ZONE 'UTC' + n * interval '1 month', 'YYYY_MM'))
                IS NOT NULL",
    );
    assert_eq!(ahead.await, 3);
}

/// Whatever time it tells, in whatever month: one id, one entry.
#[tokio::test]
async fn an_id_comes_once_whatever_time_its_event_tells() {
    let mut place = Place::new().await;
    let timeless = |at: &str| entry_at(1, at);
    assert_eq!(place.deliver(apply([timeless("2026-01-31T23:59:59Z")])).await, [1, 0, 0, 0]);
    // The same content, received in the next month; then many at once, which are copied.
    assert_eq!(place.deliver(apply([timeless("2026-02-01T00:00:01Z")])).await, [0, 1, 0, 0]);
    let many = (2..200).map(|n| entry_at(n, "2026-02-01T00:00:02Z"));
    assert_eq!(place.deliver(apply(many.chain([timeless("2026-03-01T00:00:00Z")]))).await, [198, 1, 0, 0]);
    // Another content under the id is a conflict, also within one batch, and nothing of it is stored.
    let other = AuditEntry { content_sha256: [9; 32], ..entry_at(1, "2027-02-01T00:00:00Z") };
    assert_eq!(place.deliver(apply([entry_at(200, "2026-02-01T00:00:03Z"), other])).await, [1, 0, 0, 1]);
    assert_eq!(place.rows().await, (200, 200));
    assert_eq!(
        place
            .number(
                "SELECT count(*) FROM audit_event JOIN audit_entry USING (tenant_id, event_id, occurred_at)"
            )
            .await,
        200
    );
}

/// A month that cannot be made at the moment does not hold the batch up, and its rows do not block it later.
#[tokio::test]
async fn rows_that_fell_into_the_default_partition_move_to_their_month_once_it_is_made() {
    let mut place = Place::new().await;
    let mut reader = PgConnection::connect(&place.url).await.expect("connected");
    let mut reading = reader.begin().await.expect("begun");
    reading.execute("SELECT count(*) FROM audit_entry").await.expect("read, which locks every partition");
    let entries = [
        entry_at(1, "2021-05-01T00:00:00Z"),
        entry_at(2, "2021-05-31T23:59:59Z"),
        entry_at(3, "2021-06-01T00:00:00Z"),
    ];
    assert_eq!(place.deliver(apply(entries.clone())).await, [3, 0, 0, 0]);
    assert_eq!(partitions(&mut place).await, [("audit_entry_default".to_owned(), 3)]);
    reading.rollback().await.expect("let go");

    place.sink = super::sink(&place.url, "one");
    assert_eq!(
        place.deliver(apply([entries[0].clone(), entry_at(4, "2021-05-02T00:00:00Z")])).await,
        [1, 1, 0, 0]
    );
    let expected = [("audit_entry_2021_05".to_owned(), 3), ("audit_entry_2021_06".to_owned(), 1)];
    assert_eq!(partitions(&mut place).await, expected);
}

#[tokio::test]
async fn entries_cannot_be_changed_or_removed() {
    let mut place = Place::new().await;
    place.deliver(apply([entry(1), AuditEntry { occurred_at: at(-1_000_000_000), ..entry(2) }])).await;
    let attempts = [
        "UPDATE audit_entry SET actor = 'eve'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
        "UPDATE audit_event SET content = ''",
        "DELETE FROM audit_event",
        "TRUNCATE audit_event",
        "SET weir.moving_rows = 'on'; DELETE FROM audit_entry",
    ];
    for role in ["weir_writer", "weir_reader", "weir_operator", "weir_owner", "none"] {
        for attempt in attempts {
            let mut connection = PgConnection::connect(&place.url).await.expect("connected");
            connection.execute(sqlx::AssertSqlSafe(format!("SET ROLE {role}"))).await.expect("role");
            let error = connection.execute(attempt).await.expect_err("refused");
            let code = error.as_database_error().and_then(|db| db.code().map(Cow::into_owned));
            assert_eq!(code.as_deref(), Some("42501"), "{role}: {attempt}: {error}");
        }
    }
    assert_eq!(place.rows().await, (2, 2));
}

/// Every table that holds tenants' rows, and every partition of one, is under row-level security that binds its owner.
#[tokio::test]
async fn row_level_security_is_on_and_forced_wherever_there_is_a_tenant() {
    let mut place = Place::new().await;
    place.deliver(apply([entry_at(1, "2015-01-01T00:00:00Z")])).await;
    let tables: Vec<(String, bool)> = sqlx::query_as(
        "SELECT c.relname::text, c.relrowsecurity AND c.relforcerowsecurity FROM pg_class AS c
           JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
          WHERE c.relkind IN ('r', 'p') ORDER BY 1",
    )
    .fetch_all(&mut place.owner)
    .await
    .expect("the catalog");
    assert!(tables.len() >= 6, "{tables:?}");
    for (table, bound) in tables {
        assert!(bound, "{table} is not under forced row-level security");
    }
}

#[tokio::test]
async fn readers_see_their_tenant_only_and_nothing_without_one() {
    let mut place = Place::new().await;
    place.deliver(apply((0..9).map(entry))).await;
    let mut reader = PgConnection::connect(&place.url).await.expect("connected");
    for role in ["weir_reader", "grafana_reader"] {
        reader.execute(sqlx::AssertSqlSafe(format!("SET ROLE {role}"))).await.expect("role");
        for (tenant, expected) in [("acme", 3), ("other", 6), ("nobody", 0), ("", 0)] {
            let mut tx = reader.begin().await.expect("begun");
            sqlx::query("SELECT set_config('app.tenant_id', $1, true)")
                .bind(tenant)
                .execute(&mut *tx)
                .await
                .expect("set");
            let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_entry")
                .fetch_one(&mut *tx)
                .await
                .expect("read");
            assert_eq!(seen, expected, "{role} as {tenant:?}");
        }
        let unset: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_entry")
            .fetch_one(&mut reader)
            .await
            .expect("read");
        assert_eq!(unset, 0);
        for refused in [
            "SELECT * FROM api_key",
            "SELECT * FROM audit_entry_default",
            "SELECT * FROM outbox",
            "INSERT INTO audit_entry DEFAULT VALUES",
            "SELECT audit_entry_make_month('2030-01-01')",
        ] {
            let error = reader.execute(refused).await.expect_err(refused);
            let code = error.as_database_error().and_then(|db| db.code().map(Cow::into_owned));
            assert_eq!(code.as_deref(), Some("42501"), "{role}: {refused}");
        }
        reader.execute("RESET ROLE").await.expect("reset");
    }
}
