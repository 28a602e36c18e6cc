//! Posture, controls, verdicts, resources and scorecards over HTTP.

use projections::compliance::{Band, ControlState};
use schemas::changes::compliance::{Presence, VerdictStatus};
use sinks::{
    query_api::{ControlAnswer, PostureAnswer, ResourcePostureAnswer, ScorecardsPage, VerdictsPage},
    read_models::compliance::read::Tier,
};

use super::fixture::{ENCRYPTED, Place, completed, deleted, hour, planned, rolled_back, unknown, volume};
use crate::{change_review::fixture as changes, query_api::fixture::Api};

async fn delivered() -> Api {
    let api = Api::start().await;
    let events = [
        volume(1, "a-1", false, hour(0)),
        volume(2, "a-2", true, hour(1)),
        volume(3, "b-1", true, hour(2)),
        unknown(4, "b-2", hour(3)),
        volume(5, "a-3", false, hour(4)),
        deleted(6, "a-3", hour(5)),
        planned(7, "c", Some(true), hour(6)),
        completed(8, "c", hour(7)),
    ];
    Place::at(api.database.clone()).await.member(0).await.deliver(&events).await;
    api
}

#[tokio::test]
async fn posture_is_shown_with_coverage_and_the_age_of_evidence() {
    let api = delivered().await;
    let posture: PostureAnswer = api.get("acme", "/api/v1/compliance/posture").await;
    assert_eq!(posture.resources, 5, "what is deleted is left out");
    let names: Vec<_> = posture.frameworks.iter().map(|one| one.framework.as_str()).collect();
    assert!(names.contains(&"HIPAA") && names.contains(&"PCI-DSS-4.0"), "{names:?}");
    let hipaa = posture.frameworks.iter().find(|one| one.framework == "HIPAA").expect("one");
    assert_eq!((hipaa.evidence_oldest, hipaa.evidence_newest), (Some(hour(0)), Some(hour(7))));
    assert_eq!((hipaa.coverage_percent, hipaa.failed, hipaa.controls), (100, hipaa.controls, hipaa.controls));
    let score = hipaa.score.expect("a score");
    assert_eq!((score.value, score.band), (0, Band::Poor));
    let of_b: PostureAnswer = api.get("acme", "/api/v1/compliance/posture?project=b&framework=HIPAA").await;
    assert_eq!((of_b.resources, of_b.frameworks[0].failed), (2, 0));
    assert_eq!(of_b.frameworks[0].score.expect("one").value, 100);
    let foreign: PostureAnswer = api.get("other", "/api/v1/compliance/posture").await;
    assert_eq!((foreign.resources, foreign.frameworks.len()), (0, 0), "without evidence there is no score");
    let early: PostureAnswer = api.get("acme", "/api/v1/compliance/posture?as_of=2026-02-01T00:00:00Z").await;
    assert!(early.frameworks.is_empty());
}

#[tokio::test]
async fn a_control_shows_its_evidence() {
    let api = delivered().await;
    let hipaa: PostureAnswer = api.get("acme", "/api/v1/compliance/posture?framework=HIPAA").await;
    assert_eq!(hipaa.projects.len(), 3);
    let verdicts: VerdictsPage = api.get("acme", "/api/v1/compliance/verdicts?framework=HIPAA").await;
    let control = verdicts.items[0].controls["HIPAA"][0].clone();
    let encoded = control.replace('(', "%28").replace(')', "%29");
    let path = format!("/api/v1/compliance/controls/{encoded}?framework=HIPAA&limit=2");
    let answer: ControlAnswer = api.get("acme", &path).await;
    let detail = &answer.frameworks[0];
    let item = &detail.control;
    assert_eq!((item.control.as_str(), item.state), (control.as_str(), ControlState::Fail));
    assert_eq!((item.passed, item.failed, item.not_evaluated), (3, 1, 1));
    assert!(hipaa.controls.contains(item), "the posture lists it, too");
    assert_eq!((detail.evidence.len(), detail.complete), (2, false));
    assert_eq!(item.policies, [ENCRYPTED]);
    assert_eq!(detail.titles[ENCRYPTED], "EBS volumes are encrypted");
    let evidence = &detail.evidence[0];
    assert_eq!((evidence.resource.as_str(), evidence.status), ("a-1", VerdictStatus::Fail));
    assert_eq!(
        (evidence.policy_hash.len(), evidence.topic.as_str(), evidence.offset),
        (64, "weir.infrastructure.v1", 0)
    );
    assert_eq!(api.ask("acme", "/api/v1/compliance/controls/nowhere").await.0, 404);
    assert_eq!(api.ask("acme", "/api/v1/compliance/controls/%00").await.0, 404);
}

#[tokio::test]
async fn verdicts_are_paged_to_the_last_row() {
    let api = delivered().await;
    let (mut cursor, mut found) = (String::new(), Vec::new());
    loop {
        let page: VerdictsPage =
            api.get("acme", &format!("/api/v1/compliance/verdicts?limit=2{cursor}")).await;
        found.extend(page.items.into_iter().map(|item| (item.resource, item.status)));
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    let expected = [
        ("a-1", VerdictStatus::Fail),
        ("a-2", VerdictStatus::Pass),
        ("b-1", VerdictStatus::Pass),
        ("b-2", VerdictStatus::NotEvaluated),
        ("w/aws_ebs_volume.planned", VerdictStatus::Pass),
    ];
    assert_eq!(found, expected.map(|(resource, status)| (resource.to_owned(), status)));
    let failing: VerdictsPage = api
        .get("acme", &format!("/api/v1/compliance/verdicts?status=fail&policy={ENCRYPTED}&project=a"))
        .await;
    assert_eq!(failing.items.len(), 1);
    assert_eq!(api.ask("acme", "/api/v1/compliance/verdicts?status=maybe").await.0, 400);
}

/// Each character of such an id is two in JSON.
#[tokio::test]
async fn verdicts_about_the_longest_ids_are_paged() {
    let api = Api::start().await;
    let ids = ["a", "b"].map(|first| format!("{first}{}", "\"".repeat(1_023)));
    let events = [volume(1, &ids[0], false, hour(0)), volume(2, &ids[1], true, hour(1))];
    Place::at(api.database.clone()).await.member(0).await.deliver(&events).await;
    let first: VerdictsPage = api.get("acme", "/api/v1/compliance/verdicts?limit=1").await;
    let cursor = first.next_cursor.expect("more");
    let path = format!("/api/v1/compliance/verdicts?limit=1&cursor={cursor}");
    let second: VerdictsPage = api.get("acme", &path).await;
    let found = [&first.items[0].resource, &second.items[0].resource];
    assert_eq!((found, second.next_cursor), ([&ids[0], &ids[1]], None));
}

#[tokio::test]
async fn a_resource_shows_how_it_came_to_be_so() {
    let api = delivered().await;
    let answer: ResourcePostureAnswer = api.get("acme", "/api/v1/compliance/resources/a-3").await;
    let gone = answer.item;
    assert_eq!((gone.presence, gone.since, gone.verdicts.len()), (Presence::Absent, hour(5), 0));
    assert_eq!((gone.observations.len(), gone.findings.len()), (2, 1));
    assert_eq!(gone.findings[0].close_reason.as_deref(), Some("resource_gone"));
    let before = "/api/v1/compliance/resources/a-3?as_of=2026-03-01T04:30:00Z";
    let answer: ResourcePostureAnswer = api.get("acme", before).await;
    assert_eq!((answer.item.presence, answer.item.verdicts.len()), (Presence::Present, 1));
    let early = "/api/v1/compliance/resources/a-3?as_of=2026-03-01T03:30:00Z";
    assert_eq!(api.ask("acme", early).await.0, 404);
    let planned = "/api/v1/compliance/resources/w%2Faws_ebs_volume.planned";
    let answer: ResourcePostureAnswer = api.get("acme", planned).await;
    assert_eq!((answer.item.since, answer.item.project.as_deref()), (hour(7), Some("w")));
    assert_eq!(api.ask("other", planned).await.0, 404);
}

#[tokio::test]
async fn scorecards_have_a_score_only_where_there_is_evidence() {
    let api = delivered().await;
    let cards: ScorecardsPage = api.get("acme", "/api/v1/compliance/scorecards").await;
    let told: Vec<_> = cards
        .items
        .iter()
        .map(|card| (card.project.as_str(), card.compliance.map(|score| score.value), card.tier))
        .collect();
    assert_eq!(
        told,
        [
            ("a", Some(0), Some(Tier::None)),
            ("b", Some(100), Some(Tier::Gold)),
            ("w", Some(100), Some(Tier::Gold))
        ]
    );
    assert_eq!(cards.items[0].security.expect("one").value, 50);
    assert_eq!((cards.items[0].quality, cards.items[0].performance), (None, None));
    let one: ScorecardsPage = api.get("acme", "/api/v1/compliance/scorecards?project=b").await;
    assert_eq!(one.items.len(), 1);
}

#[tokio::test]
async fn a_change_that_was_rolled_back_counts_as_failed() {
    let api = Api::start().await;
    let events = [
        planned(1, "c-1", Some(true), hour(1)),
        completed(2, "c-1", hour(2)),
        planned(3, "c-2", Some(false), hour(3)),
        rolled_back(4, "c-2", hour(4)),
    ];
    Place::at(api.database.clone()).await.member(0).await.deliver(&events).await;
    changes::Place::at(api.database.clone()).await.member(0).await.deliver(&events).await;
    let path = "/api/v1/compliance/scorecards?project=w&as_of=2026-03-02T00:00:00Z";
    let cards: ScorecardsPage = api.get("acme", path).await;
    assert_eq!(cards.items[0].compliance.map(|score| score.value), Some(100), "its plan is not in force");
    assert_eq!(cards.items[0].quality.map(|score| score.value), Some(50));
}
