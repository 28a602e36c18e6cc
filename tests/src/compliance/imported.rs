//! Configurations that are there already: imported from files, through the topic, to posture.

use std::fs;

use serde_json::{Value, json};

use crate::support::site::{Site, ended};

/// Observations with what their policy says.
const JUDGED: &str = "SELECT count(*) FROM compliance_state AS s
    JOIN compliance_verdict AS v USING (tenant_id, verdicts_key)
    WHERE v.policy_id = 'aws-ebs-volume-encrypted'
      AND (s.resource, v.status) IN (('terraform/aws_ebs_volume.a', 'fail'), ('prod/aws_ebs_volume.a', 'fail'),
                                     ('arn:aws:ec2:eu-west-1:123456789012:volume/vol-1', 'pass'))";
const SETTLED: &str =
    "SELECT coalesce(sum(applied + duplicate), 0)::bigint FROM stage_position WHERE stage = 'compliance'";
const DUPLICATES: &str =
    "SELECT coalesce(sum(duplicate), 0)::bigint FROM stage_position WHERE stage = 'compliance'";

fn snapshot() -> String {
    let item = json!({
        "configurationItemCaptureTime": "2026-02-03T04:05:06.789Z", "configurationItemStatus": "OK",
        "resourceType": "AWS::EC2::Volume", "resourceId": "vol-1", "awsRegion": "eu-west-1",
        "ARN": "arn:aws:ec2:eu-west-1:123456789012:volume/vol-1", "awsAccountId": "123456789012",
        "configuration": {"volumeId": "vol-1", "encrypted": true},
    });
    json!({"fileVersion": "1.0", "configSnapshotId": "1", "configurationItems": [item]}).to_string()
}

fn state() -> String {
    let volume = json!({"address": "aws_ebs_volume.a", "mode": "managed", "type": "aws_ebs_volume", "name": "a",
                        "values": {"encrypted": false}, "sensitive_values": {}});
    json!({"format_version": "1.0", "values": {"root_module": {"resources": [volume]}}}).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_imported_twice_is_judged_once() {
    let site = Site::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("snapshot.json"), snapshot()).expect("written");
    fs::write(folder.path().join("state.json"), state()).expect("written");
    let import = async |more: &[&str]| {
        let mut command = site.command(&["import", "config", "--tenant", "acme", "--output", "json"]);
        command.args(more).current_dir(folder.path());
        let output = ended(command).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let stage = site.run_stages(&["compliance"], 1);
    for _ in 0..2 {
        let told = import(&["snapshot.json", "state.json"]).await;
        assert_eq!((&told["published"], &told["rejected"]), (&json!(2), &json!(0)), "{told}");
    }
    import(&["state.json", "--workspace", "prod", "--observed-at", "2026-02-01T00:00:00Z"]).await;
    site.await_count(SETTLED, 5).await;
    assert_eq!(site.count(DUPLICATES).await, 2, "the second import is nothing new");
    assert_eq!(site.count(JUDGED).await, 3);
    stage.stop().await;
}
