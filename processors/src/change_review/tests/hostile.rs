//! Plans that are truncated, of wrong types, or inconsistent.

use FactorKind::Plan;
use proptest::prelude::*;
use schemas::changes::change_review::{FactorKind, PlanReading, Route};

use super::*;

fn given(plan: &Value) -> Proposal {
    assess(Given::Json(plan), false)
}

#[track_caller]
fn check_reading(plan: &Value, reading: PlanReading, rules: &[&str]) {
    let proposal = given(plan);
    let found: Vec<&str> = proposal
        .factors
        .iter()
        .filter(|factor| factor.kind == Plan)
        .map(|factor| factor.rule.as_str())
        .collect();
    assert_eq!((proposal.plan.reading, found.as_slice()), (reading, rules), "{plan}");
    assert!(rules.is_empty() || proposal.route >= Route::Review, "never auto: {plan}");
}

#[test]
fn every_format_version_of_0_and_1_is_read_and_no_other() {
    let of = |version: Value| json!({ "format_version": version, "resource_changes": [] });
    for version in ["0.1", "0.2", "1.0", "1.2", "1.99"] {
        check_reading(&of(version.into()), PlanReading::Read, &[]);
    }
    for version in [json!("2.0"), json!("10.1"), json!(""), json!(1.2), Value::Null] {
        check_reading(&of(version), PlanReading::Partly, &["format_unknown"]);
    }
}

#[test]
fn what_is_no_plan_is_reviewed() {
    for text in [json!([]), json!("x"), json!(7), Value::Null, json!({}), json!({ "resource_changes": {} })] {
        let proposal = given(&text);
        assert_eq!(
            (proposal.plan.reading, proposal.route),
            (PlanReading::Unreadable, Route::Review),
            "{text}"
        );
    }
    for unread in [Given::Absent, Given::Unreadable] {
        assert_eq!(assess(unread, false).route, Route::Review);
        assert_eq!(assess(unread, true).score, 25);
    }
    // Where nothing changes, versions 1.x write no list.
    check_reading(&json!({ "format_version": "1.2", "planned_values": {} }), PlanReading::Read, &[]);
    // A state, the schemas of providers, and a bare version have no plan in them.
    let state = json!({ "format_version": "1.0", "values": { "root_module": {} } });
    let schemas = json!({ "format_version": "1.0", "provider_schemas": {} });
    for other in [state, schemas, json!({ "format_version": "1.2" })] {
        assert_eq!(given(&other).plan.reading, PlanReading::Unreadable, "{other}");
        assert!(given(&other).route >= Route::Review, "{other}");
    }
}

#[test]
fn a_plan_that_failed_or_is_not_whole_is_reviewed() {
    let mut failed = plan(&[]);
    failed["errored"] = true.into();
    check_reading(&failed, PlanReading::Partly, &["errored"]);
    let mut targeted = plan(&[]);
    targeted["complete"] = false.into();
    check_reading(&targeted, PlanReading::Partly, &["incomplete"]);
    let mut deferring = plan(&[]);
    deferring["deferred_changes"] = json!([{ "reason": "unknown" }]);
    check_reading(&deferring, PlanReading::Partly, &["incomplete"]);
}

#[test]
fn changes_that_cannot_be_read_are_counted() {
    let good = create("aws_instance.a", json!({}));
    let broken = |part: &str, value: Value| {
        let mut change = good.clone();
        change[part] = value;
        change
    };
    let bad = [
        json!(7),
        json!({}),
        broken("address", json!(7)),
        broken("type", Value::Null),
        broken("change", json!([])),
        broken("change", json!({ "actions": "delete" })),
        broken("change", json!({ "actions": [] })),
        broken("change", json!({ "actions": ["destroy"] })),
        broken("change", json!({ "actions": ["delete", 1] })),
    ];
    for one in &bad {
        let changes = [good.clone(), one.clone()];
        check_reading(&plan(&changes), PlanReading::Partly, &["partly_unreadable"]);
        let proposal = scored(&changes);
        assert_eq!((proposal.plan.creates, proposal.plan.unreadable), (1, 1));
    }
    assert_eq!(scored(&bad).plan.unreadable, 9);
    let mut drifted = plan(&[]);
    drifted["resource_drift"] = json!("all of it");
    check_reading(&drifted, PlanReading::Partly, &["partly_unreadable"]);
}

#[test]
fn addresses_are_printable_and_short() {
    let long = format!("aws_instance.{}", "x".repeat(10_000));
    let proposal = scored(&[delete(&long, json!({})), delete("aws_instance.\u{0}\u{1b}[31m", json!({}))]);
    for resource in &proposal.factors[0].resources {
        assert!(
            resource.address.len() <= 256 && !resource.address.contains(char::is_control),
            "{resource:?}"
        );
    }
}

/// JSON of any shape, with names that the rules match.
fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "policy",
        "Statement",
        "Effect",
        "Action",
        "Principal",
        "ingress",
        "cidr_blocks",
        "from_port",
        "allow",
        "ports",
        "password",
        "value",
        "name",
        "tags",
        "env",
        "encrypted",
        "after_sensitive",
        "metadata",
        "namespace",
        "protocol",
        "destination_port_range",
        "source_ranges",
        "default_action",
        "deny",
        "resource_changes",
        "actions",
        "change",
        "address",
        "type",
        "mode",
        "before",
        "after",
        "variables",
        "configuration",
        "format_version",
        "errored",
    ]);
    let texts = prop::sample::select(vec![
        "*",
        "0.0.0.0/0",
        "Allow",
        "delete",
        "create",
        "update",
        "aws_db_instance",
        "1.2",
        "-",
        "65536-1",
        "prod",
        "{",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\"}]}",
        "[[[",
        "",
        "ä\u{0}",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        texts.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_plan_has_a_score_and_the_same_one_twice(
        before in any_json(), after in any_json(), whole in any_json(),
    ) {
        let plan = plan(&[change("aws_security_group.a", &["update"], before, after)]);
        let once = given(&plan);
        prop_assert!(once.score <= 100 && once.route == Route::of(once.score));
        prop_assert_eq!(once, given(&plan));
        let odd = given(&whole);
        prop_assert!(odd.plan.reading == PlanReading::Read || odd.route >= Route::Review);
    }

    #[test]
    fn a_plan_cut_short_is_never_auto(cut in any::<prop::sample::Index>()) {
        let text = plan(&[delete("aws_db_instance.orders", json!({ "name": "orders" }))]).to_string();
        let text = &text[..cut.index(text.len())];
        let value = serde_json::from_str::<Value>(text);
        prop_assert!(value.is_err());
        prop_assert!(assess(Given::Unreadable, false).route >= Route::Review);
    }
}

#[test]
fn a_large_hostile_plan_costs_no_more_than_its_size() {
    let flags: serde_json::Map<String, Value> =
        (0..10_000).map(|n| (format!("f{n}"), json!({ "encrypted": n % 2 == 0, "password": "x" }))).collect();
    let after = json!({ ("x".repeat(300_000)): flags });
    let proposal =
        scored(&[update("aws_instance.a", after.clone(), json!({})), create("aws_instance.b", after)]);
    assert_eq!(
        rules(&proposal),
        [(FactorKind::Encryption, "not_encrypted"), (FactorKind::Secret, "plain_value")]
    );
    let open = json!({
        "source_ranges": vec!["0.0.0.0/0"; 20_000], "allow": vec![json!({ "ports": vec!["443"; 200] }); 200],
        "verbs": vec!["*"; 20_000], "resources": vec!["x"; 20_000],
    });
    let proposal = scored(&[create("google_compute_firewall.a", open)]);
    assert_eq!(rules(&proposal), [(FactorKind::NetworkExposure, "open_administration")]);
}
