//! Buckets, volumes, file systems, databases.

use serde_json::{Value, json};

use super::{
    super::{cloudtrail::database_arguments, seen::Seen},
    Item, Read, arguments, block, is_true, member,
};

pub(super) const READERS: &[(&str, Read)] = &[
    ("AWS::S3::Bucket", bucket),
    ("AWS::S3::AccountPublicAccessBlock", account_block),
    ("AWS::EC2::Volume", volume),
    ("AWS::EFS::FileSystem", file_system),
    ("AWS::RDS::DBInstance", database),
    ("AWS::RDS::DBCluster", cluster),
    ("AWS::DynamoDB::Table", table),
    ("AWS::Redshift::Cluster", warehouse),
];

/// A bucket with the settings beside it, and its policy and public access block as parts, as calls show them.
fn bucket(item: &Item<'_>) -> Vec<Seen> {
    let name = item.name();
    let beside = &item.supplementary;
    let versioning = &beside["BucketVersioningConfiguration"];
    let status = versioning["status"].as_str().unwrap_or("Off");
    let deletes_by_mfa = is_true(&versioning["isMfaDeleteEnabled"]);
    let logging = beside["BucketLoggingConfiguration"]["destinationBucketName"].as_str();
    let policy = beside["BucketPolicy"]["policyText"].as_str().filter(|text| !text.is_empty());
    let public_access = &beside["PublicAccessBlockConfiguration"];
    let access = public_access.is_object().then(|| access_block(&name, public_access));
    let config = arguments(json!({
        "bucket": name, "id": name, "arn": item.id(),
        "versioning": block(json!({"enabled": status == "Enabled", "mfa_delete": deletes_by_mfa})),
        "server_side_encryption_configuration": encryption(&beside["ServerSideEncryptionConfiguration"]),
        "logging": logging.map(|target| block(json!({"target_bucket": target}))),
        "policy": policy,
    }));
    let mfa_delete = if deletes_by_mfa { "Enabled" } else { "Disabled" };
    let mut resources = vec![json!({
        "type": "aws_s3_bucket_versioning", "name": "versioning",
        "config": {"bucket": name, "versioning_configuration": [{"status": status, "mfa_delete": mfa_delete}]},
    })];
    resources.extend(access.clone().map(
        |config| json!({"type": "aws_s3_bucket_public_access_block", "name": "access", "config": config}),
    ));
    let itself = item.itself("aws_s3_bucket", config, json!({"acl": true})).beside(resources);
    let part = |part: &str, kind: &str, config: Option<Value>| {
        let id = format!("{}/{part}", item.id());
        match config {
            Some(config) => item.part(&id, kind, (config, json!({}))),
            None => item.absent(&id, kind),
        }
    };
    vec![
        itself,
        part(
            "policy",
            "aws_s3_bucket_policy",
            policy.map(|policy| json!({"bucket": name, "policy": policy})),
        ),
        part("public-access-block", "aws_s3_bucket_public_access_block", access),
    ]
}

fn access_block(bucket: &str, told: &Value) -> Value {
    json!({
        "bucket": bucket,
        "block_public_acls": is_true(member(told, "blockPublicAcls")),
        "block_public_policy": is_true(member(told, "blockPublicPolicy")),
        "ignore_public_acls": is_true(member(told, "ignorePublicAcls")),
        "restrict_public_buckets": is_true(member(told, "restrictPublicBuckets")),
    })
}

fn account_block(item: &Item<'_>) -> Vec<Seen> {
    let config = access_block("", &item.config);
    vec![item.itself("aws_s3_account_public_access_block", config, json!({}))]
}

/// The rules of a bucket's encryption as a block; null where there are none.
fn encryption(told: &Value) -> Value {
    let rules = told["rules"].as_array().into_iter().flatten().map(|rule| {
        let by_default = &rule["applyServerSideEncryptionByDefault"];
        let by_default = arguments(json!({
            "sse_algorithm": by_default["sseAlgorithm"], "kms_master_key_id": by_default["kmsMasterKeyID"],
        }));
        json!({"apply_server_side_encryption_by_default": block(by_default)})
    });
    let rules: Vec<Value> = rules.collect();
    if rules.is_empty() { Value::Null } else { block(json!({ "rule": rules })) }
}

fn volume(item: &Item<'_>) -> Vec<Seen> {
    let config = json!({
        "id": item.told("volumeId"),
        "availability_zone": item.told("availabilityZone"),
        "encrypted": is_true(item.told("encrypted")),
        "kms_key_id": item.told("kmsKeyId"),
        "size": item.told("size"),
        "type": item.told("volumeType"),
    });
    vec![item.itself("aws_ebs_volume", arguments(config), json!({}))]
}

fn file_system(item: &Item<'_>) -> Vec<Seen> {
    let config = json!({
        "id": item.told("fileSystemId"),
        "encrypted": is_true(item.told("encrypted")),
        "kms_key_id": item.told("kmsKeyId"),
    });
    let status = &member(item.told("backupPolicy"), "status");
    let config = arguments(config);
    let itself = item.itself("aws_efs_file_system", config.clone(), json!({}));
    let Some(status) = status.as_str() else { return vec![itself] };
    let backup = json!({
        "type": "aws_efs_backup_policy", "name": "backup",
        "config": {"file_system_id": config["id"], "backup_policy": [{"status": status}]},
    });
    vec![itself.beside(vec![backup])]
}

fn database(item: &Item<'_>) -> Vec<Seen> {
    vec![item.itself("aws_db_instance", arguments(database_arguments(&item.config)), json!({}))]
}

fn cluster(item: &Item<'_>) -> Vec<Seen> {
    let config = json!({
        "cluster_identifier": item.told("dBClusterIdentifier"),
        "engine": item.told("engine"),
        "engine_mode": item.told("engineMode"),
        "storage_encrypted": is_true(item.told("storageEncrypted")),
        "kms_key_id": item.told("kmsKeyId"),
        "deletion_protection": is_true(item.told("deletionProtection")),
        "backup_retention_period": item.told("backupRetentionPeriod"),
        "iam_database_authentication_enabled": is_true(item.told("iAMDatabaseAuthenticationEnabled")),
        "enabled_cloudwatch_logs_exports": item.told("enabledCloudwatchLogsExports"),
    });
    let kind = match item.text("engine") {
        "docdb" => "aws_docdb_cluster",
        "neptune" => "aws_neptune_cluster",
        _ => "aws_rds_cluster",
    };
    vec![item.itself(kind, arguments(config), json!({}))]
}

fn table(item: &Item<'_>) -> Vec<Seen> {
    let encryption = &item.told("ssedescription")["status"];
    let config = json!({
        "name": item.told("tableName"),
        "server_side_encryption": block(json!({"enabled": encryption == "ENABLED" || encryption == "UPDATING"})),
    });
    let mut config = arguments(config);
    let mut unknown = json!({});
    let recovery = &item.supplementary["ContinuousBackups"]["pointInTimeRecoveryDescription"];
    match recovery["pointInTimeRecoveryStatus"].as_str() {
        Some(status) => config["point_in_time_recovery"] = block(json!({"enabled": status == "ENABLED"})),
        None => unknown["point_in_time_recovery"] = true.into(),
    }
    match item.told("deletionProtectionEnabled") {
        Value::Null => unknown["deletion_protection_enabled"] = true.into(),
        told => config["deletion_protection_enabled"] = is_true(told).into(),
    }
    vec![item.itself("aws_dynamodb_table", config, unknown)]
}

fn warehouse(item: &Item<'_>) -> Vec<Seen> {
    let mut config = arguments(json!({
        "cluster_identifier": item.told("clusterIdentifier"),
        "encrypted": is_true(item.told("encrypted")),
        "publicly_accessible": is_true(item.told("publiclyAccessible")),
        "automated_snapshot_retention_period": item.told("automatedSnapshotRetentionPeriod"),
        "allow_version_upgrade": is_true(item.told("allowVersionUpgrade")),
        "enhanced_vpc_routing": is_true(item.told("enhancedVpcRouting")),
    }));
    let mut unknown = json!({});
    match &item.supplementary["LoggingStatus"]["loggingEnabled"] {
        Value::Null => unknown["logging"] = true.into(),
        told => config["logging"] = block(json!({"enable": is_true(told)})),
    }
    vec![item.itself("aws_redshift_cluster", config, unknown)]
}
