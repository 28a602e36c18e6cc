//! Actions of Terraform and OpenTofu that neither create, change nor delete.

use FactorKind::{Deletion, Identity, Secret};
use schemas::changes::change_review::{FactorKind, PlanReading};
use serde_json::{Value, json};

use super::*;

#[test]
fn a_new_object_beside_a_forgotten_one_is_examined_as_a_created_one() {
    let policy = json!({
        "policy": r#"{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#,
        "password": "correct horse",
    });
    let created = scored(&[create("aws_iam_policy.a", policy.clone())]);
    for actions in [["create", "forget"], ["forget", "create"]] {
        // What the forgotten object has already, the new one has as well.
        let proposal = scored(&[change("aws_iam_policy.a", &actions, policy.clone(), policy.clone())]);
        let mut expected = rules(&created);
        expected.push((Deletion, "forgotten"));
        expected.sort_unstable();
        assert_eq!(rules(&proposal), expected);
        for rule in [(Identity, "grants_everything"), (Secret, "plain_value")] {
            assert!(expected.contains(&rule), "{rule:?}");
        }
        let summary = &proposal.plan;
        assert_eq!((summary.reading, summary.unreadable), (PlanReading::Read, 0));
        assert_eq!((summary.creates, summary.forgets, summary.replaces), (1, 1, 0));
    }
}

#[test]
fn ephemeral_resources_count_for_nothing() {
    let mut opened = change("random_password.a", &["open"], Value::Null, Value::Null);
    opened["mode"] = "ephemeral".into();
    check(std::slice::from_ref(&opened), 0, Route::Auto, &[]);
    let proposal = scored(&[opened]);
    assert_eq!((proposal.plan.reading, proposal.plan.unreadable), (PlanReading::Read, 0));
}
