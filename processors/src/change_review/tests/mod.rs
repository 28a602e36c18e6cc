//! Hand-written plans with their expected scores.

mod actions;
mod compliance;
mod corpus;
mod facts;
mod hazards;
mod hostile;
mod manifests;
mod openings;
mod safeguards;

use schemas::changes::{
    Proposal,
    change_review::{FactorKind, Route},
};
use serde_json::{Value, json};

use super::score::{Given, assess};

/// A plan of these changes, complete and without an error.
fn plan(changes: &[Value]) -> Value {
    json!({
        "format_version": "1.2", "terraform_version": "1.9.0", "complete": true, "errored": false,
        "resource_changes": changes,
    })
}

/// A change of one resource; the type is the address's first part.
#[expect(clippy::needless_pass_by_value, reason = "plans read best where they are made in place")]
fn change(address: &str, actions: &[&str], before: Value, after: Value) -> Value {
    let resource =
        address.rsplit_once("module.").map_or(address, |(_, rest)| rest.split_once('.').expect("a type").1);
    let (kind, name) = resource.split_once('.').expect("type and name");
    json!({
        "address": address, "mode": "managed", "type": kind, "name": name, "provider_name": "test",
        "change": { "actions": actions, "before": before, "after": after, "after_unknown": {} },
    })
}

fn create(address: &str, after: Value) -> Value {
    change(address, &["create"], Value::Null, after)
}

fn update(address: &str, before: Value, after: Value) -> Value {
    change(address, &["update"], before, after)
}

fn delete(address: &str, before: Value) -> Value {
    change(address, &["delete"], before, Value::Null)
}

fn scored(changes: &[Value]) -> Proposal {
    assess(Given::Json(&plan(changes)), false)
}

/// The rule of the first factor of that kind, if creating the resource has one.
fn rule_on_creating(kind: FactorKind, address: &str, after: Value) -> Option<String> {
    let proposal = scored(&[create(address, after)]);
    proposal.factors.iter().find(|factor| factor.kind == kind).map(|factor| factor.rule.clone())
}

/// The rules of a proposal, by kind.
fn rules(proposal: &Proposal) -> Vec<(FactorKind, &str)> {
    let mut rules: Vec<_> =
        proposal.factors.iter().map(|factor| (factor.kind, factor.rule.as_str())).collect();
    rules.sort_unstable();
    rules
}

/// Checks the score, the route, and the rules that the plan fulfils.
#[track_caller]
fn check(changes: &[Value], score: u8, route: Route, expected: &[(FactorKind, &str)]) {
    let proposal = scored(changes);
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(rules(&proposal), expected, "{:#?}", proposal.factors);
    assert_eq!((proposal.score, proposal.route), (score, route), "{:#?}", proposal.factors);
    let sum: u32 = proposal.factors.iter().map(|factor| u32::from(factor.points)).sum();
    assert_eq!(u32::from(proposal.score), sum.min(100), "the factors explain the score");
    let points: Vec<u8> = proposal.factors.iter().map(|factor| factor.points).collect();
    assert!(points.is_sorted_by(|a, b| a >= b), "{points:?}");
}
