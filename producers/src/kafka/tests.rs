//! Against the client library's own broker, in this process.

use std::collections::BTreeMap;

use schemas::{Event, EventId, Source, TenantId, Timestamp, Topic, events};

use super::*;

fn producer(extra: &[(&str, &str)]) -> Producer {
    let mut settings = BTreeMap::from([
        ("test.mock.num.brokers".to_owned(), "1".to_owned()),
        ("allow.auto.create.topics".to_owned(), "true".to_owned()),
    ]);
    settings.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let config = ProducerConfig {
        // Replaced by the library's own broker.
        bootstrap: "localhost:1".into(),
        purpose: Purpose::Bulk,
        client_id: "weir-test".into(),
        extra: settings,
    };
    Producer::new(&config, Framing::SingleObject).expect("the settings are good")
}

fn envelope(action: &str) -> Envelope {
    let tenant = TenantId::new("acme").expect("a plain name");
    Envelope {
        id: EventId::derived(&tenant, "test", action.as_bytes()),
        tenant,
        source: Source::new("/test").expect("a plain path"),
        subject: None,
        occurred_at: Timestamp::UNIX_EPOCH,
        skewed: false,
        time_assumed: false,
        original_id: None,
        correlation_id: None,
        causation_id: None,
        trace: None,
        event: Event::Activity(events::Activity {
            kind: events::ActivityKind::ApiCalled,
            action: action.into(),
            service: None,
            actor: events::Actor::default(),
            resources: Vec::new(),
            outcome: events::Outcome::default(),
            read_only: None,
            request_id: None,
        }),
        native: None,
    }
}

#[tokio::test]
async fn an_acknowledgement_says_where_the_event_is() {
    let producer = producer(&[]);
    let first = producer.send(&envelope("a")).expect("room").await.expect("acknowledged");
    let second = producer.send(&envelope("b")).expect("room").await.expect("acknowledged");
    assert_eq!((first.topic, first.offset), (Topic::Activity, 0));
    assert_eq!(second.partition, first.partition, "one key, one partition");
    assert_eq!(second.offset, 1);
    assert_eq!(producer.flush(Duration::from_secs(10)).await, 0);
    assert_eq!(producer.health(), Health::Ready);
}

#[tokio::test]
async fn bulk_waits_for_room_and_counts_every_acknowledgement() {
    let producer = producer(&[("queue.buffering.max.messages", "10"), ("linger.ms", "0")]);
    let tally = Arc::new(Tally::default());
    for at in 0..500 {
        producer.send_tallied(&envelope(&at.to_string()), &tally).await.expect("taken");
    }
    tally.settled().await;
    assert_eq!((tally.sent(), tally.acknowledged(), tally.failed()), (500, 500, 0));
}

#[tokio::test]
async fn a_full_queue_and_a_giant_are_refused_at_once() {
    let producer = producer(&[("queue.buffering.max.messages", "1"), ("linger.ms", "60000")]);
    let waiting = producer.send(&envelope("a")).expect("room for one");
    assert_eq!(producer.send(&envelope("b")).expect_err("no room"), SendError::QueueFull);
    let giant = producer.send(&envelope(&"x".repeat(MAX_RECORD_BYTES)));
    assert!(matches!(giant, Err(SendError::TooLarge { bytes }) if bytes > MAX_RECORD_BYTES));
    drop(producer);
    assert_eq!(waiting.await, Err(DeliveryFailure::Stopped), "never sent, and told so");
}

#[tokio::test]
async fn no_broker_in_time_is_an_unknown_outcome() {
    let config = ProducerConfig {
        bootstrap: "127.0.0.1:1".into(),
        purpose: Purpose::Gateway,
        client_id: "weir-test".into(),
        extra: BTreeMap::from([("delivery.timeout.ms".into(), "300".into())]),
    };
    let producer = Producer::new(&config, Framing::SingleObject).expect("the settings are good");
    let failure = producer.send(&envelope("a")).expect("room").await.expect_err("nobody is there");
    assert_eq!(failure, DeliveryFailure::TimedOut);
    assert!(failure.outcome_unknown());
}
