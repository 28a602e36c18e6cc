//! The processes of `weir up` read the `weir.toml` that it reads.

use std::fs;

use serde_json::{Value, json};
use sqlx::Connection as _;
use tempfile::TempDir;

use super::Weir;
use crate::support::CAUGHT_UP;

const RULE: &str = "title: A trail is stopped\nid: rule-beside-weir-toml\nlogsource:\n  product: aws\n  \
                    service: cloudtrail\ndetection:\n  selection:\n    eventName: StopLogging\n  \
                    condition: selection\nlevel: high\n";

/// A folder with a `weir.toml`, whose paths are relative to it.
pub(super) fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("weir.toml"), "[rules]\nsigma = \"rules\"\n").expect("written");
    fs::create_dir(folder.path().join("rules")).expect("made");
    fs::write(folder.path().join("rules/stopped.yml"), RULE).expect("written");
    folder
}

pub(super) async fn rules_beside_weir_toml_are_in_force(weir: &Weir, status: &Value) {
    let record = json!({
        "eventVersion": "1.08", "eventID": "6c1a2d47-6b3f-4f5e-9d0a-2f7f0d8f1c11", "eventTime": "2026-03-02T10:00:00Z",
        "eventSource": "cloudtrail.amazonaws.com", "eventName": "StopLogging", "awsRegion": "eu-central-1",
        "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ada" },
        "requestParameters": { "name": "main" }, "recipientAccountId": "111122223333",
    });
    fs::write(weir.folder.path().join("trail.json"), json!({ "Records": [record] }).to_string())
        .expect("written");
    weir.ok(&["import", "cloudtrail", "trail.json", "--quiet"]);
    weir.ok(&CAUGHT_UP);
    let url = status["admin_database_url"].as_str().expect("a URL");
    let mut connection = sqlx::PgConnection::connect(url).await.expect("the database takes connections");
    let rules: i64 = sqlx::query_scalar(
        "SELECT count(DISTINCT rule_id) FROM risk_signal WHERE rule_id = 'rule-beside-weir-toml'",
    )
    .fetch_one(&mut connection)
    .await
    .expect("a count");
    assert_eq!(rules, 1, "the rule has found the stopped trail");
}
