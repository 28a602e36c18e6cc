//! The Postgres sink on a real server: what lands, what is recognised, what is refused.

mod audit_log;
mod cancelled;
mod fencing;
mod fixture;
mod log_entries;
mod logins;
mod operators;
mod parked;
mod terms;

use fixture::{Place, apply, batch_of, claim, counts, entry, last, partition, record, sink};
use schemas::{ParkReason, changes::AuditEntry};
use sinks::{Batch, DeliveryError, HaltReason, OffsetRange, Settlement, Sink, compress, positions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection, PgConnection, Row, postgres::PgConnectOptions};

#[tokio::test]
async fn a_stage_stores_under_which_rules_it_decided() {
    let mut place = Place::new().await;
    // The last row of a small batch and of a large one; small ones take a way of their own.
    let sizes = [1, 1, 200, 1, 1];
    let mut id = 0;
    for (rules, size) in [None, Some("first"), Some("first"), Some("second"), None].into_iter().zip(sizes) {
        let claim = place.claim().await;
        let entries: Vec<_> = (0..size).map(|at| entry(id + at)).collect();
        id += size;
        let batch = Batch { rule_set: rules.map(Into::into), ..batch_of(&claim, apply(entries)) };
        place.sink.deliver(&batch).await.expect("delivered");
    }
    let pool = sinks::read_models::reader_pool(&place.url, 1).expect("a URL");
    let stages = positions::decided_under(&pool, None).await.expect("read");
    let under: Vec<_> =
        stages.iter().map(|row| (row.rule_set.as_str(), row.from_offset, row.to_offset)).collect();
    assert_eq!(under, [("first", 1, 202), ("second", 202, 204)], "a batch without rules changes nothing");
    assert!(positions::decided_under(&pool, Some("other")).await.expect("read").is_empty());
}

/// Every column comes back as it went in, whichever way the rows went: few by INSERT, many by COPY.
#[tokio::test]
async fn rows_hold_what_the_entries_held() {
    for rows in [1, 3, 500] {
        let mut place = Place::new().await;
        assert_eq!(
            place.deliver(apply((0..rows).map(entry))).await,
            [i64::try_from(rows).expect("small"), 0, 0, 0]
        );
        let stored =
            sqlx::query("SELECT * FROM audit_entry ORDER BY record_offset").fetch_all(&mut place.owner);
        let stored = stored.await.expect("read");
        assert_eq!(u64::try_from(stored.len()).expect("small"), rows);
        for (n, row) in (0..rows).zip(stored) {
            let entry = entry(n);
            let text = |column: &str| row.get::<Option<String>, _>(column);
            assert_eq!(row.get::<uuid::Uuid, _>("event_id"), *entry.event_id.as_uuid());
            assert_eq!(row.get::<chrono::DateTime<chrono::Utc>, _>("occurred_at"), entry.occurred_at);
            assert_eq!(row.get::<i64, _>("record_offset"), i64::try_from(n).expect("small"));
            let numbers =
                ["partition", "class_uid", "activity_id", "severity_id"].map(|c| row.get::<i32, _>(c));
            assert_eq!(numbers, [0, 6003, 2, 1]);
            let texts = [
                ("topic", Some("weir.activity.v1".to_owned())),
                ("tenant_id", Some(entry.tenant.to_string())),
                ("kind", Some("ApiCalled".into())),
                ("actor_kind", Some("user".into())),
                ("actor", Some(entry.actor.clone())),
                ("actor_name", entry.actor_name.clone()),
                ("actor_ip", None),
                ("action", Some("s3:GetObject".into())),
                ("resource_type", Some("bucket".into())),
                ("resource", entry.resource.clone()),
                ("project", None),
                ("outcome", Some("success".into())),
                ("outcome_code", None),
                ("source", Some("/test".into())),
                ("correlation_id", Some("c".into())),
            ];
            for (column, expected) in texts {
                assert_eq!(text(column), expected, "{column}");
            }
            let others = Some(entry.other_resources.clone()).filter(|others| !others.is_empty());
            assert_eq!(row.get::<Option<Vec<String>>, _>("other_resources"), others);
            assert_eq!(row.get::<Vec<u8>, _>("content_sha256"), entry.content_sha256);
            let (dictionary, frame): (i16, Vec<u8>) = (row.get("record_dictionary"), row.get("record"));
            assert_eq!(compress::decompress(dictionary, &frame).expect("readable"), entry.record.to_bytes());
        }
    }
}

#[tokio::test]
async fn a_batch_moves_its_positions_and_counts_each_record_once() {
    let mut place = Place::new().await;
    let first = claim(&mut place.sink, 0).await;
    assert_eq!((first.position, first.owner_epoch, first.last, first.halted), (0, 1, None, None));
    let second = claim(&mut place.sink, 1).await;
    let range = |number, start, upto, last| OffsetRange {
        partition: partition(number),
        start,
        upto,
        last,
        owner_epoch: 1,
    };
    let batch = Batch {
        records: vec![
            record(0, 2, Settlement::Apply(vec![entry(1)])),
            record(0, 5, Settlement::Ignore("tombstone")),
            record(0, 6, Settlement::Apply(vec![])),
            record(1, 0, Settlement::Apply(vec![entry(2)])),
        ],
        ranges: vec![range(0, 0, 7, Some(last(6))), range(1, second.position, 1, Some(last(0)))],
        rule_set: None,
    };
    let settled = place.sink.deliver(&batch).await.expect("delivered");
    let of = |range: usize| {
        let c = settled.ranges[range];
        [c.applied, c.duplicate, c.ignored, c.parked]
    };
    assert_eq!((of(0), of(1)), ([2, 0, 1, 0], [1, 0, 0, 0]));
    assert_eq!(place.stored().await, (7, [2, 0, 1, 0]));
    assert_eq!(place.rows().await, (2, 2));

    // Markers only: the position moves, the last record stays the one to be recognised by.
    let markers = Batch { records: vec![], ranges: vec![range(0, 7, 9, None)], rule_set: None };
    place.sink.deliver(&markers).await.expect("delivered");
    let again = place.claim().await;
    assert_eq!((again.position, again.last, again.owner_epoch), (9, Some(last(6)), 2));
}

#[tokio::test]
async fn nobody_writes_on_another_owners_partition() {
    let mut place = Place::new().await;
    let old = place.claim().await;
    let mut other = sink(&place.url, "two");
    let new = claim(&mut other, 0).await;
    assert_eq!((new.owner_epoch, new.position), (old.owner_epoch + 1, old.position));
    let stale = batch_of(&old, apply([entry(1)]));
    assert!(matches!(place.sink.deliver(&stale).await, Err(DeliveryError::Fenced)));
    assert!(matches!(
        place.sink.set_halted(partition(0), 1, Some(&HaltReason::stuck("x"))).await,
        Err(DeliveryError::Fenced)
    ));
    assert_eq!((place.rows().await, place.stored().await), ((0, 0), (0, [0; 4])));
    let batch = batch_of(&new, apply([entry(1)]));
    assert_eq!(counts(&other.deliver(&batch).await.expect("delivered")), [1, 0, 0, 0]);

    // One fenced partition fences the batch: nothing of the other is written either.
    let mine = claim(&mut place.sink, 1).await;
    let mut both = batch_of(&mine, apply([entry(2)]));
    both.ranges.insert(0, OffsetRange { upto: 2, start: 1, ..stale.ranges[0].clone() });
    both.records[0].range = 1;
    assert!(matches!(place.sink.deliver(&both).await, Err(DeliveryError::Fenced)));
    assert_eq!(place.rows().await, (1, 1));
}

/// After a lost answer the same batch is delivered again.
#[tokio::test]
async fn a_batch_that_was_committed_is_recognised() {
    for rows in [3, 70] {
        let mut place = Place::new().await;
        let claim = place.claim().await;
        let batch = batch_of(&claim, apply((0..rows).map(entry)));
        let rows = i64::try_from(rows).expect("small");
        for _ in 0..3 {
            assert_eq!(counts(&place.sink.deliver(&batch).await.expect("delivered")), [rows, 0, 0, 0]);
        }
        assert_eq!((place.rows().await, place.stored().await), ((rows, rows), (rows, [rows, 0, 0, 0])));
    }
}

#[tokio::test]
async fn events_seen_before_are_counted_as_duplicates_and_conflicts_are_parked() {
    let mut place = Place::new().await;
    let conflicting = |n| AuditEntry { content_sha256: [255; 32], ..entry(n) };
    assert_eq!(place.deliver(apply((0..100).map(entry))).await, [100, 0, 0, 0]);
    // Some old, some new, one twice in the batch, one with other content, one of those conflicting within the batch.
    let mixed = (90..110).map(entry).chain([entry(105), conflicting(3), conflicting(106)]);
    assert_eq!(place.deliver(apply(mixed)).await, [10, 11, 0, 2]);
    assert_eq!(place.deliver(apply((0..110).map(entry))).await, [0, 110, 0, 0]);
    // After a dirty batch a clean one.
    assert_eq!(place.deliver(apply((110..120).map(entry))).await, [10, 0, 0, 0]);
    assert_eq!(place.deliver(apply((120..130).map(entry))).await, [10, 0, 0, 0]);
    assert_eq!(place.rows().await, (130, 130));
    assert_eq!(place.stored().await.1, [130, 121, 0, 2]);
    let reasons: Vec<(i64, String)> =
        sqlx::query_as("SELECT record_offset, reason FROM parked_record ORDER BY record_offset")
            .fetch_all(&mut place.owner)
            .await
            .expect("read");
    assert_eq!(reasons, [(121, "duplicate_id_conflict".into()), (122, "duplicate_id_conflict".into())]);
}

/// A record that causes several rows is applied, recognised or parked as one.
#[tokio::test]
async fn a_record_with_one_conflicting_row_is_parked_whole() {
    let mut place = Place::new().await;
    place.deliver(apply([entry(1)])).await;
    let other = AuditEntry { content_sha256: [255; 32], ..entry(1) };
    let both = Settlement::Apply(vec![entry(2), other]);
    let partly_new = Settlement::Apply(vec![entry(1), entry(3)]);
    assert_eq!(place.deliver(vec![both, partly_new]).await, [1, 0, 0, 1]);
    assert_eq!(place.rows().await, (2, 2));
    assert_eq!(place.number("SELECT count(*) FROM audit_entry WHERE resource = 'bucket-2'").await, 0);
}

#[tokio::test]
async fn what_postgres_can_never_hold_is_rejected_and_leaves_nothing() {
    let poison = [
        AuditEntry { actor: "a\0b".into(), ..entry(1) },
        AuditEntry { occurred_at: chrono::DateTime::<chrono::Utc>::MIN_UTC, ..entry(1) },
    ];
    for poison in poison {
        for good in [0, 200] {
            let mut place = Place::new().await;
            let claim = place.claim().await;
            let batch = batch_of(&claim, apply((2..2 + good).map(entry).chain([poison.clone()])));
            let error = place.sink.deliver(&batch).await.expect_err("cannot be stored");
            let DeliveryError::Rejected { park_as, reason } = error else { panic!("{error:?}") };
            assert_eq!(park_as, ParkReason::Unstorable, "{reason}");
            assert_eq!((place.rows().await, place.stored().await), ((0, 0), (0, [0; 4])));
            // The same connection goes on, and the good ones land.
            let batch = batch_of(&claim, apply((2..=2 + good).map(entry)));
            place.sink.deliver(&batch).await.expect("delivered");
        }
    }
}

#[tokio::test]
async fn a_lost_connection_is_unavailable_and_made_anew() {
    let mut place = Place::new().await;
    let claim = place.claim().await;
    let batch = batch_of(&claim, apply((0..5).map(entry)));
    for upto in [5, 5, 5] {
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'weir-audit'
                        AND datname = current_database()",
        )
        .execute(&mut place.owner)
        .await
        .expect("asked");
        let error = place.sink.deliver(&batch).await.expect_err("the connection is gone");
        assert!(matches!(error, DeliveryError::Unavailable(_) | DeliveryError::Interrupted(_)), "{error:?}");
        place.sink.deliver(&batch).await.expect("delivered");
        assert_eq!(place.stored().await, (upto, [5, 0, 0, 0]));
    }
    let mut nowhere = sink("postgres://127.0.0.1:1/none", "one");
    assert!(matches!(nowhere.deliver(&batch).await, Err(DeliveryError::Unavailable(_))));
}

/// The lock of a frozen owner is waited for and reported, not taken as anybody's fault.
#[tokio::test]
async fn a_claim_waits_for_the_transaction_before_it() {
    let mut place = Place::new().await;
    place.claim().await;
    let mut zombie = PgConnection::connect(&place.url).await.expect("connected");
    let mut held = zombie.begin().await.expect("begun");
    sqlx::query("UPDATE stage_position SET updated_at = now()").execute(&mut *held).await.expect("locked");
    let request = sinks::ClaimRequest { partition: partition(0), low: 0, partitions: None };
    let waited = place.sink.claim(std::slice::from_ref(&request)).await;
    assert!(matches!(waited, Err(DeliveryError::Interrupted(_))), "{waited:?}");
    held.rollback().await.expect("let go");
    assert_eq!(place.sink.claim(&[request]).await.expect("claimed")[0].owner_epoch, 2);
}

#[tokio::test]
async fn a_missing_table_is_the_set_ups_fault() {
    let mut place = Place::new().await;
    let claim = place.claim().await;
    let batch = batch_of(&claim, apply([entry(1)]));
    sqlx::query("ALTER TABLE audit_entry RENAME TO gone").execute(&mut place.owner).await.expect("renamed");
    let error = place.sink.deliver(&batch).await.expect_err("nowhere to write");
    assert!(matches!(error, DeliveryError::Misconfigured(_)), "{error:?}");
    sqlx::query("ALTER TABLE gone RENAME TO audit_entry").execute(&mut place.owner).await.expect("renamed");
    place.sink.deliver(&batch).await.expect("a late migration heals it");
}

/// Refuses every row as the tables do that are not as the writer knew them.
const OUTDATED: &str = "
    CREATE FUNCTION outdated() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'subjects were erased since epoch 0' USING ERRCODE = 'WE002';
    END $$;
    CREATE TRIGGER outdated BEFORE INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION outdated();";

/// However often others change the tables meanwhile, no record is to blame.
#[tokio::test]
async fn tables_that_change_again_and_again_are_waited_for() {
    for rows in [3, 200] {
        let mut place = Place::new().await;
        let claim = place.claim().await;
        sqlx::raw_sql(OUTDATED).execute(&mut place.owner).await.expect("a trigger");
        let batch = batch_of(&claim, apply((0..rows).map(entry)));
        let error = place.sink.deliver(&batch).await.expect_err("refused every time");
        assert!(matches!(error, DeliveryError::Unavailable(_)), "{error:?}");
        assert_eq!((place.rows().await, place.stored().await), ((0, 0), (0, [0; 4])));
        let quiet = "DROP TRIGGER outdated ON audit_entry";
        sqlx::raw_sql(quiet).execute(&mut place.owner).await.expect("no trigger");
        let settled = place.sink.deliver(&batch).await.expect("delivered");
        assert_eq!(counts(&settled), [i64::try_from(rows).expect("small"), 0, 0, 0]);
    }
}

#[tokio::test]
async fn a_halt_is_told_to_the_next_owner_until_it_is_lifted() {
    let mut place = Place::new().await;
    let claim = place.claim().await;
    place
        .sink
        .set_halted(claim.partition, claim.owner_epoch, Some(&HaltReason::log_diverged(4)))
        .await
        .expect("halted");
    let again = place.claim().await;
    assert_eq!(again.halted, Some(HaltReason::log_diverged(4)));
    place.sink.set_halted(again.partition, again.owner_epoch, None).await.expect("lifted");
    assert_eq!(place.claim().await.halted, None);
}

/// A URL is all that somebody has to say: nobody creates its database beforehand.
#[tokio::test]
async fn a_database_that_only_its_url_names_is_created() {
    const PASSWORD: &str = "a password of tests";
    let maintenance = crate::support::postgres().await;
    let url = crate::support::empty_database().await;
    let options: PgConnectOptions = url.parse().expect("a URL");
    let name = options.get_database().expect("a name").to_owned();
    sinks::postgres::drop_database(&maintenance, &name).await.expect("dropped");

    let mut owner = PgConnection::connect(&maintenance).await.expect("the server takes connections");
    let role = format!("{name}_guest");
    let made = format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'");
    sqlx::raw_sql(AssertSqlSafe(made)).execute(&mut owner).await.expect("created");
    let guest = options.username(&role).password(PASSWORD).to_url_lossy().to_string();
    let refused = sinks::postgres::ensure_database(&guest, &guest).await.expect_err("no right").to_string();
    sqlx::raw_sql(AssertSqlSafe(format!("DROP ROLE {role}"))).execute(&mut owner).await.expect("dropped");
    for told in [name.as_str(), &role, "CREATE DATABASE"] {
        assert!(refused.contains(told), "{told}: {refused}");
    }

    for _ in 0..2 {
        sinks::postgres::ensure_database(&url, &url).await.expect("created, then found");
    }
    sinks::postgres::migrate(&url).await.expect("migrated");
}

/// Rolling out to several databases of one cluster at once, twice.
#[tokio::test(flavor = "multi_thread")]
async fn migrations_run_side_by_side_and_again() {
    let maintenance = crate::support::postgres().await;
    let urls = futures_util::future::join_all((0..4).map(|_| crate::support::database())).await;
    futures_util::future::join_all(urls.iter().map(|url| sinks::postgres::migrate(url)))
        .await
        .into_iter()
        .for_each(|outcome| outcome.expect("migrated again"));
    for bad in ["", "A", "1a", "a b", "a\"b", &"x".repeat(64)] {
        assert!(sinks::postgres::create_database(&maintenance, bad).await.is_err(), "{bad}");
    }
}
