//! Allocation: what each team pays adds up to what was spent, by whatever rules, over whatever charges.

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use rust_decimal::Decimal;
use schemas::{
    Envelope, Event, Timestamp,
    events::{Actor, ActorKind, Governance, GovernanceKind},
};
use sinks::{
    query_api::{AllocationAnswer, CostSummary, CostWorkloads},
    read_models::cost::read::{AllocatedBucket, CurrencyAllocation},
};

use super::fixture::{Place, at, charge, columns, replacing};
use crate::query_api::fixture::Api;

/// The n-th event: these rules are set.
fn rules(n: u64, rules: &str, decided_at: Timestamp) -> Envelope {
    let mut envelope = charge(n, 0, 0, decided_at);
    envelope.event = Event::Governance(Governance {
        kind: GovernanceKind::BudgetSet,
        subject_kind: "cost_allocation".into(),
        subject_id: "allocation".into(),
        actor: Actor { kind: ActorKind::User, id: "ada".into(), ..Actor::default() },
        decision: Some(if rules.is_empty() { "removed" } else { "set" }.into()),
        reason: Some("agreed".into()),
        expires_at: None,
        attributes: [("rules".to_owned(), rules.to_owned())].into(),
    });
    envelope
}

/// A charge of an account with tags.
fn spent(n: u64, cents: i64, account: &str, tags: &[(&str, &str)]) -> Envelope {
    let mut envelope = charge(n, cents, 0, at("2025-06-01T00:00:00Z"));
    let usage = columns(&mut envelope);
    usage.sub_account_id = Some(account.into());
    usage.tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    envelope
}

/// Bucket or team, and its total.
fn shown(allocation: &CurrencyAllocation) -> Vec<(String, String)> {
    let one = |bucket: &AllocatedBucket| {
        (bucket.team.clone().unwrap_or_else(|| format!("({})", bucket.bucket)), bucket.total.clone())
    };
    allocation.buckets.iter().map(one).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(bucket, total)| ((*bucket).to_owned(), (*total).to_owned())).collect()
}

/// `?rules=` as a query.
fn trying(rules: &str) -> String {
    let url = reqwest::Url::parse_with_params(
        "http://api/api/v1/cost/allocation",
        [("rules", rules.replace('\n', " "))],
    )
    .expect("a URL");
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

#[tokio::test]
async fn rules_are_tried_before_they_are_set_and_hold_for_all_of_history() {
    const RULES: &str = r#"[
        {"when": {"account": "platform"}, "to": "shared_proportionally"},
        {"when": {"tags": {"purpose": "spare"}}, "to": "idle"},
        {"when": {"project": "lake"}, "to": {"shared_fixed": {"ads": "2", "search": "1"}}},
        {"to": {"team_of_tag": "team"}},
        {"when": {"account": "nobody"}, "to": {"team": "ghosts"}}]"#;
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let all = [
        spent(1, 3_000, "a", &[("team", "ads")]),
        spent(2, 1_000, "a", &[("team", "search"), ("other", "x")]),
        spent(3, 1_000, "platform", &[("team", "core")]),
        spent(4, 500, "b", &[("purpose", "spare")]),
        spent(5, 100, "b", &[("project", "lake")]),
        spent(6, 7, "b", &[]),
    ];
    member.deliver(&all).await;
    let plain = pairs(&[("ads", "30"), ("core", "10"), ("search", "10"), ("(untagged)", "6.07")]);
    let answer: AllocationAnswer = api.get("acme", &trying(RULES)).await;
    assert_eq!(shown(&answer.allocation[0]), plain, "what is tagged with a team goes to it");
    assert_eq!((answer.in_force.set_by, answer.in_force.rules.len()), (None, 1));
    let tried = answer.tried.expect("rules that were tried");
    let divided = pairs(&[
        ("ads", "38.1666666667"),
        ("core", "0"),
        ("search", "12.8333333333"),
        ("(idle)", "5"),
        ("(untagged)", "0.07"),
    ]);
    assert_eq!(shown(&tried[0]), divided);
    assert_eq!(tried[0].total, "56.07");
    assert_eq!(tried[0].taken_by_rule, [1, 1, 1, 2, 0]);
    let moved: Vec<_> = tried[0].buckets.iter().filter_map(|bucket| bucket.moved.as_deref()).collect();
    assert_eq!(moved, ["8.1666666667", "-10", "2.8333333333", "5", "-6"]);
    let again: AllocationAnswer = api.get("acme", "/api/v1/cost/allocation").await;
    assert_eq!((shown(&again.allocation[0]), again.tried), (plain.clone(), None), "nothing was changed");

    let decided = [
        rules(10, RULES, at("2025-07-01T00:00:00Z")),
        rules(11, "[{}]", at("2025-07-02T00:00:00Z")),
        rules(12, "", at("2025-08-01T00:00:00Z")),
    ];
    assert_eq!(member.deliver(&decided).await, [3, 0, 0, 0]);
    let at_instant = |instant: &str| format!("/api/v1/cost/allocation?known_at={instant}");
    let july: AllocationAnswer = api.get("acme", &at_instant("2025-07-15T00:00:00Z")).await;
    assert_eq!(july.in_force.actor.as_deref(), Some("ada"), "the one that cannot be read changes nothing");
    assert_eq!(july.allocation[0].buckets.len(), 4);
    let june: AllocationAnswer = api.get("acme", &at_instant("2025-06-15T00:00:00Z")).await;
    assert_eq!(shown(&june.allocation[0]), plain);
    let august: AllocationAnswer = api.get("acme", "/api/v1/cost/allocation?cost=effective").await;
    assert_eq!(shown(&august.allocation[0]), plain, "the rules were removed");
    let foreign: AllocationAnswer = api.get("other", "/api/v1/cost/allocation").await;
    assert!(foreign.allocation.is_empty());
    for bad in ["[{}]", "{}", "[{\"to\":{\"team\":\"\"}}]"] {
        let answer: AllocationAnswer = api.get("acme", &trying(bad)).await;
        assert!(answer.fault.is_some() && answer.tried.is_none(), "{bad}");
    }
}

fn any_charge() -> impl Strategy<Value = (i64, u32, u8, Option<u8>, Option<u8>, u8)> {
    (
        -1_000_000_i64..10_000_000,
        0_u32..9,
        0_u8..3,
        proptest::option::of(0_u8..4),
        proptest::option::of(0_u8..3),
        any::<u8>(),
    )
}

fn any_rule() -> impl Strategy<Value = String> {
    let target = prop_oneof![
        "[tuv]".prop_map(|team| format!(r#"{{"team":"{team}"}}"#)),
        Just(r#"{"team_of_tag":"team"}"#.to_owned()),
        Just(r#""shared_proportionally""#.to_owned()),
        Just(r#""idle""#.to_owned()),
        proptest::collection::btree_map("[tuv]", 0_u32..1_000_000, 0..4).prop_map(|weights| {
            let weights: Vec<String> =
                weights.into_iter().map(|(team, weight)| format!(r#""{team}":"0.{weight:06}""#)).collect();
            format!(r#"{{"shared_fixed":{{{}}}}}"#, weights.join(","))
        }),
    ];
    let when = prop_oneof![
        Just("{}".to_owned()),
        (0_u8..3).prop_map(|account| format!(r#"{{"account":"S-{account}"}}"#)),
        (0_u8..3).prop_map(|kind| format!(r#"{{"tags":{{"kind":"{kind}"}}}}"#)),
    ];
    (when, target).prop_map(|(when, to)| format!(r#"{{"when":{when},"to":{to}}}"#))
}

/// A charge, a correction of one, or a replacement of its billing period.
fn made(
    n: u64,
    (digits, scale, account, team, kind, sort): (i64, u32, u8, Option<u8>, Option<u8>, u8),
) -> Envelope {
    let known = at("2025-06-01T00:00:00Z") + chrono::TimeDelta::hours(i64::from(sort));
    let mut envelope = charge(n, 0, i64::from(sort) * 3_600, known);
    let usage = columns(&mut envelope);
    usage.billed_cost = Decimal::new(digits, scale);
    usage.sub_account_id = Some(format!("S-{account}"));
    usage.billing_account_id = format!("A-{}", account % 2);
    usage.tags = team.map(|team| ("team".to_owned(), format!("t{team}"))).into_iter().collect();
    usage.tags.extend(kind.map(|kind| ("kind".to_owned(), kind.to_string())));
    if sort % 7 == 0 {
        usage.kind = schemas::events::UsageKind::ChargeCorrected;
    }
    if sort % 11 == 0 { replacing(envelope) } else { envelope }
}

/// Rows of one bill, of which one is noise of a double: their sum has more digits than a decimal of 96 bits.
#[tokio::test]
async fn amounts_of_any_number_of_digits_are_allocated() {
    const NOISE: &str = "0.0000000000000017763568394003";
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let with = |mut envelope: Envelope, cost: &str| {
        columns(&mut envelope).billed_cost = cost.parse().expect("a decimal");
        envelope
    };
    let events = [
        with(spent(1, 0, "a", &[("team", "ads")]), "123.45"),
        with(spent(2, 0, "a", &[("team", "search")]), NOISE),
        with(spent(3, 0, "platform", &[]), "10"),
        with(spent(4, 0, "platform", &[]), NOISE),
    ];
    let rules =
        r#"[{"when":{"account":"platform"},"to":"shared_proportionally"},{"to":{"team_of_tag":"team"}}]"#;
    member.deliver(&events).await;
    let answer: AllocationAnswer = api.get("acme", &trying(rules)).await;
    let own =
        pairs(&[("ads", "123.45"), ("search", NOISE), ("(untagged)", "10.0000000000000017763568394003")]);
    assert_eq!(shown(&answer.allocation[0]), own);
    assert_eq!(answer.allocation[0].total, "133.4500000000000035527136788006");
    let tried = answer.tried.expect("tried rules");
    assert_eq!(tried[0].total, answer.allocation[0].total);
}

#[tokio::test]
async fn a_node_with_such_amounts_is_divided_among_its_workloads() {
    const NOISE: &str = "0.0000000000000017763568394003";
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    // Its first charge is of 10, for the day on which pods were measured.
    let mut events = super::workloads::a_day();
    for (n, cost) in [(5_000, "123.45"), (5_001, NOISE)] {
        let mut envelope = events[0].clone();
        envelope.id = charge(n, 0, 0, envelope.occurred_at).id;
        columns(&mut envelope).billed_cost = cost.parse().expect("a decimal");
        events.push(envelope);
    }
    member.deliver(&events).await;
    let summary: CostSummary = api.get("acme", "/api/v1/cost/summary").await;
    let answer: AllocationAnswer = api.get("acme", "/api/v1/cost/allocation").await;
    assert_eq!(answer.allocation[0].total, summary.totals[0].billed_cost);
    let workloads: CostWorkloads = api.get("acme", "/api/v1/cost/workloads").await;
    assert_eq!(workloads.currencies[0].total, "133.4500000000000017763568394003");
}

#[tokio::test]
async fn rules_as_long_as_those_that_can_be_set_are_tried() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    member.deliver(&[spent(1, 3_000, "a", &[("team", "ads")])]).await;
    let rule = |n: usize| format!(r#"{{"when":{{"account":"{n:0>100}"}},"to":{{"team":"team {n}"}}}}"#);
    let rules: Vec<String> = (0..100).map(rule).collect();
    let rules = format!("[{}]", rules.join(","));
    assert!((14_000..16_384).contains(&rules.len()), "{}", rules.len());
    let answer: AllocationAnswer = api.get("acme", &trying(&rules)).await;
    assert_eq!(answer.fault, None);
    assert_eq!(shown(&answer.tried.expect("tried rules")[0]).len(), 2, "a team loses what nobody gets");
    let longer = format!("{rules}{}", " ".repeat(16_384));
    assert_eq!(api.refused("acme", &trying(&longer)).await, "invalid-query");
}

/// Conservation: whatever is charged, corrected, replaced and ruled, no cent is lost or invented.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cent_is_lost_or_invented() {
    let api = Api::start().await;
    let place = Place::at(api.database.clone()).await;
    let mut member = place.member(0).await;
    let mut runner = TestRunner::new(Config::default());
    let charges = proptest::collection::vec(any_charge(), 1..40);
    let rule_sets = proptest::collection::vec(proptest::collection::vec(any_rule(), 0..6), 4);
    let mut n = 0;
    for round in 0..12 {
        let drawn = charges.new_tree(&mut runner).expect("charges").current();
        let events: Vec<Envelope> = drawn
            .into_iter()
            .map(|charge| {
                n += 1;
                made(n, charge)
            })
            .collect();
        member.deliver(&events).await;
        let summary: CostSummary = api.get("acme", "/api/v1/cost/summary").await;
        let billed: Decimal =
            summary.totals.first().map_or(Decimal::ZERO, |sums| sums.billed_cost.parse().expect("a decimal"));
        for rules in rule_sets.new_tree(&mut runner).expect("rules").current() {
            let rules = format!("[{}]", rules.join(","));
            let answer: AllocationAnswer = api.get("acme", &trying(&rules)).await;
            for allocation in [&answer.allocation, answer.tried.as_ref().expect("tried")] {
                let allocated: Decimal = allocation
                    .iter()
                    .flat_map(|currency| &currency.buckets)
                    .map(|bucket| bucket.total.parse::<Decimal>().expect("a decimal"))
                    .sum();
                assert_eq!(allocated, billed, "round {round}, {rules}, {events:?}");
            }
        }
    }
}
