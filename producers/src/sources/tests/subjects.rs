//! Who did what to what, and how it ended, where records tell it in unusual places.

use serde_json::json;

use super::*;

fn ids(format: SourceFormat, record: &Value) -> Vec<String> {
    activity(format, record).resources.into_iter().map(|resource| resource.id).collect()
}

#[test]
fn resource_logs_of_azure_name_the_secret_and_how_it_was_answered() {
    let format = SourceFormat::AzureActivity;
    let vault = "/SUBSCRIPTIONS/1/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/V";
    let secret = "https://v.vault.azure.net/secrets/db/0123";
    let upn = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn";
    let read = |status: Value, claim: Value| {
        json!({"time": "2026-01-05T08:00:00Z", "resourceId": vault, "operationName": "SecretGet", "resultType": "Success",
            "resultSignature": "OK", "identity": {"claim": claim}, "properties": {"id": secret, "httpStatusCode": status}})
    };
    let mut done = read(json!(200), json!({upn: "ada@example.com"}));
    let expected = (
        "SecretGet",
        ActivityKind::SecretRead,
        "ada@example.com",
        ActorKind::User,
        secret,
        OutcomeStatus::Success,
    );
    check(format, &done, expected);
    assert_eq!(ids(format, &done), [secret, vault]);
    assert_eq!(activity(format, &done).resources[0].name.as_deref(), Some("db"));
    done["properties"]["id"] = json!("https://v.vault.azure.net/");
    assert_eq!(ids(format, &done), [vault], "the vault's own URL");
    for status in [json!(403), json!("403")] {
        let refused = activity(format, &read(status, json!({"oid": "o1"})));
        assert_eq!(
            (refused.kind, refused.actor.id.as_str(), refused.outcome.code.as_deref()),
            (ActivityKind::AccessDenied, "o1", Some("403"))
        );
    }
}

#[test]
fn resource_logs_of_storage_name_the_blob_and_the_address_without_its_port() {
    let account = "/subscriptions/1/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a";
    let mut read = json!({"time": "2026-01-05T08:00:00Z", "resourceId": account, "operationName": "GetBlob",
        "statusCode": 200, "callerIpAddress": "192.0.2.1:4362", "uri": "https://a.blob.core.windows.net/c/x.csv?sv=1",
        "identity": {"type": "OAuth", "requester": {"upn": "ada@example.com", "objectId": "o1", "appId": "a1"}}});
    let format = SourceFormat::AzureActivity;
    assert_eq!(ids(format, &read), ["https://a.blob.core.windows.net/c/x.csv", account]);
    let actor = activity(format, &read).actor;
    assert_eq!((actor.id.as_str(), actor.ip.as_deref()), ("ada@example.com", Some("192.0.2.1")));
    read["identity"]["requester"]["upn"] = Value::Null;
    assert_eq!(activity(format, &read).actor.id, "o1");

    let sign_in = json!({"resultType": "0", "callerIpAddress": "[2001:db8::1]:443"});
    let audit = json!({"category": "AuditLogs", "callerIpAddress": "2001:db8::1"});
    for (format, record) in [(SourceFormat::AzureSignin, sign_in), (SourceFormat::AzureAudit, audit)] {
        assert_eq!(activity(format, &record).actor.ip.as_deref(), Some("2001:db8::1"), "{record}");
    }
}

fn trail(service: &str, action: &str, parameters: &Value, answer: &Value) -> Value {
    json!({"eventID": "5f1c0a52-8f0e-4bd5-9a51-6a3f1c9f3a10", "eventTime": "2026-01-05T08:00:00Z",
        "recipientAccountId": "111122223333", "awsRegion": "eu-west-1", "eventName": action,
        "eventSource": format!("{service}.amazonaws.com"), "requestParameters": parameters, "responseElements": answer})
}

#[test]
fn refused_steps_of_a_sign_in_are_failures_of_who_is_named() {
    for (action, place, done) in [
        ("CredentialVerification", "serviceEventDetails", ActivityKind::SignedIn),
        ("SwitchRole", "responseElements", ActivityKind::SignedIn),
        ("CheckMfa", "responseElements", ActivityKind::ApiCalled),
    ] {
        let mut record = trail("signin", action, &Value::Null, &Value::Null);
        record["userIdentity"] = json!({"type": "Unknown", "principalId": "1", "accountId": "1"});
        record["additionalEventData"] = json!({"UserName": "mara"});
        for (answer, kind, status) in [
            ("Failure", ActivityKind::SignInFailed, OutcomeStatus::Failure),
            ("Success", done, OutcomeStatus::Success),
        ] {
            record[place] = json!({action: answer});
            let found = activity(SourceFormat::CloudTrail, &record);
            assert_eq!((found.kind, found.outcome.status), (kind, status), "{action}: {answer}");
            assert_eq!(found.actor.name.as_deref(), Some("mara"));
        }
    }
    let mut other = trail("iam", "Act", &Value::Null, &json!({"Act": "Failure"}));
    assert_eq!(activity(SourceFormat::CloudTrail, &other).outcome.status, OutcomeStatus::Success);
    other["userIdentity"] = json!({"type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/admin/session",
        "sessionContext": {"sourceIdentity": "mara"}});
    assert_eq!(activity(SourceFormat::CloudTrail, &other).actor.name.as_deref(), Some("mara"));
}

#[test]
fn calls_of_ec2_are_about_what_they_made_first() {
    let call = |action: &str, parameters: Value, answer: Value| {
        ids(SourceFormat::CloudTrail, &trail("ec2", action, &parameters, &answer))
    };
    let of = |path: &str| format!("arn:aws:ec2:eu-west-1:111122223333:{path}");
    let snapshot = "arn:aws:ec2:eu-west-1::snapshot/snap-1";
    assert_eq!(
        call("CreateSnapshot", json!({"volumeId": "vol-1"}), json!({"snapshotId": "snap-1"})),
        [snapshot.to_owned(), of("volume/vol-1")]
    );
    assert_eq!(call("DeleteSnapshot", json!({"snapshotId": "snap-1"}), Value::Null), [snapshot]);
    assert_eq!(
        call(
            "DeleteFlowLogs",
            json!({"DeleteFlowLogsRequest": {"FlowLogId": {"content": "fl-1", "tag": 1}}}),
            Value::Null
        ),
        [of("vpc-flow-log/fl-1")]
    );
    let flow_logs = json!([{"content": "fl-1", "tag": 1}, {"content": "fl-2", "tag": 2}]);
    assert_eq!(
        call("DeleteFlowLogs", json!({"DeleteFlowLogsRequest": {"FlowLogId": flow_logs}}), Value::Null),
        [of("vpc-flow-log/fl-1"), of("vpc-flow-log/fl-2")]
    );
    assert_eq!(
        call(
            "CreateNatGateway",
            json!({"CreateNatGatewayRequest": {"SubnetId": "subnet-1"}}),
            json!({"CreateNatGatewayResponse": {"natGateway": {"natGatewayId": "nat-1"}}})
        ),
        [of("natgateway/nat-1"), of("subnet/subnet-1")]
    );
}

#[test]
fn lists_and_names_of_other_services_name_resources() {
    let of = |path: &str| format!("arn:aws:{}", path.replace('@', "eu-west-1:111122223333"));
    for (service, action, parameters, expected) in [
        (
            "ssm",
            "SendCommand",
            json!({"instanceIds": ["i-1", "i-2", 7]}),
            vec![of("ec2:@:instance/i-1"), of("ec2:@:instance/i-2")],
        ),
        ("connect", "x", json!({"instanceIds": ["i-1"]}), vec!["111122223333".to_owned()]),
        (
            "elasticloadbalancing",
            "x",
            json!({"loadBalancerArns": ["arn:aws:x:y:1:a", "none"]}),
            vec![of("x:y:1:a")],
        ),
        (
            "rds",
            "CopyDBClusterSnapshot",
            json!({"sourceDBClusterSnapshotIdentifier": "a", "targetDBClusterSnapshotIdentifier": "b"}),
            vec![of("rds:@:cluster-snapshot:a"), of("rds:@:cluster-snapshot:b")],
        ),
        ("organizations", "CloseAccount", json!({"accountId": "444455556666"}), vec!["444455556666".into()]),
        ("codebuild", "UpdateProject", json!({"name": "p", "arn": ""}), vec![of("codebuild:@:project/p")]),
    ] {
        let record = trail(service, action, &parameters, &Value::Null);
        assert_eq!(ids(SourceFormat::CloudTrail, &record), expected, "{service} {action}");
    }
    let mut decrypt = trail("kms", "Decrypt", &json!({"keyId": "1234"}), &Value::Null);
    let key = of("kms:@:key/1234");
    decrypt["resources"] = json!([{"ARN": key, "type": "AWS::KMS::Key"}]);
    assert_eq!(ids(SourceFormat::CloudTrail, &decrypt), [key]);
}

#[test]
fn arns_of_parts_are_not_of_the_kind_of_the_whole() {
    for (arn, kind) in [
        ("arn:aws:s3:::logs", Some("AWS::S3::Bucket")),
        ("arn:aws:s3:::logs/2026/a.gz", None),
        ("arn:aws:sns:eu-west-1:1:alarms", Some("AWS::SNS::Topic")),
        ("arn:aws:sns:eu-west-1:1:alarms:0123", None),
    ] {
        let record = trail("tagging", "x", &json!({"resourceArn": arn}), &Value::Null);
        assert_eq!(activity(SourceFormat::CloudTrail, &record).resources[0].kind.as_deref(), kind, "{arn}");
    }
}

fn entry(method: &str, more: &Value) -> Value {
    let mut payload =
        json!({"serviceName": "x.googleapis.com", "methodName": method, "resourceName": "projects/p"});
    for (name, value) in more.as_object().expect("an object") {
        payload[name] = value.clone();
    }
    json!({"protoPayload": payload})
}

#[test]
fn calls_of_google_cloud_that_read_rights_change_none() {
    for (method, kind) in [
        ("google.iam.admin.v1.ListServiceAccountKeys", ActivityKind::ApiCalled),
        ("google.iam.admin.v1.CreateServiceAccountKey", ActivityKind::PermissionChanged),
        ("io.k8s.authorization.rbac.v1.rolebindings.list", ActivityKind::ApiCalled),
        ("io.k8s.authorization.rbac.v1.rolebindings.watch", ActivityKind::ApiCalled),
        ("io.k8s.authorization.rbac.v1.rolebindings.create", ActivityKind::PermissionChanged),
        ("io.k8s.core.v1.secrets.list", ActivityKind::SecretRead),
        ("io.k8s.core.v1.secrets.watch", ActivityKind::SecretRead),
    ] {
        assert_eq!(activity(SourceFormat::GcpAudit, &entry(method, &json!({}))).kind, kind, "{method}");
    }
    for (method, kind, status) in [
        ("google.apps.login.v1.SamlLoginFailed", ActivityKind::SignInFailed, OutcomeStatus::Failure),
        ("google.apps.login.v1.SamlLoginSucceeded", ActivityKind::SignedIn, OutcomeStatus::Success),
    ] {
        let record = entry(method, &json!({"serviceName": "login.googleapis.com"}));
        let found = activity(SourceFormat::GcpAudit, &record);
        assert_eq!((found.kind, found.outcome.status), (kind, status), "{method}");
    }
}

#[test]
fn entries_of_google_cloud_name_what_was_asked_for_and_made_and_who_stood_behind() {
    let format = SourceFormat::GcpAudit;
    let asked = json!([{"resource": "projects/p", "granted": true}, {"resource": "projects/p/roles/r"}]);
    let key = "projects/p/serviceAccounts/ci/keys/1";
    let made = json!({"authorizationInfo": asked, "response": {"name": key, "email": "ci@p.example.com"}});
    assert_eq!(
        ids(format, &entry("google.iam.admin.v1.CreateServiceAccountKey", &made)),
        ["projects/p", "projects/p/roles/r", key, "ci@p.example.com"]
    );
    assert_eq!(
        ids(format, &entry("google.iam.admin.v1.GetServiceAccountKey", &made)),
        ["projects/p", "projects/p/roles/r"]
    );
    let operation = json!({"response": {"name": "operation-17"}});
    assert_eq!(ids(format, &entry("v1.compute.instances.insert", &operation)), ["projects/p"]);

    let behind = |delegation: Value| {
        let who = json!({"principalEmail": "ci@p.iam.gserviceaccount.com", "serviceAccountDelegationInfo": [delegation]});
        activity(format, &entry("x", &json!({"authenticationInfo": who}))).actor.session
    };
    let email =
        json!({"firstPartyPrincipal": {"principalEmail": "ada@example.com"}, "principalSubject": "other"});
    assert_eq!(behind(email).as_deref(), Some("ada@example.com"));
    let subject =
        "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/s";
    assert_eq!(behind(json!({"principalSubject": subject})).as_deref(), Some(subject));
}

#[test]
fn calls_that_failed_read_no_secret_and_change_no_rights() {
    let secret = json!({"resource": "secrets", "namespace": "shop", "name": "db"});
    let binding = json!({"resource": "rolebindings", "namespace": "shop", "name": "all"});
    for (verb, object, code) in [("get", &secret, 404), ("create", &binding, 409)] {
        let found = activity(SourceFormat::KubernetesAudit, &audit_event(verb, object, "ada", code));
        assert_eq!((found.kind, found.outcome.status), (ActivityKind::ApiCalled, OutcomeStatus::Failure));
    }
    let gke = json!({"protoPayload": {"methodName": "io.k8s.core.v1.secrets.get", "status": {"code": 5}}});
    assert_eq!(activity(SourceFormat::KubernetesAudit, &gke).kind, ActivityKind::ApiCalled);
    for (result, kind) in [
        ("FAILURE", ActivityKind::ApiCalled),
        ("DENY", ActivityKind::AccessDenied),
        ("SUCCESS", ActivityKind::PermissionChanged),
    ] {
        let record = json!({"eventType": "user.account.privilege.grant", "outcome": {"result": result}});
        assert_eq!(activity(SourceFormat::OktaSystemLog, &record).kind, kind, "{result}");
    }
}

#[test]
fn requests_of_kubernetes_name_paths_made_objects_and_identities_of_aws() {
    let format = SourceFormat::KubernetesAudit;
    for (part, reads) in
        [("exec", false), ("attach", false), ("portforward", false), ("proxy", false), ("log", true)]
    {
        let object = json!({"resource": "pods", "subresource": part, "namespace": "shop", "name": "web-0"});
        let found = activity(format, &audit_event("get", &object, "ada", 101));
        assert_eq!(found.read_only, Some(reads), "{part}");
    }
    let mut record = audit_event("get", &Value::Null, "ada", 200);
    record["requestURI"] = json!("/metrics/cadvisor?timeout=32s");
    assert_eq!(ids(format, &record), ["/metrics/cadvisor"]);

    let mut record = audit_event("create", &json!({"resource": "pods", "namespace": "shop"}), "ada", 201);
    record["requestURI"] = json!("/api/v1/namespaces/shop/pods");
    record["responseObject"] = json!({"metadata": {"name": "job-x7k2p", "generateName": "job-"}});
    assert_eq!(ids(format, &record), ["pods/shop/job-x7k2p"]);
    record["verb"] = json!("list");
    assert_eq!(ids(format, &record), ["pods/shop"]);

    let arn = "arn:aws:sts::111122223333:assumed-role/admin/ada";
    for told in [json!([arn]), json!(arn)] {
        record["user"]["extra"] = json!({"arn": told});
        assert_eq!(activity(format, &record).actor.name.as_deref(), Some(arn));
    }
}

#[test]
fn entries_and_bodies_of_github_name_people_and_teams() {
    let mut entry = json!({"action": "team.add_member", "actor": "ada", "org": "acme", "user": "eve", "team": "acme/devs"});
    assert_eq!(ids(SourceFormat::GithubAudit, &entry), ["eve", "acme/devs", "acme"]);
    entry["repo"] = json!("acme/site");
    assert_eq!(ids(SourceFormat::GithubAudit, &entry), ["acme/site", "acme", "eve", "acme/devs"]);

    let organisation = json!({"login": "acme"});
    for (body, expected) in [
        (
            json!({"member": {"login": "jo"}, "team": {"slug": "devs"}, "organization": organisation}),
            vec!["acme", "acme/devs", "jo"],
        ),
        (json!({"membership": {"user": {"login": "jo"}}, "organization": organisation}), vec!["acme", "jo"]),
        (
            json!({"member": {"login": "jo"}, "repository": {"full_name": "acme/site"}}),
            vec!["acme/site", "jo"],
        ),
        (json!({"team": {"slug": "devs"}}), vec!["devs"]),
    ] {
        assert_eq!(ids(SourceFormat::GithubWebhook, &body), expected, "{body}");
    }
}
