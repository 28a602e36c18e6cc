//! Records whose meaning is easily misread.

use serde_json::json;

use super::*;

#[test]
fn a_request_that_is_only_received_was_not_done() {
    let binding =
        json!({"resource": "clusterrolebindings", "name": "all", "apiGroup": "rbac.authorization.k8s.io"});
    let mut record = audit_event("create", &binding, "mara", 201);
    record["stage"] = json!("RequestReceived");
    record.as_object_mut().expect("an object").remove("responseStatus");
    let received = activity(SourceFormat::KubernetesAudit, &record);
    assert_eq!(received.kind, ActivityKind::ApiCalled);
    assert_eq!(
        (received.outcome.status, received.outcome.code.as_deref()),
        (OutcomeStatus::Unknown, Some("RequestReceived"))
    );
    record["stage"] = json!("ResponseStarted");
    record["responseStatus"] = json!({"code": 101});
    let started = activity(SourceFormat::KubernetesAudit, &record);
    assert_eq!(
        (started.outcome.status, started.outcome.code.as_deref()),
        (OutcomeStatus::Success, Some("ResponseStarted"))
    );
}

#[test]
fn who_acts_through_a_proxy_is_the_person_and_the_proxy_stands_beside() {
    let mut record =
        audit_event("list", &json!({"resource": "pods"}), "system:serviceaccount:cattle:rancher", 200);
    record["impersonatedUser"] = json!({"username": "john@example.org", "groups": ["dev"]});
    let actor = activity(SourceFormat::KubernetesAudit, &record).actor;
    assert_eq!((actor.kind, actor.id.as_str()), (ActorKind::User, "john@example.org"));
    assert_eq!(
        (actor.roles, actor.session.as_deref()),
        (vec!["dev".to_owned()], Some("system:serviceaccount:cattle:rancher"))
    );
}

fn trail(more: &Value) -> Value {
    let mut record = json!({"eventVersion": "1.09", "eventID": "5f1c0a52-8f0e-4bd5-9a51-6a3f1c9f3a10",
        "eventTime": "2026-01-05T08:00:00Z", "recipientAccountId": "111122223333", "awsRegion": "eu-west-1"});
    for (name, value) in more.as_object().expect("an object") {
        record[name] = value.clone();
    }
    record
}

fn resources(record: &Value) -> Vec<String> {
    let found = activity(SourceFormat::CloudTrail, record).resources;
    found.into_iter().map(|resource| resource.id).collect()
}

#[test]
fn an_insight_is_about_the_call_that_was_unusual() {
    let record = trail(
        &json!({"eventType": "AwsCloudTrailInsight", "eventCategory": "Insight", "sharedEventID": "s",
        "insightDetails": {"state": "Start", "eventSource": "iam.amazonaws.com", "eventName": "CreateUser",
            "insightType": "ApiErrorRateInsight", "errorCode": "AccessDenied", "insightContext": {"attributions": [
                {"attribute": "userIdentityArn", "insight": [{"value": "arn:aws:iam::1:user/eve", "average": 9}]}]}}}),
    );
    let found = activity(SourceFormat::CloudTrail, &record);
    assert_eq!((found.action.as_str(), found.service.as_deref()), ("CreateUser", Some("iam.amazonaws.com")));
    assert_eq!(
        (found.kind, found.actor.id.as_str()),
        (ActivityKind::AccessDenied, "arn:aws:iam::1:user/eve")
    );
    assert_eq!(found.outcome.code.as_deref(), Some("AccessDenied"));
    assert!(found.outcome.message.expect("told").contains("ApiErrorRateInsight"));
}

#[test]
fn arns_are_of_the_partition_of_the_record() {
    let user = |region: &str, arn: Option<&str>| {
        trail(
            &json!({"eventName": "CreateAccessKey", "eventSource": "iam.amazonaws.com", "awsRegion": region,
            "userIdentity": {"type": "IAMUser", "arn": arn}, "requestParameters": {"userName": "noor"}}),
        )
    };
    let gov = Some("arn:aws-us-gov:iam::111122223333:user/ada");
    assert_eq!(resources(&user("us-gov-west-1", gov)), ["arn:aws-us-gov:iam::111122223333:user/noor"]);
    assert_eq!(resources(&user("eu-west-1", gov)), ["arn:aws-us-gov:iam::111122223333:user/noor"]);
    assert_eq!(resources(&user("cn-north-1", None)), ["arn:aws-cn:iam::111122223333:user/noor"]);
    assert_eq!(resources(&user("us-iso-east-1", None)), ["arn:aws-iso:iam::111122223333:user/noor"]);
    assert_eq!(
        resources(&user("sagov-westsouth-1r", Some("arn:x"))),
        ["arn:aws:iam::111122223333:user/noor"]
    );
    let root = trail(&json!({"eventName": "x", "awsRegion": "cn-north-1",
        "userIdentity": {"type": "Root", "accountId": "111122223333"}}));
    assert_eq!(activity(SourceFormat::CloudTrail, &root).actor.id, "arn:aws-cn:iam::111122223333:root");
}

#[test]
fn a_parameter_names_a_resource_of_the_service_that_was_called() {
    let call = |service: &str, parameters: Value| {
        resources(&trail(&json!({"eventName": "x", "eventSource": format!("{service}.amazonaws.com"),
                                 "requestParameters": parameters})))
    };
    assert_eq!(call("iam", json!({"userName": "ftp1"})), ["arn:aws:iam::111122223333:user/ftp1"]);
    assert_eq!(call("transfer", json!({"userName": "ftp1"})), ["111122223333"], "the account");
    assert_eq!(call("connect", json!({"instanceId": "i-1"})), ["111122223333"]);
    assert_eq!(call("glue", json!({"tableName": "t"})), ["111122223333"]);
    assert_eq!(
        call("logs", json!({"logGroupName": "arn:aws:logs:r:1:log-group:g"})),
        ["arn:aws:logs:r:1:log-group:g"]
    );
    assert_eq!(
        call("codepipeline", json!({"name": "p"})),
        ["111122223333"],
        "the call says nothing of pipelines"
    );
    assert_eq!(call("sts", json!({"roleArn": "arn:aws:iam::1:role/r"})), ["arn:aws:iam::1:role/r"]);
}

#[test]
fn calls_are_about_what_their_requests_and_answers_name() {
    let call = |service: &str, action: &str, parameters: Value, answer: Value| {
        resources(&trail(&json!({"eventName": action, "eventSource": format!("{service}.amazonaws.com"),
            "awsRegion": "eu-west-1", "requestParameters": parameters, "responseElements": answer})))
    };
    let of = |service: &str, path: &str| format!("arn:aws:{service}:eu-west-1:111122223333:{path}");
    for action in ["StopLogging", "DeleteTrail"] {
        assert_eq!(
            call("cloudtrail", action, json!({"name": "main"}), Value::Null),
            [of("cloudtrail", "trail/main")]
        );
    }
    assert_eq!(call("cloudtrail", "CreateChannel", json!({"name": "main"}), Value::Null), ["111122223333"]);
    assert_eq!(call("events", "DisableRule", json!({"name": "r"}), Value::Null), [of("events", "rule/r")]);
    assert_eq!(
        call(
            "ec2",
            "TerminateInstances",
            json!({"instancesSet": {"items": [{"instanceId": "i-1"}, {"instanceId": "i-2"}]}}),
            json!({"instancesSet": {"items": [{"instanceId": "i-1", "currentState": {"code": 32}}]}})
        ),
        [of("ec2", "instance/i-1"), of("ec2", "instance/i-2")]
    );
    assert_eq!(
        call(
            "ec2",
            "RunInstances",
            json!({"instancesSet": {"items": [{"imageId": "ami-1", "minCount": 1}]}}),
            json!({"ownerId": "1", "instancesSet": {"items": [{"instanceId": "i-9", "subnetId": "subnet-1"}]}})
        ),
        [of("ec2", "instance/i-9"), "arn:aws:ec2:eu-west-1::image/ami-1".to_owned()]
    );
    assert_eq!(
        call(
            "ec2",
            "CreateVpc",
            json!({"cidrBlock": "10.0.0.0/16", "description": "vpc-like"}),
            json!({"vpc": {"vpcId": "vpc-1", "dhcpOptionsId": "dopt-1"}})
        ),
        [of("ec2", "vpc/vpc-1")]
    );
    assert_eq!(
        call("ec2", "AttachVolume", json!({"volumeId": "vol-1", "instanceId": "i-1"}), Value::Null),
        [of("ec2", "instance/i-1"), of("ec2", "volume/vol-1")]
    );
    assert_eq!(
        call("ssm", "StartSession", json!({"target": "i-1"}), Value::Null),
        [of("ec2", "instance/i-1")]
    );
    let managed = [of("ssm", "managed-instance/mi-1")];
    assert_eq!(call("ssm", "StartSession", json!({"target": "mi-1"}), Value::Null), managed);
    assert_eq!(
        call("ec2", "DeleteFlowLogs", json!({"tokenId": "x-1"}), json!({"vpc": []})),
        ["111122223333"]
    );
    let found = activity(
        SourceFormat::CloudTrail,
        &trail(&json!({"eventSource": "elasticloadbalancing.amazonaws.com",
        "requestParameters": {"loadBalancerArn": "arn:aws:elasticloadbalancing:r:1:loadbalancer/app/a/1",
            "securityArn": "none", "webACLArn": "arn:aws:wafv2:r:1:regional/webacl/a/1"}})),
    )
    .resources;
    let kinds: Vec<_> =
        found.iter().map(|resource| (resource.kind.as_deref(), resource.name.as_deref())).collect();
    assert_eq!(kinds, [(Some("AWS::ElasticLoadBalancingV2::LoadBalancer"), Some("1")), (None, Some("1"))]);
}

#[test]
fn times_are_read_as_people_and_programs_write_them() {
    let noon = 1_767_600_000;
    for time in [
        json!(1_767_600_000),
        json!(1_767_600_000_000_i64),
        json!(1_767_600_000_000_000_i64),
        json!(1_767_600_000_000_000_000_i64),
        json!(1_767_600_000.0),
        json!("1767600000000"),
        json!("2026-01-05T08:00:00Z"),
        json!("2026-01-05 08:00:00.000000000"),
        json!("2026-01-05T09:00:00+01:00"),
        json!("2026-01-05T09:00:00+0100"),
        json!("2026-01-05 08:00:00 UTC"),
        json!("20260105T080000Z"),
        json!("Jan 5, 2026, 8:00:00 AM"),
        json!("Jan 5, 2026, 8:00:00 AM (UTC)"),
        json!("January 05, 2026, 08:00:00 (UTC)"),
        json!("Mon, 5 Jan 2026 08:00:00 GMT"),
        json!("1/5/2026 8:00:00 AM"),
    ] {
        let mapped = map(SourceFormat::CloudTrail, &trail(&json!({"eventTime": time})).to_string());
        assert_eq!(
            (mapped.envelope.occurred_at.timestamp(), mapped.oddities.time_assumed),
            (noon, false),
            "{time}"
        );
    }
    for time in [json!("yesterday"), json!(-5), json!(1e300), json!("99"), json!({})] {
        let mapped = map(SourceFormat::CloudTrail, &trail(&json!({"eventTime": time})).to_string());
        assert!(mapped.oddities.time_assumed, "{time}");
    }
}

#[test]
fn a_request_of_githubs_api_ended_as_its_status_says() {
    let request = |method: &str, status: u16| {
        let found = activity(
            SourceFormat::GithubAudit,
            &json!({"action": "api.request", "actor": "mara", "org": "acme",
            "request_method": method, "status_code": status}),
        );
        (found.kind, found.outcome.status, found.outcome.code, found.read_only)
    };
    let failed = |code: &str| Some(code.to_owned());
    assert_eq!(request("GET", 200), (ActivityKind::ApiCalled, OutcomeStatus::Success, None, Some(true)));
    assert_eq!(
        request("POST", 403),
        (ActivityKind::AccessDenied, OutcomeStatus::Failure, failed("403"), Some(false))
    );
    assert_eq!(request("GET", 401).0, ActivityKind::AccessDenied);
    assert_eq!(
        request("GET", 404),
        (ActivityKind::ApiCalled, OutcomeStatus::Failure, failed("404"), Some(true))
    );
    assert_eq!(request("GET", 500).1, OutcomeStatus::Failure);
    for done in ["personal_access_token.request_denied", "org.oauth_app_access_denied"] {
        let found = activity(SourceFormat::GithubAudit, &json!({"action": done, "actor": "mara"}));
        assert_eq!(found.outcome.status, OutcomeStatus::Success, "{done}: an administrator did it");
        assert_ne!(found.kind, ActivityKind::AccessDenied);
    }
    let refused = json!({"action": "protected_branch.rejected_ref_update", "actor": "mara"});
    assert_eq!(activity(SourceFormat::GithubAudit, &refused).outcome.status, OutcomeStatus::Failure);
}

#[test]
fn webhooks_about_runs_and_deployments_are_steps_of_a_delivery() {
    use schemas::events::DeliveryKind;
    let tenant = TenantId::new("acme").expect("a plain name");
    let step = |event: &str, body: Value| {
        let delivery =
            crate::sources::github::webhook::Delivery::new("0192f0c1-2345-4abc-8def-0123456789ab", event);
        let mapped = crate::sources::github::webhook::map_delivery(
            &tenant,
            &body.to_string(),
            &delivery.expect("valid"),
        );
        match mapped.expect("an object").envelope.event {
            Event::Delivery(delivery) => {
                (delivery.kind, delivery.run_id, delivery.outcome.status, delivery.environment)
            }
            other => panic!("{other:?}"),
        }
    };
    let repository = json!({"full_name": "acme/shop"});
    let run = json!({"id": 7, "name": "CI", "head_sha": "abc", "conclusion": "failure", "actor": {"login": "ada"},
        "run_started_at": "2026-01-05T08:00:00Z", "updated_at": "2026-01-05T08:01:00Z"});
    assert_eq!(
        step("workflow_run", json!({"action": "completed", "workflow_run": run, "repository": repository})),
        (DeliveryKind::PipelineFinished, Some("7".into()), OutcomeStatus::Failure, None)
    );
    let deployment = json!({"id": 9, "sha": "abc", "environment": "production", "creator": {"login": "ada"}});
    assert_eq!(
        step("deployment", json!({"action": "created", "deployment": deployment, "repository": repository})),
        (
            DeliveryKind::DeploymentStarted,
            Some("9".into()),
            OutcomeStatus::Unknown,
            Some("production".into())
        )
    );
    let status = json!({"state": "success", "environment": "production"});
    assert_eq!(
        step(
            "deployment_status",
            json!({"deployment_status": status, "deployment": deployment, "repository": repository})
        ),
        (
            DeliveryKind::DeploymentFinished,
            Some("9".into()),
            OutcomeStatus::Success,
            Some("production".into())
        )
    );
}

#[test]
fn okta_events_that_change_rights_or_credentials_are_told_from_others() {
    let kind = |event_type: &str| {
        let event = json!({"eventType": event_type, "published": "2026-03-04T05:06:07.000Z", "uuid": "u1",
            "outcome": {"result": "SUCCESS"}});
        activity(SourceFormat::OktaSystemLog, &event).kind
    };
    for event_type in [
        "system.api_token.create",
        "system.api_token.revoke",
        "user.account.privilege.grant",
        "group.application_assignment.add",
        "iam.resourceset.bindings.add",
        "policy.lifecycle.update",
        "application.policy.sign_on.rule.create",
        "app.oauth2.credentials.lifecycle.create",
        "app.oauth2.client.lifecycle.new_secret_created",
        "app.oauth2.as.consent.grant",
        "user.mfa.factor.reset_all",
        "system.idp.lifecycle.create",
        "user.session.impersonation.grant",
    ] {
        assert_eq!(kind(event_type), ActivityKind::PermissionChanged, "{event_type}");
    }
    for event_type in [
        "app.oauth2.as.authorize.code",
        "app.oauth2.token.grant.access_token",
        "policy.evaluate_sign_on",
        "system.directory.debugger.query_executed",
        "user.session.impersonation.end",
    ] {
        assert_eq!(kind(event_type), ActivityKind::ApiCalled, "{event_type}");
    }
    assert_eq!(kind("system.idp.lifecycle.read_client_secret"), ActivityKind::SecretRead);
}
