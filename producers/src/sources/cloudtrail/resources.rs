//! Resources of a call: the record's `resources`, and those that its request names.

use schemas::events::Resource;

use super::partition::partition_of;
use crate::sources::fields::Fields;

/// Maximum number of resources taken from one record.
const MAX_RESOURCES: usize = 50;
/// Maximum length of a resource name in a request parameter, in bytes.
const MAX_NAME_BYTES: usize = 1_024;

/// A request parameter that names a resource.
struct Named {
    /// Services in which the parameter names a resource of their own, as `eventSource` begins.
    services: &'static [&'static str],
    parameter: &'static str,
    /// Type, as in CloudFormation.
    kind: &'static str,
    /// Service and resource part of the ARN, or `None` if the value is used as it is.
    arn: Option<&'static str>,
}

const fn named_by(
    services: &'static [&'static str],
    parameter: &'static str,
    kind: &'static str,
    arn: Option<&'static str>,
) -> Named {
    Named { services, parameter, kind, arn }
}

/// Parameters with the same name differ by service: Transfer's `userName` is not an IAM user.
const NAMED: &[Named] = &[
    named_by(&["s3", "s3-outposts", "s3express"], "bucketName", "AWS::S3::Bucket", Some("s3:")),
    named_by(&["iam"], "userName", "AWS::IAM::User", Some("iam:user/")),
    named_by(&["iam"], "roleName", "AWS::IAM::Role", Some("iam:role/")),
    named_by(&["iam"], "groupName", "AWS::IAM::Group", Some("iam:group/")),
    named_by(
        &["ec2", "autoscaling", "ssm", "ec2-instance-connect"],
        "instanceId",
        "AWS::EC2::Instance",
        Some("ec2:instance/"),
    ),
    named_by(&["ec2", "ebs"], "snapshotId", "AWS::EC2::Snapshot", Some("ec2:snapshot/")),
    named_by(&["ec2"], "groupId", "AWS::EC2::SecurityGroup", Some("ec2:security-group/")),
    named_by(&["ec2"], "vpcId", "AWS::EC2::VPC", Some("ec2:vpc/")),
    named_by(&["lambda"], "functionName", "AWS::Lambda::Function", Some("lambda:function:")),
    named_by(&["secretsmanager"], "secretId", "AWS::SecretsManager::Secret", None),
    named_by(&["kms"], "keyId", "AWS::KMS::Key", None),
    named_by(&["rds"], "dBInstanceIdentifier", "AWS::RDS::DBInstance", Some("rds:db:")),
    named_by(&["rds"], "dBSnapshotIdentifier", "AWS::RDS::DBSnapshot", Some("rds:snapshot:")),
    named_by(&["dynamodb"], "tableName", "AWS::DynamoDB::Table", Some("dynamodb:table/")),
    named_by(&["cloudtrail"], "trailName", "AWS::CloudTrail::Trail", None),
    named_by(&["cloudformation"], "stackName", "AWS::CloudFormation::Stack", None),
    named_by(&["ecs"], "clusterName", "AWS::ECS::Cluster", None),
    named_by(&["eks"], "clusterName", "AWS::EKS::Cluster", None),
    named_by(&["sqs"], "queueUrl", "AWS::SQS::Queue", None),
];

/// Parameters whose values are ARNs, in every service.
const ARNS: &[(&str, &str)] = &[
    ("policyArn", "AWS::IAM::ManagedPolicy"),
    ("roleArn", "AWS::IAM::Role"),
    ("topicArn", "AWS::SNS::Topic"),
];

/// Resources of the call. Never empty if the account is known: a call without other resources is about its
/// account.
pub(super) fn resources_of(record: &Fields<'_>, account: Option<String>) -> Vec<Resource> {
    let region = record.text("awsRegion");
    let place = Resource { cloud: Some("aws".into()), account, region, ..Resource::default() };
    let mut resources = listed(record, &place);
    let service = record.plain_text("eventSource").unwrap_or_default();
    let call = Call { service: short(&service), partition: partition_of(record) };
    if let Some(parameters) = record.object("requestParameters") {
        named(&parameters, call, &place, &mut resources);
    }
    if resources.is_empty()
        && let Some(account) = place.account.clone()
    {
        resources.push(Resource { kind: Some("AWS::Account".into()), id: account, ..place });
    }
    resources
}

fn listed(record: &Fields<'_>, place: &Resource) -> Vec<Resource> {
    let one = |told: &Fields<'_>| {
        let id = told.text("ARN").or_else(|| told.text("ARNPrefix"))?;
        let account = told.text("accountId").or_else(|| place.account.clone());
        Some(Resource { kind: told.text("type"), name: name_in(&id), id, account, ..place.clone() })
    };
    let mut resources: Vec<Resource> = Vec::new();
    for resource in record.objects("resources", MAX_RESOURCES).iter().filter_map(one) {
        if !resources.iter().any(|known| known.id == resource.id) {
            resources.push(resource);
        }
    }
    resources
}

/// Service and partition that a request went to.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The service, as `eventSource` begins: `iam`.
    pub(crate) service: &'a str,
    /// The partition: `aws`, `aws-us-gov`, `aws-cn`.
    pub(crate) partition: &'a str,
}

fn short(source: &str) -> &str {
    source.strip_suffix(".amazonaws.com").unwrap_or(source)
}

fn named(parameters: &Fields<'_>, call: Call<'_>, place: &Resource, resources: &mut Vec<Resource>) {
    let names = NAMED.iter().map(|named| named.parameter).chain(ARNS.iter().map(|(parameter, _)| *parameter));
    for parameter in names {
        // Asked only where it is there as a text: other types are the request's own business.
        let name = parameters.raw(parameter).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let resource = name.and_then(|name| resource_named(call, parameter, &name, place));
        if let Some(resource) = resource
            && resources.len() < MAX_RESOURCES
            && !resources.iter().any(|known| known.id == resource.id)
        {
            resources.push(resource);
        }
    }
}

/// The resource that a request parameter names, if the parameter is known for the called service.
pub(crate) fn resource_named(
    call: Call<'_>,
    parameter: &str,
    name: &str,
    place: &Resource,
) -> Option<Resource> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains('\0') {
        return None;
    }
    let of_arn = || {
        let (_, kind) = ARNS.iter().find(|(known, _)| *known == parameter && name.starts_with("arn:"))?;
        Some((*kind, None))
    };
    let of_service = || {
        let mut all = NAMED.iter().filter(|named| named.parameter == parameter);
        all.find(|named| named.services.contains(&call.service)).map(|named| (named.kind, named.arn))
    };
    let (kind, arn) = of_arn().or_else(of_service)?;
    let id = match arn {
        Some(arn) if !name.starts_with("arn:") => {
            full_arn(arn, call.partition, place, name).unwrap_or_else(|| name.to_owned())
        }
        _ => name.to_owned(),
    };
    let name = name_in(name).or_else(|| Some(name.to_owned()));
    Some(Resource { kind: Some(kind.into()), id, name, ..place.clone() })
}

/// `iam:user/` and `ada` to `arn:aws:iam::<account>:user/ada`. IAM has no regions, buckets have no account.
fn full_arn(pattern: &str, partition: &str, place: &Resource, name: &str) -> Option<String> {
    let (service, path) = pattern.split_once(':')?;
    if service == "s3" {
        return Some(format!("arn:{partition}:s3:::{name}"));
    }
    let account = place.account.as_deref()?;
    let region = if service == "iam" { "" } else { place.region.as_deref()? };
    Some(format!("arn:{partition}:{service}:{region}:{account}:{path}{name}"))
}

/// The last part of an ARN.
fn name_in(id: &str) -> Option<String> {
    let resource = id.strip_prefix("arn:")?.splitn(5, ':').nth(4)?;
    let name = resource.rsplit(['/', ':']).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}
