//! The table `audit_entry`: its partitions, its tenants, and that nobody edits it.

use std::borrow::Cow;

use chrono::Datelike;
use sinks::read_models::audit_entry::upkeep::Upkeep;
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

/// One request may hold events of any time: months have partitions of their own for two years, years before that, and
/// times that nobody should have lie in the default partition.
#[tokio::test]
async fn partitions_are_made_for_times_that_are_sane() {
    let mut place = Place::new().await;
    let year = chrono::Utc::now().year() - 1;
    let entries = [
        "1969-07-20T00:00:00Z".to_owned(),
        "2000-01-01T00:00:00Z".to_owned(),
        "2000-12-31T23:59:59.999999Z".to_owned(),
        "2001-01-01T00:00:00Z".to_owned(),
        format!("{year}-01-31T23:59:59.999999Z"),
        format!("{year}-02-01T00:00:00Z"),
        "9000-01-01T00:00:00Z".to_owned(),
    ];
    let entries = entries.iter().zip(1..).map(|(time, n)| entry_at(n, time));
    assert_eq!(place.deliver(apply(entries)).await, [7, 0, 0, 0]);
    let expected = [
        ("audit_entry_2000".to_owned(), 2),
        ("audit_entry_2001".to_owned(), 1),
        (format!("audit_entry_{year}_01"), 1),
        (format!("audit_entry_{year}_02"), 1),
        ("audit_entry_default".to_owned(), 2),
    ];
    assert_eq!(partitions(&mut place).await, expected);
    let century =
        (0..1_200).map(|n| entry_at(100 + n, &format!("{}-{:02}-01T00:00:00Z", 1925 + n / 12, n % 12 + 1)));
    assert_eq!(place.deliver(apply(century)).await, [1_200, 0, 0, 0]);
    let made = place.number("SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit_entry'::regclass");
    let made = made.await;
    assert!(made < 80, "{made} partitions");
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

/// A month that cannot be made at the moment does not hold the batch up; its rows move there once its readers let go of the
/// default partition, and are seen once at any moment.
#[tokio::test]
async fn rows_that_fell_into_the_default_partition_are_moved_by_the_upkeep() {
    let mut place = Place::new().await;
    let today = chrono::Utc::now().date_naive();
    let year = today.year() - 1;
    let mut reader = PgConnection::connect(&place.url).await.expect("connected");
    let mut reading = reader.begin().await.expect("begun");
    reading.execute("SELECT count(*) FROM audit_entry").await.expect("read, which locks every partition");
    let in_may = |n: u64| entry_at(n, &format!("{year}-05-{:02}T12:00:00Z", n % 28 + 1));
    let june = entry_at(900, &format!("{year}-06-01T00:00:00Z"));
    assert_eq!(place.deliver(apply((1..=100).map(in_may).chain([june]))).await, [101, 0, 0, 0]);
    assert_eq!(partitions(&mut place).await, [("audit_entry_default".to_owned(), 101)]);

    let mut upkeep = Upkeep::default();
    upkeep.round(&place.url, today).await.expect("a round");
    assert_eq!(partitions(&mut place).await, [("audit_entry_default".to_owned(), 101)], "it is still read");
    let others = PgConnection::connect(&place.url)
        .await
        .expect("connected")
        .execute("SELECT count(*) FROM audit_entry")
        .await;
    others.expect("nobody waits for a lock that cannot be had");
    reading.rollback().await.expect("let go");

    // A writer that has just begun finds rows of the month in the default partition, and leaves them to the upkeep.
    place.sink = super::sink(&place.url, "one");
    assert_eq!(place.deliver(apply([in_may(1), in_may(101)])).await, [1, 1, 0, 0]);
    assert_eq!(partitions(&mut place).await, [("audit_entry_default".to_owned(), 102)]);
    upkeep.round(&place.url, today).await.expect("a round");
    let expected = [(format!("audit_entry_{year}_05"), 101), (format!("audit_entry_{year}_06"), 1)];
    assert_eq!(partitions(&mut place).await, expected);
    assert_eq!(place.deliver(apply([in_may(1), in_may(102)])).await, [1, 1, 0, 0], "ids are still known");
    let left = place.number(
        "SELECT count(*) FROM pg_constraint WHERE conname = 'bounds' AND conrelid::regclass::text LIKE 'audit_entry%'",
    );
    assert_eq!(left.await, 0, "no check is left behind");
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
        "SET weir.erasing = 'on'; UPDATE audit_entry SET actor = '', personal_digest = sha256('')",
        "SET weir.erasing = 'on'; DELETE FROM audit_event",
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
