//! A sink that begins after its topic has lost records to retention gets them out of the table, once, while the process that
//! brings them is killed; no other sink gets them.

use std::{collections::BTreeSet, time::Duration};

use rand::Rng as _;
use rdkafka::Offset;
use schemas::Topic;
use serde_json::{Value, json};

use super::delivery::Bench;
use crate::faults::dice;

const EVENTS: usize = 6_000;
const LATER: usize = 200;
/// Events that are published once the sinks run.
const AFTERWARDS: usize = 50;
const KILLS: usize = 2;

/// Records in the audit topic, over all logs.
const RELAYED: &str = "SELECT coalesce(sum(next_index), 0)::bigint FROM audit_topic_position";
/// Entries that a sink has not passed.
const NOT_PASSED_BY_LATE: &str = "SELECT count(*) FROM audit_entry AS e WHERE NOT EXISTS
    (SELECT FROM siem_stretch AS s WHERE s.sink = 'late' AND s.log = e.topic || '/' || e.partition AND s.passed @> e.log_index)";
const PASSED_BY_OTHER: &str = "SELECT coalesce(sum(upper(r) - lower(r)), 0)::bigint
    FROM siem_stretch, unnest(passed) AS r WHERE sink = 'other'";
const READ_BY_LATE: &str = "SELECT coalesce(sum(applied), 0)::bigint FROM stage_position WHERE stage = 'sink.late' AND topic = 'weir.audit.v1'";
const GAPS: &str = "SELECT count(*) FROM siem_gaps()";
const TO_COME: &str = "SELECT coalesce(sum(until_index - next_index), 0)::bigint FROM siem_backfill";

/// Ids of the entries that a sink has written to its file, in order.
fn delivered(bench: &Bench, sink: &str) -> Vec<String> {
    let text = std::fs::read_to_string(bench.path(&format!("{sink}.ndjson"))).unwrap_or_default();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let entries = records.filter(|record| record["unmapped"]["record_integrity"].is_object());
    entries.map(|record| record["metadata"]["uid"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_sink_gets_what_its_topic_lost() {
    let mut dice = dice("a_late_sink_gets_what_its_topic_lost");
    let bench = Bench::new(|folder| {
        json!([
            { "name": "late", "kind": "file", "endpoint": folder.join("late.ndjson"), "linger_s": 0.2, "statement_s": 0.5 },
            { "name": "other", "kind": "file", "endpoint": folder.join("other.ndjson"), "linger_s": 0.2 },
            { "name": "findings", "kind": "file", "endpoint": folder.join("findings.ndjson"), "records": "findings" },
        ])
    })
    .await;
    let mut audit = bench.run(&["audit"]);
    bench.site.publish(1, "acme", EVENTS).await;
    let relayed = i64::try_from(EVENTS).expect("small");
    bench.site.await_count(RELAYED, relayed).await;
    for partition in 0..topology::topology::topic_spec(Topic::Audit).partitions {
        bench.site.forget_records(Topic::Audit, partition, Offset::End).await;
    }
    bench.site.publish(2, "acme", LATER).await;
    bench.site.await_that(RELAYED, "the audit topic is behind", |all| all > relayed).await;

    let ask = ["sink", "backfill", "late", "--from", "beginning"];
    let (done, said) = bench.asked(&ask).await;
    assert!(!done && said.contains("has never run"), "{said}");
    let (done, said) = bench.asked(&["sink", "start", "late", "--from", "2026-01-01T00:00:00Z"]).await;
    assert!(
        done && said.contains("holds records since") && said.contains("weir sink backfill late"),
        "{said}"
    );
    let (done, said) = bench.asked(&["sink", "start", "other", "--from", "now"]).await;
    assert!(done && !said.contains("backfill"), "{said}");
    let (done, said) = bench.asked(&ask).await;
    assert!(!done && said.contains("has yet to read"), "{said}");
    let (done, said) = bench.asked(&["sink", "backfill", "findings", "--from", "beginning"]).await;
    assert!(!done && said.contains("weir sink replay"), "{said}");

    let _sinks = bench.run(&["sinks"]);
    // All of the above may have been relayed before the other sink began: it begins with what comes now.
    bench.site.publish(3, "acme", AFTERWARDS).await;
    bench.site.await_that(READ_BY_LATE, "the sink is behind", |read| read > 0).await;
    bench.site.await_that(PASSED_BY_OTHER, "the other is behind", |passed| passed > 0).await;
    asked_for(&bench, &ask).await;
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..1_500))).await;
        drop(audit);
        audit = bench.run(&["audit"]);
    }
    bench.site.await_count(TO_COME, 0).await;
    bench.site.await_count(NOT_PASSED_BY_LATE, 0).await;
    bench.site.await_count(GAPS, 0).await;

    let late = delivered(&bench, "late");
    let ids: BTreeSet<&String> = late.iter().collect();
    assert_eq!(ids.len(), late.len(), "each entry once");
    assert!(late.len() >= EVENTS + LATER, "{} of them", late.len());
    assert!(delivered(&bench, "other").len() < EVENTS, "no other sink gets them");
    let (ok, report) = bench.verified(&bench.path("late.ndjson")).await;
    assert!(ok, "{report}");

    let (done, said) = bench.asked(&ask).await;
    assert!(!done && said.contains("has passed every entry"), "{said}");
}

/// The request is taken once: a second one asks for nothing more.
async fn asked_for(bench: &Bench, ask: &[&str]) {
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    let said = loop {
        let (done, said) = bench.asked(ask).await;
        if done {
            break said;
        }
        assert!(said.contains("has yet to read") && tokio::time::Instant::now() < deadline, "{said}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(said.contains("entries of"), "{said}");
    let (done, said) = bench.asked(ask).await;
    assert!(!done && !said.contains("gets up to"), "{said}");
}
