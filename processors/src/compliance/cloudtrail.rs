//! Resources that AWS calls show in full: by the request's parameters if these are complete, or by the
//! response.
//!
//! A call that changes a single argument of a resource does not show the configuration, and gives no
//! observation.

use schemas::{
    Native,
    changes::compliance::ObservationSource,
    events::{Activity, Resource},
};
use serde_json::{Value, json};

use super::seen::{Seen, attributes};

/// Reads the resources of one call.
type Read = fn(&Call<'_>) -> Vec<Seen>;

/// Supported calls: event source without its domain, event name.
const CALLS: &[(&str, &str, Read)] = &[
    ("s3", "PutBucketPublicAccessBlock", public_access_block),
    ("s3", "DeleteBucketPublicAccessBlock", |call| call.gone(&call.of_bucket("public-access-block"))),
    ("s3", "PutBucketPolicy", bucket_policy),
    ("s3", "DeleteBucketPolicy", |call| call.gone(&call.of_bucket("policy"))),
    ("s3", "DeleteBucket", deleted_bucket),
    ("ec2", "CreateVolume", volume),
    ("ec2", "DeleteVolume", |call| call.gone(&call.arn("ec2", "volume/", &call.asked("volumeId")))),
    ("ec2", "EnableEbsEncryptionByDefault", |call| encryption_by_default(call, true)),
    ("ec2", "DisableEbsEncryptionByDefault", |call| encryption_by_default(call, false)),
    ("ec2", "TerminateInstances", terminated),
    ("rds", "CreateDBInstance", database),
    ("rds", "ModifyDBInstance", database),
    ("rds", "DeleteDBInstance", |call| {
        call.gone(&call.arn("rds", "db:", &call.asked("dBInstanceIdentifier")))
    }),
    ("cloudtrail", "CreateTrail", trail),
    ("cloudtrail", "UpdateTrail", trail),
    ("cloudtrail", "DeleteTrail", deleted_trail),
    ("iam", "UpdateAccountPasswordPolicy", password_policy),
    ("iam", "DeleteAccountPasswordPolicy", |call| call.gone(&call.arn("iam", "account-password-policy", ""))),
    ("iam", "PutRolePolicy", |call| inline_policy(call, "role")),
    ("iam", "PutUserPolicy", |call| inline_policy(call, "user")),
    ("iam", "PutGroupPolicy", |call| inline_policy(call, "group")),
    ("iam", "DeleteRolePolicy", |call| call.gone(&inline_id(call, "role"))),
    ("iam", "DeleteUserPolicy", |call| call.gone(&inline_id(call, "user"))),
    ("iam", "DeleteGroupPolicy", |call| call.gone(&inline_id(call, "group"))),
    ("iam", "CreatePolicy", managed_policy),
    ("iam", "DeletePolicy", |call| call.gone(&call.asked("policyArn"))),
    ("iam", "AttachRolePolicy", |call| attachment(call, "role")),
    ("iam", "AttachUserPolicy", |call| attachment(call, "user")),
    ("iam", "AttachGroupPolicy", |call| attachment(call, "group")),
    ("iam", "DetachRolePolicy", |call| call.gone(&attachment_id(call, "role"))),
    ("iam", "DetachUserPolicy", |call| call.gone(&attachment_id(call, "user"))),
    ("iam", "DetachGroupPolicy", |call| call.gone(&attachment_id(call, "group"))),
    ("iam", "CreateAccessKey", access_key),
    ("iam", "DeleteAccessKey", |call| call.gone(&call.arn("iam", "access-key/", &call.asked("accessKeyId")))),
];

/// Resources that a call shows or deletes.
pub(super) fn seen(event: &Activity, native: &Native) -> Vec<Seen> {
    let service = event.service.as_deref().and_then(|source| source.strip_suffix(".amazonaws.com"));
    let Some(service) = service else { return Vec::new() };
    let Some((_, _, read)) =
        CALLS.iter().find(|(source, name, _)| *name == event.action && *source == service)
    else {
        return Vec::new();
    };
    let Ok(record) = serde_json::from_str::<Value>(&native.record) else { return Vec::new() };
    // Calls that would be allowed but were only tried.
    if record["errorCode"].is_string() {
        return Vec::new();
    }
    let place = event.resources.first().cloned().unwrap_or_default();
    read(&Call { record: &record, place: &place })
}

/// One call.
struct Call<'a> {
    record: &'a Value,
    /// Cloud, account and region of the call's resource.
    place: &'a Resource,
}

impl Call<'_> {
    /// A parameter of the request; empty if absent.
    fn asked(&self, name: &str) -> String {
        self.record["requestParameters"][name].as_str().unwrap_or_default().to_owned()
    }

    fn account(&self) -> &str {
        self.record["recipientAccountId"].as_str().or(self.place.account.as_deref()).unwrap_or_default()
    }

    /// An ARN in the call's account and region.
    fn arn(&self, service: &str, kind: &str, name: &str) -> String {
        let region = self.record["awsRegion"].as_str().unwrap_or_default();
        let partition = match region.split('-').next() {
            Some("cn") => "aws-cn",
            _ if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        let region = if service == "iam" { "" } else { region };
        format!("arn:{partition}:{service}:{region}:{}:{kind}{name}", self.account())
    }

    /// A part of the call's bucket.
    fn of_bucket(&self, part: &str) -> String {
        let bucket = self.asked("bucketName");
        format!("arn:aws:s3:::{bucket}/{part}")
    }

    fn shown(&self, id: &str, kind: &str, name: &str, config: Value) -> Vec<Seen> {
        self.partly_shown(id, kind, name, (config, json!({})))
    }

    /// A resource with arguments that the call does not show.
    fn partly_shown(&self, id: &str, kind: &str, name: &str, (config, unknown): (Value, Value)) -> Vec<Seen> {
        if name.is_empty() {
            return Vec::new();
        }
        let place = Resource { name: Some(name.to_owned()), ..self.place.clone() };
        let attributes = attributes(&place, kind);
        vec![Seen::configured(ObservationSource::CloudTrail, id, attributes, config, unknown)]
    }

    fn gone(&self, id: &str) -> Vec<Seen> {
        let is_named = !id.is_empty() && !id.ends_with(['/', ':']);
        let attributes = attributes(&Resource { name: None, ..self.place.clone() }, "");
        let absent = || Seen::absent(ObservationSource::CloudTrail, id, attributes);
        is_named.then(absent).into_iter().collect()
    }
}

fn is_true(value: &Value) -> bool {
    value == &Value::Bool(true) || value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

fn public_access_block(call: &Call<'_>) -> Vec<Seen> {
    let told = &call.record["requestParameters"]["PublicAccessBlockConfiguration"];
    let config = json!({
        "bucket": call.asked("bucketName"),
        "block_public_acls": is_true(&told["BlockPublicAcls"]),
        "block_public_policy": is_true(&told["BlockPublicPolicy"]),
        "ignore_public_acls": is_true(&told["IgnorePublicAcls"]),
        "restrict_public_buckets": is_true(&told["RestrictPublicBuckets"]),
    });
    let id = call.of_bucket("public-access-block");
    call.shown(&id, "aws_s3_bucket_public_access_block", &call.asked("bucketName"), config)
}

fn bucket_policy(call: &Call<'_>) -> Vec<Seen> {
    let policy = &call.record["requestParameters"]["bucketPolicy"];
    let bucket = call.asked("bucketName");
    let config = json!({ "bucket": bucket, "policy": policy });
    if policy.is_object() || policy.is_string() {
        call.shown(&call.of_bucket("policy"), "aws_s3_bucket_policy", &bucket, config)
    } else {
        Vec::new()
    }
}

fn deleted_bucket(call: &Call<'_>) -> Vec<Seen> {
    let bucket = call.asked("bucketName");
    if bucket.is_empty() {
        return Vec::new();
    }
    let parts = ["public-access-block", "policy"].map(|part| call.of_bucket(part));
    let all = std::iter::once(format!("arn:aws:s3:::{bucket}")).chain(parts);
    all.flat_map(|id| call.gone(&id)).collect()
}

fn volume(call: &Call<'_>) -> Vec<Seen> {
    let made = &call.record["responseElements"];
    let id = made["volumeId"].as_str().unwrap_or_default();
    let config = json!({
        "id": id,
        "availability_zone": made["availabilityZone"],
        "encrypted": is_true(&made["encrypted"]),
        "kms_key_id": made["kmsKeyId"],
        "size": made["size"],
        "type": made["volumeType"],
    });
    call.shown(&call.arn("ec2", "volume/", id), "aws_ebs_volume", id, config)
}

fn encryption_by_default(call: &Call<'_>, enabled: bool) -> Vec<Seen> {
    let id = call.arn("ec2", "ebs-encryption-by-default", "");
    call.shown(&id, "aws_ebs_encryption_by_default", call.account(), json!({ "enabled": enabled }))
}

fn terminated(call: &Call<'_>) -> Vec<Seen> {
    let items = call.record["requestParameters"]["instancesSet"]["items"].as_array();
    let ids = items.into_iter().flatten().filter_map(|item| item["instanceId"].as_str());
    ids.flat_map(|id| call.gone(&call.arn("ec2", "instance/", id))).collect()
}

/// A database from the response, which contains every argument. Pending changes (`pendingModifiedValues`) do
/// not count.
fn database(call: &Call<'_>) -> Vec<Seen> {
    let made = &call.record["responseElements"];
    let name = made["dBInstanceIdentifier"].as_str().unwrap_or_default();
    let id = match made["dBInstanceArn"].as_str() {
        Some(arn) => arn.to_owned(),
        None => call.arn("rds", "db:", name),
    };
    call.shown(&id, "aws_db_instance", name, database_arguments(made))
}

/// The arguments of a database instance out of AWS's description of it.
pub(super) fn database_arguments(told: &Value) -> Value {
    json!({
        "identifier": told["dBInstanceIdentifier"],
        "engine": told["engine"],
        "storage_encrypted": is_true(&told["storageEncrypted"]),
        "publicly_accessible": is_true(&told["publiclyAccessible"]),
        "backup_retention_period": told["backupRetentionPeriod"],
        "multi_az": is_true(&told["multiAZ"]),
        "deletion_protection": is_true(&told["deletionProtection"]),
        "iam_database_authentication_enabled": is_true(&told["iAMDatabaseAuthenticationEnabled"]),
        "auto_minor_version_upgrade": is_true(&told["autoMinorVersionUpgrade"]),
        "performance_insights_enabled": is_true(&told["performanceInsightsEnabled"]),
        "performance_insights_kms_key_id": told["performanceInsightsKMSKeyId"],
        "enabled_cloudwatch_logs_exports": told["enabledCloudwatchLogsExports"],
        "kms_key_id": told["kmsKeyId"],
        "source_db_cluster_identifier": told["dBClusterIdentifier"],
        "replicate_source_db": told["readReplicaSourceDBInstanceIdentifier"],
    })
}

/// A trail; the response does not contain whether it records, since other calls start and stop it.
fn trail(call: &Call<'_>) -> Vec<Seen> {
    let made = &call.record["responseElements"];
    let Some(id) = made["trailARN"].as_str() else { return Vec::new() };
    let config = trail_arguments(made);
    let name = made["name"].as_str().unwrap_or(id);
    call.partly_shown(id, "aws_cloudtrail", name, (config, json!({ "enable_logging": true })))
}

/// The arguments of a trail out of AWS's description of it.
pub(super) fn trail_arguments(told: &Value) -> Value {
    json!({
        "name": told["name"],
        "s3_bucket_name": told["s3BucketName"],
        "is_multi_region_trail": is_true(&told["isMultiRegionTrail"]),
        "enable_log_file_validation": is_true(&told["logFileValidationEnabled"]),
        "include_global_service_events": is_true(&told["includeGlobalServiceEvents"]),
        "kms_key_id": told["kmsKeyId"],
        "cloud_watch_logs_group_arn": told["cloudWatchLogsLogGroupArn"],
    })
}

/// A deleted trail, given by name or ARN.
fn deleted_trail(call: &Call<'_>) -> Vec<Seen> {
    let name = call.asked("name");
    let id = if name.starts_with("arn:") { name } else { call.arn("cloudtrail", "trail/", &name) };
    call.gone(&id)
}

/// A password policy; an omitted parameter takes its default, whatever it was before.
fn password_policy(call: &Call<'_>) -> Vec<Seen> {
    let told = &call.record["requestParameters"];
    let config = json!({
        "minimum_password_length": told["minimumPasswordLength"].as_i64().unwrap_or(6),
        "require_symbols": is_true(&told["requireSymbols"]),
        "require_numbers": is_true(&told["requireNumbers"]),
        "require_uppercase_characters": is_true(&told["requireUppercaseCharacters"]),
        "require_lowercase_characters": is_true(&told["requireLowercaseCharacters"]),
        "password_reuse_prevention": told["passwordReusePrevention"].as_i64().unwrap_or(0),
        "max_password_age": told["maxPasswordAge"].as_i64().unwrap_or(0),
    });
    let id = call.arn("iam", "account-password-policy", "");
    call.shown(&id, "aws_iam_account_password_policy", call.account(), config)
}

fn inline_id(call: &Call<'_>, owner: &str) -> String {
    let (name, policy) = (call.asked(&format!("{owner}Name")), call.asked("policyName"));
    if name.is_empty() || policy.is_empty() {
        return String::new();
    }
    call.arn("iam", &format!("{owner}/{name}/policy/"), &policy)
}

fn inline_policy(call: &Call<'_>, owner: &str) -> Vec<Seen> {
    let document = call.asked("policyDocument");
    let config = json!({
        "name": call.asked("policyName"),
        owner: call.asked(&format!("{owner}Name")),
        "policy": document,
    });
    let id = inline_id(call, owner);
    let name = if id.is_empty() || document.is_empty() { String::new() } else { call.asked("policyName") };
    call.shown(&id, &format!("aws_iam_{owner}_policy"), &name, config)
}

fn managed_policy(call: &Call<'_>) -> Vec<Seen> {
    let Some(id) = call.record["responseElements"]["policy"]["arn"].as_str() else { return Vec::new() };
    let (name, document) = (call.asked("policyName"), call.asked("policyDocument"));
    let config = json!({ "name": name, "policy": document });
    if document.is_empty() { Vec::new() } else { call.shown(id, "aws_iam_policy", &name, config) }
}

fn attachment_id(call: &Call<'_>, owner: &str) -> String {
    let (name, policy) = (call.asked(&format!("{owner}Name")), call.asked("policyArn"));
    if name.is_empty() || policy.is_empty() {
        return String::new();
    }
    call.arn("iam", &format!("{owner}/{name}/attachment/"), &policy)
}

fn attachment(call: &Call<'_>, owner: &str) -> Vec<Seen> {
    let (name, policy) = (call.asked(&format!("{owner}Name")), call.asked("policyArn"));
    let id = attachment_id(call, owner);
    let name = if id.is_empty() { String::new() } else { name };
    let config = json!({ owner: name, "policy_arn": policy });
    call.shown(&id, &format!("aws_iam_{owner}_policy_attachment"), &name, config)
}

fn access_key(call: &Call<'_>) -> Vec<Seen> {
    let made = &call.record["responseElements"]["accessKey"];
    let id = made["accessKeyId"].as_str().unwrap_or_default();
    let config = json!({ "id": id, "user": made["userName"], "status": made["status"] });
    call.shown(&call.arn("iam", "access-key/", id), "aws_iam_access_key", id, config)
}
