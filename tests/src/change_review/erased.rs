//! Who was erased stays one person in reviews and waivers, whatever comes afterwards and however it is spelled.

use schemas::events::GovernanceKind;
use sinks::retention::{self, RetentionConfig, RetentionPolicy};
use sqlx::PgConnection;

use super::fixture::{Place, asked, decided, proposed};
use crate::{
    compliance::fixture::{self as compliance, hour, waiver},
    support,
};

/// Erases a person.
async fn erase(owner: &mut PgConnection, url: &str, subject: &str) {
    sqlx::query(
        "INSERT INTO erasure (tenant_id, subject, requested_at, event_id, requested_by)
         VALUES ('acme', $1, now(), gen_random_uuid(), 'hanna')",
    )
    .bind(subject)
    .execute(&mut *owner)
    .await
    .expect("a request");
    let config = RetentionConfig {
        database_url: url.into(),
        secret: support::subject_secret(),
        policy: RetentionPolicy::default(),
    };
    // The server may not have let go of the lock of the round before.
    while retention::round(&config).await.expect("a round").is_none() {
        tokio::task::yield_now().await;
    }
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM erasure_progress WHERE done_at IS NULL")
        .fetch_one(owner)
        .await
        .expect("a count");
    assert_eq!(left, 0, "{subject}");
}

/// Approval, decision and what could not be.
async fn state(place: &mut Place) -> String {
    sqlx::query_scalar(
        "SELECT concat_ws(' ', approval, decision, (SELECT string_agg(i ->> 'impossible', ', ')
                                                      FROM jsonb_array_elements(impossible) AS i)) FROM change_review",
    )
    .fetch_one(&mut place.owner)
    .await
    .expect("a row")
}

#[tokio::test]
async fn an_erased_requester_cannot_approve() {
    for (asks, erased, approves) in [("ada", "ada", "ada"), ("Ada", "ada", " ADA "), (" ada", "Ada", "ada")] {
        let mut place = Place::new().await;
        let url = place.url.clone();
        let mut member = place.member(0).await;
        let plan = proposed(1, "CR-1", "aws_db_instance.a", 10);
        member.deliver(&[plan, asked(2, "CR-1", asks, 20)]).await;
        erase(&mut place.owner, &url, erased).await;
        member.deliver(&[decided(3, "CR-1", (approves, "approved"), 30)]).await;
        assert_eq!(state(&mut place).await, "human_review approved by the requester");
        let facts = place.dump("change_fact").await.join("\n").to_lowercase();
        assert!(!facts.contains("\"ada\"") && !facts.contains(" ada"), "{facts}");
        member.deliver(&[decided(4, "CR-1", ("bob", "approved"), 40)]).await;
        assert_eq!(state(&mut place).await, "decided approved approved by the requester");
    }
}

#[tokio::test]
async fn an_erased_approver_approves_once() {
    let mut place = Place::new().await;
    let url = place.url.clone();
    let mut member = place.member(0).await;
    let plan = proposed(1, "CR-1", "aws_ebs_volume.prod", 10);
    member.deliver(&[plan, asked(2, "CR-1", "ada", 20), decided(3, "CR-1", ("bob", "approved"), 30)]).await;
    assert_eq!(state(&mut place).await, "human_review", "two people are needed");
    // Two erasures of one person, by two spellings, are of one person.
    erase(&mut place.owner, &url, "bob").await;
    erase(&mut place.owner, &url, "Bob").await;
    member.deliver(&[decided(4, "CR-1", ("BOB", "approved"), 40)]).await;
    assert_eq!(state(&mut place).await, "human_review approved twice by the same person");
}

#[tokio::test]
async fn an_erased_requester_grants_no_waiver() {
    let mut place = compliance::Place::new().await;
    let url = place.url.clone();
    let mut member = place.member(0).await;
    let events = compliance::granted(10, "w", &["a-1"], hour(2), hour(40));
    let requester: String = match &events[0].event {
        schemas::Event::Governance(request) => request.actor.id.clone(),
        other => panic!("a request: {other:?}"),
    };
    member.deliver(&events[..1]).await;
    erase(&mut place.owner, &url, &requester.to_uppercase()).await;
    let own = [waiver(20, ("w", requester.as_str()), (GovernanceKind::WaiverGranted, &[]), hour(3), None)];
    member.deliver(&own).await;
    let (granted, ineffective): (Option<String>, String) =
        sqlx::query_as("SELECT granted_by, ineffective::text FROM compliance_waiver")
            .fetch_one(&mut place.owner)
            .await
            .expect("a waiver");
    assert_eq!(granted, None);
    assert!(ineffective.contains("the requester cannot grant it"), "{ineffective}");
}
