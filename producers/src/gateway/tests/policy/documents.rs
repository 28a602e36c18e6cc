//! Decisions about documents that do not show all that a policy looks at.

use super::*;

async fn deciding_by(files: &[(&str, &str)]) -> Running {
    let set = PolicySet::load(files.iter().copied(), Config::default());
    assert_eq!(set.faults(), []);
    let config = GatewayConfig { policies: InForce::new(set), ..config() };
    start_with(config, Scripted::new(&[])).await
}

#[tokio::test]
async fn policies_about_plans_say_nothing_about_resources_and_actions() {
    let main = "package main\n\n\
                deny contains \"public\" if input.resource_changes[_].change.after.acl == \"public-read\"\n";
    let allowed = "# METADATA\n# title: Few changes\npackage allowed\n\ndefault allow := false\n\n\
                   allow if count(input.resource_changes) < 2\n";
    let running = deciding_by(&[("main.rego", main), ("allowed.rego", allowed)]).await;
    for document in [json!({"type": "test_queue", "config": {}}), json!({"action": "DeleteBucket"})] {
        let told = ask("?mode=block", &document).to(&running).await.json();
        assert_eq!((&told["decision"], &told["counts"]["pass"]), (&json!("allow"), &json!(0)), "{told}");
    }
    let told = ask("?mode=block", &plan(&json!({"acl": "public-read"}))).to(&running).await.json();
    assert_eq!((&told["decision"], &told["counts"]["pass"]), (&json!("deny"), &json!(1)), "{told}");
}

#[tokio::test]
async fn templates_that_look_at_other_objects_pass_no_object() {
    let rego = "package hosts\n\nviolation[{\"msg\": \"taken\"}] {\n  \
                other := data.inventory.namespace[_][_].Ingress[_]\n  \
                other.spec.rules[_].host == input.review.object.spec.rules[_].host\n}\n";
    let template = json!({
        "apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate",
        "metadata": {"name": "k8suniqueingresshost"},
        "spec": {"crd": {"spec": {"names": {"kind": "K8sUniqueIngressHost"}}},
                 "targets": [{"target": "admission.k8s.gatekeeper.sh", "rego": rego}]},
    });
    let constraint = json!({
        "apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "K8sUniqueIngressHost",
        "metadata": {"name": "unique-host"}, "spec": {"match": {"kinds": [{"kinds": ["Ingress"]}]}},
    });
    let (template, constraint) = (template.to_string(), constraint.to_string());
    let running = deciding_by(&[("template.json", &template), ("constraint.json", &constraint)]).await;
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"rules": [{"host": "shop.example"}]},
    });
    let told = ask("?mode=block", &ingress).to(&running).await.json();
    let counts = &told["counts"];
    assert_eq!((&counts["pass"], &counts["not_evaluated"]), (&json!(0), &json!(1)), "{told}");
}

#[tokio::test]
async fn a_plan_that_is_not_complete_is_at_least_a_warning() {
    let running = deciding(&[]).await;
    let good = plan(&json!({"key": "k"}));
    let with = |name: &str, value: Value| {
        let mut plan = good.clone();
        plan[name] = value;
        plan
    };
    for (plan, reason) in [
        (with("errored", json!(true)), "planning ended with an error"),
        (with("complete", json!(false)), "not complete"),
    ] {
        let told = ask("?mode=block", &plan).to(&running).await.json();
        assert_eq!(told["decision"], "warn", "{told}");
        assert!(told["incomplete"].as_str().is_some_and(|told| told.contains(reason)), "{told}");
        let event = running.kafka.published().pop().expect("a trace");
        let Event::Activity(activity) = &event.event else { panic!("activity") };
        assert!(
            activity.outcome.message.as_deref().is_some_and(|told| told.contains(reason)),
            "{activity:?}"
        );
    }
    let told = ask("?mode=block", &good).to(&running).await.json();
    assert_eq!((&told["decision"], &told["incomplete"]), (&json!("allow"), &Value::Null));
    let mut later = plan(&json!({"name": "later"}))["resource_changes"][0].clone();
    later["address"] = json!("test_queue.later");
    let deferring =
        with("deferred_changes", json!([{"reason": "deferred_prereq", "resource_change": later}]));
    let told = ask("?mode=block", &deferring).to(&running).await.json();
    assert_eq!(
        (&told["decision"], &told["reasons"][0]["resource"]),
        (&json!("deny"), &json!("test_queue.later"))
    );
    assert!(told["incomplete"].is_string(), "{told}");
}
