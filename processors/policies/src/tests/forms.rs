//! Policies of the forms of others, on documents of every kind.

use serde_json::{Value, json};

use crate::{Config, Document, Enforcement, Evaluator, PolicySet, Status, Surroundings, Verdict, gatekeeper};

/// Policies that are written for plans: as for conftest, and with a rule `allow`.
const OF_PLANS: [(&str, &str); 2] = [
    (
        "main.rego",
        "package main\n\ndeny contains \"public\" if input.resource_changes[_].change.after.acl == \"public-read\"\n",
    ),
    (
        "allowed.rego",
        "# METADATA\n# title: Few changes\npackage allowed\n\ndefault allow := false\n\n\
         allow if count(input.resource_changes) < 2\n",
    ),
];

fn loaded(files: &[(&str, &str)]) -> PolicySet {
    let set = PolicySet::load(files.iter().copied(), Config::default());
    assert_eq!(set.faults(), []);
    set
}

fn verdicts(set: &PolicySet, document: &Value, surroundings: &Surroundings) -> Vec<Verdict> {
    let document = Document::from_value(document).expect("a document");
    Evaluator::new(set).evaluate(set, &document, surroundings, |_| true).verdicts
}

#[test]
fn policies_about_plans_have_no_verdict_on_a_resource_or_an_action() {
    let set = loaded(&OF_PLANS);
    let told = |document: &Value| {
        let verdicts = verdicts(&set, document, &Surroundings::default());
        verdicts.into_iter().map(|one| (one.policy_id, one.status)).collect::<Vec<_>>()
    };
    for document in [
        json!({"type": "aws_ebs_volume", "config": {"encrypted": true}}),
        json!({"type": "aws_s3_bucket", "config": {"acl": "public-read"}}),
        json!({"action": "DeleteBucket"}),
    ] {
        assert_eq!(told(&document), [], "{document}");
    }
    let plan = json!({"format_version": "1.2", "resource_changes": [
        {"address": "aws_s3_bucket.a", "mode": "managed", "type": "aws_s3_bucket", "name": "a",
         "change": {"actions": ["create"], "after": {"acl": "public-read"}}}]});
    assert_eq!(told(&plan), [("allowed".to_owned(), Status::Pass), ("main".to_owned(), Status::Fail)]);
}

/// A template of that Rego, and a constraint on services.
fn constraint(rego: &str, spec: &Value) -> PolicySet {
    let template = json!({
        "apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate",
        "metadata": {"name": "k8stest"},
        "spec": {"crd": {"spec": {"names": {"kind": "K8sTest"}}},
                 "targets": [{"target": "admission.k8s.gatekeeper.sh", "rego": rego}]},
    });
    let constraint = json!({
        "apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "K8sTest", "metadata": {"name": "test"},
        "spec": spec,
    });
    loaded(&[("template.json", &template.to_string()), ("constraint.json", &constraint.to_string())])
}

fn service(name: &str, host: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
           "spec": {"externalName": host}})
}

/// No service has the host of another; one of no name is wrong by itself.
const UNIQUE: &str = "package test\n\nviolation[{\"msg\": \"taken\"}] {\n  \
                      other := data.inventory.namespace[_][_].Service[_]\n  \
                      other.metadata.name != input.review.object.metadata.name\n  \
                      other.spec.externalName == input.review.object.spec.externalName\n}\n\n\
                      violation[{\"msg\": \"none\"}] {\n  input.review.object.spec.externalName == \"\"\n}\n";

#[test]
fn a_template_that_reads_other_objects_passes_none_without_them() {
    let set = constraint(UNIQUE, &json!({}));
    let status = |host: &str, inventory: Option<Value>| {
        let surroundings = Surroundings { inventory, ..Surroundings::default() };
        let verdicts = verdicts(&set, &service("a", host), &surroundings);
        verdicts.into_iter().map(|one| one.status).collect::<Vec<_>>()
    };
    let taken = service("b", "taken.example");
    assert_eq!(status("taken.example", None), [Status::NotEvaluated]);
    assert_eq!(status("", None), [Status::Fail], "no other object changes it");
    assert_eq!(status("taken.example", Some(gatekeeper::inventory([&taken]))), [Status::Fail]);
    assert_eq!(status("free.example", Some(gatekeeper::inventory([&taken]))), [Status::Pass]);
    assert_eq!(status("free.example", Some(gatekeeper::inventory([]))), [Status::Pass], "there are none");
}

#[test]
fn a_template_that_reads_the_object_alone_needs_no_others() {
    let rego = "package test\n\nviolation[{\"msg\": \"none\"}] {\n  input.review.object.spec.externalName == \"\"\n}\n";
    let found = verdicts(&constraint(rego, &json!({})), &service("a", "a.example"), &Surroundings::default());
    assert_eq!(found[0].status, Status::Pass);
}

#[test]
fn constraints_that_select_by_namespace_know_the_namespaces_of_the_inventory() {
    let rego = "package test\n\nviolation[{\"msg\": \"no\"}] {\n  true\n}\n";
    let spec = json!({
        "match": {"namespaceSelector": {"matchLabels": {"env": "prod"}}},
        "enforcementAction": "scoped", "scopedEnforcementActions": [{"action": "warn"}],
    });
    let set = constraint(rego, &spec);
    let found = |env: Option<&str>| {
        let namespace = env.map(|env| {
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"env": env}}})
        });
        let inventory = Some(gatekeeper::inventory(&namespace));
        let surroundings = Surroundings { inventory, ..Surroundings::default() };
        let verdicts = verdicts(&set, &service("a", "a.example"), &surroundings);
        verdicts.into_iter().map(|one| (one.status, one.enforcement)).collect::<Vec<_>>()
    };
    assert_eq!(found(Some("prod")), [(Status::Fail, Enforcement::Warn)]);
    assert_eq!(found(Some("test")), []);
    assert_eq!(found(None), [(Status::NotEvaluated, Enforcement::Warn)]);
    let of_none = verdicts(&set, &service("a", "a.example"), &Surroundings::default());
    assert!(of_none[0].reasons[0].contains("labels of the namespace `shop`"), "{of_none:?}");
}
