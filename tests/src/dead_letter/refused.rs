//! Causes that stay: a record goes round three times at most, and is given up.

use std::time::Duration;

use rdkafka::{
    Offset,
    producer::{FutureProducer, FutureRecord},
};
use schemas::Topic;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::fixture::{STANDS_PARKED, WAITING, account, execute};
use crate::support::site::Site;

const ID: &str = "0192f0c1-2345-7abc-8def-0123456789ab";
const HOSTILE: &str = "\u{1b}[2J\u{9b}31m\u{202e}gpj";

/// The first refusal begins with that word.
fn refused_for(answer: &Value, word: &str) -> bool {
    answer["refused"][0]["why"].as_str().is_some_and(|why| why.starts_with(word))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_again_goes_round_three_times_and_is_given_up() {
    let site = Site::new().await;
    let _gateway = site.gateway();
    let stage = site.run(1);
    site.send_event(ID, "ada@example.com").await;
    site.send_event(ID, &format!("eve@example.com{HOSTILE}")).await;
    let first = parked_with(&site, "duplicate_id_conflict", 0).await;
    let replay = ["replay", "--reason", "duplicate_id_conflict"];
    for round in 1..=3 {
        let (done, _) = site.decide(&replay).await;
        assert_eq!((&done["replayed"], &done["refusals"]), (&1.into(), &0.into()), "round {round}: {done}");
        let again = parked_with(&site, "duplicate_id_conflict", round).await;
        assert!(again > first, "under its new offset");
        assert_eq!((site.count(WAITING).await, site.count(STANDS_PARKED).await), (1, 1));
    }
    let (fourth, ended_well) = site.decide(&replay).await;
    assert!(!ended_well && refused_for(&fourth, "replay_limit"), "{fourth}");
    assert_eq!(site.count("SELECT count(*) FROM audit_entry WHERE tenant_id = 'acme'").await, 1);
    it_is_shown_safely(&site, first).await;
    a_selection_of_nothing_is_no_success(&site, first).await;

    let refused = site.run_dead_letter(&["discard", "--reason", "no use"]).await;
    assert!(!refused.status.success(), "nothing said is not everything");
    let discard = ["discard", "--parked-as", "duplicate_id_conflict", "--reason", "no use"];
    assert_eq!(site.decide(&[&discard[..], &["--dry-run"]].concat()).await.0["discarded"], 1);
    assert_eq!(site.decide(&discard).await.0["discarded"], 1);
    let (nothing, ended_well) = site.decide(&discard).await;
    assert!(nothing["discarded"] == 0 && !ended_well, "nothing is left: {nothing}");
    assert_eq!(site.count(WAITING).await, 0);
    let (listed, _) = site.decide(&["list", "--status", "discarded"]).await;
    assert_eq!(
        (&listed[0]["settled_by"], &listed[0]["settled_reason"]),
        (&account().into(), &"no use".into())
    );
    assert_eq!(site.decide(&["list", "--status", "replayed"]).await.0.as_array().map(Vec::len), Some(3));
    // Whoever finds nothing to decide about decides nothing.
    let told = "SELECT count(*) FROM audit_entry WHERE action = 'DiscardParkedRecords'";
    site.await_count(told, 1).await;
    stage.stop().await;
}

/// `replayed`: the offset of a record that was replayed.
async fn a_selection_of_nothing_is_no_success(site: &Site, replayed: i64) {
    let waiting = site.count(WAITING).await;
    let (offset, topic) = (replayed.to_string(), Topic::Activity.name());
    let at = |offset| ["--topic", topic, "--partition", "0", "--offset", offset];
    let misspelt = "duplicate_id_conflct";
    for (args, said) in [
        (&["replay", "--reason", misspelt][..], "duplicate_id_conflict"),
        (&["discard", "--parked-as", misspelt, "--reason", "no use"], "duplicate_id_conflict"),
        (&["list", "--reason", misspelt], "duplicate_id_conflict"),
        (&[&["replay"][..], &at("999999")].concat(), "weir dead-letter list"),
        (&[&["replay", "--dry-run"][..], &at("999999")].concat(), "weir dead-letter list"),
        (&[&["discard", "--reason", "no use"][..], &at("999999")].concat(), "weir dead-letter list"),
        (&[&["replay"][..], &at(offset.as_str())].concat(), "--again"),
    ] {
        let output = site.run_dead_letter(args).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(said), "{args:?}: {text}");
    }
    assert_eq!(site.count(WAITING).await, waiting);
}

/// No byte of the record reaches the terminal as it is.
async fn it_is_shown_safely(site: &Site, offset: i64) {
    let (offset, topic) = (offset.to_string(), Topic::Activity.name());
    let at = ["show", "audit", "--topic", topic, "--partition", "0", "--offset", &offset];
    for args in [&at[..], &[&at[..], &["--output", "json"]].concat(), &["list"]] {
        let output = site.run_dead_letter(args).await;
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{args:?}");
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(steers), "{args:?}: {text:?}");
        assert!(text.contains("duplicate_id_conflict"), "{text}");
    }
    let (shown, _) = site.decide(&at).await;
    let value: Value = serde_json::from_str(shown["value"].as_str().expect("text")).expect("as it was sent");
    assert_eq!(value["actor"]["id"], format!("eve@example.com{HOSTILE}"));
}

/// Values above 1 MiB are not kept: they are read from the topic, as long as it holds them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_was_not_kept_is_read_from_the_topic_or_refused_by_name() {
    let site = Site::new().await;
    let stage = site.run(1);
    send_zeros(&site, 1024 * 1024 + 1).await;
    parked_with(&site, "too_large", 0).await;
    let (done, ended_well) = site.decide(&["replay", "--reason", "too_large"]).await;
    assert!(ended_well && done["replayed"] == 1, "{done}");
    let offset = parked_with(&site, "too_large", 1).await;
    let same = "SELECT count(DISTINCT (value_sha256, value_size)) FROM parked_record";
    assert_eq!((site.count(same).await, site.count("SELECT count(*) FROM parked_record").await), (1, 2));

    site.forget_records(Topic::Activity, 0, Offset::Offset(offset + 1)).await;
    let (gone, ended_well) = site.decide(&["replay", "--reason", "too_large"]).await;
    assert!(!ended_well && refused_for(&gone, "value_gone"), "{gone}");
    assert_eq!(site.count(WAITING).await, 1, "it still waits");
    stage.stop().await;
}

/// A reference keeps no headers, and of a record without data nothing else tells its event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_without_a_value_is_replayed_with_its_headers() {
    let site = Site::new().await;
    let stage = site.run(1);
    let headers = [("ce_specversion", "1.0"), ("ce_id", ID), ("ce_source", "/test"), ("ce_type", "ping")];
    for value in [None, Some(&b""[..])] {
        site.send_raw(Topic::Activity, value, &headers).await;
    }
    site.await_count("SELECT count(*) FROM parked_record WHERE reason = 'tenant_missing'", 2).await;
    // As it is kept of a tenant that is far over its limit.
    let forget = "UPDATE parked_record SET headers = '[]'";
    execute(&site.endpoints.database_url, forget.into()).await;
    let (done, ended_well) = site.decide(&["replay", "--reason", "tenant_missing"]).await;
    assert!(ended_well && done["replayed"] == 2, "{done}");
    let as_sent = r#"
        SELECT count(*) FROM parked_record
         WHERE status = 'parked' AND replays = 1 AND reason = 'tenant_missing' AND headers @> '[
               {"name": "ce_specversion", "value": "1.0"}, {"name": "ce_source", "value": "/test"},
               {"name": "ce_id", "value": "0192f0c1-2345-7abc-8def-0123456789ab"}, {"name": "ce_type", "value": "ping"}]'"#;
    site.await_count(as_sent, 2).await;
    let tombstones =
        "SELECT count(*) FROM parked_record WHERE replays = 1 AND status = 'parked' AND value IS NULL";
    assert_eq!(site.count(tombstones).await, 1, "the other one is empty");

    execute(&site.endpoints.database_url, forget.into()).await;
    site.forget_records(Topic::Activity, 0, Offset::End).await;
    let (gone, ended_well) = site.decide(&["replay", "--reason", "tenant_missing"]).await;
    assert!(!ended_well && refused_for(&gone, "value_gone"), "{gone}");
    assert_eq!((&gone["refusals"], site.count(WAITING).await), (&2.into(), 2), "they still wait");
    stage.stop().await;
}

/// Waits until a record stands parked for that reason after so many replays; its offset.
async fn parked_with(site: &Site, reason: &str, replays: i16) -> i64 {
    let mut connection = PgConnection::connect(&site.endpoints.database_url).await.expect("Postgres answers");
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    loop {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT record_offset FROM parked_record WHERE status = 'parked' AND reason = $1 AND replays = $2",
        )
        .bind(reason)
        .bind(replays)
        .fetch_optional(&mut connection)
        .await
        .expect("read");
        if let Some(offset) = found {
            return offset;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "nothing is parked for {reason} after {replays} replays"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn send_zeros(site: &Site, bytes: usize) {
    let producer: FutureProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &site.endpoints.kafka)
        .set("message.max.bytes", "4000000")
        .set("compression.type", "zstd")
        .create()
        .expect("a producer");
    let value = vec![0; bytes];
    let record = FutureRecord::<str, [u8]>::to(Topic::Activity.name()).partition(0).payload(&value);
    producer.send(record, Duration::from_secs(5)).await.expect("acknowledged");
}
