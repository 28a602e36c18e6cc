//! Entities at risk, the reasons, and incidents.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use schemas::{
    Timestamp,
    changes::risk::{EntityWeight, RiskChange, SignalLevel, TriageDecision, UnusableEvent},
};
use sinks::query_api::{
    EntitiesPage, EntityAnswer, IncidentAnswer, IncidentsPage, SignalsPage, UnusablePage,
};
use sqlx::AssertSqlSafe;

use super::fixture::Api;
use crate::{
    dashboards::sql_of,
    risk::fixture::{
        Event, Member, Place, criticality, event_id, events, fact, signal, tenant, triage, user,
    },
};

/// Long before anybody asks.
const PAST: i64 = -40_000_000;

struct Asked {
    api: Api,
    member: Member,
}

impl Asked {
    async fn new() -> Self {
        let api = Api::start().await;
        let member = Place::at(api.database.clone()).await.member(0).await;
        Self { api, member }
    }

    async fn deliver(&mut self, events: &[Event]) {
        self.member.deliver(events).await;
    }

    /// Id and score of the entities on the leaderboard.
    async fn board(&self, query: &str) -> Vec<(String, f64)> {
        let page: EntitiesPage = self.api.get("acme", &format!("/api/v1/risk/entities?{query}")).await;
        page.items.into_iter().map(|entity| (entity.id, entity.score)).collect()
    }

    async fn entity(&self, id: &str, query: &str) -> EntityAnswer {
        self.api.get("acme", &format!("/api/v1/risk/entities/user/{id}?{query}")).await
    }
}

/// A score as people read it: exact, where floats are compared by their digits.
fn told(score: f64) -> String {
    format!("{score:.2}")
}

fn text(at: Timestamp) -> String {
    at.to_rfc3339().replace('+', "%2B")
}

fn at(seconds: i64) -> String {
    text(crate::risk::fixture::at(PAST + seconds))
}

fn hit(n: u64, rule: &str, level: SignalLevel, id: &str, seconds: i64) -> Event {
    vec![fact(signal(n, rule, level, &user(id), PAST + seconds))]
}

#[tokio::test]
async fn the_leaderboard_is_ordered_filtered_and_paged() {
    let mut asked = Asked::new().await;
    let mut all: Vec<Event> =
        (0..25).map(|n| hit(n, "a", SignalLevel::Low, &format!("tie-{n:02}"), 0)).collect();
    all.push(hit(100, "a", SignalLevel::Critical, "worst", 0));
    all.push(hit(101, "a", SignalLevel::High, "bad", 0));
    asked.deliver(&all).await;
    let as_of = format!("as_of={}", at(0));
    let board = asked.board(&as_of).await;
    assert_eq!(board.len(), 27);
    assert_eq!(
        board[..3],
        [("worst".to_owned(), 99.0), ("bad".to_owned(), 73.0), ("tie-00".to_owned(), 21.0)]
    );
    assert_eq!(asked.board(&format!("{as_of}&level=high")).await.len(), 2);
    assert_eq!(asked.board(&format!("{as_of}&level=critical")).await.len(), 1);
    assert_eq!(asked.board(&format!("{as_of}&kind=role")).await, []);
    // The same, now: everything has faded, and nobody has overtaken anybody.
    let now = asked.board("").await;
    assert_eq!(
        now.iter().map(|(id, _)| id).collect::<Vec<_>>(),
        board.iter().map(|(id, _)| id).collect::<Vec<_>>()
    );
    assert!(now[0].1 < 1.0, "more than a year later: {now:?}");
    assert_eq!(asked.board("level=low").await, []);

    for query in [as_of.as_str(), "kind=user"] {
        let (mut cursor, mut paged) = (String::new(), Vec::new());
        loop {
            let page: EntitiesPage =
                asked.api.get("acme", &format!("/api/v1/risk/entities?{query}&limit=4{cursor}")).await;
            paged.extend(page.items.into_iter().map(|entity| entity.id));
            let Some(next) = page.next_cursor else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(paged, board.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), "{query}");
    }
    let other: EntitiesPage = asked.api.get("other", "/api/v1/risk/entities").await;
    assert!(other.items.is_empty(), "another tenant's");
    for wrong in ["level=bad", "kind=planet", "as_of=yesterday", "limit=0", "sort=x"] {
        assert_eq!(
            asked.api.refused("acme", &format!("/api/v1/risk/entities?{wrong}")).await,
            "invalid-query"
        );
    }
}

#[tokio::test]
async fn an_entity_tells_every_reason_and_its_past() {
    let mut asked = Asked::new().await;
    asked
        .deliver(&[
            hit(1, "a", SignalLevel::High, "ada", 0),
            hit(2, "b", SignalLevel::Medium, "ada", 3600),
            hit(3, "b", SignalLevel::Medium, "ada", 7200),
            vec![criticality(4, &user("ada"), 2000, PAST + 86_400)],
        ])
        .await;
    let answer = asked.entity("ada", &format!("as_of={}", at(7200))).await;
    let item = answer.item;
    assert_eq!((item.factor, item.level.as_str()), (1.0, "critical"));
    let sum: f64 = item.contributions.iter().map(|rule| rule.score).sum();
    assert_eq!(told(sum), told(item.score));
    assert_eq!(item.contributions[0].author.as_deref(), Some("Ada"));
    assert_eq!(item.signals.len(), 3);
    assert_eq!(told(item.history.last().expect("a point").score), told(item.score));
    assert_eq!(item.history.len(), 30);
    assert_eq!(asked.board(&format!("as_of={}", at(7200))).await, [("ada".to_owned(), item.score)]);

    // Before the second rule fired, after the weight was set, and a half-life later.
    assert_eq!(told(asked.entity("ada", &format!("as_of={}", at(0))).await.item.score), told(73.0));
    let doubled = asked.entity("ada", &format!("as_of={}&history=hour", at(86_400))).await.item;
    assert_eq!((doubled.factor, doubled.weights.len(), doubled.weights[0].in_force), (2.0, 1, true));
    assert!(doubled.score > item.score && doubled.history.len() == 168);
    let later = asked.entity("ada", &format!("as_of={}", at(86_400 * 8))).await.item;
    assert!(later.score < doubled.score && later.score > 80.0, "{}", later.score);

    let page: SignalsPage = asked.api.get("acme", "/api/v1/risk/entities/user/ada/signals?limit=2").await;
    assert_eq!(page.items[0].matched["eventName"], "CreateAccessKey");
    let cursor = page.next_cursor.expect("more");
    let rest: SignalsPage = asked
        .api
        .get("acme", &format!("/api/v1/risk/entities/user/ada/signals?limit=2&cursor={cursor}"))
        .await;
    assert_eq!((page.items.len(), rest.items.len(), rest.next_cursor), (2, 1, None));
    for (tenant, path) in
        [("acme", "user/eve"), ("other", "user/ada"), ("acme", "planet/ada"), ("acme", "user/%20")]
    {
        let (status, _) = asked.api.ask(tenant, &format!("/api/v1/risk/entities/{path}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn the_leaderboard_of_the_past_agrees_with_every_entity() {
    let mut asked = Asked::new().await;
    let shift = |change: RiskChange| match change {
        RiskChange::Signal(mut signal) => {
            signal.occurred_at += chrono::TimeDelta::seconds(PAST);
            RiskChange::Signal(signal)
        }
        RiskChange::Weight(mut weight) => {
            weight.decided_at += chrono::TimeDelta::seconds(PAST);
            RiskChange::Weight(weight)
        }
        RiskChange::Triage(mut triage) => {
            triage.decided_at += chrono::TimeDelta::seconds(PAST);
            RiskChange::Triage(triage)
        }
        other @ (RiskChange::Part(_) | RiskChange::Sightings(_) | RiskChange::Unusable(_)) => other,
    };
    let events: Vec<Event> =
        events(5, 300).into_iter().map(|event| event.into_iter().map(shift).collect()).collect();
    asked.deliver(&events).await;
    for days in [3, 10, 25, 45] {
        let as_of = format!("as_of={}", at(days * 86_400));
        let board = asked.board(&as_of).await;
        assert_eq!(board.len(), 4);
        for (id, score) in board {
            assert_eq!(
                told(asked.entity(&id, &as_of).await.item.score),
                told(score),
                "{id} after {days} days"
            );
        }
    }
    let now = asked.board("").await;
    for (id, score) in now {
        assert_eq!(told(asked.entity(&id, "").await.item.score), told(score), "{id} now");
    }
}

/// A signal of a minute ago.
fn recent(n: u64, id: &str, now: Timestamp) -> Event {
    let mut signal = signal(n, "a", SignalLevel::Medium, &user(id), 0);
    signal.occurred_at = now - chrono::TimeDelta::minutes(1);
    vec![fact(signal)]
}

/// A weight of yesterday that ends in so many minutes, or did.
fn listed(n: u64, id: &str, now: Timestamp, ends_in: i64) -> Event {
    vec![RiskChange::Weight(Box::new(EntityWeight {
        tenant: tenant(),
        event_id: event_id(n),
        decided_at: now - chrono::TimeDelta::days(1),
        expires_at: Some(now + chrono::TimeDelta::minutes(ends_in)),
        entity: user(id),
        weight_source: "watchlist:leavers".to_owned(),
        factor_thousandths: 3000,
        decision: "added".to_owned(),
        reason: None,
        actor: "grace".to_owned(),
        content_sha256: [1; 32],
    }))]
}

#[tokio::test]
async fn a_weight_that_ends_by_itself_counts_no_longer() {
    let mut asked = Asked::new().await;
    let now = chrono::Utc::now();
    asked
        .deliver(&[
            recent(1, "left", now),
            recent(2, "leaving", now),
            recent(3, "staying", now),
            listed(4, "left", now, -1),
            listed(5, "leaving", now, 60),
        ])
        .await;
    let board = asked.board("").await;
    assert_eq!(board[0].0, "leaving");
    assert!(board[0].1 > 80.0, "{board:?}");
    assert_eq!((board[1].clone(), board[2].clone()), (("left".into(), 47.0), ("staying".into(), 47.0)));
    assert_eq!(told(asked.entity("left", "").await.item.score), told(47.0));
    assert!(!asked.entity("left", "").await.item.weights[0].in_force);
    let page: EntitiesPage = asked.api.get("acme", "/api/v1/risk/entities?limit=1").await;
    let cursor = page.next_cursor.expect("more");
    assert_eq!(asked.board(&format!("limit=1&cursor={cursor}")).await, [("left".to_owned(), 47.0)]);

    // The dashboard shows the same scores.
    let panel = sql_of("weir-risk", "Highest risk");
    let panel = AssertSqlSafe(format!("SELECT entity, score::float8 FROM ({panel}) AS panel"));
    let shown: Vec<(String, f64)> =
        sqlx::query_as(panel).fetch_all(&mut asked.api.owner).await.expect("a query of the dashboard");
    let rounded = |scores: Vec<(String, f64)>| -> BTreeSet<(String, String)> {
        scores.into_iter().map(|(id, score)| (id, format!("{score:.1}"))).collect()
    };
    assert_eq!(shown[0].0, "leaving");
    assert_eq!(rounded(shown), rounded(board));
}

/// More than are read at a time.
#[tokio::test]
async fn many_whose_weights_have_ended_are_each_listed_once() {
    let mut asked = Asked::new().await;
    let now = chrono::Utc::now();
    let ids: Vec<String> = (0..520).map(|n| format!("left-{n:03}")).collect();
    let signals = (0..).zip(&ids).map(|(n, id)| recent(n, id, now));
    let weights = (1000..).zip(&ids).map(|(n, id)| listed(n, id, now, -1));
    let all: Vec<Event> = signals.chain(weights).collect();
    asked.deliver(&all).await;
    let (mut cursor, mut found) = (String::new(), Vec::new());
    loop {
        let page: EntitiesPage =
            asked.api.get("acme", &format!("/api/v1/risk/entities?limit=100{cursor}")).await;
        found.extend(page.items.into_iter().map(|entity| (entity.id, told(entity.score))));
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    let score = told(asked.entity("left-000", "").await.item.score);
    let expected: Vec<(String, String)> = ids.into_iter().map(|id| (id, score.clone())).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn incidents_are_listed_filtered_and_shown() {
    let mut asked = Asked::new().await;
    let all: Vec<Event> = (0..5)
        .map(|n| hit(n, "a", SignalLevel::Critical, &format!("user-{n}"), 3600 * n.cast_signed()))
        .collect();
    asked.deliver(&all).await;
    let page: IncidentsPage = asked.api.get("acme", "/api/v1/risk/incidents?limit=3").await;
    assert_eq!(
        page.items.iter().map(|one| one.entity.as_str()).collect::<Vec<_>>(),
        ["user-4", "user-3", "user-2"]
    );
    let cursor = page.next_cursor.expect("more");
    let rest: IncidentsPage =
        asked.api.get("acme", &format!("/api/v1/risk/incidents?limit=3&cursor={cursor}")).await;
    assert_eq!((rest.items.len(), rest.next_cursor), (2, None));
    let one = &page.items[0];
    assert_eq!((one.score, one.status.as_str(), one.cause.as_str()), (99.0, "open", "hazard"));
    assert_eq!(one.title, "Rule a: user user-4");

    let decision = (TriageDecision::Closed, &[][..]);
    asked.deliver(&[vec![triage(50, one.id, &user("user-4"), decision, PAST + 20_000)]]).await;
    let answer: IncidentAnswer = asked.api.get("acme", &format!("/api/v1/risk/incidents/{}", one.id)).await;
    assert_eq!(answer.item.incident.status, "closed");
    assert_eq!(answer.item.decisions.len(), 1);
    assert_eq!(answer.item.incident.reason.as_deref(), Some("looked at it"));
    for (query, count) in [
        ("status=open", 4),
        ("status=closed", 1),
        ("kind=role", 0),
        ("entity=user-2", 1),
        (format!("from={}", at(3600 * 3)).as_str(), 2),
        (format!("to={}", at(3600)).as_str(), 2),
    ] {
        let page: IncidentsPage = asked.api.get("acme", &format!("/api/v1/risk/incidents?{query}")).await;
        assert_eq!(page.items.len(), count, "{query}");
    }
    for path in ["no-id", &uuid::Uuid::nil().to_string()] {
        let (status, _) = asked.api.ask("acme", &format!("/api/v1/risk/incidents/{path}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    let (status, _) = asked.api.ask("other", &format!("/api/v1/risk/incidents/{}", one.id)).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "another tenant's");
}

/// Id, title, level and signals of each rule of the only incident.
async fn rules_of_the_incident(asked: &Asked) -> Vec<(String, String, String, i64)> {
    let page: IncidentsPage = asked.api.get("acme", "/api/v1/risk/incidents").await;
    assert_eq!(page.items.len(), 1);
    let rules = page.items[0].rules.iter();
    rules.map(|rule| (rule.id.clone(), rule.title.clone(), rule.level.clone(), rule.signals)).collect()
}

#[tokio::test]
async fn an_incident_has_its_rules_whichever_release_wrote_them() {
    let mut asked = Asked::new().await;
    let rule = |id: &str, title: &str, level: &str, signals| {
        (id.to_owned(), title.to_owned(), level.to_owned(), signals)
    };
    let high = |n, seconds| hit(n, "a", SignalLevel::High, "ada", seconds);
    asked.deliver(&[hit(1, "b", SignalLevel::Critical, "ada", 0), high(2, 60), high(3, 90)]).await;
    let both = |signals| [rule("a", "Rule a", "high", signals), rule("b", "Rule b", "critical", 1)];
    assert_eq!(rules_of_the_incident(&asked).await, both(2));

    let as_before = r#"[{"id": "b", "title": "Old", "level": "low", "signals": 7}]"#;
    sqlx::query("UPDATE incident SET rules = $1::jsonb")
        .bind(as_before)
        .execute(&mut asked.api.owner)
        .await
        .expect("as the release before writes it");
    assert_eq!(rules_of_the_incident(&asked).await, [rule("b", "Old", "low", 7)]);

    asked.deliver(&[high(4, 120)]).await;
    assert_eq!(rules_of_the_incident(&asked).await, both(3));
}

#[tokio::test]
async fn what_is_dated_into_the_future_neither_counts_nor_hides_anything() {
    let mut asked = Asked::new().await;
    let dated = |n, level, at| {
        let mut signal = signal(n, "a", level, &user("ada"), 0);
        signal.occurred_at = at;
        vec![fact(signal)]
    };
    let now = chrono::Utc::now();
    let far = Timestamp::from_timestamp(250_000_000_000, 0).expect("a time");
    asked.deliver(&[dated(1, SignalLevel::Critical, now), dated(2, SignalLevel::Informational, far)]).await;
    assert_eq!(asked.board("").await, [("ada".to_owned(), 99.0)]);
    let item = asked.entity("ada", "").await.item;
    assert_eq!((item.score, item.contributions.len(), item.contributions[0].signals), (99.0, 1, 1));
    assert_eq!(asked.board("level=critical&kind=user").await.len(), 1);
    assert_eq!(asked.board(&format!("as_of={}", text(far))).await, [("ada".to_owned(), 5.0)]);
}

#[tokio::test]
async fn what_could_not_be_used_is_listed() {
    let mut asked = Asked::new().await;
    let unusable = |n: u64| {
        vec![RiskChange::Unusable(Box::new(UnusableEvent {
            tenant: tenant(),
            event_id: event_id(n),
            occurred_at: crate::risk::fixture::at(n.cast_signed()),
            source: "/test".to_owned(),
            format: "aws.cloudtrail".to_owned(),
            reason: format!("reason {n}"),
            content_sha256: [1; 32],
        }))]
    };
    asked.deliver(&(0..3).map(unusable).collect::<Vec<_>>()).await;
    let page: UnusablePage = asked.api.get("acme", "/api/v1/risk/unusable?limit=2").await;
    let reasons = |page: &UnusablePage| page.items.iter().map(|item| item.reason.clone()).collect::<Vec<_>>();
    assert_eq!(reasons(&page), ["reason 2", "reason 1"]);
    let cursor = page.next_cursor.expect("more");
    let rest: UnusablePage =
        asked.api.get("acme", &format!("/api/v1/risk/unusable?limit=2&cursor={cursor}")).await;
    assert_eq!((reasons(&rest), rest.next_cursor), (vec!["reason 0".to_owned()], None));
    let other: UnusablePage = asked.api.get("other", "/api/v1/risk/unusable").await;
    assert!(other.items.is_empty(), "another tenant's");
}
