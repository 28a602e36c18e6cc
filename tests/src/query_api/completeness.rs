//! Completeness of what sinks have delivered, by the hour of the events.

use chrono::{DurationRound as _, TimeDelta, Utc};
use reqwest::StatusCode;
use schemas::Timestamp;
use sinks::{
    postgres::{Gap, standing},
    query_api::CompletenessAnswer,
    read_models::completeness::CompleteHour,
};
use sqlx::{AssertSqlSafe, Executor as _};

use super::fixture::{Api, Entry, entry};

/// The log in which the fixture's entries lie.
const LOG: &str = "weir.activity.v1/3";

impl Api {
    /// Passes entries of the log as a sink does whose filter takes these classes, or all.
    async fn pass(&mut self, sink: &str, classes: &[i64], entries: std::ops::Range<i64>) {
        sqlx::query("SELECT siem_pass($1, '{}', $2, 0, ARRAY[($3, $4, $5)::siem_run])")
            .bind(sink)
            .bind(classes)
            .bind(LOG)
            .bind(entries.start)
            .bind(entries.end)
            .execute(&mut self.owner)
            .await
            .expect("noted");
    }

    /// Parks an entry of acme's that a sink's receiver has refused.
    async fn park(&mut self, sink: &str, index: i64) {
        sqlx::query(
            "INSERT INTO parked_record (stage, topic, partition, record_offset, recorded_at, tenant_id, key, value_size,
                 value_sha256, headers, reason, detail, attempts, version)
             VALUES ('sink.' || $1, 'weir.audit.v1', 0, $2, now(), 'acme', convert_to($3, 'UTF8'), 1, '',
                 jsonb_build_array(jsonb_build_object('name', 'weir-log-index', 'value', $2::text)),
                 'siem_refused', 'x', 1, '1')",
        )
        .bind(sink)
        .bind(index)
        .bind(LOG)
        .execute(&mut self.owner)
        .await
        .expect("parked");
    }

    /// Notes that a sink has delivered an entry, as a replay does.
    async fn deliver(&mut self, sink: &str, index: i64) {
        sqlx::query(
            "SELECT siem_replayed($1, ARRAY[($2::text, $3::bigint, $3::bigint + 1)::siem_run], ARRAY['weir.audit.v1'],
                 ARRAY[0], ARRAY[$3::bigint], ARRAY[$3::bigint + 1])",
        )
        .bind(sink)
        .bind(LOG)
        .bind(index)
        .execute(&mut self.owner)
        .await
        .expect("noted");
    }

    async fn sinks(&self, tenant: &str) -> Vec<(String, [i64; 5])> {
        let answer: CompletenessAnswer = self.get(tenant, "/api/v1/pipeline/completeness").await;
        let missing: i64 = answer.hours.iter().flat_map(|hour| &hour.sinks).map(|sink| sink.missing).sum();
        assert_eq!(answer.missing, missing);
        let sinks = answer.hours.into_iter().flat_map(|hour| hour.sinks);
        let told = sinks.map(|s| (s.sink, [s.owed, s.delivered, s.set_aside, s.missing, s.waiting]));
        told.collect()
    }
}

/// A log of six entries of this hour, of which `other` has one; each has its offset for an index.
async fn with_a_log() -> (Api, Timestamp) {
    let (mut api, now) = (Api::start().await, Utc::now());
    for offset in 0..6 {
        let tenant = if offset == 2 { "other" } else { "acme" };
        api.insert(&Entry { occurred_at: now, tenant, ..entry(offset, "Read") }).await;
    }
    // Rows of the log are never changed, but for a test.
    for statement in [
        "SET session_replication_role = replica",
        "UPDATE audit_entry SET log_index = record_offset",
        "SET session_replication_role = origin",
    ] {
        api.owner.execute(AssertSqlSafe(statement.to_owned())).await.expect("indices");
    }
    (api, now)
}

/// A sink, and its counts: owed, delivered, set aside, missing, waiting.
fn counted(sink: &str, counts: [i64; 5]) -> (String, [i64; 5]) {
    (sink.to_owned(), counts)
}

#[tokio::test]
async fn an_entry_that_a_sink_has_passed_and_not_delivered_is_missing_until_it_is_replayed() {
    let (mut api, now) = with_a_log().await;
    assert_eq!(api.sinks("acme").await, [], "no sink has run");
    api.pass("copy", &[], 0..3).await;
    assert_eq!(api.sinks("acme").await, [counted("copy", [2, 2, 0, 0, 3])]);
    assert_eq!(api.sinks("other").await, [counted("copy", [1, 1, 0, 0, 0])], "its own alone");

    api.pass("copy", &[], 3..4).await;
    api.pass("copy", &[], 5..6).await;
    assert_eq!(api.sinks("acme").await, [counted("copy", [5, 4, 0, 1, 0])], "the one of index 4");
    let gaps = standing(&api.database).await.expect("it is looked at").gaps.expect("looked at");
    let expected = Gap {
        sink: "copy".into(),
        log: LOG.into(),
        first_index: 4,
        next_index: 5,
        missing: 1,
        since: now.duration_trunc(TimeDelta::microseconds(1)).expect("in range"),
    };
    assert_eq!(gaps, [expected]);

    api.pass("copy", &[], 1..6).await;
    assert_eq!(api.sinks("acme").await, [counted("copy", [5, 5, 0, 0, 0])], "a replay");
    assert_eq!(standing(&api.database).await.expect("it is looked at").gaps, Some(Vec::new()));
}

#[tokio::test]
async fn a_sink_owes_what_it_has_begun_with_and_what_its_filter_took() {
    let (mut api, _) = with_a_log().await;
    api.pass("late", &[], 3..5).await;
    api.park("late", 4).await;
    // Its filter is changed: later entries are none that it owes.
    api.pass("some", &[6003], 0..2).await;
    api.pass("some", &[3002], 2..4).await;
    api.pass("some", &[3002], 4..6).await;
    let expected = [counted("late", [2, 1, 1, 0, 1]), counted("some", [2, 2, 0, 0, 0])];
    assert_eq!(api.sinks("acme").await, expected);
    // A replay over both filters fills gaps of both.
    api.pass("gaps", &[6003], 0..1).await;
    api.pass("gaps", &[6003], 3..4).await;
    api.pass("gaps", &[], 5..6).await;
    let of_gaps = |found: Vec<_>| found.into_iter().find(|(sink, _)| sink == "gaps").expect("it is told");
    assert_eq!(of_gaps(api.sinks("acme").await), counted("gaps", [5, 3, 0, 2, 0]), "those of 1 and 4");
    api.pass("gaps", &[], 0..6).await;
    assert_eq!(of_gaps(api.sinks("acme").await), counted("gaps", [5, 5, 0, 0, 0]));
}

#[tokio::test]
async fn a_refused_entry_is_set_aside_until_its_sink_delivers_it_whatever_is_decided_about_it() {
    let (mut api, _) = with_a_log().await;
    api.pass("copy", &[], 0..6).await;
    for index in [1, 3, 4] {
        api.park("copy", index).await;
    }
    let counts = |set_aside: i64| [counted("copy", [5, 5 - set_aside, set_aside, 0, 0])];
    assert_eq!(api.sinks("acme").await, counts(3));
    let discarded =
        "UPDATE parked_record SET status = 'discarded', settled_at = now() WHERE record_offset < 4";
    api.owner.execute(discarded).await.expect("discarded");
    assert_eq!(api.sinks("acme").await, counts(3), "the receiver has none of them");
    api.owner.execute("DELETE FROM parked_record WHERE record_offset = 1").await.expect("retired");
    assert_eq!(api.sinks("acme").await, counts(3), "a row that is retired is remembered");
    for (index, left) in [(4, 2), (3, 1), (1, 0)] {
        api.deliver("copy", index).await;
        assert_eq!(api.sinks("acme").await, counts(left), "{index} is delivered");
    }
    let replayed: i64 = sqlx::query_scalar("SELECT count(*) FROM parked_record WHERE status = 'replayed'")
        .fetch_one(&mut api.owner)
        .await
        .expect("a count");
    assert_eq!(replayed, 2, "nobody is to look at them any more");
}

#[tokio::test]
async fn hours_say_what_was_written_published_and_set_aside() {
    let (mut api, hour) = with_a_log().await;
    api.owner
        .execute("INSERT INTO audit_topic_position VALUES ('weir.activity.v1/3', 4, 9, now())")
        .await
        .expect("noted");
    for (tenant, offset) in [("acme", 70_i64), ("acme", 71), ("other", 72)] {
        sqlx::query(
            "INSERT INTO parked_record (stage, topic, partition, record_offset, recorded_at, tenant_id, value_size,
                 value_sha256, headers, reason, detail, attempts, version)
             VALUES ('audit', 'weir.activity.v1', 3, $1, now(), $2, 1, '', '[]', 'event_invalid', 'x', 1, '1')",
        )
        .bind(offset)
        .bind(tenant)
        .execute(&mut api.owner)
        .await
        .expect("parked");
    }
    let answer: CompletenessAnswer = api.get("acme", "/api/v1/pipeline/completeness").await;
    let sum = |of: fn(&CompleteHour) -> i64| -> i64 { answer.hours.iter().map(of).sum() };
    let counts = [sum(|h| h.written), sum(|h| h.published), sum(|h| h.set_aside)];
    assert_eq!(counts, [5, 3, 2]);
    assert!(answer.from <= hour && hour < answer.to);

    let long: CompletenessAnswer =
        api.get("acme", "/api/v1/pipeline/completeness?from=2020-01-01T00:00:00Z").await;
    assert_eq!(long.to - long.from, TimeDelta::days(7), "the last days");
    for query in ["from=now", "x=1"] {
        let refused = api.ask("acme", &format!("/api/v1/pipeline/completeness?{query}")).await;
        assert_eq!(refused.0, StatusCode::BAD_REQUEST, "{query}: {}", refused.1);
    }
}
