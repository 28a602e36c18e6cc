//! Google Cloud, Azure, Entra and CDEvents.

use schemas::events::DeliveryKind;
use serde_json::json;

use super::{corpus::corpus, *};

#[test]
fn google_cloud_entries_tell_who_did_what_to_what() {
    let entry = |method: &str, more: Value| {
        let mut payload = json!({"serviceName": "storage.googleapis.com", "methodName": method,
            "resourceName": "projects/_/buckets/logs",
            "authenticationInfo": {"principalEmail": "ada@example.com"},
            "requestMetadata": {"callerIp": "192.0.2.1", "callerSuppliedUserAgent": "gcloud"}});
        for (name, value) in more.as_object().expect("an object") {
            payload[name] = value.clone();
        }
        json!({"insertId": "i1", "logName": "projects/shop-prod/logs/cloudaudit.googleapis.com%2Factivity",
               "timestamp": "2026-01-05T08:00:00.5Z", "protoPayload": payload,
               "resource": {"type": "gcs_bucket", "labels": {"project_id": "shop-prod", "location": "eu"}}})
    };
    let format = SourceFormat::GcpAudit;
    let robot = json!({"authenticationInfo": {"principalEmail": "ci@shop-prod.iam.gserviceaccount.com"}});
    for (record, kind, status) in [
        (
            entry("storage.setIamPermissions", json!({})),
            ActivityKind::PermissionChanged,
            OutcomeStatus::Success,
        ),
        (
            entry("storage.buckets.delete", json!({"status": {"code": 7}})),
            ActivityKind::AccessDenied,
            OutcomeStatus::Failure,
        ),
        (
            entry("storage.buckets.delete", json!({"authorizationInfo": [{"granted": false}]})),
            ActivityKind::AccessDenied,
            OutcomeStatus::Failure,
        ),
        (
            entry("storage.buckets.delete", json!({"status": {"code": 5}})),
            ActivityKind::ApiCalled,
            OutcomeStatus::Failure,
        ),
        (
            entry("google.cloud.secretmanager.v1.SecretManagerService.AccessSecretVersion", json!({})),
            ActivityKind::SecretRead,
            OutcomeStatus::Success,
        ),
        (
            entry("google.login.LoginService.loginFailure", json!({})),
            ActivityKind::SignInFailed,
            OutcomeStatus::Failure,
        ),
    ] {
        let method = record["protoPayload"]["methodName"].as_str().expect("a text").to_owned();
        check(
            format,
            &record,
            (&method, kind, "ada@example.com", ActorKind::User, "projects/_/buckets/logs", status),
        );
    }
    let mapped = map(format, &entry("storage.buckets.list", robot).to_string());
    assert_eq!(mapped.oddities, super::super::Oddities::default());
    assert_eq!(mapped.envelope.source.as_str(), "gcp://shop-prod");
    let Event::Activity(found) = mapped.envelope.event else { panic!("an activity") };
    assert_eq!((found.actor.kind, found.read_only), (ActorKind::ServiceAccount, Some(true)));
    assert_eq!(
        (found.resources[0].project.as_deref(), found.resources[0].region.as_deref()),
        (Some("shop-prod"), Some("eu"))
    );
}

#[test]
fn azure_records_tell_who_did_what_to_what_in_every_spelling() {
    let path = "/subscriptions/1111/resourceGroups/shop/providers/Microsoft.Compute/virtualMachines/web";
    let upn = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn";
    let diagnostic = json!({"time": "2026-01-05T08:00:00.0000000Z", "resourceId": path, "category": "Administrative",
        "operationName": "MICROSOFT.COMPUTE/VIRTUALMACHINES/DELETE", "resultType": "Success", "resultSignature": "Succeeded.",
        "callerIpAddress": "192.0.2.1", "identity": {"claims": {upn: "ada@example.com"}}, "location": "westeurope"});
    let rest = json!({"eventTimestamp": "2026-01-05T08:00:00Z", "resourceId": path, "caller": "ada@example.com",
        "operationName": {"value": "MICROSOFT.COMPUTE/VIRTUALMACHINES/DELETE", "localizedValue": "Delete"},
        "status": {"value": "Succeeded"}, "eventDataId": "e1"});
    let analytics = json!({"TimeGenerated": "2026-01-05T08:00:00Z", "_ResourceId": path, "Caller": "ada@example.com",
        "OperationNameValue": "MICROSOFT.COMPUTE/VIRTUALMACHINES/DELETE", "ActivityStatusValue": "Success"});
    let format = SourceFormat::AzureActivity;
    for record in [&diagnostic, &rest, &analytics] {
        let expected = (
            "MICROSOFT.COMPUTE/VIRTUALMACHINES/DELETE",
            ActivityKind::ApiCalled,
            "ada@example.com",
            ActorKind::User,
            path,
            OutcomeStatus::Success,
        );
        check(format, record, expected);
        let resource = activity(format, record).resources.remove(0);
        assert_eq!(resource.kind.as_deref(), Some("Microsoft.Compute/virtualMachines"));
        assert_eq!((resource.account.as_deref(), resource.project.as_deref()), (Some("1111"), Some("shop")));
    }
    let mut given = diagnostic;
    given["operationName"] = json!("Microsoft.Authorization/roleAssignments/write");
    assert_eq!(activity(format, &given).kind, ActivityKind::PermissionChanged);
    given["resultType"] = json!("Failure");
    given["resultSignature"] = json!("Forbidden");
    let refused = activity(format, &given);
    assert_eq!(
        (refused.kind, refused.outcome.code.as_deref()),
        (ActivityKind::AccessDenied, Some("Forbidden"))
    );
    given["resultType"] = json!("Start");
    assert_eq!(activity(format, &given).outcome.status, OutcomeStatus::Unknown);
}

#[test]
fn entra_records_tell_who_did_what_and_sign_ins_how_they_ended() {
    let graph = json!({"id": "d1", "activityDateTime": "2026-01-05T08:00:00Z", "activityDisplayName": "Add member to role",
        "loggedByService": "Core Directory", "result": "success",
        "initiatedBy": {"user": {"userPrincipalName": "ada@example.com", "id": "u1"}, "app": null},
        "targetResources": [{"id": "u2", "type": "User", "userPrincipalName": "eve@example.com"}]});
    let diagnostic = json!({"time": "2026-01-05T08:00:00Z", "category": "AuditLogs", "tenantId": "t1",
        "operationName": "Add member to role", "properties": graph});
    for record in [&graph, &diagnostic] {
        let expected = (
            "Add member to role",
            ActivityKind::PermissionChanged,
            "ada@example.com",
            ActorKind::User,
            "eve@example.com",
            OutcomeStatus::Success,
        );
        check(SourceFormat::AzureAudit, record, expected);
    }
    let (one, two) = (
        map(SourceFormat::AzureAudit, &graph.to_string()),
        map(SourceFormat::AzureAudit, &diagnostic.to_string()),
    );
    assert_eq!(one.envelope.id, two.envelope.id, "the record's own id, by either way");

    let sign_in = |code: u32| {
        json!({"time": "2026-01-05T08:00:00Z", "category": "SignInLogs", "operationName": "Sign-in activity",
            "resultType": code.to_string(), "properties": {"id": "s1", "createdDateTime": "2026-01-05T07:59:59Z",
                "userPrincipalName": "ada@example.com", "appDisplayName": "Portal", "resourceId": "r1",
                "authenticationRequirement": "multiFactorAuthentication", "ipAddress": "192.0.2.1",
                "status": {"errorCode": code, "failureReason": "Invalid password"}}})
    };
    for format in [SourceFormat::AzureSignin, SourceFormat::AzureAudit] {
        let told =
            |kind, status| ("Sign-in activity", kind, "ada@example.com", ActorKind::User, "r1", status);
        check(format, &sign_in(0), told(ActivityKind::SignedIn, OutcomeStatus::Success));
        check(format, &sign_in(50126), told(ActivityKind::SignInFailed, OutcomeStatus::Failure));
        assert_eq!(
            map(format, &sign_in(0).to_string()).envelope.native.expect("kept").format,
            "azure.signin"
        );
    }
    let failed = activity(SourceFormat::AzureSignin, &sign_in(50126));
    assert_eq!((failed.outcome.code.as_deref(), failed.actor.mfa), (Some("50126"), Some(false)));
    for code in [16000, 50058, 50074, 50076, 50125, 50140, 65001] {
        let interrupted = activity(SourceFormat::AzureSignin, &sign_in(code));
        assert_eq!(
            (interrupted.kind, interrupted.outcome.status),
            (ActivityKind::ApiCalled, OutcomeStatus::Unknown),
            "{code} asks for something and refuses nobody"
        );
        assert_eq!(interrupted.outcome.code, Some(code.to_string()));
    }
    for code in [50053, 50055, 50057, 53003, 500_121] {
        let refused = activity(SourceFormat::AzureSignin, &sign_in(code));
        assert_eq!(refused.kind, ActivityKind::SignInFailed, "{code}");
    }
}

#[test]
fn steps_of_a_delivery_come_as_cdevents() {
    let event = |kind: &str, content: Value| {
        json!({"context": {"specversion": "0.4.1", "id": "e1", "source": "/ci", "type": format!("dev.cdevents.{kind}.0.2.0"),
            "timestamp": "2026-01-05T08:00:00Z", "chainId": "c1"}, "subject": {"id": "run-7", "source": "/ci", "content": content}})
    };
    let delivery =
        |kind: &str, content: Value| match map(SourceFormat::CdEvents, &event(kind, content).to_string())
            .envelope
            .event
        {
            Event::Delivery(delivery) => (delivery.kind, delivery.outcome.status),
            other => panic!("{other:?}"),
        };
    assert_eq!(
        delivery("pipelinerun.finished", json!({"outcome": "failure", "pipelineName": "ci"})),
        (DeliveryKind::PipelineFinished, OutcomeStatus::Failure)
    );
    assert_eq!(delivery("taskrun.finished", json!({"outcome": "failure"})).0, DeliveryKind::JobFailed);
    assert_eq!(
        delivery("service.deployed", json!({"environment": {"id": "prod"}})),
        (DeliveryKind::DeploymentFinished, OutcomeStatus::Success)
    );
    assert_eq!(delivery("service.rolledback", json!({})).0, DeliveryKind::DeploymentRolledBack);
    let text = event("pipelinerun.started", json!({})).to_string();
    let mapped = map(SourceFormat::CdEvents, &text);
    assert_eq!(
        (mapped.envelope.source.as_str(), mapped.envelope.correlation_id.as_deref()),
        ("/ci", Some("c1"))
    );
    let mut other = event("pipelinerun.started", json!({}));
    other["context"]["source"] = json!("/other");
    assert_ne!(
        map(SourceFormat::CdEvents, &other.to_string()).envelope.id,
        mapped.envelope.id,
        "source and id"
    );
    // As the data of a CloudEvent.
    let cloud_event = json!({"specversion": "1.0", "type": "dev.cdevents.pipelinerun.started.0.2.0", "id": "x",
                             "source": "/ci", "data": serde_json::from_str::<Value>(&text).expect("JSON")});
    let found = Records::new(cloud_event.to_string().as_bytes(), SourceFormat::CdEvents).next();
    assert!(
        SourceFormat::CdEvents.is_recognised(&found.expect("one").expect("read").text.expect("a record"))
    );
}

#[test]
fn corpus_cdevents_every_event_is_mapped() {
    let Some((_unpacked, path)) = corpus("cdevents") else { return };
    let (mut mapped, mut ids) = (0, std::collections::BTreeSet::new());
    for file in fs::read_dir(path.join("conformance")).expect("listed") {
        let file = file.expect("an entry").path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("text");
        assert!(SourceFormat::CdEvents.is_recognised(&text), "{}", file.display());
        let found = map(SourceFormat::CdEvents, &text);
        assert_eq!(found.oddities, super::super::Oddities::default(), "{}", file.display());
        let unknown =
            matches!(&found.envelope.event, Event::Activity(activity) if activity.action == "unknown");
        assert!(!unknown, "{}", file.display());
        ids.insert(found.envelope.id);
        mapped += 1;
    }
    assert_eq!((mapped, ids.len()), (48, 5), "ids repeat in the set");
}

#[test]
fn corpus_panther_records_of_clouds_tell_what_they_hold() {
    let Some((_unpacked, path)) = corpus("panther") else { return };
    for (file, format, rules, actors) in [
        ("gcp_auditlog", SourceFormat::GcpAudit, 86, 72),
        ("azure_monitoractivity", SourceFormat::AzureActivity, 95, 0),
        ("azure_audit", SourceFormat::AzureAudit, 37, 37),
    ] {
        let lines = fs::read_to_string(path.join(format!("{file}.jsonl"))).expect("text");
        let (mut taken, mut timed, mut with_actor, mut ended) = (0, 0, 0, 0);
        for line in lines.lines() {
            let test: Value = serde_json::from_str(line).expect("a line is JSON");
            let mapped = map(format, &test["event"].to_string());
            taken += 1;
            timed += usize::from(!mapped.oddities.time_assumed);
            let Event::Activity(found) = mapped.envelope.event else { panic!("an activity") };
            with_actor += usize::from(!found.actor.id.is_empty());
            ended += usize::from(found.outcome.status != OutcomeStatus::Unknown);
        }
        assert_eq!(taken, rules, "{file}");
        assert!(timed * 10 >= taken * 8, "{file}: {timed} of {taken} have a time");
        assert!(with_actor >= actors, "{file}: {with_actor} of {taken} name who acted");
        assert!(ended * 10 >= taken * 9, "{file}: {ended} of {taken} say how it ended");
    }
}
