//! What a call was about: the record's `resources`, and what its request names.

use schemas::events::Resource;

use crate::sources::fields::Fields;

/// Most resources that are taken from one record.
const MAX_RESOURCES: usize = 50;
/// Longest name that a request parameter gives a resource, in bytes.
const MAX_NAME_BYTES: usize = 1_024;

/// Request parameters that name a resource: the parameter, the type in CloudFormation's words, and the ARN's
/// part after the account, or `None` where the value stands for itself.
const NAMED: &[(&str, &str, Option<&str>)] = &[
    ("bucketName", "AWS::S3::Bucket", Some("s3:")),
    ("userName", "AWS::IAM::User", Some("iam:user/")),
    ("roleName", "AWS::IAM::Role", Some("iam:role/")),
    ("groupName", "AWS::IAM::Group", Some("iam:group/")),
    ("policyArn", "AWS::IAM::ManagedPolicy", None),
    ("roleArn", "AWS::IAM::Role", None),
    ("instanceId", "AWS::EC2::Instance", Some("ec2:instance/")),
    ("snapshotId", "AWS::EC2::Snapshot", Some("ec2:snapshot/")),
    ("groupId", "AWS::EC2::SecurityGroup", Some("ec2:security-group/")),
    ("vpcId", "AWS::EC2::VPC", Some("ec2:vpc/")),
    ("functionName", "AWS::Lambda::Function", Some("lambda:function:")),
    ("secretId", "AWS::SecretsManager::Secret", None),
    ("keyId", "AWS::KMS::Key", None),
    ("dBInstanceIdentifier", "AWS::RDS::DBInstance", Some("rds:db:")),
    ("dBSnapshotIdentifier", "AWS::RDS::DBSnapshot", Some("rds:snapshot:")),
    ("tableName", "AWS::DynamoDB::Table", Some("dynamodb:table/")),
    ("trailName", "AWS::CloudTrail::Trail", None),
    ("stackName", "AWS::CloudFormation::Stack", None),
    ("clusterName", "AWS::ECS::Cluster", None),
    ("topicArn", "AWS::SNS::Topic", None),
    ("queueUrl", "AWS::SQS::Queue", None),
];

/// Never empty while the account is known: a call about nothing in particular is about its account.
pub(super) fn resources_of(record: &Fields<'_>, account: Option<String>) -> Vec<Resource> {
    let region = record.text("awsRegion");
    let place = Resource { cloud: Some("aws".into()), account, region, ..Resource::default() };
    let mut resources = listed(record, &place);
    if let Some(parameters) = record.object("requestParameters") {
        named(&parameters, &place, &mut resources);
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

fn named(parameters: &Fields<'_>, place: &Resource, resources: &mut Vec<Resource>) {
    for (parameter, ..) in NAMED {
        // Asked only where it is there as a text: other types are the request's own business.
        let name = parameters.raw(parameter).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let resource = name.and_then(|name| resource_named(parameter, &name, place));
        if let Some(resource) = resource
            && resources.len() < MAX_RESOURCES
            && !resources.iter().any(|known| known.id == resource.id)
        {
            resources.push(resource);
        }
    }
}

/// The resource that a request parameter names, if that parameter is known to name one.
pub(crate) fn resource_named(parameter: &str, name: &str, place: &Resource) -> Option<Resource> {
    let (_, kind, arn) = NAMED.iter().find(|(known, ..)| *known == parameter)?;
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains('\0') {
        return None;
    }
    let id = match arn {
        _ if name.starts_with("arn:") => name.to_owned(),
        Some(arn) => full_arn(arn, place, name).unwrap_or_else(|| name.to_owned()),
        None => name.to_owned(),
    };
    let name = name_in(name).or_else(|| Some(name.to_owned()));
    Some(Resource { kind: Some((*kind).into()), id, name, ..place.clone() })
}

/// `iam:user/` and `ada` to `arn:aws:iam::<account>:user/ada`. IAM has no regions, buckets have no account.
fn full_arn(pattern: &str, place: &Resource, name: &str) -> Option<String> {
    let (service, path) = pattern.split_once(':')?;
    if service == "s3" {
        return Some(format!("arn:aws:s3:::{name}"));
    }
    let account = place.account.as_deref()?;
    let region = if service == "iam" { "" } else { place.region.as_deref()? };
    Some(format!("arn:aws:{service}:{region}:{account}:{path}{name}"))
}

/// The last part of an ARN.
fn name_in(id: &str) -> Option<String> {
    let resource = id.strip_prefix("arn:")?.splitn(5, ':').nth(4)?;
    let name = resource.rsplit(['/', ':']).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}
