//! Promises of all sources, on records of their own and on the corpus.

use std::fs;

use proptest::prelude::*;
use schemas::events::{Activity, ActivityKind, ActorKind, InfrastructureKind, OutcomeStatus};
use schemas::{Event, TenantId};
use serde_json::{Value, json};

use super::{ASSUMED_TIME, Mapped, SourceFormat, cloudtrail::tests::through_the_topic, records::Records};

mod carriers;
mod clouds;
pub(super) mod corpus;
mod kinds;
mod observed;
mod subjects;

fn map(format: SourceFormat, text: &str) -> Mapped {
    let tenant = TenantId::new("acme").expect("a plain name");
    let mapped = format.map(&tenant, text).expect("an object");
    assert_eq!(through_the_topic(&mapped.envelope), mapped.envelope, "{text}");
    assert_eq!(mapped.envelope.native.as_ref().map(|native| &*native.record), Some(text));
    mapped
}

/// The formats whose records are objects of any shape; a plan is a document of a recognisable kind, and a configuration
/// item is about a resource.
fn of_records() -> impl Iterator<Item = SourceFormat> {
    SourceFormat::ALL.iter().copied().filter(|format| {
        !matches!(format, SourceFormat::TerraformPlan | SourceFormat::Config | SourceFormat::Focus)
    })
}

fn activity(format: SourceFormat, record: &Value) -> Activity {
    match map(format, &record.to_string()).envelope.event {
        Event::Activity(activity) => activity,
        other => panic!("not activity: {other:?}"),
    }
}

/// Action, kind, actor, its kind, first resource, outcome.
type Told<'a> = (&'a str, ActivityKind, &'a str, ActorKind, &'a str, OutcomeStatus);

#[track_caller]
fn check(format: SourceFormat, record: &Value, expected: Told<'_>) {
    let found = activity(format, record);
    let resource = found.resources.first().map(|resource| resource.id.as_str()).unwrap_or_default();
    let told = (
        found.action.as_str(),
        found.kind,
        found.actor.id.as_str(),
        found.actor.kind,
        resource,
        found.outcome.status,
    );
    assert_eq!(told, expected);
}

fn audit_event(verb: &str, object: &Value, user: &str, code: u16) -> Value {
    json!({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": verb,
            "auditID": "0b6a1f6e-58a5-4b39-9a1c-6e6a5a0f1c11", "user": {"username": user, "groups": ["ops"]},
            "objectRef": object, "responseStatus": {"code": code, "message": "why"}, "sourceIPs": ["192.0.2.1"],
            "requestReceivedTimestamp": "2026-03-04T05:06:07.123456Z"})
}

#[test]
fn a_kubernetes_audit_id_that_a_client_chose_makes_no_two_requests_one_event() {
    let id = |event: &Value| map(SourceFormat::KubernetesAudit, &event.to_string()).envelope.id;
    let secret = json!({"resource": "secrets", "namespace": "shop", "name": "db"});
    let with = |name: &str, value: Value| {
        let mut event = audit_event("get", &secret, "ada", 200);
        event[name] = value;
        event
    };
    let one = with("requestURI", "/api/v1/namespaces/shop/secrets/db".into());
    let later = with("requestReceivedTimestamp", "2026-03-04T05:06:07.123457Z".into());
    let passed_on = with("sourceIPs", json!(["192.0.2.1", "10.0.0.1"]));
    let others = [
        with("requestURI", "/api/v1/namespaces/shop/secrets/other".into()),
        with("user", json!({"username": "mallory"})),
        with("verb", "delete".into()),
        with("stage", "RequestReceived".into()),
        later,
        passed_on,
    ];
    let ids: std::collections::BTreeSet<String> =
        others.iter().chain([&one]).map(|event| id(event).to_string()).collect();
    assert_eq!(ids.len(), others.len() + 1, "each is a request of its own");
    let in_aks = json!({"category": "kube-audit", "properties": {"log": one.to_string()}});
    assert_eq!(id(&in_aks), id(&one), "the same event, however it comes");
    assert!(!map(SourceFormat::KubernetesAudit, &one.to_string()).oddities.id_derived);
}

#[test]
fn kubernetes_events_tell_who_did_what_to_what() {
    let format = SourceFormat::KubernetesAudit;
    let secret = json!({"resource": "secrets", "namespace": "shop", "name": "db"});
    let exec = json!({"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "web-0"});
    let binding =
        json!({"resource": "clusterrolebindings", "name": "all", "apiGroup": "rbac.authorization.k8s.io"});
    let robot = "system:serviceaccount:shop:robot";
    check(
        format,
        &audit_event("get", &secret, robot, 200),
        (
            "get secrets",
            ActivityKind::SecretRead,
            robot,
            ActorKind::ServiceAccount,
            "secrets/shop/db",
            OutcomeStatus::Success,
        ),
    );
    check(
        format,
        &audit_event("get", &secret, "ada", 403),
        (
            "get secrets",
            ActivityKind::AccessDenied,
            "ada",
            ActorKind::User,
            "secrets/shop/db",
            OutcomeStatus::Failure,
        ),
    );
    check(
        format,
        &audit_event("create", &exec, "ada", 101),
        (
            "create pods/exec",
            ActivityKind::ApiCalled,
            "ada",
            ActorKind::User,
            "pods/shop/web-0",
            OutcomeStatus::Success,
        ),
    );
    check(
        format,
        &audit_event("create", &binding, "system:admin", 201),
        (
            "create clusterrolebindings",
            ActivityKind::PermissionChanged,
            "system:admin",
            ActorKind::System,
            "clusterrolebindings/all",
            OutcomeStatus::Success,
        ),
    );

    let mut earlier = audit_event("get", &secret, "ada", 200);
    let complete = map(format, &earlier.to_string());
    assert_eq!(complete.oddities, super::Oddities::default());
    assert_eq!(complete.envelope.occurred_at.timestamp_micros() % 1_000_000, 123_456);
    earlier["stage"] = json!("RequestReceived");
    assert_ne!(map(format, &earlier.to_string()).envelope.id, complete.envelope.id, "an event a stage");
}

#[test]
fn kubernetes_events_in_a_wrapping_name_the_same_things() {
    let format = SourceFormat::KubernetesAudit;
    let secret = json!({"resource": "secrets", "namespace": "shop", "name": "db"});
    let aks = json!({"category": "kube-audit", "time": "2026-03-04T05:06:07Z",
        "properties": {"log": audit_event("get", &secret, "ada", 200).to_string()}});
    check(
        format,
        &aks,
        (
            "get secrets",
            ActivityKind::SecretRead,
            "ada",
            ActorKind::User,
            "secrets/shop/db",
            OutcomeStatus::Success,
        ),
    );
    let gke = |status: Value| {
        json!({"timestamp": "2026-03-04T05:06:07Z", "protoPayload": {
        "methodName": "io.k8s.core.v1.secrets.get", "resourceName": "core/v1/namespaces/shop/secrets/db",
        "authenticationInfo": {"principalEmail": "ada@example.com"}, "status": status}})
    };
    check(
        format,
        &gke(json!({})),
        (
            "get secrets",
            ActivityKind::SecretRead,
            "ada@example.com",
            ActorKind::User,
            "secrets/shop/db",
            OutcomeStatus::Success,
        ),
    );
    check(
        format,
        &gke(json!({"code": 7})),
        (
            "get secrets",
            ActivityKind::AccessDenied,
            "ada@example.com",
            ActorKind::User,
            "secrets/shop/db",
            OutcomeStatus::Failure,
        ),
    );
    let cluster = json!({"protoPayload": {"methodName": "io.k8s.vendor.rbac.v1beta1.clusterroles.create",
        "resourceName": "rbac.authorization.k8s.io/v1/clusterroles/all"}});
    check(
        format,
        &cluster,
        (
            "create clusterroles",
            ActivityKind::PermissionChanged,
            "",
            ActorKind::Unknown,
            "clusterroles/all",
            OutcomeStatus::Success,
        ),
    );
}

#[test]
fn github_entries_and_bodies_tell_who_did_what_to_what() {
    let entry = json!({"action": "org.add_member", "actor": "ada", "org": "acme", "user": "eve",
        "created_at": 1_772_600_000_123_i64, "_document_id": "x1"});
    check(
        SourceFormat::GithubAudit,
        &entry,
        (
            "org.add_member",
            ActivityKind::PermissionChanged,
            "ada",
            ActorKind::User,
            "eve",
            OutcomeStatus::Success,
        ),
    );
    let mapped = map(SourceFormat::GithubAudit, &entry.to_string());
    assert_eq!(mapped.oddities, super::Oddities::default());
    assert_eq!(mapped.envelope.occurred_at.timestamp_millis(), 1_772_600_000_123);
    assert_eq!(mapped.envelope.source.as_str(), "github://acme");

    let clone = json!({"action": "git.clone", "actor": "build[bot]", "repo": "acme/site", "@timestamp": 1_772_600_000.5});
    check(
        SourceFormat::GithubAudit,
        &clone,
        (
            "git.clone",
            ActivityKind::DataExported,
            "build[bot]",
            ActorKind::ServiceAccount,
            "acme/site",
            OutcomeStatus::Success,
        ),
    );
    let refused = json!({"action": "user.failed_login", "actor": "ada"});
    check(
        SourceFormat::GithubAudit,
        &refused,
        ("user.failed_login", ActivityKind::SignInFailed, "ada", ActorKind::User, "", OutcomeStatus::Failure),
    );

    let body = json!({"action": "completed", "workflow_job": {"completed_at": "2026-03-04T05:06:07Z"},
        "repository": {"full_name": "acme/site"}, "sender": {"login": "ada", "type": "User"}});
    check(
        SourceFormat::GithubWebhook,
        &body,
        (
            "workflow_job.completed",
            ActivityKind::ApiCalled,
            "ada",
            ActorKind::User,
            "acme/site",
            OutcomeStatus::Success,
        ),
    );
}

#[test]
fn okta_events_tell_who_did_what_to_what_in_either_spelling() {
    let event = |name: &str, kind: &str, result: &str| {
        json!({name: kind, "published": "2026-03-04T05:06:07.000Z", "uuid": "0b6a1f6e-58a5-4b39-9a1c-6e6a5a0f1c11",
            "actor": {"id": "00u1", "alternateId": "ada@example.com", "type": "User"},
            "outcome": {"result": result}, "target": [{"id": "00g1", "alternateId": "unknown", "type": "UserGroup"}]})
    };
    for (name, kind, result, expected, status) in [
        ("eventType", "user.session.start", "SUCCESS", ActivityKind::SignedIn, OutcomeStatus::Success),
        ("eventtype", "user.session.start", "FAILURE", ActivityKind::SignInFailed, OutcomeStatus::Failure),
        ("eventType", "app.generic.show", "DENY", ActivityKind::AccessDenied, OutcomeStatus::Failure),
        (
            "eventType",
            "group.user_membership.add",
            "SUCCESS",
            ActivityKind::PermissionChanged,
            OutcomeStatus::Success,
        ),
        ("eventType", "something.new", "SKIPPED", ActivityKind::ApiCalled, OutcomeStatus::Unknown),
    ] {
        let record = event(name, kind, result);
        check(
            SourceFormat::OktaSystemLog,
            &record,
            (kind, expected, "ada@example.com", ActorKind::User, "00g1", status),
        );
        assert_eq!(
            map(SourceFormat::OktaSystemLog, &record.to_string()).oddities,
            super::Oddities::default()
        );
    }
}

#[test]
fn a_plan_is_one_proposed_change_and_counts_what_it_changes() {
    let change = |actions: Value| json!({"address": "aws_s3_bucket.logs", "change": {"actions": actions}});
    let plan = json!({"format_version": "1.2", "timestamp": "2026-03-04T05:06:07Z", "resource_changes":
        [change(json!(["delete", "create"])), change(json!(["no-op"])), change(json!(["update"])), {"change": 7}]});
    let Event::Infrastructure(proposed) = map(SourceFormat::TerraformPlan, &plan.to_string()).envelope.event
    else {
        panic!("a plan is infrastructure");
    };
    assert_eq!(
        (proposed.kind, proposed.quantity.as_deref()),
        (InfrastructureKind::ChangeProposed, Some("2"))
    );
}

#[test]
fn documents_that_are_no_plan_are_refused_with_the_command_that_makes_one() {
    let tenant = TenantId::new("acme").expect("a plain name");
    for (document, kind) in [
        (
            json!({ "format_version": "1.0", "terraform_version": "1.9.5", "values": { "root_module": {} } }),
            "a state",
        ),
        (json!({ "version": 4, "lineage": "x", "resources": [] }), "a state"),
        (json!({ "format_version": "1.0", "provider_schemas": {} }), "schemas of providers"),
        (
            json!({ "@level": "info", "@message": "Plan: 1 to add", "type": "change_summary" }),
            "a line of the log",
        ),
        (json!({ "format_version": "1.2", "resource_changes": "none" }), "is no list"),
        (json!({ "format_version": "1.2" }), "is no plan"),
        (json!({}), "is no plan"),
    ] {
        let refused = SourceFormat::TerraformPlan.map(&tenant, &document.to_string()).expect_err("no plan");
        let why = refused.to_string();
        assert!(why.contains(kind) && why.contains("terraform show -json PLANFILE"), "{document}: {why}");
    }
    let unchanged = json!({ "format_version": "1.2", "planned_values": { "root_module": {} } });
    assert!(SourceFormat::TerraformPlan.map(&tenant, &unchanged.to_string()).is_ok());
}

#[test]
fn sensitive_values_of_a_plan_do_not_travel() {
    let change = json!({
        "actions": ["create"], "after": { "password": "correct-horse" }, "after_sensitive": { "password": true },
    });
    let plan =
        json!({ "format_version": "1.2", "resource_changes": [{ "address": "x.y", "change": change }] });
    let tenant = TenantId::new("acme").expect("a plain name");
    let mapped = SourceFormat::TerraformPlan.map(&tenant, &plan.to_string()).expect("a plan");
    let native = mapped.envelope.native.expect("the plan");
    assert!(
        !native.record.contains("horse") && native.record.contains("(sensitive value)"),
        "{}",
        native.record
    );
}

#[test]
fn what_is_missing_or_of_a_wrong_type_is_left_empty_and_told() {
    for format in of_records() {
        for text in [
            "{}",
            r#"{"user":7,"actor":[1],"objectRef":"x","outcome":9,"target":{},"sourceIPs":"a","stage":{}}"#,
        ] {
            let mapped = map(format, text);
            assert!(mapped.oddities.id_derived && mapped.oddities.time_assumed, "{format:?}: {text}");
            assert_eq!(mapped.envelope.occurred_at, ASSUMED_TIME);
        }
        let tenant = TenantId::new("acme").expect("a plain name");
        for text in ["", "7", "[]", "null", "{", r#"{"a":}"#] {
            assert!(format.map(&tenant, text).is_err(), "{format:?}: {text}");
        }
        let deep = format!(r#"{{"requestObject":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert!(map(format, &deep).oddities.id_derived);
    }
}

proptest! {
    #[test]
    fn any_object_is_taken_and_always_gives_the_same_event(
        members in prop::collection::btree_map(
            prop::sample::select(vec!["auditID", "stage", "verb", "user", "objectRef", "responseStatus", "sourceIPs",
                "action", "actor", "repo", "org", "created_at", "_document_id", "eventType", "uuid", "published",
                "target", "outcome", "client", "resource_changes", "timestamp", "sender", "repository"]),
            prop_oneof![Just(json!(null)), any::<f64>().prop_map(|n| json!(n)), any::<String>().prop_map(|t| json!(t)),
                Just(json!({"username": "ada", "code": "x", "resource": [], "result": 1})), Just(json!([{"id": 1}, "a", 2]))],
            0..12,
        )
    ) {
        let text = json!(members).to_string();
        for format in of_records() {
            prop_assert_eq!(map(format, &text), map(format, &text));
        }
    }
}
