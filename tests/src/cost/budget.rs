//! Budgets: thresholds are told once, and follow from what was spent alone.

use schemas::{
    Envelope, Event, Timestamp,
    events::{Actor, ActorKind, Governance, GovernanceKind},
};
use serde_json::Value;
use sinks::query_api::BudgetsPage;

use super::fixture::{Place, at, charge, events, replacing};
use crate::{
    query_api::fixture::Api,
    support::projection::{in_batches, in_partitions, shuffled},
};

/// The n-th event: a budget, its amount in EUR, and further terms.
pub(super) fn budget(
    n: u64,
    name: &str,
    amount: &str,
    terms: &[(&str, &str)],
    decided_at: Timestamp,
) -> Envelope {
    let mut envelope = charge(n, 0, 0, decided_at);
    let terms = [("currency", "EUR")].iter().chain(terms);
    envelope.event = Event::Governance(Governance {
        kind: GovernanceKind::BudgetSet,
        subject_kind: "budget".into(),
        subject_id: name.into(),
        actor: Actor { kind: ActorKind::User, id: "ada".into(), ..Actor::default() },
        decision: Some(amount.into()),
        reason: Some("agreed".into()),
        expires_at: None,
        attributes: terms.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    });
    envelope
}

/// The findings that wait in the outbox: percent and what was spent; empties it.
pub(super) async fn told(place: &mut Place) -> Vec<(i64, String)> {
    let values: Vec<Vec<u8>> = sqlx::query_scalar(
        "WITH gone AS (DELETE FROM outbox RETURNING *) SELECT value FROM gone ORDER BY topic, partition, number",
    )
    .fetch_all(&mut place.owner)
    .await
    .expect("the outbox");
    let one = |value: Vec<u8>| {
        let finding: Value = serde_json::from_slice(&value).expect("JSON");
        assert_eq!(finding["type_uid"], 200_401);
        let told = &finding["unmapped"];
        (told["percent"].as_i64().expect("a number"), told["spent"].as_str().expect("a text").to_owned())
    };
    values.into_iter().map(one).collect()
}

fn known(day: i64) -> Timestamp {
    at("2025-06-01T00:00:00Z") + chrono::TimeDelta::days(day)
}

#[tokio::test]
async fn each_threshold_is_told_once() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    member.deliver(&[budget(1, "all", "100", &[], known(0))]).await;
    member.deliver(&[charge(2, 4_999, 0, known(1))]).await;
    assert_eq!(told(&mut place).await, []);
    member.deliver(&[charge(3, 1, 0, known(2))]).await;
    assert_eq!(told(&mut place).await, [(50, "50".to_owned())]);
    member.deliver(&[charge(3, 1, 0, known(2))]).await;
    member.deliver(&[charge(4, 4_000, 86_400, known(3))]).await;
    let both = [(80, "90".to_owned()), (90, "90".to_owned())];
    assert_eq!(told(&mut place).await, both, "two at once, and the one before not again");
    member.deliver(&[charge(5, 9_999, 40 * 86_400, known(4))]).await;
    let june = [(50, "99.99".to_owned()), (80, "99.99".to_owned()), (90, "99.99".to_owned())];
    assert_eq!(told(&mut place).await, june, "another month begins anew");
    member.deliver(&[budget(6, "all", "removed", &[], known(5))]).await;
    member.deliver(&[charge(7, 9_999, 0, known(6))]).await;
    assert_eq!(told(&mut place).await, []);
    assert_eq!(place.dump("cost_budget_crossing").await.len(), 0);
}

#[tokio::test]
async fn a_budget_looks_at_its_own_part_also_of_what_was_spent_before_it() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    member.deliver(&[charge(1, 6_000, 0, known(1))]).await;
    let terms = [("tag", "team=core"), ("thresholds", "60"), ("period", "yearly")];
    member.deliver(&[budget(2, "core", "100", &terms, known(2))]).await;
    member.deliver(&[budget(3, "edge", "100", &[("team", "edge")], known(2))]).await;
    member.deliver(&[budget(4, "S-1", "50", &[("project", "S-1"), ("thresholds", "100")], known(2))]).await;
    assert_eq!(told(&mut place).await, [(60, "60".to_owned()), (100, "60".to_owned())]);
    // A replacement takes out what had reached the threshold.
    member.deliver(&[replacing(charge(5, 100, 0, known(3)))]).await;
    let rows = place.dump("cost_budget_crossing").await;
    assert_eq!(rows.len(), 2, "it was reached all the same, at that instant: {rows:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crossings_follow_from_the_set_of_events() {
    const TABLES: [&str; 2] = ["cost_budget_fact", "cost_budget_crossing"];
    let mut all = events(7, 150);
    all.push(budget(900, "all", "50", &[("thresholds", "10,50,100,200")], known(3)));
    all.push(budget(901, "all", "40", &[("thresholds", "10,50,100,200")], known(9)));
    all.push(budget(
        902,
        "core",
        "30",
        &[("team", "core"), ("period", "quarterly"), ("cost", "effective")],
        known(1),
    ));
    all.push(budget(903, "odd", "much", &[], known(1)));
    let expected = Place::built(vec![in_batches(&all, 200)], &TABLES).await.1;
    assert!(expected[1].len() > 2, "there is something to compare: {expected:?}");
    for (seed, partitions, size) in [(1, 1, 7), (2, 3, 11), (3, 4, 60)] {
        let dealt = in_partitions(&shuffled(all.clone(), seed), partitions, size);
        let found = Place::built(dealt, &TABLES).await.1;
        assert_eq!(found, expected, "seed {seed}, {partitions} partitions, batches of {size}");
    }
}

#[tokio::test]
async fn budgets_are_listed_with_how_they_stand_at_an_instant() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let all = [
        budget(1, "all", "100", &[("enforcement", "hard")], known(0)),
        budget(2, "odd", "much", &[], known(0)),
        budget(3, "gone", "1", &[], known(0)),
        budget(4, "gone", "removed", &[], known(1)),
        charge(5, 5_500, 0, known(2)),
        charge(6, 3_000, 0, known(4)),
    ];
    assert_eq!(member.deliver(&all).await, [6, 0, 0, 0]);
    let page: BudgetsPage = api.get("acme", "/api/v1/cost/budgets?day=2025-05-20").await;
    let names: Vec<&str> = page.items.iter().map(|item| item.budget.as_str()).collect();
    assert_eq!(names, ["all", "odd"]);
    assert!(page.items[1].fault.as_deref().is_some_and(|fault| fault.contains("amount")));
    let terms = page.items[0].terms.as_ref().expect("terms");
    assert_eq!(
        (terms.spent.as_str(), terms.remaining.as_str(), terms.spent_percent.as_str()),
        ("85", "15", "85.00")
    );
    let reached: Vec<i64> = terms.crossings.iter().map(|crossing| crossing.percent).collect();
    assert_eq!(reached, [50, 80]);
    assert_eq!(terms.period_end.to_string(), "2025-06-01");

    let before = format!("/api/v1/cost/budgets?day=2025-05-20&known_at={}", "2025-06-04T00:00:00Z");
    let page: BudgetsPage = api.get("acme", &before).await;
    let terms = page.items[0].terms.as_ref().expect("terms");
    assert_eq!((terms.spent.as_str(), terms.crossings.len()), ("55", 1));
    for (known_at, expected) in [("2025-05-31T00:00:00Z", ""), ("2025-06-01T12:00:00Z", "all gone odd")] {
        let page: BudgetsPage =
            api.get("acme", &format!("/api/v1/cost/budgets?day=2025-05-20&known_at={known_at}")).await;
        let names: Vec<&str> = page.items.iter().map(|item| item.budget.as_str()).collect();
        assert_eq!(names.join(" "), expected, "{known_at}: only what was decided by then");
    }
    let first: BudgetsPage = api.get("acme", "/api/v1/cost/budgets?limit=1").await;
    let rest = format!("/api/v1/cost/budgets?limit=1&cursor={}", first.next_cursor.expect("more"));
    let second: BudgetsPage = api.get("acme", &rest).await;
    assert_eq!((second.items[0].budget.as_str(), second.next_cursor), ("odd", None));
    let foreign: BudgetsPage = api.get("other", "/api/v1/cost/budgets").await;
    assert!(foreign.items.is_empty());
}
