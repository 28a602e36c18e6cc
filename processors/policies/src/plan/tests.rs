//! Plans as subjects.

use super::{sensitive::SENSITIVE, *};
use crate::{Config, Decision, Document, Evaluator, Execution, Policy, PolicySet, Status, Surroundings};

fn plan() -> Value {
    json!({
        "format_version": "1.2",
        "resource_changes": [
            {"address": "aws_s3_bucket.a", "mode": "managed", "type": "aws_s3_bucket", "name": "a",
             "change": {"actions": ["create"], "after": {"policy": "p", "tags": null},
                        "after_unknown": {"id": true, "policy": true, "rule": [{"key": true}]},
                        "after_sensitive": {"policy": true}}},
            {"address": "module.m[0].aws_s3_bucket_policy.b[\"x.y\"]", "mode": "managed", "name": "b",
             "type": "aws_s3_bucket_policy", "module_address": "module.m[0]",
             "change": {"actions": ["create"], "after": {}}},
            {"address": "aws_s3_bucket.gone", "mode": "managed", "type": "aws_s3_bucket", "name": "gone",
             "change": {"actions": ["delete"], "after": {"bucket": "gone"}}},
            {"address": "data.aws_ami.d", "mode": "data", "type": "aws_ami", "name": "d",
             "change": {"actions": ["read"], "after": {}}}
        ],
        "configuration": {"root_module": {
            "resources": [{"address": "aws_s3_bucket.a",
                           "expressions": {"policy": {"references": ["local.p"]},
                                           "rule": [{"key": {"references": ["aws_kms_key.k.arn", "aws_kms_key.k"]}}]}}],
            "module_calls": {
                "m": {"expressions": {"bucket": {"references": ["module.n.name", "module.n"]}},
                      "module": {"resources": [{"address": "aws_s3_bucket_policy.b",
                                                "expressions": {"bucket": {"references": ["var.bucket"]}}}]}},
                "n": {"module": {"outputs": {"name": {"expression": {"references": ["aws_s3_bucket.inner.id"]}}}}}
            }
        }}
    })
}

#[test]
fn resources_after_the_change_are_subjects() {
    let found = subjects(&plan()).expect("a plan");
    let addresses: Vec<_> = found.iter().map(|subject| subject.address.as_str()).collect();
    assert_eq!(addresses, ["aws_s3_bucket.a", "module.m[0].aws_s3_bucket_policy.b[\"x.y\"]"]);
}

#[test]
fn values_that_the_provider_fills_in_are_not_unknown() {
    let found = subjects(&plan()).expect("a plan");
    assert!(found[0].is_unknown("policy") && found[0].is_unknown("policy.Statement"));
    assert!(found[0].is_unknown("rule.key") && !found[0].is_unknown("rule"));
    assert!(!found[0].is_unknown("id") && !found[0].is_unknown("polic"));
}

#[test]
fn references_are_followed_through_variables_and_outputs() {
    let found = subjects(&plan()).expect("a plan");
    let references = |at: usize| found[at].input["resource"]["references"].to_json_str().unwrap_or_default();
    assert!(references(0).contains("aws_kms_key.k"), "{}", references(0));
    assert!(references(1).contains("module.n.aws_s3_bucket.inner"), "{}", references(1));
}

#[test]
fn sensitive_values_appear_nowhere() {
    let found = subjects(&plan()).expect("a plan");
    assert_eq!(found[0].input["config"]["policy"], SENSITIVE.into());
    assert_eq!(without_sensitive(&plan())["resource_changes"][0]["change"]["after"]["policy"], SENSITIVE);
}

#[test]
fn documents_that_are_no_plan_say_which_they_are() {
    for (document, reason) in [
        (json!({"format_version": "1.0", "values": {}}), "a state"),
        (json!({"version": 4, "lineage": "x", "resources": []}), "a state"),
        (json!({"format_version": "2.0", "resource_changes": []}), "format version is 2.0"),
        (json!({"resource_changes": []}), "names no `format_version`"),
        (json!({"format_version": "1.0", "resource_changes": "x"}), "is no list"),
        (json!({}), "no plan"),
        (json!([1]), "a JSON object"),
    ] {
        let refused = subjects(&document).expect_err("refused");
        assert!(refused.0.contains(reason), "{document}: {refused}");
    }
}

/// A plan of a security group whose configuration names nothing but its name.
fn security_group(ingress: &Value, after_unknown: &Value) -> Value {
    json!({
        "format_version": "1.2",
        "resource_changes": [{
            "address": "aws_security_group.a", "mode": "managed", "type": "aws_security_group", "name": "a",
            "change": {"actions": ["create"], "after": {"name": "a", "ingress": ingress},
                       "after_unknown": after_unknown},
        }],
        "configuration": {"root_module": {"resources": [
            {"address": "aws_security_group.a", "expressions": {"name": {"constant_value": "a"}}}]}},
    })
}

#[test]
fn blocks_without_an_expression_keep_what_is_unknown_in_them() {
    let set = PolicySet::own(Config { execution: Execution::Interpreted, ..Config::default() });
    let ssh = |policy: &Policy| policy.id == "aws-security-group-no-public-ssh";
    let status = |ingress: Value, after_unknown: Value| {
        let document = Document::from_value(&security_group(&ingress, &after_unknown)).expect("a plan");
        let found = Evaluator::new(&set).evaluate(&set, &document, &Surroundings::default(), ssh);
        found.verdicts.iter().map(|verdict| verdict.status).collect::<Vec<_>>()
    };
    let of_port = json!([{"from_port": 22, "to_port": 22, "protocol": "tcp"}]);
    assert_eq!(status(of_port, json!({"ingress": [{"cidr_blocks": true}]})), [Status::NotEvaluated]);
    assert_eq!(status(Value::Null, json!({"id": true, "ingress": true})), [Status::Pass]);
}

/// A plan that changes one bucket and defers another.
fn deferring() -> Value {
    let mut deferring = plan();
    let bucket = |acl: &str, address: &str| {
        json!({"address": address, "mode": "managed", "type": "aws_s3_bucket", "name": "later",
               "change": {"actions": ["create"], "after": {"acl": acl, "policy": "secret"},
                          "after_unknown": {"id": true}, "after_sensitive": {"policy": true}}})
    };
    deferring["deferred_changes"] = json!([
        {"reason": "instance_count_unknown", "resource_change": bucket("public-read", "aws_s3_bucket.later")},
        {"reason": "deferred_prereq", "resource_change": bucket("private", "aws_s3_bucket.a")},
        {"reason": "resource_config_unknown", "resource_change": {"change": {"actions": ["create"]}}},
    ]);
    deferring
}

#[test]
fn deferred_resources_are_judged_as_far_as_they_are_known() {
    let found = subjects(&deferring()).expect("a plan");
    let told: Vec<_> = found.iter().map(|one| (one.address.as_str(), one.is_deferred)).collect();
    let expected = [
        ("aws_s3_bucket.a", false),
        ("module.m[0].aws_s3_bucket_policy.b[\"x.y\"]", false),
        ("aws_s3_bucket.later", true),
    ];
    assert_eq!(told, expected);
    assert_eq!(found[2].input["config"]["acl"], "public-read".into());
    assert_eq!(found[2].input["config"]["policy"], SENSITIVE.into());
    let hidden = without_sensitive(&deferring());
    assert_eq!(hidden["deferred_changes"][0]["resource_change"]["change"]["after"]["policy"], SENSITIVE);
}

#[test]
fn a_plan_that_is_not_complete_is_not_allowed_silently() {
    let decision = |plan: &Value| {
        let document = Document::from_value(plan).expect("a plan");
        (Decision::Allow.on(&document), document.incomplete())
    };
    assert_eq!(decision(&plan()), (Decision::Allow, None));
    let with = |name: &str, value: bool| {
        let mut plan = plan();
        plan[name] = value.into();
        plan
    };
    assert_eq!(decision(&with("errored", false)), (Decision::Allow, None));
    assert_eq!(decision(&with("complete", true)), (Decision::Allow, None));
    for (plan, reason) in [
        (with("errored", true), "ended with an error"),
        (with("complete", false), "not complete"),
        (deferring(), "defers changes"),
    ] {
        let (decision, incomplete) = decision(&plan);
        assert_eq!(decision, Decision::Warn, "{reason}");
        assert!(incomplete.is_some_and(|told| told.contains(reason)), "{incomplete:?}");
    }
    let object = Document::from_value(&json!({"apiVersion": "v1", "kind": "Pod", "complete": false}));
    assert_eq!(Decision::Deny.on(&object.expect("an object")), Decision::Deny);
}
