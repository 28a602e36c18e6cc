//! Configuration items of AWS Config.

use schemas::{
    changes::compliance::{ObservationSource, Presence},
    events::{Infrastructure, InfrastructureKind},
};
use serde_json::{Value, json};

use VerdictStatus::{Fail, NotEvaluated, Pass};

use super::*;

/// The observations of one item.
fn seen(kind: &str, id: &str, item: &Value, status: InfrastructureKind) -> Vec<Observation> {
    let resource = Resource {
        cloud: Some("aws".into()),
        account: Some("123456789012".into()),
        region: Some("eu-west-1".into()),
        kind: Some(kind.into()),
        id: id.into(),
        name: Some(id.rsplit([':', '/']).next().unwrap_or_default().into()),
        ..Resource::default()
    };
    let event = Infrastructure {
        kind: status,
        resource,
        actor: None,
        outcome: Outcome::default(),
        change_id: None,
        quantity: None,
        unit: None,
        configuration: None,
    };
    observations(&envelope(Event::Infrastructure(event), Some(("aws.config", item.to_string()))))
}

/// The answer of a policy about the resource of an item.
#[track_caller]
fn check(kind: &str, item: &Value, expected: &[(&str, VerdictStatus)]) {
    let id = "arn:aws:service:eu-west-1:123456789012:thing/this";
    let found = seen(kind, id, item, InfrastructureKind::ConfigurationObserved);
    let own = found.iter().find(|one| one.resource == id).expect("the resource");
    assert_eq!((own.presence, own.source), (Presence::Present, ObservationSource::Configuration));
    assert_eq!(own.fault, None);
    for (policy, status) in expected {
        let verdict = own.verdicts.iter().find(|verdict| verdict.policy.id == *policy);
        let verdict = verdict.unwrap_or_else(|| panic!("{policy} does not judge {kind}"));
        assert_eq!(verdict.status, *status, "{policy}: {:?}", verdict.reasons);
    }
}

#[test]
fn items_are_judged_as_configurations_in_terraforms_names_are() {
    check(
        "AWS::EC2::Volume",
        &json!({"configuration": {"volumeId": "vol-1", "encrypted": false}}),
        &[("aws-ebs-volume-encrypted", Fail)],
    );
    let written_as_text =
        json!({"configuration": json!({"volumeId": "vol-1", "encrypted": true}).to_string()});
    check("AWS::EC2::Volume", &written_as_text, &[("aws-ebs-volume-encrypted", Pass)]);
    let group = json!({"configuration": {"groupId": "sg-1", "groupName": "web", "vpcId": "v", "ipPermissions": [
        {"ipProtocol": "tcp", "fromPort": 22, "toPort": 22, "ipv4Ranges": [{"cidrIp": "0.0.0.0/0"}], "ipRanges": ["0.0.0.0/0"]}],
        "ipPermissionsEgress": []}});
    check(
        "AWS::EC2::SecurityGroup",
        &group,
        &[("aws-security-group-no-public-ssh", Fail), ("aws-security-group-no-public-rdp", Pass)],
    );
    let database = json!({"configuration": {"dBInstanceIdentifier": "db", "engine": "postgres", "storageEncrypted": true,
        "publiclyAccessible": true, "backupRetentionPeriod": 14, "multiAZ": false}});
    check(
        "AWS::RDS::DBInstance",
        &database,
        &[("aws-rds-encrypted", Pass), ("aws-rds-not-public", Fail), ("aws-rds-backup", Pass)],
    );
    let key = json!({"configuration": {"keyId": "k", "keyManager": "CUSTOMER", "keySpec": "SYMMETRIC_DEFAULT", "keyUsage": "ENCRYPT_DECRYPT"},
                     "supplementaryConfiguration": {"KeyRotationStatus": "false", "Policy": "{\"Statement\":[]}"}});
    check("AWS::KMS::Key", &key, &[("aws-kms-rotation", Fail), ("aws-kms-policy-not-public", Pass)]);
    let trail = json!({"configuration": {"name": "t", "isMultiRegionTrail": true, "logFileValidationEnabled": false,
                                          "includeGlobalServiceEvents": true}});
    check(
        "AWS::CloudTrail::Trail",
        &trail,
        &[
            ("aws-cloudtrail-all-regions", Pass),
            ("aws-cloudtrail-validation", Fail),
            ("aws-cloudtrail-enabled", NotEvaluated),
        ],
    );
    let cluster = json!({"configuration": {"Name": "c", "ResourcesVpcConfig": {"EndpointPublicAccess": true, "PublicAccessCidrs": ["0.0.0.0/0"]},
                                            "EncryptionConfig": [{"Resources": ["secrets"]}]}});
    check(
        "AWS::EKS::Cluster",
        &cluster,
        &[("aws-eks-endpoint-private", Fail), ("aws-eks-secrets-encrypted", Pass)],
    );
    let table = json!({"configuration": {"tableName": "t", "deletionProtectionEnabled": true}});
    check(
        "AWS::DynamoDB::Table",
        &table,
        &[("aws-dynamodb-recovery", NotEvaluated), ("aws-dynamodb-deletion-protection", Pass)],
    );
}

fn bucket(beside: &Value) -> Vec<Observation> {
    let item = json!({"configuration": {"name": "logs"}, "supplementaryConfiguration": beside});
    seen("AWS::S3::Bucket", "arn:aws:s3:::logs", &item, InfrastructureKind::ConfigurationObserved)
}

#[test]
fn a_bucket_is_judged_with_what_stands_beside_it() {
    let closed = bucket(&json!({
        "BucketVersioningConfiguration": {"status": "Enabled", "isMfaDeleteEnabled": null},
        "PublicAccessBlockConfiguration": {"blockPublicAcls": true, "blockPublicPolicy": true, "ignorePublicAcls": true,
                                           "restrictPublicBuckets": true},
        "ServerSideEncryptionConfiguration": json!({"rules": [{"applyServerSideEncryptionByDefault":
            {"sseAlgorithm": "aws:kms", "kmsMasterKeyID": "k"}}]}).to_string(),
        "BucketPolicy": {"policyText": "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"s3:GetObject\"}]}"},
    }));
    let of = |found: &[Observation], id: &str| {
        found.iter().find(|one| one.resource == format!("arn:aws:s3:::logs{id}")).cloned().expect("observed")
    };
    let itself = of(&closed, "");
    for policy in
        ["aws-s3-bucket-public-access-block", "aws-s3-bucket-encryption", "aws-s3-bucket-versioning"]
    {
        assert!(with(&itself, Pass).contains(&policy), "{policy}: {:?}", itself.verdicts);
    }
    assert!(
        with(&of(&closed, "/policy"), Fail).contains(&"aws-s3-policy-not-public"),
        "the part that calls show, too"
    );
    assert!(
        with(&of(&closed, "/public-access-block"), Pass).contains(&"aws-s3-public-access-block-complete")
    );

    let open = bucket(
        &json!({"BucketVersioningConfiguration": {"status": "Off"}, "BucketPolicy": {"policyText": null}}),
    );
    let itself = of(&open, "");
    for policy in ["aws-s3-bucket-public-access-block", "aws-s3-bucket-versioning"] {
        assert!(with(&itself, Fail).contains(&policy), "{policy}: {:?}", itself.verdicts);
    }
    assert_eq!(of(&open, "/policy").presence, Presence::Absent);
    let gone = seen(
        "AWS::S3::Bucket",
        "arn:aws:s3:::logs",
        &json!({"configuration": null}),
        InfrastructureKind::Deleted,
    );
    assert!(gone.len() == 3 && gone.iter().all(|one| one.presence == Presence::Absent), "{gone:?}");
}

#[test]
fn what_a_role_may_do_is_named_as_the_calls_that_allow_it() {
    let role = json!({"configuration": {
        "roleName": "this", "arn": "arn:aws:iam::123456789012:role/this",
        "assumeRolePolicyDocument": "%7B%22Statement%22%3A%5B%5D%7D",
        "rolePolicyList": [{"policyName": "all", "policyDocument":
            "%7B%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22*%22%2C%22Resource%22%3A%22*%22%7D%5D%7D"}],
        "attachedManagedPolicies": [{"policyArn": "arn:aws:iam::aws:policy/AdministratorAccess", "policyName": "a"}],
    }});
    let found = seen(
        "AWS::IAM::Role",
        "arn:aws:iam::123456789012:role/this",
        &role,
        InfrastructureKind::ConfigurationObserved,
    );
    let ids: Vec<&str> = found.iter().map(|one| one.resource.as_str()).collect();
    assert_eq!(
        ids,
        [
            "arn:aws:iam::123456789012:role/this",
            "arn:aws:iam::123456789012:role/this/attachment/arn:aws:iam::aws:policy/AdministratorAccess",
            "arn:aws:iam::123456789012:role/this/policy/all",
        ]
    );
    assert!(with(&found[1], Fail).contains(&"aws-iam-no-admin-attachment"), "{:?}", found[1].verdicts);
    assert!(with(&found[2], Fail).contains(&"aws-iam-no-admin-policy"), "{:?}", found[2].verdicts);
}

#[test]
fn items_that_cannot_be_judged_are_kept_with_their_fault() {
    let item = json!({"configuration": {"a": 1}});
    let found = seen("AWS::Foo::Bar", "x", &item, InfrastructureKind::ConfigurationObserved);
    assert!(found[0].fault.as_deref().is_some_and(|fault| fault.contains("AWS::Foo::Bar")), "{found:?}");
    assert_eq!(seen("AWS::Foo::Bar", "x", &item, InfrastructureKind::Deleted)[0].presence, Presence::Absent);
    assert_eq!(seen("AWS::EC2::Volume", "", &item, InfrastructureKind::ConfigurationObserved), []);
}
