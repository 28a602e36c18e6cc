//! Verdicts of policies, and the points for them.

use chrono::DateTime;
use policies::{Config, InForce, PolicySet};
use schemas::changes::{
    change_review::{FactorKind, Route},
    policy_verdicts::{PlanVerdicts, PolicyDecision, VerdictCounts},
};
use serde_json::{Value, json};

use super::{change, create, plan};
use crate::change_review::compliance::{self, Judged};

/// A policy of a severity that denies queues without a key.
fn policy(id: &str, severity: &str, body: &str) -> String {
    format!(
        "# METADATA\n# title: Queues have keys\n# custom:\n#   id: {id}\n#   severity: {severity}\n\
         #   remediation: Name a key.\n#   resource_types: [test_queue]\npackage test.{}\n\n{body}\n",
        id.replace('-', "_")
    )
}

fn judged(policies: &[(&str, String)], plan: &Value) -> Option<Judged> {
    let files = policies.iter().map(|(name, text)| (*name, text.as_str()));
    let set = PolicySet::load(files, Config::default());
    assert_eq!(set.faults(), []);
    let at = DateTime::from_timestamp(1_700_000_000, 0).expect("an instant");
    compliance::judge(plan, &InForce::new(set).current(), at)
}

fn no_key(severity: &str) -> (&'static str, String) {
    ("key.rego", policy("key", severity, "deny contains \"it has no key\" if not input.config.key"))
}

fn queues(n: usize) -> Value {
    plan(&(0..n).map(|i| create(&format!("test_queue.q{i}"), json!({"name": "q"}))).collect::<Vec<_>>())
}

fn points(judged: &Judged) -> Vec<(&str, u8)> {
    assert!(judged.factors.iter().all(|factor| factor.kind == FactorKind::Compliance));
    judged.factors.iter().map(|factor| (factor.rule.as_str(), factor.points)).collect()
}

#[test]
fn a_failed_policy_is_told_with_its_reason_and_its_cure() {
    let set = [no_key("critical")];
    let Judged { verdicts, factors } = judged(&set, &queues(2)).expect("judged");
    let PlanVerdicts { decision, policy_set, counts, verdicts, verdicts_total } = verdicts;
    assert_eq!((decision, verdicts_total, policy_set.len()), (PolicyDecision::Deny, 2, 64));
    assert_eq!(counts, VerdictCounts { failed: 2, ..VerdictCounts::default() });
    let first = &verdicts[0];
    assert_eq!((first.policy_id.as_str(), first.verdict.as_str()), ("key", "fail"));
    assert_eq!((first.resource.as_str(), first.severity.as_str()), ("test_queue.q0", "critical"));
    assert_eq!(
        (first.reasons.as_slice(), first.remediation.as_str()),
        (&["it has no key".to_owned()][..], "Name a key.")
    );
    assert_eq!(first.policy_hash.len(), 64);
    assert_eq!((factors[0].points, factors[0].resources_total), (25, 2));
    assert!(factors[0].reason.contains("key"), "{}", factors[0].reason);
}

#[test]
fn points_follow_the_severity_and_have_a_bound() {
    let of = |severity: &str, n: usize| {
        let judged = judged(&[no_key(severity)], &queues(n)).expect("judged");
        points(&judged).iter().map(|(_, points)| *points).sum::<u8>()
    };
    assert_eq!([1, 2, 50].map(|n| of("critical", n)), [20, 25, 40]);
    assert_eq!([1, 2, 50].map(|n| of("high", n)), [8, 10, 20]);
    assert_eq!([1, 2, 50].map(|n| of("medium", n)), [3, 4, 10]);
    assert_eq!(of("low", 50), 0);
    assert_eq!(Route::of(of("critical", 1)), Route::Review, "never auto");
    let all = [("a.rego", "critical"), ("b.rego", "high"), ("c.rego", "medium")]
        .map(|(file, severity)| (file, policy(severity, severity, "deny contains \"no\" if true")));
    let together = judged(&all, &queues(50)).expect("judged");
    assert_eq!(points(&together), [("critical", 40)], "at most 40 together");
}

#[test]
fn resources_that_stay_as_they_are_give_no_points() {
    let kept = change("test_queue.old", &["no-op"], json!({"name": "q"}), json!({"name": "q"}));
    let judged = judged(&[no_key("critical")], &plan(&[kept])).expect("judged");
    assert_eq!((judged.verdicts.counts.failed, points(&judged)), (1, vec![]));
}

#[test]
fn what_is_known_only_after_the_change_is_not_evaluated() {
    let mut created = create("test_queue.q", json!({"name": "q"}));
    created["change"]["after_unknown"] = json!({"key": true});
    let policy = policy("key", "critical", "deny contains \"it has no key\" if not input.config.key")
        .replace("#   remediation", "#   decides: [key]\n#   remediation");
    let mut plan = plan(&[created]);
    plan["configuration"] = json!({"root_module": {"resources": [
        {"address": "test_queue.q", "expressions": {"key": {"references": ["test_key.k"]}}}]}});
    let judged = judged(&[("key.rego", policy)], &plan).expect("judged");
    let told = &judged.verdicts.verdicts[0];
    assert_eq!((told.verdict.as_str(), judged.verdicts.counts.not_evaluated), ("not_evaluated", 1));
    assert!(told.reasons[0].contains("key"), "{:?}", told.reasons);
    assert_eq!((judged.verdicts.decision, points(&judged)), (PolicyDecision::Allow, vec![]));
}

#[test]
fn a_policy_about_the_whole_plan_that_denies_is_never_auto_and_one_that_warns_counts_nothing() {
    let denies = "package main\n\ndeny contains \"no\" if count(input.resource_changes) > 0\n".to_owned();
    let found = judged(&[("whole.rego", denies)], &queues(1)).expect("judged");
    assert_eq!(points(&found), [("plan", 20)]);
    let warns = "package main\n\nwarn contains \"hm\" if count(input.resource_changes) > 0\n".to_owned();
    let found = judged(&[("whole.rego", warns)], &queues(1)).expect("judged");
    assert_eq!((points(&found), found.verdicts.counts.warned), (vec![], 1));
    assert_eq!(found.verdicts.decision, PolicyDecision::Warn);
}

#[test]
fn a_policy_that_errs_is_told_and_the_others_go_on() {
    let set = [no_key("medium"), ("bad.rego", policy("bad", "low", "deny contains 7 if true"))];
    let judged = judged(&set, &queues(1)).expect("judged");
    assert_eq!((judged.verdicts.counts.errors, judged.verdicts.counts.failed), (1, 1));
    assert_eq!(points(&judged), [("medium", 3), ("undecided", 5)]);
    assert_eq!(judged.verdicts.verdicts[1].verdict, "error");
}

#[test]
fn the_clock_of_a_policy_is_the_proposals() {
    let set = [(
        "late.rego",
        policy("late", "low", "deny contains msg if msg := sprintf(\"%d\", [time.now_ns()])"),
    )];
    let judged = judged(&set, &queues(1)).expect("judged");
    assert_eq!(judged.verdicts.verdicts[0].reasons, ["1700000000000000000"]);
}

#[test]
fn a_plan_beyond_the_bound_says_what_was_left_out() {
    let judged = judged(&[no_key("low")], &queues(5_000)).expect("judged");
    let counts = judged.verdicts.counts;
    assert_eq!((counts.failed, counts.left_out), (4_000, 1_000));
    assert_eq!((judged.verdicts.verdicts.len(), judged.verdicts.verdicts_total), (100, 4_000));
    assert_eq!(points(&judged), [("undecided", 5)]);
}

#[test]
fn texts_of_a_plan_are_bounded_and_printable() {
    let address = format!("test_queue.{}\u{0}", "x".repeat(2_000));
    let created = create(&address, json!({"name": "a\u{0}b".repeat(1_000)}));
    let set = [("name.rego", policy("name", "low", "deny contains input.config.name if true"))];
    let judged = judged(&set, &plan(&[created])).expect("judged");
    let told = &judged.verdicts.verdicts[0];
    assert!(told.resource.len() <= 256 && told.reasons[0].len() <= 503, "{told:?}");
    assert!(!format!("{}{}", told.resource, told.reasons[0]).contains('\u{0}'));
}

#[test]
fn plans_without_a_verdict_and_states_are_not_evaluated() {
    assert!(judged(&[no_key("low")], &plan(&[create("other_thing.a", json!({}))])).is_none());
    assert!(judged(&[no_key("low")], &json!({"version": 4, "resources": []})).is_none());
}
