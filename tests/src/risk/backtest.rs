//! Candidate rules over the past: what they would add and remove, and nothing touched.

use std::{fs, process::Command};

use producers::sources::SourceFormat;
use schemas::{
    Envelope, TenantId, Topic,
    events::{Delivery, DeliveryKind, Event, Outcome},
};
use serde_json::{Value, json};

use super::{reload::rule, stage::trail_stopped};
use crate::support::site::Site;

const TABLES: [&str; 4] = [
    "SELECT hashtextextended(string_agg(t::text, ',' ORDER BY t::text), 0) FROM stage_position AS t",
    "SELECT hashtextextended(string_agg(t::text, ',' ORDER BY t::text), 0) FROM risk_signal AS t",
    "SELECT hashtextextended(string_agg(t::text, ',' ORDER BY t::text), 0) FROM entity_risk AS t",
    "SELECT count(*) FROM parked_record",
];

async fn tables(site: &Site) -> Vec<i64> {
    let mut found = Vec::new();
    for sql in TABLES {
        found.push(site.count(sql).await);
    }
    found
}

/// A pipeline of Ada's ends, as GitHub's webhook tells it.
fn pipeline_finished() -> Envelope {
    let body = json!({
        "action": "completed", "workflow_run": {"id": 7, "updated_at": "2026-03-02T10:01:00Z"},
        "repository": {"full_name": "acme/shop"}, "sender": {"login": "ada"},
    });
    let tenant = TenantId::new("acme").expect("valid");
    let mapped = SourceFormat::GithubWebhook.map(&tenant, &body.to_string()).expect("an object");
    let event = Event::Delivery(Delivery {
        kind: DeliveryKind::PipelineFinished,
        project: "acme/shop".to_owned(),
        environment: None,
        run_id: Some("7".to_owned()),
        name: None,
        version: None,
        outcome: Outcome::default(),
        status: None,
        actor: None,
        duration_ms: None,
    });
    Envelope { event, ..mapped.envelope }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_shows_what_other_rules_would_find() {
    let site = Site::new().await;
    let events: Vec<_> = (0..5).map(trail_stopped).collect();
    site.send(&events).await;
    site.send(&events[..1]).await;
    site.send_raw(Topic::Activity, Some(b"no event"), &[]).await;
    let stage = site.run_stages(&["risk"], 1);
    site.await_count("SELECT coalesce(sum(applied + duplicate + parked), 0)::bigint FROM stage_position", 7)
        .await;
    stage.stop().await;
    site.send(&[pipeline_finished()]).await;
    let before = tables(&site).await;

    let folder = tempfile::tempdir().expect("a folder");
    let (present, candidate) = (folder.path().join("present"), folder.path().join("candidate"));
    for (folder, calls) in [(&present, ["StopLogging", "Nothing"]), (&candidate, ["Nothing", "StopLogging"])]
    {
        fs::create_dir(folder).expect("made");
        fs::write(folder.join("one.yml"), rule("one", calls[0])).expect("written");
        fs::write(folder.join("two.yml"), rule("two", calls[1])).expect("written");
    }
    let of_webhooks = rule("pipeline", "Nothing")
        .replace("product: aws\n  service: cloudtrail", "product: github\n  service: webhook")
        .replace("eventName: Nothing", "action: completed");
    fs::write(candidate.join("pipeline.yml"), of_webhooks).expect("written");
    let correlation = "title: Again\nid: again\nlevel: high\ncorrelation:\n  type: event_count\n  rules: [two]\n  \
                       group-by: [userIdentity.arn]\n  timespan: 1h\n  condition:\n    gte: 3\ngenerate: true\n";
    fs::write(candidate.join("again.yml"), correlation).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_weir-under-test"))
        .args(["rules", "backtest", candidate.to_str().expect("a plain path")])
        // The fifth event happens at the end, which does not count.
        .args(["--from", "2026-03-02T10:00:00Z", "--to", "2026-03-02T10:04:00Z", "--output", "json"])
        .env("WEIR_HOME", folder.path())
        .env("KAFKA_BOOTSTRAP_SERVERS", &site.endpoints.kafka)
        .env("DATABASE_URL", &site.endpoints.database_url)
        .env("WEIR_RULES__SIGMA", &present)
        .env("WEIR_RULES__OWN", "false")
        .env_remove("SCHEMA_REGISTRY_URL")
        .current_dir(folder.path())
        .output()
        .expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (name, expected) in
        [("records", 8), ("events", 6), ("undecodable", 1), ("unreadable", 0), ("duplicates", 1)]
    {
        assert_eq!(told[name], expected, "{name} in {told}");
    }
    let rules = told["rules"].as_array().expect("rules");
    let figures = |id: &str| {
        let rule =
            rules.iter().find(|rule| rule["rule_id"] == id).unwrap_or_else(|| panic!("{id} in {told}"));
        ["candidate", "present", "added", "removed"].map(|name| rule[name].as_u64().expect("a count"))
    };
    assert_eq!(figures("one"), [0, 4, 0, 4]);
    assert_eq!(figures("two"), [4, 0, 4, 0]);
    assert_eq!(figures("again"), [1, 0, 1, 0], "the third, by which the hour is reported");
    assert_eq!(figures("pipeline"), [1, 0, 1, 0], "a stage reads deliveries as well");
    let two = rules.iter().find(|rule| rule["rule_id"] == "two").expect("found");
    assert_eq!(two["examples_added"].as_array().map(Vec::len), Some(3), "{two}");
    assert_eq!(tables(&site).await, before, "nothing moved and nothing was written");
}
