//! A flood of records that cannot be applied. Nobody's poison halts its partition before all of it is parked, and an
//! operator decides; one tenant's halts nothing. A record that the database never gets done with is parked alone.

use schemas::Topic;
use serde_json::Value;

use super::fixture::{STANDS_PARKED, execute};
use crate::support::site::{Site, ended};

const ROWS: &str = "SELECT count(*) FROM audit_entry";
const ID: &str = "0192f0c1-2345-7abc-8def-0123456789ab";
/// Refuses the rows of one actor as the server does that ends a session for idling in its transaction.
const ENDLESS: &str = "
    CREATE FUNCTION endless() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'terminating connection due to idle-in-transaction timeout' USING ERRCODE = '25P03';
    END $$;
    CREATE TRIGGER endless BEFORE INSERT ON audit_entry FOR EACH ROW
      WHEN (NEW.actor = 'endless@example.com') EXECUTE FUNCTION endless();";
/// Refuses the rows of one actor as the server does that cannot index a value.
const TOO_LONG: &str = "
    CREATE FUNCTION too_long() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'index row requires 60024 bytes, maximum size is 8191' USING ERRCODE = '54000';
    END $$;
    CREATE TRIGGER too_long BEFORE INSERT ON audit_entry FOR EACH ROW
      WHEN (NEW.actor = 'endless@example.com') EXECUTE FUNCTION too_long();";
const HALTED: &str = "SELECT count(*) FROM stage_position WHERE halted IS NOT NULL";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_poison_halts_its_partition_until_somebody_resumes_it() {
    let site = Site::new().await;
    for _ in 0..150 {
        site.send_raw(Topic::Activity, Some(b"poison"), &[]).await;
    }
    site.publish(1, "acme", 1_000).await;
    let stage = site.run(1);
    site.await_count(HALTED, 1).await;
    assert_eq!(site.count(STANDS_PARKED).await, 100, "not one more");
    // The others are not held up.
    let audit = loop {
        let (lag, ended_well) = weir(&site, &["lag", "--stage", "audit", "--output", "json"]).await;
        assert!(ended_well, "{lag}");
        let audit = serde_json::from_str::<Value>(&lag).expect("JSON")["stages"][0].take();
        if partitions(&audit).iter().filter(|at| at["lag"] != 0).count() == 1 {
            break audit;
        }
    };
    assert_eq!((&audit["state"], &audit["waiting"]), (&"halted".into(), &100.into()));
    let halted: Vec<_> = partitions(&audit).iter().filter(|at| !at["halted"].is_null()).collect();
    assert_eq!(halted.len(), 1, "{audit}");
    let expected = serde_json::json!([Topic::Activity.name(), 0, "parking_limit", 100]);
    let found = ["topic", "partition", "halted", "position"].map(|field| halted[0][field].clone());
    assert_eq!(Value::from(found.to_vec()), expected);
    let before = site.count(ROWS).await;
    assert!(before > 500, "{before} of 1,000 events lie on other partitions");

    let _gateway = site.gateway();
    let place = ["audit", "--topic", Topic::Activity.name(), "--partition", "0"];
    let (_, ended_well) = weir(&site, &[&["stage", "resume"], &place[..]].concat()).await;
    assert!(ended_well);
    site.await_count(STANDS_PARKED, 150).await;
    // What was decided is an event of its own.
    site.await_count(ROWS, 1_000 + 1).await;
    site.await_count("SELECT count(*) FROM audit_entry WHERE action = 'ResumePartition'", 1).await;
    let (_, ended_well) = weir(&site, &[&["stage", "resume"], &place[..]].concat()).await;
    assert!(!ended_well, "it is not halted any more");
    stage.stop().await;
}

/// Tenants share partitions, and a publisher chooses them by its keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tenants_flood_of_poison_and_conflicts_halts_nothing() {
    let site = Site::new().await;
    for _ in 0..130 {
        site.send_raw(Topic::Activity, Some(b"poison"), &[("ce_tenantid", "loud")]).await;
    }
    for number in 0..131 {
        site.send_event(ID, &format!("somebody-{number}@example.com")).await;
    }
    site.publish(1, "neighbour", 1_000).await;
    let stage = site.run(1);
    site.await_count(STANDS_PARKED, 130 + 130).await;
    site.await_count(ROWS, 1_000 + 1).await;
    assert_eq!(site.count(HALTED).await, 0, "each is one tenant's own affair");
    stage.stop().await;
}

/// Values that cannot be stored are their publishers' affair, however many tenants send them at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_cannot_be_stored_halt_nothing_whoever_sends_them() {
    let site = Site::new().await;
    execute(&site.endpoints.database_url, TOO_LONG.into()).await;
    for number in 0..400 {
        let tenant = ["loud", "louder"][number % 2];
        let id = format!("0192f0c1-2345-7abc-8def-{number:012x}");
        site.send_event_of(tenant, &id, "endless@example.com").await;
    }
    site.publish(1, "neighbour", 1_000).await;
    let stage = site.run(1);
    site.await_count(STANDS_PARKED, 400).await;
    site.await_count(ROWS, 1_000).await;
    assert_eq!(site.count(HALTED).await, 0);
    stage.stop().await;
}

/// The database gives up on one record every time: the statement takes too long, or the session idles in its transaction
/// while we compute. Others are not held up, and in the end the record is parked with that reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_takes_too_long_every_time_is_parked_and_others_go_on() {
    let site = Site::new().await;
    execute(&site.endpoints.database_url, ENDLESS.into()).await;
    site.send_event("0192f0c1-2345-7abc-8def-0123456789aa", "ada@example.com").await;
    site.send_event(ID, "endless@example.com").await;
    site.send_event("0192f0c1-2345-7abc-8def-0123456789ac", "ada@example.com").await;
    let stage = site.run(1);
    let named = "SELECT count(*) FROM stage_position WHERE halted LIKE 'failing: %SQLSTATE 25P03%'";
    site.await_count(named, 1).await;
    // Meanwhile other partitions go on, and what lies before the record stays applied.
    site.publish(1, "neighbour", 1_000).await;
    site.await_that(ROWS, "the others are held up", |rows| rows > 500).await;
    assert_eq!(site.count(STANDS_PARKED).await, 0, "not yet");
    site.await_count("SELECT count(*) FROM parked_record WHERE reason = 'delivery_timed_out'", 1).await;
    site.await_count(ROWS, 1_000 + 2).await;
    site.await_count(HALTED, 0).await;
    assert_eq!(site.count(STANDS_PARKED).await, 1);
    stage.stop().await;
}

/// A late migration heals a stage by itself, and meanwhile everybody can see what is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_table_is_named_until_it_is_there() {
    let site = Site::new().await;
    execute(&site.endpoints.database_url, "ALTER TABLE audit_entry RENAME TO elsewhere".into()).await;
    site.publish(1, "acme", 200).await;
    let stage = site.run(1);
    let named = "SELECT count(*) FROM stage_position WHERE halted LIKE 'misconfigured: %audit_entry%42P01%'";
    site.await_that(named, "nothing is misconfigured", |halted| halted > 0).await;
    execute(&site.endpoints.database_url, "ALTER TABLE elsewhere RENAME TO audit_entry".into()).await;
    site.await_count(ROWS, 200).await;
    site.await_count(HALTED, 0).await;
    assert_eq!(site.count(STANDS_PARKED).await, 0, "nobody's record is to blame");
    stage.stop().await;
}

fn partitions(stage: &Value) -> &[Value] {
    stage["partitions"].as_array().expect("partitions")
}

/// Output of a command, and whether it succeeded.
async fn weir(site: &Site, args: &[&str]) -> (String, bool) {
    let output = ended(site.command(args)).await;
    (String::from_utf8(output.stdout).expect("UTF-8"), output.status.success())
}
