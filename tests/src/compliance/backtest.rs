//! Candidate policies over recorded configurations: what they would fail, and nothing touched.

use std::fs;

use schemas::Topic;
use serde_json::{Value, json};

use super::fixture::{deleted, hour, volume};
use crate::support::site::{Site, ended};

const TABLES: &str =
    "SELECT (SELECT count(*) FROM stage_position) + (SELECT count(*) FROM compliance_observation)";

fn policy(id: &str, condition: &str) -> String {
    format!(
        "# METADATA\n# title: {id}\n# custom:\n#   id: {id}\n#   severity: high\n#   resource_types: [aws_ebs_volume]\n\
         package test.{id}\n\ndeny contains \"no\" if {condition}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_shows_what_other_policies_would_fail() {
    let site = Site::new().await;
    let events = [
        volume(1, "a-1", false, hour(0)),
        volume(2, "a-2", true, hour(1)),
        volume(3, "a-2", false, hour(2)),
        volume(4, "b-1", true, hour(3)),
        volume(5, "gone", false, hour(4)),
        deleted(6, "gone", hour(5)),
        volume(7, "late", false, hour(9)),
    ];
    site.send(&events).await;
    site.send(&events[..1]).await;
    site.send_raw(Topic::Infrastructure, Some(b"no event"), &[]).await;

    let folder = tempfile::tempdir().expect("a folder");
    let (present, candidate) = (folder.path().join("present"), folder.path().join("candidate"));
    for (folder, condition) in
        [(&present, "not input.config.encrypted"), (&candidate, "input.config.encrypted")]
    {
        fs::create_dir(folder).expect("made");
        fs::write(folder.join("one.rego"), policy("one", condition)).expect("written");
    }
    fs::write(candidate.join("two.rego"), policy("two", "true")).expect("written");
    let mut command = site.command(&["policy", "backtest", candidate.to_str().expect("a plain path")]);
    command
        .args(["--from", "2026-03-01T00:00:00Z", "--to", "2026-03-01T09:00:00Z", "--output", "json"])
        .env("WEIR_POLICIES__REGO", &present)
        .env("WEIR_POLICIES__OWN", "false")
        .current_dir(folder.path());
    let output = ended(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (name, expected) in [("records", 9), ("events", 7), ("undecodable", 1), ("resources", 3)] {
        assert_eq!(told[name], expected, "{name} in {told}");
    }
    let of = |id: &str| {
        let policies = told["policies"].as_array().into_iter().flatten();
        policies.clone().find(|policy| policy["policy_id"] == id).unwrap_or_else(|| panic!("{id} in {told}"))
    };
    let one = of("one");
    assert_eq!((&one["candidate"]["fail"], &one["present"]["fail"]), (&json!(1), &json!(2)));
    assert_eq!((&one["examples_added"], &one["examples_removed"]), (&json!(["b-1"]), &json!(["a-1", "a-2"])));
    assert_eq!((&of("two")["candidate"]["fail"], &of("two")["added"]), (&json!(3), &json!(3)));
    assert_ne!(told["candidate_set"], told["present_set"]);
    assert_eq!(site.count(TABLES).await, 0, "nothing was written");
}
