//! Request parameters that name resources, by service; and the types of resources by their ARNs.

/// A request parameter that names a resource.
pub(super) struct Named {
    pub(super) parameter: &'static str,
    /// Type, as in CloudFormation.
    pub(super) kind: &'static str,
    /// Service and resource part of the ARN, or `None` if the value is used as it is.
    pub(super) arn: Option<&'static str>,
    /// A part of the names of the calls in which the parameter means that; empty for all of the service.
    pub(super) calls: &'static str,
}

const fn by(parameter: &'static str, kind: &'static str, arn: &'static str) -> Named {
    Named { parameter, kind, arn: Some(arn), calls: "" }
}

/// An ARN cannot be made of the name alone.
const fn as_it_is(parameter: &'static str, kind: &'static str) -> Named {
    Named { parameter, kind, arn: None, calls: "" }
}

impl Named {
    const fn in_calls(self, calls: &'static str) -> Self {
        Self { calls, ..self }
    }
}

/// By service, as `eventSource` begins: parameters with the same name differ, since Transfer's `userName` is not an IAM user.
/// The first of a service is what its calls are about first.
pub(super) const SERVICES: &[(&[&str], &[Named])] = &[
    (
        &["s3", "s3-outposts", "s3express"],
        &[by("bucketName", "AWS::S3::Bucket", "s3:"), by("bucket", "AWS::S3::Bucket", "s3:")],
    ),
    (
        &["iam"],
        &[
            by("userName", "AWS::IAM::User", "iam:user/"),
            by("roleName", "AWS::IAM::Role", "iam:role/"),
            by("groupName", "AWS::IAM::Group", "iam:group/"),
            by("instanceProfileName", "AWS::IAM::InstanceProfile", "iam:instance-profile/"),
        ],
    ),
    (
        &["ec2", "ebs"],
        &[
            by("keyName", "AWS::EC2::KeyPair", "ec2:key-pair/"),
            as_it_is("launchTemplateName", "AWS::EC2::LaunchTemplate"),
        ],
    ),
    (
        &["autoscaling"],
        &[
            as_it_is("autoScalingGroupName", "AWS::AutoScaling::AutoScalingGroup"),
            as_it_is("launchConfigurationName", "AWS::AutoScaling::LaunchConfiguration"),
        ],
    ),
    (&["lambda"], &[by("functionName", "AWS::Lambda::Function", "lambda:function:")]),
    (&["secretsmanager"], &[as_it_is("secretId", "AWS::SecretsManager::Secret")]),
    (&["kms"], &[as_it_is("keyId", "AWS::KMS::Key"), as_it_is("targetKeyId", "AWS::KMS::Key")]),
    (
        &["rds"],
        &[
            by("dBInstanceIdentifier", "AWS::RDS::DBInstance", "rds:db:"),
            by("dBClusterIdentifier", "AWS::RDS::DBCluster", "rds:cluster:"),
            by("dBSnapshotIdentifier", "AWS::RDS::DBSnapshot", "rds:snapshot:"),
            by("dBClusterSnapshotIdentifier", "AWS::RDS::DBClusterSnapshot", "rds:cluster-snapshot:"),
            by("sourceDBSnapshotIdentifier", "AWS::RDS::DBSnapshot", "rds:snapshot:"),
            by("targetDBSnapshotIdentifier", "AWS::RDS::DBSnapshot", "rds:snapshot:"),
            by("sourceDBClusterSnapshotIdentifier", "AWS::RDS::DBClusterSnapshot", "rds:cluster-snapshot:"),
            by("targetDBClusterSnapshotIdentifier", "AWS::RDS::DBClusterSnapshot", "rds:cluster-snapshot:"),
        ],
    ),
    (&["dynamodb"], &[by("tableName", "AWS::DynamoDB::Table", "dynamodb:table/")]),
    (
        &["cloudtrail"],
        &[
            by("trailName", "AWS::CloudTrail::Trail", "cloudtrail:trail/"),
            by("name", "AWS::CloudTrail::Trail", "cloudtrail:trail/").in_calls("Trail"),
            by("name", "AWS::CloudTrail::Trail", "cloudtrail:trail/").in_calls("Logging"),
            as_it_is("eventDataStore", "AWS::CloudTrail::EventDataStore"),
        ],
    ),
    (&["cloudformation"], &[as_it_is("stackName", "AWS::CloudFormation::Stack")]),
    (
        &["ecs"],
        &[
            as_it_is("service", "AWS::ECS::Service"),
            by("clusterName", "AWS::ECS::Cluster", "ecs:cluster/"),
            by("cluster", "AWS::ECS::Cluster", "ecs:cluster/"),
            by("taskDefinition", "AWS::ECS::TaskDefinition", "ecs:task-definition/"),
        ],
    ),
    (
        &["eks"],
        &[
            by("clusterName", "AWS::EKS::Cluster", "eks:cluster/"),
            by("name", "AWS::EKS::Cluster", "eks:cluster/").in_calls("Cluster"),
        ],
    ),
    (&["ecr"], &[by("repositoryName", "AWS::ECR::Repository", "ecr:repository/")]),
    (&["sns"], &[by("name", "AWS::SNS::Topic", "sns:").in_calls("Topic")]),
    (&["sqs"], &[as_it_is("queueUrl", "AWS::SQS::Queue"), by("queueName", "AWS::SQS::Queue", "sqs:")]),
    (&["logs"], &[by("logGroupName", "AWS::Logs::LogGroup", "logs:log-group:")]),
    (
        &["events"],
        &[
            by("rule", "AWS::Events::Rule", "events:rule/"),
            by("name", "AWS::Events::Rule", "events:rule/").in_calls("Rule"),
            by("name", "AWS::Events::EventBus", "events:event-bus/").in_calls("EventBus"),
            by("eventBusName", "AWS::Events::EventBus", "events:event-bus/"),
        ],
    ),
    (
        &["config"],
        &[
            as_it_is("configurationRecorderName", "AWS::Config::ConfigurationRecorder"),
            as_it_is("deliveryChannelName", "AWS::Config::DeliveryChannel"),
            as_it_is("configRuleName", "AWS::Config::ConfigRule"),
        ],
    ),
    (&["guardduty"], &[by("detectorId", "AWS::GuardDuty::Detector", "guardduty:detector/")]),
    (&["elasticloadbalancing"], &[as_it_is("loadBalancerName", "AWS::ElasticLoadBalancing::LoadBalancer")]),
    (&["apigateway"], &[as_it_is("restApiId", "AWS::ApiGateway::RestApi")]),
    (&["route53"], &[as_it_is("hostedZoneId", "AWS::Route53::HostedZone")]),
    (&["redshift"], &[by("clusterIdentifier", "AWS::Redshift::Cluster", "redshift:cluster:")]),
    (
        &["elasticache"],
        &[
            by("cacheClusterId", "AWS::ElastiCache::CacheCluster", "elasticache:cluster:"),
            by("replicationGroupId", "AWS::ElastiCache::ReplicationGroup", "elasticache:replicationgroup:"),
        ],
    ),
    (&["es"], &[by("domainName", "AWS::OpenSearchService::Domain", "es:domain/")]),
    (&["kinesis"], &[by("streamName", "AWS::Kinesis::Stream", "kinesis:stream/")]),
    (
        &["firehose"],
        &[by("deliveryStreamName", "AWS::KinesisFirehose::DeliveryStream", "firehose:deliverystream/")],
    ),
    (
        &["sagemaker"],
        &[
            by("notebookInstanceName", "AWS::SageMaker::NotebookInstance", "sagemaker:notebook-instance/"),
            by("endpointName", "AWS::SageMaker::Endpoint", "sagemaker:endpoint/"),
        ],
    ),
    (
        &["codebuild"],
        &[
            by("projectName", "AWS::CodeBuild::Project", "codebuild:project/"),
            by("name", "AWS::CodeBuild::Project", "codebuild:project/").in_calls("Project"),
        ],
    ),
    (&["codecommit"], &[by("repositoryName", "AWS::CodeCommit::Repository", "codecommit:")]),
    (&["codepipeline"], &[by("name", "AWS::CodePipeline::Pipeline", "codepipeline:").in_calls("Pipeline")]),
    (&["elasticfilesystem"], &[by("fileSystemId", "AWS::EFS::FileSystem", "elasticfilesystem:file-system/")]),
    (&["backup"], &[by("backupVaultName", "AWS::Backup::BackupVault", "backup:backup-vault:")]),
    (&["ds"], &[by("directoryId", "AWS::DirectoryService::MicrosoftAD", "ds:directory/")]),
    (&["cognito-idp"], &[by("userPoolId", "AWS::Cognito::UserPool", "cognito-idp:userpool/")]),
    (&["transfer"], &[by("serverId", "AWS::Transfer::Server", "transfer:server/")]),
    (
        &["organizations"],
        &[
            as_it_is("accountId", "AWS::Organizations::Account"),
            as_it_is("policyId", "AWS::Organizations::Policy"),
        ],
    ),
    (&["ses"], &[by("identity", "AWS::SES::EmailIdentity", "ses:identity/")]),
];

/// Services in whose calls the ids of EC2 mean what they mean there.
pub(super) const EC2_SERVICES: [&str; 5] = ["ec2", "ebs", "ec2-instance-connect", "ssm", "autoscaling"];
/// Ids of EC2 by what they begin with, whatever the parameter is called.
pub(super) const EC2_IDS: &[(&str, &str, &str)] = &[
    ("i-", "AWS::EC2::Instance", "ec2:instance/"),
    ("mi-", "AWS::SSM::ManagedInstance", "ssm:managed-instance/"),
    ("vol-", "AWS::EC2::Volume", "ec2:volume/"),
    ("snap-", "AWS::EC2::Snapshot", "ec2:snapshot/"),
    ("ami-", "AWS::EC2::Image", "ec2:image/"),
    ("sg-", "AWS::EC2::SecurityGroup", "ec2:security-group/"),
    ("vpc-", "AWS::EC2::VPC", "ec2:vpc/"),
    ("subnet-", "AWS::EC2::Subnet", "ec2:subnet/"),
    ("rtb-", "AWS::EC2::RouteTable", "ec2:route-table/"),
    ("acl-", "AWS::EC2::NetworkAcl", "ec2:network-acl/"),
    ("igw-", "AWS::EC2::InternetGateway", "ec2:internet-gateway/"),
    ("nat-", "AWS::EC2::NatGateway", "ec2:natgateway/"),
    ("eni-", "AWS::EC2::NetworkInterface", "ec2:network-interface/"),
    ("eipalloc-", "AWS::EC2::EIP", "ec2:elastic-ip/"),
    ("vpce-", "AWS::EC2::VPCEndpoint", "ec2:vpc-endpoint/"),
    ("pcx-", "AWS::EC2::VPCPeeringConnection", "ec2:vpc-peering-connection/"),
    ("tgw-", "AWS::EC2::TransitGateway", "ec2:transit-gateway/"),
    ("lt-", "AWS::EC2::LaunchTemplate", "ec2:launch-template/"),
    ("fl-", "AWS::EC2::FlowLog", "ec2:vpc-flow-log/"),
];

/// Types of resources that are named by ARNs alone.
const ARNS: &[(&str, &str)] = &[
    ("iam:policy/", "AWS::IAM::ManagedPolicy"),
    ("iam:saml-provider/", "AWS::IAM::SAMLProvider"),
    ("iam:oidc-provider/", "AWS::IAM::OIDCProvider"),
    ("secretsmanager:secret:", "AWS::SecretsManager::Secret"),
    ("kms:key/", "AWS::KMS::Key"),
    ("states:stateMachine:", "AWS::StepFunctions::StateMachine"),
    ("elasticloadbalancing:loadbalancer/", "AWS::ElasticLoadBalancingV2::LoadBalancer"),
    ("elasticloadbalancing:targetgroup/", "AWS::ElasticLoadBalancingV2::TargetGroup"),
    ("elasticloadbalancing:listener/", "AWS::ElasticLoadBalancingV2::Listener"),
    ("acm:certificate/", "AWS::CertificateManager::Certificate"),
    ("cloudformation:stack/", "AWS::CloudFormation::Stack"),
    ("autoscaling:autoScalingGroup:", "AWS::AutoScaling::AutoScalingGroup"),
    ("cloudtrail:eventdatastore/", "AWS::CloudTrail::EventDataStore"),
];

/// The type of the resource that an ARN names; `None` if it is not known.
pub(super) fn kind_of_arn(arn: &str) -> Option<&'static str> {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, resource) = (parts.next()?, parts.nth(2)?);
    let is = |pattern: &str| {
        let (of, path) = pattern.split_once(':').unwrap_or((pattern, ""));
        // A pattern without a path names a bucket, not its objects, and a topic, not its subscriptions.
        let matches =
            if path.is_empty() { !resource.contains(['/', ':']) } else { resource.starts_with(path) };
        of == service && matches
    };
    let ids = EC2_IDS.iter().map(|(_, kind, pattern)| (*pattern, *kind));
    let named = SERVICES.iter().flat_map(|(_, named)| *named);
    let named = named.filter_map(|named| Some((named.arn?, named.kind)));
    ARNS.iter().copied().chain(ids).chain(named).find(|(pattern, _)| is(pattern)).map(|(_, kind)| kind)
}
