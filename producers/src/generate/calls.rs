//! API calls of the generated organisation: frequency, resources, request and response.

use schemas::events::ActivityKind;

/// Caller of an API call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A workload in production.
    Workload,
    /// A person.
    Person,
    /// A deployment pipeline.
    Pipeline,
}

/// One API call. Templates contain `<names>` that [`super::scene::Scene`] fills in.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) service: &'static str,
    pub(super) action: &'static str,
    pub(super) caller: Caller,
    pub(super) weight: u32,
    pub(super) read_only: bool,
    /// Kind of activity if the call succeeds.
    pub(super) kind: ActivityKind,
    pub(super) request: &'static str,
    pub(super) response: &'static str,
}

macro_rules! calls {
    ($($caller:ident $weight:literal $service:literal $action:ident $access:ident $kind:ident
       $request:literal => $response:literal;)+) => {
        &[$(Call {
            service: concat!($service, ".amazonaws.com"),
            action: stringify!($action),
            caller: Caller::$caller,
            weight: $weight,
            read_only: calls!(@$access),
            kind: ActivityKind::$kind,
            request: $request,
            response: $response,
        }),+]
    };
    (@reads) => { true };
    (@writes) => { false };
}

/// `additionalEventData` of every S3 record.
const S3_MORE: &str = r#""SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":<n>,"SSEApplied":"SSE_KMS","AuthenticationMethod":"AuthHeader","x-amz-id-2":"<token76>","bytesTransferredOut":8388608"#;

impl Call {
    /// The record's own `resources`, which only some services write: type and ARN.
    pub(super) fn listed(&self) -> &'static [(&'static str, &'static str)] {
        match (self.service, self.action) {
            ("s3.amazonaws.com", "GetObject" | "PutObject") => &[
                ("AWS::S3::Object", "arn:aws:s3:::<bucket>/<object>"),
                ("AWS::S3::Bucket", "arn:aws:s3:::<bucket>"),
            ],
            ("kms.amazonaws.com", _) => &[("AWS::KMS::Key", "<key>")],
            ("sts.amazonaws.com", "AssumeRole") => {
                &[("AWS::IAM::Role", "arn:aws:iam::<account>:role/<service>-shared")]
            }
            _ => &[],
        }
    }

    /// The members of the record's `additionalEventData`.
    pub(super) fn more(&self) -> Option<&'static str> {
        match (self.service, self.caller) {
            ("s3.amazonaws.com", _) => Some(S3_MORE),
            ("kms.amazonaws.com", _) => Some(r#""keyMaterialId":"<hex32><hex32>""#),
            ("sts.amazonaws.com", Caller::Workload) => Some(
                r#""ExplicitTrustGrant":false,"RequestDetails":{"awsServingRegion":"<region>","endpointType":"regional"}"#,
            ),
            _ => None,
        }
    }
}

/// Calls of ordinary operation.
pub(super) const EVERYDAY: &[Call] = calls! {
    Workload 150 "s3" GetObject reads ApiCalled
        r#"{"bucketName":"<bucket>","Host":"<bucket>.s3.<region>.amazonaws.com","key":"<object>","x-amz-expected-bucket-owner":"<account>","range":"bytes=0-8388607"}"# => "null";
    Workload 90 "s3" PutObject writes ApiCalled
        r#"{"bucketName":"<bucket>","Host":"<bucket>.s3.<region>.amazonaws.com","key":"<object>","x-amz-server-side-encryption":"aws:kms","x-amz-server-side-encryption-aws-kms-key-id":"<key>","x-amz-storage-class":"STANDARD"}"# =>
        r#"{"x-amz-server-side-encryption":"aws:kms","x-amz-server-side-encryption-aws-kms-key-id":"<key>","x-amz-server-side-encryption-bucket-key-enabled":"true","x-amz-version-id":"<hex32>"}"#;
    Workload 110 "kms" Decrypt reads ApiCalled
        r#"{"encryptionContext":{"aws:s3:arn":"arn:aws:s3:::<bucket>","aws:pi:service":"<service>"},"encryptionAlgorithm":"SYMMETRIC_DEFAULT","keyId":"<key>"}"# => "null";
    Workload 60 "kms" GenerateDataKey reads ApiCalled
        r#"{"encryptionContext":{"aws:s3:arn":"arn:aws:s3:::<bucket>"},"keySpec":"AES_256","keyId":"<key>"}"# => "null";
    Workload 70 "dynamodb" DescribeTable reads ApiCalled
        r#"{"tableName":"<table>"}"# => "null";
    Workload 40 "secretsmanager" GetSecretValue reads SecretRead
        r#"{"secretId":"<secret>","versionStage":"AWSCURRENT"}"# => "null";
    Workload 80 "sts" AssumeRole reads ApiCalled
        r#"{"roleArn":"arn:aws:iam::<account>:role/<service>-shared","roleSessionName":"<service>-<hex8>","durationSeconds":3600,"externalId":"<hex32>"}"# =>
        r#"{"credentials":{"accessKeyId":"ASIA<upper16>","expiration":"<later>","sessionToken":"<token356>"},"assumedRoleUser":{"assumedRoleId":"AROA<upper17>:<service>-<hex8>","arn":"arn:aws:sts::<account>:assumed-role/<service>-shared/<service>"}}"#;
    Workload 50 "logs" CreateLogStream writes ApiCalled
        r#"{"logGroupName":"/services/<service>/production","logStreamName":"<service>/<day>/<hex32>"}"# => "null";
    Workload 40 "monitoring" DescribeAlarms reads ApiCalled
        r#"{"alarmNamePrefix":"<service>-","alarmTypes":["MetricAlarm"],"maxRecords":100}"# => "null";
    Person 60 "ec2" DescribeInstances reads ApiCalled
        r#"{"maxResults":50,"instancesSet":{},"filterSet":{"items":[{"name":"tag:service","valueSet":{"items":[{"value":"<service>"}]}},{"name":"instance-state-name","valueSet":{"items":[{"value":"running"},{"value":"pending"}]}}]}}"# => "null";
    Person 30 "ec2" DescribeSecurityGroups reads ApiCalled
        r#"{"securityGroupSet":{},"securityGroupIdSet":{},"filterSet":{"items":[{"name":"group-name","valueSet":{"items":[{"value":"<service>-production"}]}}]}}"# => "null";
    Person 25 "s3" ListBuckets reads ApiCalled
        r#"{"Host":"s3.<region>.amazonaws.com","max-buckets":"1000"}"# => "null";
    Person 20 "iam" ListRoles reads ApiCalled r#"{"maxItems":200}"# => "null";
    Person 14 "cloudtrail" LookupEvents reads ApiCalled
        r#"{"lookupAttributes":[{"attributeKey":"ResourceName","attributeValue":"<service>-production"}],"maxResults":50}"# => "null";
    Person 12 "ssm" StartSession writes ApiCalled
        r#"{"target":"<instance>","documentName":"AWS-StartInteractiveCommand","parameters":{"command":["bash -l"]},"reason":"look at <service>"}"# =>
        r#"{"sessionId":"<person>-<hex17>","tokenValue":"<hidden>","streamUrl":"wss://ssmmessages.<region>.amazonaws.com/v1/data-channel/<person>-<hex17>?role=publish_subscribe"}"#;
    Person 6 "ssm" GetParameter reads SecretRead
        r#"{"name":"/production/<service>/database/password","withDecryption":true}"# => "null";
    Person 8 "ec2" AuthorizeSecurityGroupIngress writes ApiCalled
        r#"{"groupId":"sg-0<hex16>","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":5432,"toPort":5432,"groups":{},"ipRanges":{"items":[{"cidrIp":"10.20.0.0/16","description":"<service> to its database"}]},"ipv6Ranges":{},"prefixListIds":{}}]}}"# =>
        r#"{"requestId":"<uuid>","_return":true,"securityGroupRuleSet":{"items":[{"groupOwnerId":"<account>","groupId":"sg-0<hex16>","securityGroupRuleId":"sgr-0<hex16>","isEgress":false,"ipProtocol":"tcp","fromPort":5432,"toPort":5432,"cidrIpv4":"10.20.0.0/16"}]}}"#;
    Person 5 "iam" AttachRolePolicy writes PermissionChanged
        r#"{"roleName":"<service>-production","policyArn":"arn:aws:iam::<account>:policy/<service>-read"}"# => "null";
    Person 3 "s3" PutBucketPolicy writes PermissionChanged
        r#"{"bucketName":"<bucket>","Host":"<bucket>.s3.<region>.amazonaws.com","policy":"","bucketPolicy":{"Version":"2012-10-17","Statement":[{"Sid":"ReadBy<upper16>","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::<account>:role/<service>-production"},"Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::<bucket>","arn:aws:s3:::<bucket>/*"],"Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}}"# => "null";
    Pipeline 30 "ecr" PutImage writes ApiCalled
        r#"{"registryId":"<account>","repositoryName":"<service>","imageTag":"1.<n>.<n>","imageManifestMediaType":"application/vnd.oci.image.manifest.v1+json","imageManifest":"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"digest\":\"sha256:<hex32><hex32>\",\"size\":7023},\"layers\":[{\"digest\":\"sha256:<hex32><hex32>\",\"size\":30438211},{\"digest\":\"sha256:<hex32><hex32>\",\"size\":4120339}]}"}"# =>
        r#"{"image":{"registryId":"<account>","repositoryName":"<service>","imageId":{"imageDigest":"sha256:<hex32><hex32>","imageTag":"1.<n>.<n>"}}}"#;
    Pipeline 30 "ecs" UpdateService writes ApiCalled
        r#"{"cluster":"production","service":"<service>","taskDefinition":"arn:aws:ecs:<region>:<account>:task-definition/<service>:<n>","desiredCount":3,"forceNewDeployment":true,"deploymentConfiguration":{"maximumPercent":200,"minimumHealthyPercent":100}}"# =>
        r#"{"service":{"serviceArn":"arn:aws:ecs:<region>:<account>:service/production/<service>","serviceName":"<service>","clusterArn":"arn:aws:ecs:<region>:<account>:cluster/production","status":"ACTIVE","desiredCount":3,"runningCount":3,"pendingCount":0,"launchType":"FARGATE","platformVersion":"LATEST","deployments":[{"id":"ecs-svc/<hex17>","status":"PRIMARY","desiredCount":3,"rolloutState":"IN_PROGRESS","rolloutStateReason":"ECS deployment ecs-svc in progress."}],"events":[],"placementStrategy":[],"enableECSManagedTags":true}}"#;
    Pipeline 25 "lambda" UpdateFunctionCode20150331v2 writes ApiCalled
        r#"{"functionName":"arn:aws:lambda:<region>:<account>:function:<service>","s3Bucket":"<bucket>","s3Key":"releases/<service>/<hex32>.zip","publish":true,"dryRun":false}"# =>
        r#"{"functionName":"<service>","functionArn":"arn:aws:lambda:<region>:<account>:function:<service>:<n>","runtime":"provided.al2023","role":"arn:aws:iam::<account>:role/<service>-production","handler":"bootstrap","codeSize":8123455,"timeout":30,"memorySize":512,"codeSha256":"<hex32>","version":"<n>","packageType":"Zip","architectures":["arm64"],"state":"Active","lastUpdateStatus":"InProgress"}"#;
    Pipeline 10 "ec2" RunInstances writes ApiCalled
        r#"{"instancesSet":{"items":[{"imageId":"ami-0<hex16>","minCount":1,"maxCount":1}]},"instanceType":"m7g.large","subnetId":"subnet-0<hex16>","monitoring":{"enabled":true},"disableApiTermination":false,"metadataOptions":{"httpTokens":"required"},"tagSpecificationSet":{"items":[{"resourceType":"instance","tags":[{"key":"service","value":"<service>"},{"key":"environment","value":"production"}]}]}}"# =>
        r#"{"requestId":"<uuid>","reservationId":"r-0<hex16>","ownerId":"<account>","groupSet":{},"instancesSet":{"items":[{"instanceId":"<instance>","imageId":"ami-0<hex16>","currentInstanceType":"m7g.large","instanceState":{"code":0,"name":"pending"},"privateDnsName":"ip-10-20-7-<n>.<region>.compute.internal","amiLaunchIndex":0,"productCodes":{},"instanceType":"m7g.large","placement":{"availabilityZone":"<region>a","tenancy":"default"},"monitoring":{"state":"pending"},"subnetId":"subnet-0<hex16>","architecture":"arm64","rootDeviceType":"ebs","rootDeviceName":"/dev/xvda","virtualizationType":"hvm","hypervisor":"xen","ebsOptimized":true}]}}"#;
    Pipeline 12 "cloudformation" CreateChangeSet writes ApiCalled
        r#"{"stackName":"<service>-production","changeSetName":"release-<hex8>","changeSetType":"UPDATE","capabilities":["CAPABILITY_NAMED_IAM"],"templateURL":"https://<bucket>.s3.<region>.amazonaws.com/templates/<service>.json","parameters":[{"parameterKey":"ImageTag"},{"parameterKey":"DesiredCount"}]}"# =>
        r#"{"id":"arn:aws:cloudformation:<region>:<account>:changeSet/release-<hex8>/<uuid>","stackId":"arn:aws:cloudformation:<region>:<account>:stack/<service>-production/<uuid>"}"#;
};

/// Calls of an intruder with stolen credentials, in this order.
pub(super) const INTRUSION: &[Call] = calls! {
    Person 1 "sts" GetCallerIdentity reads ApiCalled "null" => "null";
    Person 1 "iam" ListAttachedUserPolicies reads ApiCalled r#"{"userName":"<person>"}"# => "null";
    Person 1 "iam" CreateUser writes ApiCalled
        r#"{"userName":"svc-backup","tags":[]}"# =>
        r#"{"user":{"path":"/","userName":"svc-backup","userId":"AIDA<upper17>","arn":"arn:aws:iam::<account>:user/svc-backup"}}"#;
    Person 1 "iam" AttachUserPolicy writes PermissionChanged
        r#"{"userName":"svc-backup","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}"# => "null";
    Person 1 "iam" CreateAccessKey writes PermissionChanged
        r#"{"userName":"svc-backup"}"# =>
        r#"{"accessKey":{"userName":"svc-backup","accessKeyId":"AKIA<upper16>","status":"Active"}}"#;
    Person 1 "cloudtrail" StopLogging writes ApiCalled
        r#"{"name":"arn:aws:cloudtrail:<region>:<account>:trail/organisation"}"# => "null";
    Person 1 "secretsmanager" GetSecretValue reads SecretRead
        r#"{"secretId":"<secret>"}"# => "null";
    Person 1 "rds" CreateDBSnapshot writes ApiCalled
        r#"{"dBInstanceIdentifier":"<database>","dBSnapshotIdentifier":"copy-<service>"}"# =>
        r#"{"dBSnapshotIdentifier":"copy-<service>","dBInstanceIdentifier":"<database>","engine":"postgres","allocatedStorage":400,"status":"creating","encrypted":true,"kmsKeyId":"<key>"}"#;
    Person 1 "rds" ModifyDBSnapshotAttribute writes DataExported
        r#"{"dBSnapshotIdentifier":"copy-<service>","attributeName":"restore","valuesToAdd":["444455556666"]}"# =>
        r#"{"dBSnapshotIdentifier":"copy-<service>","dBSnapshotAttributes":[{"attributeName":"restore","attributeValues":["444455556666"]}]}"#;
};
