//! Trails, keys, functions, queues, clusters, repositories.

use serde_json::{Value, json};

use super::{
    super::{cloudtrail::trail_arguments, seen::Seen},
    Item, Read, arguments, block, is_true, member,
};

pub(super) const READERS: &[(&str, Read)] = &[
    ("AWS::CloudTrail::Trail", trail),
    ("AWS::KMS::Key", key),
    ("AWS::Lambda::Function", function),
    ("AWS::SNS::Topic", topic),
    ("AWS::SQS::Queue", queue),
    ("AWS::SecretsManager::Secret", secret),
    ("AWS::EKS::Cluster", kubernetes),
    ("AWS::ECR::Repository", repository),
    ("AWS::OpenSearch::Domain", search_domain),
    ("AWS::Elasticsearch::Domain", search_domain),
    ("AWS::Logs::LogGroup", log_group),
];

/// Whether the trail records now is told beside its configuration, where it is told.
fn trail(item: &Item<'_>) -> Vec<Seen> {
    let mut config = arguments(trail_arguments(&item.config));
    let status = &item.supplementary["TrailStatus"]["isLogging"];
    let mut unknown = json!({});
    if status.is_null() {
        unknown["enable_logging"] = true.into();
    } else {
        config["enable_logging"] = is_true(status).into();
    }
    vec![item.itself("aws_cloudtrail", config, unknown)]
}

/// AWS's own keys are rotated by AWS.
fn key(item: &Item<'_>) -> Vec<Seen> {
    let is_awss = item.text("keyManager") == "AWS";
    let rotation = &item.supplementary["KeyRotationStatus"];
    let policy = &item.supplementary["Policy"];
    let spec = [item.told("customerMasterKeySpec"), item.told("keySpec")];
    let mut config = arguments(json!({
        "arn": item.id(),
        "key_id": item.told("keyId"),
        "key_usage": item.told("keyUsage"),
        "customer_master_key_spec": spec.into_iter().find(|spec| spec.is_string()),
    }));
    let mut unknown = json!({});
    if is_awss || !rotation.is_null() {
        config["enable_key_rotation"] = (is_awss || is_true(rotation)).into();
    } else {
        unknown["enable_key_rotation"] = true.into();
    }
    match policy {
        Value::Object(_) => config["policy"] = policy.to_string().into(),
        Value::String(text) => config["policy"] = text.clone().into(),
        _ => unknown["policy"] = true.into(),
    }
    vec![item.itself("aws_kms_key", config, unknown)]
}

fn function(item: &Item<'_>) -> Vec<Seen> {
    let config = json!({
        "function_name": item.told("functionName"),
        "runtime": item.told("runtime"),
        "tracing_config": block(json!({"mode": member(item.told("tracingConfig"), "mode")})),
        "environment": member(item.told("environment"), "variables").as_object()
            .map(|variables| block(json!({ "variables": variables }))),
    });
    vec![item.itself("aws_lambda_function", arguments(config), json!({}))]
}

/// The policy of a topic or queue: in its configuration, or beside it.
fn policy_of(item: &Item<'_>, config: &mut Value, unknown: &mut Value) {
    let told = [item.told("policy"), &item.supplementary["Policy"]];
    match told.into_iter().find(|told| !told.is_null()) {
        Some(Value::String(text)) => config["policy"] = text.clone().into(),
        Some(document) => config["policy"] = document.to_string().into(),
        None => unknown["policy"] = true.into(),
    }
}

fn topic(item: &Item<'_>) -> Vec<Seen> {
    let config =
        json!({"arn": item.id(), "name": item.name(), "kms_master_key_id": item.told("kmsMasterKeyId")});
    let (mut config, mut unknown) = (arguments(config), json!({}));
    policy_of(item, &mut config, &mut unknown);
    vec![item.itself("aws_sns_topic", config, unknown)]
}

fn queue(item: &Item<'_>) -> Vec<Seen> {
    let config = json!({
        "arn": item.id(), "name": item.name(), "kms_master_key_id": item.told("kmsMasterKeyId"),
        "sqs_managed_sse_enabled": is_true(item.told("sqsManagedSseEnabled")),
    });
    let (mut config, mut unknown) = (arguments(config), json!({}));
    policy_of(item, &mut config, &mut unknown);
    vec![item.itself("aws_sqs_queue", config, unknown)]
}

fn secret(item: &Item<'_>) -> Vec<Seen> {
    let config = json!({"arn": item.id(), "name": item.name(), "kms_key_id": item.told("kmsKeyId")});
    vec![item.itself("aws_secretsmanager_secret", arguments(config), json!({}))]
}

fn kubernetes(item: &Item<'_>) -> Vec<Seen> {
    let network = item.told("resourcesVpcConfig");
    let encryption = item.told("encryptionConfig").as_array().into_iter().flatten();
    let encryption: Vec<Value> =
        encryption.map(|one| json!({"resources": member(one, "resources")})).collect();
    let logging = member(item.told("logging"), "clusterLogging");
    let types = [member(logging, "enabledTypes"), logging].into_iter().filter_map(Value::as_array).flatten();
    let types: Vec<&str> = types
        .filter(|one| *member(one, "enabled") != Value::Bool(false))
        .flat_map(|one| match member(one, "types").as_array() {
            Some(several) => several.iter().filter_map(Value::as_str).collect(),
            None => member(one, "type").as_str().into_iter().collect::<Vec<_>>(),
        })
        .collect();
    let config = json!({
        "arn": item.id(),
        "name": item.name(),
        "vpc_config": block(arguments(json!({
            "endpoint_public_access": member(network, "endpointPublicAccess"),
            "endpoint_private_access": member(network, "endpointPrivateAccess"),
            "public_access_cidrs": member(network, "publicAccessCidrs"),
        }))),
        "encryption_config": encryption,
        "enabled_cluster_log_types": types,
    });
    let unknown = if network.is_object() { json!({}) } else { json!({"vpc_config": true}) };
    vec![item.itself("aws_eks_cluster", arguments(config), unknown)]
}

fn repository(item: &Item<'_>) -> Vec<Seen> {
    let encryption = member(item.told("encryptionConfiguration"), "encryptionType");
    let config = json!({
        "arn": item.id(),
        "name": item.name(),
        "image_tag_mutability": item.told("imageTagMutability"),
        "image_scanning_configuration": block(json!({
            "scan_on_push": is_true(member(item.told("imageScanningConfiguration"), "scanOnPush")),
        })),
        "encryption_configuration": encryption.as_str().map(|kind| block(json!({"encryption_type": kind}))),
    });
    vec![item.itself("aws_ecr_repository", arguments(config), json!({}))]
}

fn search_domain(item: &Item<'_>) -> Vec<Seen> {
    let enabled = |names: [&str; 2]| {
        let told = names.into_iter().map(|name| item.told(name)).find(|told| told.is_object());
        block(json!({"enabled": told.is_some_and(|told| is_true(member(told, "enabled")))}))
    };
    let kind = if item.place.kind.as_deref() == Some("AWS::Elasticsearch::Domain") {
        "aws_elasticsearch_domain"
    } else {
        "aws_opensearch_domain"
    };
    let https = member(item.told("domainEndpointOptions"), "enforceHTTPS");
    let network =
        [item.told("vPCOptions"), item.told("VPCOptions")].into_iter().find(|told| told.is_object());
    let config = json!({
        "arn": item.id(),
        "domain_name": item.name(),
        "encrypt_at_rest": enabled(["encryptionAtRestOptions", "encryptAtRestOptions"]),
        "node_to_node_encryption": enabled(["nodeToNodeEncryptionOptions", "nodeToNodeEncryption"]),
        "domain_endpoint_options": block(json!({"enforce_https": is_true(https)})),
        "vpc_options": network.map(|network| block(json!({"subnet_ids": member(network, "subnetIds")}))),
    });
    vec![item.itself(kind, arguments(config), json!({"log_publishing_options": true}))]
}

fn log_group(item: &Item<'_>) -> Vec<Seen> {
    let config = json!({
        "arn": item.id(),
        "name": item.name(),
        "retention_in_days": item.told("retentionInDays"),
        "kms_key_id": item.told("kmsKeyId"),
    });
    vec![item.itself("aws_cloudwatch_log_group", arguments(config), json!({}))]
}
