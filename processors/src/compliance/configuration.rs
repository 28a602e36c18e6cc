//! Resources whose configuration an infrastructure event contains, and deleted resources.

use schemas::{
    changes::compliance::{ObservationSource, Presence},
    events::{Infrastructure, InfrastructureKind, Resource},
};
use serde_json::{Value, json};

use super::seen::{Seen, Shown, attributes, bounded_id};

/// Maximum size of a configuration, in bytes.
const MAX_CONFIGURATION_BYTES: usize = 8 << 20;

/// The resource, if the event contains its configuration or reports its deletion.
pub(super) fn seen(event: &Infrastructure) -> Vec<Seen> {
    let resource = &event.resource;
    if resource.id.trim().is_empty() {
        return Vec::new();
    }
    let kind = resource.kind.as_deref().unwrap_or_default();
    if event.kind == InfrastructureKind::Deleted {
        return vec![Seen::absent(
            ObservationSource::Configuration,
            &resource.id,
            attributes(resource, terraform_type(kind)),
        )];
    }
    let Some(text) = event.configuration.as_deref().filter(|text| !text.trim().is_empty()) else {
        return Vec::new();
    };
    let (kind, shown) = match read(text) {
        Ok(value) => shown(resource, kind, value),
        Err(reason) => (terraform_type(kind).to_owned(), Shown::Unreadable(reason)),
    };
    vec![Seen {
        resource: bounded_id(&resource.id),
        presence: Presence::Present,
        change_id: None,
        source: ObservationSource::Configuration,
        attributes: attributes(resource, &kind),
        shown,
    }]
}

fn read(text: &str) -> Result<Value, String> {
    if text.len() > MAX_CONFIGURATION_BYTES {
        return Err(format!("the configuration has more than {MAX_CONFIGURATION_BYTES} bytes"));
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|error| format!("the configuration is not valid JSON, or is nested too deeply: {error}"))?;
    if value.is_object() { Ok(value) } else { Err("the configuration is no JSON object".into()) }
}

/// The type of the resource, and the input of policies: a Kubernetes object, a document with a type and other
/// resources, or the arguments alone.
fn shown(resource: &Resource, kind: &str, value: Value) -> (String, Shown) {
    if policies::kubernetes::is_object(&value) {
        let kind = value["kind"].as_str().unwrap_or_default().to_owned();
        return (kind, Shown::Alone(Box::new(value)));
    }
    let is_document = value["type"].is_string() && value["config"].is_object();
    let kind = if is_document { value["type"].as_str().unwrap_or(kind) } else { kind };
    let kind = terraform_type(kind).to_owned();
    if kind.is_empty() {
        return (kind, Shown::Unreadable("neither the resource nor its configuration names a type".into()));
    }
    let mut document = if is_document { value } else { json!({ "config": value }) };
    document["type"] = Value::from(kind.as_str());
    document["address"] = Value::from(resource.id.as_str());
    if document.get("name").is_none() {
        document["name"] = Value::from(resource.name.as_deref().unwrap_or("this"));
    }
    (kind, Shown::Alone(Box::new(document)))
}

/// Terraform's name for a type of CloudFormation or AWS Config; any other name is unchanged.
pub(super) fn terraform_type(kind: &str) -> &str {
    const NAMES: &[(&str, &str)] = &[
        ("AWS::CloudTrail::Trail", "aws_cloudtrail"),
        ("AWS::DynamoDB::Table", "aws_dynamodb_table"),
        ("AWS::EC2::Instance", "aws_instance"),
        ("AWS::EC2::SecurityGroup", "aws_security_group"),
        ("AWS::EC2::Subnet", "aws_subnet"),
        ("AWS::EC2::VPC", "aws_vpc"),
        ("AWS::EC2::Volume", "aws_ebs_volume"),
        ("AWS::ECR::Repository", "aws_ecr_repository"),
        ("AWS::EFS::FileSystem", "aws_efs_file_system"),
        ("AWS::EKS::Cluster", "aws_eks_cluster"),
        ("AWS::IAM::Role", "aws_iam_role"),
        ("AWS::IAM::User", "aws_iam_user"),
        ("AWS::KMS::Key", "aws_kms_key"),
        ("AWS::Lambda::Function", "aws_lambda_function"),
        ("AWS::RDS::DBInstance", "aws_db_instance"),
        ("AWS::RDS::DBCluster", "aws_rds_cluster"),
        ("AWS::Redshift::Cluster", "aws_redshift_cluster"),
        ("AWS::S3::Bucket", "aws_s3_bucket"),
        ("AWS::SNS::Topic", "aws_sns_topic"),
        ("AWS::SQS::Queue", "aws_sqs_queue"),
        ("AWS::SecretsManager::Secret", "aws_secretsmanager_secret"),
    ];
    NAMES.iter().find(|(named, _)| *named == kind).map_or(kind, |(_, terraform)| terraform)
}
