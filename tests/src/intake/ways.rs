//! The same records by several ways in, each in a form of its own and in an order of its own: one row for each record.

use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::{Map, Value, json};

use super::door::{Answer, Door};
use crate::support::site::{Site, ended};

const RECORDS: usize = 400;
const SEED: u64 = 20_260_131;

/// Calls whose parameters can be written in many ways: numbers, escapes, null members, empty objects.
fn records() -> Vec<Value> {
    let numbers = ["1", "1.0", "2.50", "1e3", "12345678901234567890", "-0.0", "0.1e-7"];
    (0..RECORDS)
        .map(|n| {
            let number: Value = serde_json::from_str(numbers[n % numbers.len()]).expect("a number");
            json!({
                "eventVersion": "1.08", "eventID": format!("5d3f1f0e-1111-4000-8000-{n:012x}"),
                "eventTime": format!("2026-01-{:02}T03:04:05Z", n % 28 + 1), "eventSource": "s3.amazonaws.com",
                "eventName": "PutObject", "awsRegion": "eu-central-1", "sourceIPAddress": "192.0.2.7",
                "userAgent": "aws-cli \u{e9} \"quoted\" \\ \u{2028}", "recipientAccountId": "111122223333",
                "eventType": "AwsApiCall", "responseElements": null,
                "requestParameters": {"z": number, "a": null, "nested": {"y": [1, {"b": 2, "a": "\u{1f600}"}], "e": {}}},
                "userIdentity": {"type": "IAMUser", "arn": format!("arn:aws:iam::111122223333:user/u{}", n % 9)},
            })
        })
        .collect()
}

/// With the members of every object the other way round.
fn turned(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let turned: Map<String, Value> =
                members.iter().rev().map(|(name, value)| (name.clone(), turned(value))).collect();
            Value::Object(turned)
        }
        Value::Array(items) => items.iter().map(turned).collect(),
        other => other.clone(),
    }
}

/// As EventBridge delivers them, and as a subscription of CloudWatch Logs does.
fn wrapped(n: usize, record: &Value) -> Value {
    if n.is_multiple_of(2) {
        json!({"version": "0", "id": format!("eb-{n}"), "detail-type": "AWS API Call via CloudTrail",
               "source": "aws.s3", "account": "111122223333", "time": record["eventTime"],
               "region": "eu-central-1", "resources": [], "detail": record})
    } else {
        json!({"messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "g", "logStream": "s",
               "subscriptionFilters": ["f"],
               "logEvents": [{"id": "1", "timestamp": 1, "message": turned(record).to_string()}]})
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_records_by_several_ways_are_one_row_each() {
    let site = Site::new().await;
    let door = Door::open(&site).await;
    let stage = site.run_stages(&["audit"], 1);
    let mut dice = StdRng::seed_from_u64(SEED);
    let mut shuffled = || {
        let mut records = records();
        records.shuffle(&mut dice);
        records
    };

    let folder = tempfile::tempdir().expect("a folder");
    for (n, part) in shuffled().chunks(150).enumerate() {
        let text = serde_json::to_string_pretty(&json!({ "Records": part })).expect("JSON");
        std::fs::write(folder.path().join(format!("{n}.json")), text).expect("written");
    }
    let path = folder.path().to_str().expect("UTF-8");
    let imported = ended(site.command(&["import", "cloudtrail", path, "--tenant", "acme"])).await;
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));

    let post = |body: String| Answer::to(door.post("/api/v1/sources/cloudtrail", body));
    let whole = json!({ "Records": shuffled().iter().map(turned).collect::<Vec<_>>() }).to_string();
    assert_eq!(post(whole).await.taken()["counts"]["accepted"], RECORDS);
    let lines: Vec<_> =
        shuffled().iter().enumerate().map(|(n, record)| wrapped(n, record).to_string()).collect();
    assert_eq!(post(lines.join("\n")).await.taken()["counts"]["accepted"], RECORDS);

    let records = i64::try_from(RECORDS).expect("few");
    site.await_count("SELECT count(*) FROM audit_entry", records).await;
    let duplicates = "SELECT coalesce(sum(duplicate), 0)::bigint FROM stage_position WHERE stage = 'audit'";
    site.await_count(duplicates, 2 * records).await;
    assert_eq!(site.count("SELECT count(*) FROM parked_record").await, 0);
    stage.stop().await;
    door.stop.cancel();
}
