//! From events on the topics to signals, exposures and scores.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use producers::{kafka::Tally, sources::SourceFormat};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};
use schemas::{
    Envelope, EventId, Native, Source, TenantId, Timestamp, Topic,
    events::{Actor, ActorKind, Event, Governance, GovernanceKind},
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::site::Site;

impl Site {
    pub(crate) async fn send(&self, envelopes: &[Envelope]) {
        let tally = Arc::new(Tally::default());
        for envelope in envelopes {
            self.producer.send_tallied(envelope, &tally).await.expect("room in the queue");
        }
        tally.settled().await;
        assert_eq!((tally.acknowledged(), tally.failed()), (envelopes.len() as u64, 0));
    }
}

fn tenant() -> TenantId {
    TenantId::new("acme").expect("valid")
}

/// Ada stops a trail, in the n-th minute.
pub(crate) fn trail_stopped(n: u32) -> Envelope {
    let record = json!({
        "eventVersion": "1.08", "eventID": Uuid::from_u128(u128::from(n) + 1).to_string(),
        "eventTime": format!("2026-03-02T10:{:02}:{:02}Z", n % 60, n / 60 % 60), "eventSource": "cloudtrail.amazonaws.com",
        "eventName": "StopLogging", "awsRegion": "eu-central-1", "sourceIPAddress": "203.0.113.7",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ada"},
        "requestParameters": {"name": "main"}, "recipientAccountId": "111122223333",
    });
    SourceFormat::CloudTrail.map(&tenant(), &record.to_string()).expect("an object").envelope
}

/// A decision of Grace about Ada, before any event of Ada.
fn decided(n: u128, kind: GovernanceKind, decision: &str) -> Envelope {
    Envelope {
        id: EventId::new(Uuid::from_u128(1000 + n)).expect("not nil"),
        tenant: tenant(),
        source: Source::new("/test").expect("valid"),
        subject: None,
        occurred_at: "2026-03-02T09:00:00Z".parse::<Timestamp>().expect("a time"),
        skewed: false,
        time_assumed: false,
        original_id: None,
        correlation_id: None,
        causation_id: None,
        trace: None,
        event: Event::Governance(Governance {
            kind,
            subject_kind: "user".to_owned(),
            subject_id: "arn:aws:iam::111122223333:user/ada".to_owned(),
            actor: Actor { kind: ActorKind::User, id: "grace".to_owned(), ..Actor::default() },
            decision: Some(decision.to_owned()),
            reason: None,
            expires_at: None,
            attributes: [].into(),
        }),
        native: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rules_find_and_people_decide_becomes_risk() {
    let site = Site::new().await;
    let mut unreadable = trail_stopped(9);
    unreadable.native = Some(Native { format: "aws.cloudtrail".to_owned(), record: "{cut short".into() });
    let mut events: Vec<Envelope> = (0..5).map(trail_stopped).collect();
    events.push(unreadable);
    events.push(decided(1, GovernanceKind::CriticalitySet, "extreme"));
    events.push(decided(2, GovernanceKind::CriticalitySet, "enormous"));
    site.send(&events).await;

    let stage = site.run_stages(&["risk"], 2);
    site.await_count("SELECT coalesce(sum(applied), 0)::bigint FROM stage_position", 8).await;
    site.await_count("SELECT count(*) FROM outbox", 0).await;
    stage.stop().await;

    assert_eq!(site.count("SELECT count(*) FROM risk_unusable").await, 2);
    assert_eq!(site.count("SELECT count(*) FROM parked_record").await, 0);
    assert_eq!(site.count("SELECT count(DISTINCT event_id) FROM risk_signal").await, 5);
    let addresses =
        "SELECT count(*) FROM entity_risk WHERE entity_kind = 'network_address' AND entity = '203.0.113.7'";
    assert_eq!(site.count(addresses).await, 1);
    let hazards = "SELECT (max(hazard_micronats) FILTER (WHERE entity_kind = 'user')
                           = 2 * max(hazard_micronats) FILTER (WHERE entity_kind = 'network_address'))::int::bigint
                     FROM entity_risk";
    assert_eq!(site.count(hazards).await, 1, "extreme criticality doubles the user's hazard");
    let exposed = "SELECT min(signals) FROM risk_exposure";
    assert_eq!(site.count(exposed).await, 5, "five signals within one hour");

    // Twice a high signal within a day is an incident, and leaves as a finding.
    let incident: String = {
        let mut database =
            PgConnection::connect(&site.endpoints.database_url).await.expect("Postgres answers");
        sqlx::query_scalar("SELECT id::text FROM incident")
            .fetch_one(&mut database)
            .await
            .expect("one incident")
    };
    let (headers, finding) = first_finding(&site.endpoints.kafka).await;
    assert_eq!((&finding["class_uid"], &finding["type_uid"]), (&2004.into(), &200_401.into()));
    assert_eq!(finding["finding_info"]["uid"], incident);
    assert_eq!(headers["ce_subject"], incident);
    assert_eq!(headers["ce_type"], "io.weir.finding.incident.v1");
    assert_eq!(
        (headers["ce_tenantid"].as_str(), headers["content-type"].as_str()),
        ("acme", "application/json")
    );
    assert_eq!(headers["ce_id"], finding["metadata"]["uid"]);
}

/// Headers and value of the first record on the topic of findings, whichever partition it is in.
async fn first_finding(bootstrap: &str) -> (BTreeMap<String, String>, Value) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "test-reader")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..4 {
        list.add_partition_offset(Topic::Findings.name(), partition, Offset::Beginning).expect("valid");
    }
    consumer.assign(&list).expect("assigned");
    tokio::task::spawn_blocking(move || {
        let message = consumer.poll(Duration::from_secs(10)).expect("a finding").expect("readable");
        let headers = message.headers().expect("headers").iter().map(|header| {
            let value = String::from_utf8(header.value.expect("a value").to_vec()).expect("text");
            (header.key.to_owned(), value)
        });
        (headers.collect(), serde_json::from_slice(message.payload().expect("a value")).expect("JSON"))
    })
    .await
    .expect("no panic")
}
