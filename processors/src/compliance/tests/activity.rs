//! Calls that show a resource whole, and those that do not.

use schemas::changes::compliance::Presence;
use serde_json::{Value, json};

use super::*;

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are given")]
fn aws(service: &str, name: &str, request: Value, response: Value) -> Envelope {
    let record = json!({
        "eventSource": format!("{service}.amazonaws.com"), "eventName": name, "awsRegion": "eu-west-1",
        "recipientAccountId": "123456789012", "requestParameters": request, "responseElements": response,
    });
    let resource = Resource { cloud: Some("aws".into()), id: "x".into(), ..Resource::default() };
    call("aws.cloudtrail", (&format!("{service}.amazonaws.com"), name), resource, record.to_string())
}

/// Resource, and the policies that it fails.
#[track_caller]
fn check(envelope: &Envelope, resource: &str, fails: &[&str]) {
    let observation = one(envelope);
    assert_eq!(observation.resource, resource);
    assert_eq!(with(&observation, VerdictStatus::Fail), fails, "{:?}", observation.verdicts);
    assert_eq!(observation.presence, Presence::Present);
}

#[test]
fn calls_to_aws_that_carry_everything() {
    let block = json!({"bucketName": "b", "PublicAccessBlockConfiguration": {
        "BlockPublicAcls": true, "BlockPublicPolicy": false, "IgnorePublicAcls": true, "RestrictPublicBuckets": true}});
    check(
        &aws("s3", "PutBucketPublicAccessBlock", block, Value::Null),
        "arn:aws:s3:::b/public-access-block",
        &["aws-s3-public-access-block-complete"],
    );
    let policy = json!({"bucketName": "b", "bucketPolicy": {"Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}]}});
    let public = one(&aws("s3", "PutBucketPolicy", policy, Value::Null));
    assert!(
        with(&public, VerdictStatus::Fail).contains(&"aws-s3-policy-not-public"),
        "{:?}",
        public.verdicts
    );
    check(
        &aws("ec2", "CreateVolume", json!({}), json!({"volumeId": "vol-1", "encrypted": false})),
        "arn:aws:ec2:eu-west-1:123456789012:volume/vol-1",
        &["aws-ebs-volume-encrypted"],
    );
    check(
        &aws("ec2", "DisableEbsEncryptionByDefault", json!({}), Value::Null),
        "arn:aws:ec2:eu-west-1:123456789012:ebs-encryption-by-default",
        &["aws-ebs-encryption-by-default"],
    );
    let weak = json!({"minimumPasswordLength": 8});
    let weak = one(&aws("iam", "UpdateAccountPasswordPolicy", weak, Value::Null));
    assert_eq!(weak.resource, "arn:aws:iam::123456789012:account-password-policy");
    assert!(with(&weak, VerdictStatus::Fail).len() >= 3);
    let admin = json!({"roleName": "r", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"});
    check(
        &aws("iam", "AttachRolePolicy", admin, Value::Null),
        "arn:aws:iam::123456789012:role/r/attachment/arn:aws:iam::aws:policy/AdministratorAccess",
        &["aws-iam-no-admin-attachment"],
    );
    let database = json!({"dBInstanceIdentifier": "d", "dBInstanceArn": "arn:d", "publiclyAccessible": true,
        "storageEncrypted": true, "backupRetentionPeriod": 7, "multiAZ": true, "deletionProtection": true,
        "iAMDatabaseAuthenticationEnabled": true, "autoMinorVersionUpgrade": true, "engine": "postgres",
        "performanceInsightsEnabled": false, "enabledCloudwatchLogsExports": ["postgresql"]});
    check(&aws("rds", "CreateDBInstance", json!({}), database), "arn:d", &["aws-rds-not-public"]);
    let trail = json!({"trailARN": "arn:t", "name": "t", "isMultiRegionTrail": false,
        "logFileValidationEnabled": true, "kmsKeyId": "k", "cloudWatchLogsLogGroupArn": "g"});
    let trail = one(&aws("cloudtrail", "UpdateTrail", json!({}), trail));
    assert!(with(&trail, VerdictStatus::Fail).contains(&"aws-cloudtrail-all-regions"));
}

#[test]
fn calls_that_delete_end_a_resource() {
    let gone = one(&aws("ec2", "DeleteVolume", json!({"volumeId": "vol-1"}), Value::Null));
    assert_eq!(
        (gone.resource.as_str(), gone.presence),
        ("arn:aws:ec2:eu-west-1:123456789012:volume/vol-1", Presence::Absent)
    );
    let bucket = observations(&aws("s3", "DeleteBucket", json!({"bucketName": "b"}), Value::Null));
    assert_eq!(bucket.len(), 3, "the bucket, its policy, its block of public access");
    let two = json!({"instancesSet": {"items": [{"instanceId": "i-1"}, {"instanceId": "i-2"}]}});
    assert_eq!(observations(&aws("ec2", "TerminateInstances", two, Value::Null)).len(), 2);
}

#[test]
fn calls_that_show_a_part_or_nothing_are_left_out() {
    for (service, name, request) in [
        ("s3", "PutObject", json!({"bucketName": "b"})),
        ("ec2", "DeleteVolume", json!({})),
        ("iam", "PutRolePolicy", json!({"roleName": "r"})),
        ("kms", "DisableKeyRotation", json!({"keyId": "k"})),
        ("rds", "CreateDBInstance", json!({})),
    ] {
        assert_eq!(observations(&aws(service, name, request, Value::Null)), [], "{name}");
    }
    let mut refused = aws("ec2", "DeleteVolume", json!({"volumeId": "vol-1"}), Value::Null);
    if let Event::Activity(activity) = &mut refused.event {
        activity.outcome.status = OutcomeStatus::Failure;
    }
    assert_eq!(observations(&refused), []);
    let mut other = aws("ec2", "DeleteVolume", json!({"volumeId": "vol-1"}), Value::Null);
    other.native = Some(Native { format: "aws.cloudtrail".into(), record: "{".into() });
    assert_eq!(observations(&other), [], "a record that cannot be read is for the audit log");
}

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are given")]
fn kubernetes(action: &str, name: Option<&str>, record: Value) -> Envelope {
    let resource = Resource {
        cloud: Some("kubernetes".into()),
        kind: Some("deployments".into()),
        id: name.map_or("deployments/shop".into(), |name| format!("deployments/shop/{name}")),
        name: name.map(ToOwned::to_owned),
        project: Some("shop".into()),
        ..Resource::default()
    };
    call("kubernetes.audit", ("apps", action), resource, record.to_string())
}

fn deployment(privileged: bool) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
           "spec": {"template": {"spec": {"containers": [
               {"name": "c", "image": "i", "securityContext": {"privileged": privileged}}]}}}})
}

#[test]
fn objects_of_kubernetes_are_judged_as_they_were_written() {
    let created = kubernetes("create deployments", None, json!({"requestObject": deployment(true)}));
    let created = one(&created);
    assert_eq!(created.resource, "deployments/shop/web");
    assert!(
        with(&created, VerdictStatus::Fail).contains(&"kubernetes-no-privileged"),
        "{:?}",
        created.verdicts
    );
    let patched = json!({"requestObject": {"spec": {}}, "responseObject": deployment(false)});
    let patched = one(&kubernetes("patch deployments", Some("web"), patched));
    assert!(with(&patched, VerdictStatus::Pass).contains(&"kubernetes-no-privileged"));
    let gone = one(&kubernetes("delete deployments", Some("web"), json!({})));
    assert_eq!((gone.resource.as_str(), gone.presence), ("deployments/shop/web", Presence::Absent));
}

#[test]
fn dry_runs_of_kubernetes_change_nothing() {
    let uri = "/apis/apps/v1/namespaces/shop/deployments/web?dryRun=All&fieldManager=kubectl";
    for verb in ["create", "update", "patch"] {
        let record = |uri: &str| json!({"requestURI": uri, "requestObject": deployment(true), "responseObject": deployment(true)});
        let of = |uri: &str| kubernetes(&format!("{verb} deployments"), Some("web"), record(uri));
        assert_eq!(observations(&of(uri)), [], "{verb}");
        assert_eq!(one(&of(&uri.replace("dryRun=All&", ""))).presence, Presence::Present, "{verb}");
    }
    let deletion = |record: Value| observations(&kubernetes("delete deployments", Some("web"), record));
    let options = json!({"kind": "DeleteOptions", "dryRun": ["All"]});
    let in_body = json!({"requestObject": options});
    let of_gke = json!({"protoPayload": {"request": options}});
    let of_aks = json!({"properties": {"log": in_body.to_string()}});
    for record in [json!({"requestURI": uri}), in_body, of_gke, of_aks] {
        assert_eq!(deletion(record.clone()), [], "{record}");
    }
    let options = json!({"kind": "DeleteOptions", "propagationPolicy": "Background"});
    assert_eq!(deletion(json!({"requestURI": "/x?timeout=30s", "requestObject": options})).len(), 1);
}

#[test]
fn parts_of_objects_and_what_controllers_make_are_left_out() {
    let part = json!({"requestObject": {"spec": {"replicas": 2}}});
    assert_eq!(observations(&kubernetes("patch deployments", Some("web"), part)), []);
    assert_eq!(observations(&kubernetes("update deployments/status", Some("web"), json!({}))), []);
    assert_eq!(observations(&kubernetes("get deployments", Some("web"), json!({}))), []);
    let mut owned = deployment(true);
    owned["metadata"]["ownerReferences"] = json!([{"controller": true}]);
    let owned = json!({"responseObject": owned});
    assert_eq!(observations(&kubernetes("update deployments", Some("web"), owned)), []);
    let mut pending = kubernetes("create deployments", None, json!({"requestObject": deployment(true)}));
    if let Event::Activity(activity) = &mut pending.event {
        activity.outcome.status = OutcomeStatus::Unknown;
    }
    assert_eq!(observations(&pending), [], "nobody has decided about it yet");
}

fn github(action: &str, body: Value) -> Envelope {
    let mut body = body;
    body["repository"] =
        json!({"full_name": "acme/shop", "name": "shop", "visibility": "public", "private": false});
    call("github.webhook", ("github", action), Resource::default(), body.to_string())
}

#[test]
fn settings_of_repositories() {
    let repository = one(&github("repository.publicized", json!({})));
    assert_eq!(repository.resource, "acme/shop");
    assert_eq!(with(&repository, VerdictStatus::Fail), ["github-repository-private"]);
    assert!(with(&repository, VerdictStatus::NotEvaluated).contains(&"github-vulnerability-alerts"));
    let rule = json!({"rule": {"name": "main", "pull_request_reviews_enforcement_level": "off",
        "admin_enforced": true, "allow_force_pushes_enforcement_level": "everyone",
        "allow_deletions_enforcement_level": "off", "signature_requirement_enforcement_level": "everyone"}});
    let found = one(&github("branch_protection_rule.edited", rule.clone()));
    assert_eq!(found.resource, "acme/shop/branch-protection/main");
    let fails = with(&found, VerdictStatus::Fail);
    assert!(
        fails.contains(&"github-branch-no-force-push") && fails.contains(&"github-branch-reviews"),
        "{fails:?}"
    );
    assert_eq!(one(&github("branch_protection_rule.deleted", rule)).presence, Presence::Absent);
    let key = json!({"key": {"id": 7, "title": "t", "read_only": false}});
    assert_eq!(
        with(&one(&github("deploy_key.created", key)), VerdictStatus::Fail),
        ["github-deploy-key-read-only"]
    );
    assert_eq!(observations(&github("push", json!({}))), []);
}

#[test]
fn rules_of_google_firewalls() {
    let record = json!({"protoPayload": {"request": {"name": "open", "sourceRanges": ["0.0.0.0/0"],
        "alloweds": [{"IPProtocol": "tcp", "ports": ["22"]}]}}});
    let resource = Resource { id: "projects/p/global/firewalls/open".into(), ..Resource::default() };
    let of = |action: &str, record: &Value| {
        call("gcp.audit", ("compute.googleapis.com", action), resource.clone(), record.to_string())
    };
    check(
        &of("v1.compute.firewalls.insert", &record),
        "projects/p/global/firewalls/open",
        &["gcp-firewall-no-public-ssh"],
    );
    assert_eq!(one(&of("beta.compute.firewalls.delete", &json!({}))).presence, Presence::Absent);
    assert_eq!(observations(&of("v1.compute.firewalls.patch", &record)), []);
    assert_eq!(observations(&of("v1.compute.firewalls.insert", &json!({"protoPayload": {}}))), []);
}
