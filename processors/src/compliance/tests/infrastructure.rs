//! Configurations, deletions, plans.

use policies::{Config, PolicySet};
use schemas::{
    changes::compliance::{ObservationSource, Presence},
    events::{Infrastructure, InfrastructureKind},
};
use serde_json::{Value, json};

use super::*;

fn infrastructure(
    kind: InfrastructureKind,
    resource: Resource,
    configuration: Option<String>,
) -> Infrastructure {
    Infrastructure {
        kind,
        resource,
        actor: None,
        outcome: Outcome::default(),
        change_id: None,
        quantity: None,
        unit: None,
        configuration,
    }
}

fn observed(kind: &str, configuration: &str) -> Observation {
    let resource = Resource {
        id: "arn:aws:ec2:::volume/v-1".into(),
        kind: Some(kind.into()),
        project: Some("shop".into()),
        ..Resource::default()
    };
    let event =
        infrastructure(InfrastructureKind::ConfigurationObserved, resource, Some(configuration.into()));
    one(&envelope(Event::Infrastructure(event), None))
}

#[test]
fn a_configuration_is_judged_by_the_policies_of_its_type() {
    let open = observed("aws_ebs_volume", r#"{"encrypted": false}"#);
    assert_eq!((open.presence, open.source), (Presence::Present, ObservationSource::Configuration));
    assert_eq!(with(&open, VerdictStatus::Fail), ["aws-ebs-volume-encrypted"]);
    let verdict = &open.verdicts[0];
    assert_eq!(verdict.reasons, ["the volume is not encrypted"]);
    assert_eq!(verdict.policy.hash.len(), 64);
    assert!(verdict.policy.controls.contains_key("HIPAA"));
    assert_eq!(open.attributes.project.as_deref(), Some("shop"));
    let closed = observed("AWS::EC2::Volume", r#"{"encrypted": true}"#);
    assert_eq!(with(&closed, VerdictStatus::Pass), ["aws-ebs-volume-encrypted"]);
    assert_eq!(closed.attributes.kind, "aws_ebs_volume");
}

#[test]
fn what_one_resource_cannot_show_is_not_evaluated() {
    let bucket = observed("aws_s3_bucket", r#"{"bucket": "b"}"#);
    assert!(with(&bucket, VerdictStatus::NotEvaluated).contains(&"aws-s3-bucket-public-access-block"));
    assert!(!with(&bucket, VerdictStatus::Fail).contains(&"aws-s3-bucket-public-access-block"));
    let block = json!({
        "config": {"bucket": "b"}, "type": "aws_s3_bucket",
        "resources": [{"type": "aws_s3_bucket_public_access_block", "config": {
            "bucket": "b", "block_public_acls": true, "block_public_policy": true,
            "ignore_public_acls": true, "restrict_public_buckets": true}}],
    });
    let beside = observed("aws_s3_bucket", &block.to_string());
    assert!(with(&beside, VerdictStatus::Pass).contains(&"aws-s3-bucket-public-access-block"));
}

#[test]
fn a_configuration_that_cannot_be_read_is_named_and_judged_by_nobody() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    for (kind, text, expected) in [
        ("aws_ebs_volume", r#"{"encrypted":"#, "not valid JSON"),
        ("aws_ebs_volume", deep.as_str(), "nested too deeply"),
        ("aws_ebs_volume", "[]", "no JSON object"),
        ("", "{}", "names a type"),
    ] {
        let observation = observed(kind, text);
        let fault = observation.fault.expect("a fault");
        assert!(fault.contains(expected), "{fault}");
        assert!(observation.verdicts.is_empty());
    }
}

#[test]
fn what_is_deleted_is_absent_and_what_failed_is_nothing() {
    let resource = Resource { id: "v-1".into(), ..Resource::default() };
    let gone = infrastructure(InfrastructureKind::Deleted, resource.clone(), None);
    assert_eq!(one(&envelope(Event::Infrastructure(gone.clone()), None)).presence, Presence::Absent);
    let failed =
        Infrastructure { outcome: Outcome { status: OutcomeStatus::Failure, ..Outcome::default() }, ..gone };
    assert_eq!(observations(&envelope(Event::Infrastructure(failed), None)), []);
    let bare = infrastructure(InfrastructureKind::ConfigurationObserved, resource, None);
    assert_eq!(observations(&envelope(Event::Infrastructure(bare), None)), []);
}

fn plan() -> Value {
    json!({"format_version": "1.2", "planned_values": {"root_module": {}}, "resource_changes": [
        {"address": "aws_ebs_volume.a", "mode": "managed", "type": "aws_ebs_volume", "name": "a",
         "change": {"actions": ["create"], "before": null, "after": {"encrypted": false}, "after_unknown": {}}},
        {"address": "aws_ebs_volume.old", "mode": "managed", "type": "aws_ebs_volume", "name": "old",
         "change": {"actions": ["delete"], "before": {"encrypted": true}, "after": null}},
        {"address": "data.aws_ami.x", "mode": "data", "type": "aws_ami", "name": "x",
         "change": {"actions": ["read"], "before": null, "after": null}},
    ]})
}

#[test]
fn resources_of_a_plan_count_from_when_their_change_is_applied() {
    let resource =
        Resource { id: "network/prod".into(), kind: Some("workspace".into()), ..Resource::default() };
    let mut event = infrastructure(InfrastructureKind::ChangeProposed, resource, None);
    event.change_id = Some("c-1".into());
    let native = ("terraform.plan", plan().to_string());
    let found = observations(&envelope(Event::Infrastructure(event.clone()), Some(native)));
    let told: Vec<_> = found.iter().map(|one| (one.resource.as_str(), one.presence)).collect();
    let expected = [
        ("network/prod/aws_ebs_volume.a", Presence::Present),
        ("network/prod/aws_ebs_volume.old", Presence::Absent),
    ];
    assert_eq!(told, expected);
    assert!(found.iter().all(|one| one.change_id.as_deref() == Some("c-1")));
    assert_eq!(with(&found[0], VerdictStatus::Fail), ["aws-ebs-volume-encrypted"]);
    event.kind = InfrastructureKind::Completed;
    let changes = Compliance::default().process(&envelope(Event::Infrastructure(event), None));
    assert!(matches!(&changes[..], [ComplianceChange::Applied(applied)] if applied.change_id == "c-1"));
}

/// Resources of a plan, with their presence once its change is completed.
fn planned(plan: &Value) -> Vec<(String, Presence)> {
    let resource = Resource { id: "w".into(), kind: Some("workspace".into()), ..Resource::default() };
    let event = infrastructure(InfrastructureKind::ChangeProposed, resource, None);
    let native = ("terraform.plan", plan.to_string());
    let found = observations(&envelope(Event::Infrastructure(event), Some(native)));
    found.into_iter().map(|one| (one.resource, one.presence)).collect()
}

#[test]
fn what_moves_leaves_its_address_and_what_is_forgotten_goes_on() {
    let entry = |address: &str, actions: &[&str], from: Option<&str>| {
        let after = if actions.contains(&"delete") || actions.contains(&"forget") {
            Value::Null
        } else {
            json!({"encrypted": true})
        };
        json!({"address": address, "previous_address": from, "mode": "managed", "type": "aws_ebs_volume",
               "name": "v", "change": {"actions": actions, "before": null, "after": after, "after_unknown": {}}})
    };
    let of = |entries: &[Value]| planned(&json!({"format_version": "1.2", "resource_changes": entries}));
    let [a, b] = ["a", "b"].map(|name| format!("aws_ebs_volume.{name}"));
    let at = |name: &str, presence| (format!("w/aws_ebs_volume.{name}"), presence);
    assert_eq!(
        of(&[entry(&b, &["no-op"], Some(&a))]),
        [at("a", Presence::Absent), at("b", Presence::Present)],
        "it moves"
    );
    assert_eq!(
        of(&[entry(&b, &["update"], Some(&a)), entry(&a, &["create"], None)]),
        [at("a", Presence::Present), at("b", Presence::Present)],
        "another takes its place"
    );
    assert_eq!(
        of(&[entry(&b, &["delete"], Some(&a))]),
        [at("a", Presence::Absent), at("b", Presence::Absent)],
        "it moves and is deleted"
    );
    assert_eq!(of(&[entry(&a, &["forget"], None)]), [], "it is no longer in the state's care");
}

#[test]
fn deferred_changes_of_a_plan_are_not_applied_with_it() {
    let mut plan = plan();
    let later = json!({"address": "aws_ebs_volume.later", "mode": "managed", "type": "aws_ebs_volume",
        "name": "later", "change": {"actions": ["create"], "before": null, "after": {"encrypted": false}}});
    plan["deferred_changes"] = json!([{"reason": "deferred_prereq", "resource_change": later}]);
    let addresses: Vec<_> = planned(&plan).into_iter().map(|(resource, _)| resource).collect();
    assert_eq!(addresses, ["w/aws_ebs_volume.a", "w/aws_ebs_volume.old"]);
}

#[test]
fn a_change_that_was_rolled_back_is_not_in_force() {
    let resource = Resource { id: "w".into(), ..Resource::default() };
    let mut event = infrastructure(InfrastructureKind::Completed, resource, None);
    event.change_id = Some("c-1".into());
    event.outcome = Outcome { status: OutcomeStatus::Success, ..Outcome::default() };
    let compliance = Compliance::new(InForce::new(PolicySet::empty()));
    let changes =
        |event: &Infrastructure| compliance.process(&envelope(Event::Infrastructure(event.clone()), None));
    assert_eq!(changes(&event).len(), 1);
    event.outcome.code = Some("rolled_back".into());
    assert_eq!(changes(&event), []);
}

#[test]
fn policies_about_plans_have_no_verdict_on_observed_resources() {
    let main = "# METADATA\n# custom:\n#   controls: {SOC2: [\"CC6.1\"]}\npackage main\n\n\
                deny contains \"public\" if input.resource_changes[_].change.after.acl == \"public-read\"\n";
    let allowed = "# METADATA\n# title: Few changes\npackage allowed\n\ndefault allow := false\n\n\
                   allow if count(input.resource_changes) < 2\n";
    let set = PolicySet::load([("main.rego", main), ("allowed.rego", allowed)], Config::default());
    assert_eq!(set.faults(), []);
    let compliance = Compliance::new(InForce::new(set));
    let resource = Resource { id: "v-1".into(), kind: Some("aws_ebs_volume".into()), ..Resource::default() };
    let configuration = Some(r#"{"encrypted": true}"#.into());
    let observed = infrastructure(InfrastructureKind::ConfigurationObserved, resource.clone(), configuration);
    let proposed = infrastructure(InfrastructureKind::ChangeProposed, resource, None);
    let plan = ("terraform.plan", plan().to_string());
    for envelope in [
        envelope(Event::Infrastructure(observed), None),
        envelope(Event::Infrastructure(proposed), Some(plan)),
    ] {
        let changes = compliance.process(&envelope);
        assert!(!changes.is_empty());
        for change in changes {
            assert!(
                matches!(&change, ComplianceChange::Observation(one) if one.verdicts.is_empty()),
                "{change:?}"
            );
        }
    }
}

#[test]
fn an_object_that_a_plan_declares_is_one_resource() {
    let pod =
        json!({"metadata": [{"name": "p"}], "spec": [{"host_network": true, "container": [{"name": "c"}]}]});
    let plan = json!({"format_version": "1.2", "resource_changes": [{
        "address": "kubernetes_pod.p", "mode": "managed", "type": "kubernetes_pod", "name": "p",
        "change": {"actions": ["create"], "before": null, "after": pod, "after_unknown": {}},
    }]});
    let native = ("terraform.plan", plan.to_string());
    let resource = Resource { id: "shop".into(), kind: Some("workspace".into()), ..Resource::default() };
    let event = infrastructure(InfrastructureKind::ChangeProposed, resource, None);
    let pod = one(&envelope(Event::Infrastructure(event), Some(native)));
    assert_eq!(
        (pod.resource.as_str(), pod.attributes.kind.as_str()),
        ("shop/kubernetes_pod.p", "kubernetes_pod")
    );
    assert!(with(&pod, VerdictStatus::Fail).contains(&"kubernetes-no-host-network"), "{:?}", pod.verdicts);
}

#[test]
fn a_plan_that_is_cut_short_gives_nothing() {
    let event = infrastructure(InfrastructureKind::ChangeProposed, Resource::default(), None);
    let text = plan().to_string();
    for record in
        [&text[..text.len() / 2], "{}", "[]", r#"{"format_version": "7.0", "resource_changes": []}"#]
    {
        let native = Some(("terraform.plan", record.to_owned()));
        assert_eq!(observations(&envelope(Event::Infrastructure(event.clone()), native)), [], "{record}");
    }
}

#[test]
fn the_same_event_gives_the_same_changes() {
    let volume = |text: &str| observed("aws_ebs_volume", text);
    assert_eq!(volume(r#"{"encrypted": false}"#), volume(r#"{"encrypted": false}"#));
}
