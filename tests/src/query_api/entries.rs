//! Pages, filters and single entries.

use schemas::{
    EventId, TenantId, Topic,
    changes::{AuditEntry, OcsfRecord},
    events::{ActorKind, OutcomeStatus},
};
use serde_json::json;
use sinks::{
    Batch, ClaimRequest, KeptBytes, OffsetRange, RawRecord, RecordChanges, Settlement, Sink, TopicPartition,
    postgres::{PostgresSink, SinkConfig},
    query_api::{AuditAnswer, AuditPage, HistogramAnswer, TermsAnswer},
    read_models::audit_entry::AuditEntries,
};
use uuid::Uuid;

use crate::support;

use super::fixture::{Api, Entry, at, entry};

#[tokio::test]
async fn pages_hold_every_entry_once_newest_first() {
    let mut api = Api::start().await;
    // Over three months and with many of one instant, so that pages end inside of one.
    let mut entries: Vec<Entry> = (0..40).map(|n| entry(n / 8 * 1_500_000, "Read")).collect();
    for entry in &entries {
        api.insert(entry).await;
    }
    entries.sort_by_key(|entry| std::cmp::Reverse((entry.occurred_at, entry.event_id)));
    let expected: Vec<Uuid> = entries.iter().map(|entry| entry.event_id).collect();

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page: AuditPage = api.get("acme", &format!("/api/v1/audit?limit=7{cursor}")).await;
        assert!(page.items.len() <= 7);
        seen.extend(page.items.iter().map(|item| item.event_id));
        // What arrives meanwhile is newer and disturbs no page.
        api.insert(&entry(10_000_000, "Late")).await;
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, expected);
    assert_eq!(api.actions("limit=1").await, ["Late"]);
}

#[tokio::test]
async fn each_filter_finds_what_it_names() {
    let mut api = Api::start().await;
    for (seconds, action) in
        ["Plain", "Actor", "ActorName", "Resource", "Project", "Outcome", "Source", "Kind", "Correlation"]
            .into_iter()
            .enumerate()
    {
        let mut row = entry(i64::try_from(seconds).expect("small"), action);
        match action {
            "Actor" => row.actor = "bob",
            "ActorName" => row.actor_name = Some("bob"),
            "Resource" => row.resource = Some("arn:r/1"),
            "Project" => row.project = Some("apollo"),
            "Outcome" => (row.outcome, row.outcome_code) = ("failure", Some("AccessDenied")),
            "Source" => row.source = "/other",
            "Kind" => row.kind = "SignedIn",
            "Correlation" => row.correlation = Some("c-1"),
            _ => {}
        }
        api.insert(&row).await;
    }
    for (query, found) in [
        ("actor=bob", vec!["ActorName", "Actor"]),
        ("action=Plain", vec!["Plain"]),
        ("resource=arn:r/1", vec!["Resource"]),
        ("project=apollo", vec!["Project"]),
        ("outcome=failure", vec!["Outcome"]),
        ("source=/other", vec!["Source"]),
        ("kind=SignedIn", vec!["Kind"]),
        ("correlation=c-1", vec!["Correlation"]),
        ("from=2026-01-01T00:00:03Z&to=2026-01-01T00:00:05Z", vec!["Project", "Resource"]),
        ("actor=ada&outcome=failure&text=accessd", vec!["Outcome"]),
        ("text=APOLLO", vec!["Project"]),
        ("actor=bob&outcome=failure", vec![]),
    ] {
        assert_eq!(api.actions(query).await, found, "{query}");
    }
}

#[tokio::test]
async fn what_looks_like_sql_or_a_pattern_is_a_text() {
    let mut api = Api::start().await;
    api.insert(&entry(1, "Plain")).await;
    api.insert(&entry(2, "100%_\\done")).await;
    for literal in ["%25", "_", "%5C", "100%25_%5Cdone"] {
        assert_eq!(api.actions(&format!("text={literal}")).await, ["100%_\\done"], "{literal}");
    }
    for evil in
        ["'%20OR%201=1--", ";DROP%20TABLE%20audit_entry", "_%25", "%5C%25", "%01", "%FF", "%F0%9F%A6%80"]
    {
        for parameter in ["actor", "action", "resource", "project", "source", "kind", "correlation", "text"] {
            assert_eq!(api.actions(&format!("{parameter}={evil}")).await, [""; 0], "{parameter}={evil}");
        }
    }
    assert_eq!(api.actions("limit=1000").await.len(), 2, "nothing was dropped");
}

#[tokio::test]
async fn an_entry_comes_with_its_record_digit_for_digit() {
    let mut api = Api::start().await;
    let mut row = entry(1, "Read");
    row.record = json!({"b": 1, "a": "größe \u{1F980}", "big": 9_007_199_254_740_993_u64});
    api.insert(&row).await;
    for id in [row.event_id.to_string(), row.event_id.to_string().to_uppercase()] {
        let answer: AuditAnswer = api.get("acme", &format!("/api/v1/audit/{id}")).await;
        assert_eq!(answer.item.event_id, row.event_id);
        assert_eq!(answer.item.record.expect("the record").get(), row.record.to_string());
        assert_eq!((answer.item.position.partition, answer.item.position.offset), (3, 1));
    }
    let page: AuditPage = api.get("acme", "/api/v1/audit?include=record").await;
    assert_eq!(page.items[0].record.as_ref().expect("the record").get(), row.record.to_string());
    let page: AuditPage = api.get("acme", "/api/v1/audit").await;
    assert!(page.items[0].record.is_none());
}

#[tokio::test]
async fn a_page_of_large_records_ends_early_and_loses_nothing() {
    let mut api = Api::start().await;
    for n in 0..12 {
        let mut row = entry(n, &n.to_string());
        row.record = json!({ "text": "x".repeat(1 << 20) });
        api.insert(&row).await;
    }
    let (mut path, mut actions) = ("/api/v1/audit?include=record".to_owned(), Vec::new());
    loop {
        let page: AuditPage = api.get("acme", &path).await;
        assert!((1..12).contains(&page.items.len()), "{}", page.items.len());
        actions.extend(page.items.into_iter().map(|item| item.action));
        let Some(cursor) = page.next_cursor else { break };
        path = format!("/api/v1/audit?include=record&cursor={cursor}");
    }
    let all: Vec<String> = (0..12).rev().map(|n| n.to_string()).collect();
    assert_eq!(actions, all);
}

/// An entry as the audit stage hands it over.
fn handed_over() -> AuditEntry {
    AuditEntry {
        event_id: EventId::new(Uuid::from_u128(7)).expect("not nil"),
        tenant: TenantId::new("acme").expect("valid"),
        occurred_at: at(1),
        class_uid: 3002,
        activity_id: 2,
        severity_id: 3,
        kind: "SignInFailed",
        actor_kind: ActorKind::ServiceAccount,
        actor: "arn:ada".into(),
        actor_name: Some("Ada".into()),
        actor_ip: Some("203.0.113.7".into()),
        action: "ConsoleLogin".into(),
        resource_type: Some("console".into()),
        resource: Some("arn:console".into()),
        other_resources: Vec::new(),
        project: Some("apollo".into()),
        outcome: OutcomeStatus::Failure,
        outcome_code: Some("NoMfa".into()),
        source: "/test".into(),
        correlation_id: Some("c-1".into()),
        content_sha256: [7; 32],
        record: OcsfRecord::new(br#"{"class_uid":3002}"#.to_vec(), None),
    }
}

/// The two halves of the read model agree: what the sink wrote is answered, field by field.
#[tokio::test]
async fn what_a_stage_wrote_is_what_readers_get() {
    let api = Api::start().await;
    deliver(&api.database, handed_over()).await;

    let answer: AuditAnswer = api.get("acme", &format!("/api/v1/audit/{}", Uuid::from_u128(7))).await;
    assert_eq!(answer.position["weir.activity.v1"], [(3, 43)].into());
    assert_eq!(
        serde_json::to_value(&answer.item).expect("serialises"),
        json!({
            "event_id": "00000000-0000-0000-0000-000000000007", "occurred_at": "2026-01-01T00:00:01Z",
            "tenant": "acme", "kind": "SignInFailed", "actor_kind": "service_account", "actor": "arn:ada",
            "actor_name": "Ada", "actor_ip": "203.0.113.7", "action": "ConsoleLogin", "resource_type": "console",
            "resource": "arn:console", "project": "apollo", "outcome": "failure", "outcome_code": "NoMfa",
            "source": "/test", "correlation_id": "c-1", "class_uid": 3002, "activity_id": 2, "severity_id": 3,
            "position": {"topic": "weir.activity.v1", "partition": 3, "offset": 42}, "record": {"class_uid": 3002},
        })
    );
    let filter =
        "outcome=failure&actor=Ada&kind=SignInFailed&correlation=c-1&project=apollo&resource=arn:console";
    assert_eq!(api.actions(filter).await, ["ConsoleLogin"]);
}

/// Whoever asks about a resource finds the events that name it in any place, by every route.
#[tokio::test]
async fn every_resource_of_an_event_finds_it() {
    let mut api = Api::start().await;
    let mut first = entry(2, "First");
    first.resource = Some("arn:bucket");
    api.insert(&first).await;
    let others = ["arn:bucket", "arn:key", "c", "d", "e", "arn:last"].map(str::to_owned).to_vec();
    deliver(&api.database, AuditEntry { other_resources: others, ..handed_over() }).await;
    for (query, found) in [
        ("resource=arn:bucket", vec!["First", "ConsoleLogin"]),
        ("resource=arn:console", vec!["ConsoleLogin"]),
        ("resource=arn:key", vec!["ConsoleLogin"]),
        ("resource=arn:last", vec!["ConsoleLogin"]),
        ("resource=arn:buck", vec![]),
        ("resource=arn:bucket&outcome=failure", vec!["ConsoleLogin"]),
        ("text=ARN:LAS", vec!["ConsoleLogin"]),
        ("text=bucket", vec!["First", "ConsoleLogin"]),
    ] {
        assert_eq!(api.actions(query).await, found, "{query}");
    }
    let counted: HistogramAnswer = api.get("acme", "/api/v1/audit/histogram?resource=arn:bucket").await;
    assert_eq!(counted.points.iter().map(|point| point.entries).sum::<i64>(), 2);
    let (_, lines) = api.ask("acme", "/api/v1/audit/export?resource=arn:bucket").await;
    assert_eq!(lines.lines().count(), 2, "{lines}");
    let terms: TermsAnswer = api.get("acme", "/api/v1/audit/terms?field=resource&text=arn").await;
    let seen: Vec<(&str, i64)> = terms.items.iter().map(|item| (item.term.as_str(), item.seen)).collect();
    assert_eq!(seen, [("arn:bucket", 2), ("arn:console", 1), ("arn:key", 1), ("arn:last", 1)]);
    sqlx::query(
        "INSERT INTO saved_search (tenant_id, name, filter, saved_at, saved_event, saved_by)
         VALUES ('acme', 'bucket', '{\"resource\": \"arn:bucket\"}', now(), gen_random_uuid(), 'ada')",
    )
    .execute(&mut api.owner)
    .await
    .expect("saved");
    assert_eq!(api.actions("saved=bucket").await, ["First", "ConsoleLogin"]);
    let page: AuditPage = api.get("other", "/api/v1/audit?resource=arn:bucket").await;
    assert!(page.items.is_empty(), "another tenant has none");
}

/// Lets the audit stage apply one entry, at offset 42 of partition 3.
async fn deliver(database: &str, entry: AuditEntry) {
    let config = SinkConfig {
        stage: "audit".into(),
        url: database.into(),
        owner: "test".into(),
        cluster_id: "test".into(),
        version: "test".into(),
    };
    let mut sink = PostgresSink::new(config, AuditEntries::new(support::subject_secret()).expect("zstd"));
    let partition = TopicPartition { topic: Topic::Activity, partition: 3 };
    let claims = sink.claim(&[ClaimRequest { partition, low: 42, partitions: None }]).await.expect("claimed");
    let identity = Some((entry.tenant.clone(), entry.event_id));
    let settlement = Settlement::Apply(vec![entry]);
    let (raw, kept) = (RawRecord::default(), KeptBytes::All);
    let record = RecordChanges { range: 0, offset: 42, settlement, raw, identity, kept };
    let range =
        OffsetRange { partition, start: 42, upto: 43, last: None, owner_epoch: claims[0].owner_epoch };
    sink.deliver(&Batch { records: vec![record], ranges: vec![range], rule_set: None })
        .await
        .expect("delivered");
}
