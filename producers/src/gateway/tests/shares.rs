//! One tenant's usage does not reduce another's share.

use super::*;
use crate::gateway::{Limits, TenantQuotas};

fn by(key: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Ask {
    Ask::new("POST", "/api/v1/events")
        .header("authorization", &format!("Bearer {}", token(key)))
        .header("content-type", content_type)
        .body(body)
}

fn one(key: &str) -> Ask {
    by(key, "application/cloudevents+json", event("a").to_string())
}

#[tokio::test]
async fn a_tenant_that_withholds_bodies_leaves_the_others_theirs() {
    let limits = Limits { in_hand_bytes: 16_000, ..Limits::default() };
    let running = start_with(GatewayConfig { limits, ..config() }, Scripted::new(&[])).await;
    let mut withheld = Vec::new();
    for _ in 0..4 {
        let ask = by(WRITER, "application/cloudevents+json", " ".repeat(1_000)).bytes();
        let mut wire = Wire::open(&running).await;
        wire.send(&ask[..ask.len() - 1]).await;
        withheld.push(wire);
    }
    let own = async {
        loop {
            let reply = one(WRITER).to(&running).await;
            if reply.status == 429 {
                break reply;
            }
        }
    };
    let refused = timeout(HANGING, own).await.expect("the tenant has its part");
    refused.expect(429, "quota-exceeded");
    assert_eq!(refused.header("retry-after"), "1");
    for _ in 0..20 {
        assert_eq!(one(NEIGHBOUR).to(&running).await.status, 202);
    }
}

#[tokio::test]
async fn a_tenant_whose_events_wait_for_kafka_leaves_the_others_room() {
    let limits = Limits { queue_records: 40, ..Limits::default() };
    let kafka = Scripted::new(&vec![Fate::NeverHeardOf; 10]);
    let running = start_with(GatewayConfig { limits, ..config() }, kafka).await;
    let events: Vec<Value> = (0..10).map(|n| event(&n.to_string())).collect();
    let batch = by(WRITER, "application/cloudevents-batch+json", Value::from(events).to_string());
    let mut wire = Wire::open(&running).await;
    wire.send(&batch.bytes()).await;
    let queued = async {
        while running.kafka.published().len() < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(HANGING, queued).await.expect("all are queued");
    let refused = one(WRITER).to(&running).await;
    refused.expect(429, "quota-exceeded");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(one(NEIGHBOUR).to(&running).await.status, 202);
    drop(wire);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        one(WRITER).to(&running).await.expect(429, "quota-exceeded");
    }
}

#[tokio::test]
async fn a_tenant_over_its_quota_is_told_when_to_come_back() {
    let quotas = TenantQuotas { events_per_minute: NonZeroU32::new(60_000), ..TenantQuotas::UNLIMITED };
    let rates = Rates::default();
    let running = start_with(GatewayConfig { rates, quotas, ..config() }, Scripted::new(&[])).await;
    let batch = |key: &str| {
        let events: Vec<Value> = (0..1_000).map(|n| event(&n.to_string())).collect();
        by(key, "application/cloudevents-batch+json", Value::from(events).to_string())
    };
    for _ in 0..15 {
        let taken = batch(WRITER).to(&running).await;
        assert_eq!(taken.status, 202, "a quarter of a minute's may come at once");
        assert_eq!(taken.header("ratelimit-policy"), "\"default\";q=1000;w=60", "its credential's");
    }
    let mut refused = batch(WRITER).to(&running).await;
    while refused.status == 202 {
        refused = batch(WRITER).to(&running).await;
    }
    refused.expect(429, "quota-exceeded");
    assert_ne!(refused.header("retry-after"), "");
    assert_eq!(refused.header("ratelimit-policy"), "\"default\";q=60000;w=60", "the tenant's");
    assert_eq!(refused.header("x-ratelimit-remaining"), "0");
    batch(BOTH).to(&running).await.expect(429, "quota-exceeded");
    assert_eq!(batch(NEIGHBOUR).to(&running).await.status, 202, "another tenant has its own");
}
