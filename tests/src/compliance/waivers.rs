//! Waivers hold for a time, end by themselves, and overlap predictably.

use chrono::TimeDelta;
use schemas::{TenantId, events::GovernanceKind};
use serde_json::{Value, json};
use sinks::{
    postgres::service_pool,
    query_api::{FindingsPage, PostureAnswer, WaiversPage},
    read_models::compliance::read::{FindingStatus, WaiverStatus},
    waivers::MAX_OF_TENANT,
};

use super::fixture::{ENCRYPTED, Place, granted, hour, planned, volume, waiver};
use crate::{change_review::fixture as change_review, query_api::fixture::Api};

/// Status of the finding about `a-1`, and the waiver that holds, at an hour.
async fn at(api: &Api, hours: i64) -> (FindingStatus, Option<String>) {
    let instant = hour(hours).format("%Y-%m-%dT%H:%M:%SZ");
    let path = format!("/api/v1/compliance/findings?resource=a-1&as_of={instant}");
    let mut page: FindingsPage = api.get("acme", &path).await;
    let item = page.items.remove(0);
    (item.status, item.waiver)
}

#[tokio::test]
async fn a_waiver_holds_until_its_end_and_the_finding_is_open_again() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let mut events = vec![volume(1, "a-1", false, hour(0)), volume(2, "a-2", false, hour(0))];
    events.extend(granted(10, "short", &["a-1"], hour(2), hour(20)));
    events.extend(granted(20, "long", &["a-1", "gone"], hour(9), hour(40)));
    member.deliver(&events).await;
    let named = |name: &str| (FindingStatus::Waived, Some(name.to_owned()));
    assert_eq!(at(&api, 2).await, (FindingStatus::Open, None), "it is asked for only");
    assert_eq!(at(&api, 3).await, named("short"));
    assert_eq!(at(&api, 11).await, named("long"), "of two the one that ends last");
    assert_eq!(at(&api, 39).await, named("long"));
    assert_eq!(at(&api, 40).await, (FindingStatus::Open, None));
    member
        .deliver(&[waiver(30, ("long", "bob"), (GovernanceKind::WaiverRevoked, &[]), hour(15), None)])
        .await;
    assert_eq!(at(&api, 14).await, named("long"), "the past stays");
    assert_eq!(at(&api, 16).await, named("short"));
    assert_eq!(at(&api, 20).await, (FindingStatus::Open, None));

    let path = "/api/v1/compliance/posture?framework=HIPAA&as_of=2026-03-01T12:00:00Z";
    let posture: PostureAnswer = api.get("acme", path).await;
    let hipaa = &posture.frameworks[0];
    assert_eq!(
        (hipaa.passed, hipaa.waived),
        (0, 0),
        "another volume fails the same control without a waiver"
    );
    assert!(hipaa.failed > 0 && hipaa.score.is_some_and(|score| score.value == 0));
    member.deliver(&[volume(40, "a-2", true, hour(1))]).await;
    let posture: PostureAnswer = api.get("acme", path).await;
    let hipaa = &posture.frameworks[0];
    assert_eq!((hipaa.failed, hipaa.waived > 0), (0, true));
    let scores = (hipaa.score.expect("one").value, hipaa.score_without_waivers.expect("one").value);
    assert_eq!(scores, (100, 0));
    let project = &posture.projects[0];
    assert_eq!((project.project.as_deref(), project.posture.waived), (Some("a"), hipaa.waived));
}

#[tokio::test]
async fn waivers_are_listed_with_steps_that_count_for_nothing() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let asked = |n, id, until| {
        waiver(n, (id, "ada"), (GovernanceKind::ApprovalRequested, &["a-1"]), hour(1), Some(until))
    };
    let step = |n, id, actor, kind| waiver(n, (id, actor), (kind, &[]), hour(2), None);
    let mut events = vec![
        asked(1, "asked", hour(30)),
        asked(2, "own", hour(30)),
        step(3, "own", "ada", GovernanceKind::WaiverGranted),
        asked(4, "refused", hour(30)),
        step(5, "refused", "bob", GovernanceKind::ApprovalDecided),
        asked(6, "odd", hour(24 * 100)),
    ];
    events.extend(granted(10, "good", &["a-1"], hour(1), hour(30)));
    member.deliver(&events).await;
    let page: WaiversPage = api.get("acme", "/api/v1/compliance/waivers?as_of=2026-03-01T10:00:00Z").await;
    let told: Vec<_> = page.items.iter().map(|item| (item.waiver.as_str(), item.status)).collect();
    let expected = [
        ("asked", WaiverStatus::Requested),
        ("good", WaiverStatus::InForce),
        ("odd", WaiverStatus::Ineffective),
        ("own", WaiverStatus::Requested),
        ("refused", WaiverStatus::Rejected),
    ];
    assert_eq!(told, expected);
    let why = |place: usize| page.items[place].ineffective[0]["why"].as_str().expect("a reason").to_owned();
    assert_eq!(why(2), "it holds for more than 90 days");
    assert_eq!(why(3), "the requester cannot grant it");
    let good = &page.items[1];
    assert_eq!(
        (good.owner.as_deref(), good.requested_by.as_deref(), good.granted_by.as_deref()),
        (Some("olga"), Some("ada"), Some("bob"))
    );
    let later: WaiversPage =
        api.get("acme", "/api/v1/compliance/waivers?status=expired&as_of=2026-03-03T00:00:00Z").await;
    let names: Vec<_> = later.items.iter().map(|item| item.waiver.as_str()).collect();
    assert_eq!(names, ["asked", "good", "own"]);
    let before: WaiversPage = api.get("acme", "/api/v1/compliance/waivers?as_of=2026-03-01T00:30:00Z").await;
    assert!(before.items.is_empty());
}

#[tokio::test]
async fn waivers_of_one_tenant_displace_none_of_anothers_in_decisions() {
    let mut api = Api::start().await;
    sqlx::query(
        "INSERT INTO compliance_waiver (tenant_id, waiver, policies, resources, ineffective, first_at, granted_at,
                                        expires_at, ends_at)
         SELECT tenant, 'w-' || n, ARRAY['p'], ARRAY['r-' || n], '[]'::jsonb, now(), now(), ends_at, ends_at
           FROM (SELECT 'acme' AS tenant, n, now() + interval '9 days' + n * interval '1 s' AS ends_at
                   FROM generate_series(1, $1) AS n
                 UNION ALL
                 SELECT 'other', 1, now() + interval '1 day') AS waivers",
    )
    .bind(MAX_OF_TENANT + 2)
    .execute(&mut api.owner)
    .await
    .expect("waivers");
    let now = chrono::Utc::now();
    let pool = service_pool(&api.database, 1).expect("an address");
    let read = sinks::waivers::granted(&pool, now).await.expect("read");
    let is_waived = |tenant: &str, resource: &str| {
        let waivers = read.waivers.of(&TenantId::new(tenant).expect("a tenant"));
        let resource = [resource.to_owned()];
        waivers.is_some_and(|own| own.holding(&resource, "p", now + TimeDelta::minutes(1)).is_some())
    };
    assert_eq!(read.left_out, 2);
    assert!(is_waived("other", "r-1"));
    let (first, last) = ("r-3", format!("r-{}", MAX_OF_TENANT + 2));
    assert!(
        is_waived("acme", first) && is_waived("acme", &last) && !is_waived("acme", "r-2"),
        "the last ones hold"
    );
}

#[tokio::test]
async fn a_review_shows_what_is_waived_of_its_plan() {
    let api = Api::start().await;
    let now = chrono::Utc::now();
    let plan = planned(1, "c", Some(false), now - TimeDelta::hours(3));
    let mut events = vec![plan.clone()];
    events.extend(granted(
        10,
        "w-1",
        &["w/aws_ebs_volume.planned"],
        now - TimeDelta::hours(2),
        now + TimeDelta::hours(9),
    ));
    Place::at(api.database.clone()).await.member(0).await.deliver(&events).await;
    change_review::Place::at(api.database.clone()).await.member(0).await.deliver(&[plan]).await;
    let change: Value = api.get("acme", "/api/v1/changes/c").await;
    assert_eq!(
        (&change["item"]["compliance"], &change["item"]["compliance_with_waivers"]),
        (&json!("fail"), &json!("pass")),
        "{change}"
    );
    let verdict = &change["item"]["verdicts"][0];
    assert_eq!((&verdict["policy_id"], &verdict["verdict"]), (&json!(ENCRYPTED), &json!("fail")));
    assert_eq!(verdict["waiver"], "w-1");
    assert!(verdict["waived_until"].is_string());
    let revoked =
        waiver(20, ("w-1", "bob"), (GovernanceKind::WaiverRevoked, &[]), now - TimeDelta::minutes(1), None);
    Place::at(api.database.clone()).await.member(1).await.deliver(&[revoked]).await;
    let change: Value = api.get("acme", "/api/v1/changes/c").await;
    assert_eq!(change["item"]["compliance_with_waivers"], "fail", "it was taken back");
    assert_eq!(change["item"]["verdicts"][0]["waiver"], Value::Null);
}
