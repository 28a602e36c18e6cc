//! Published events, responses, and their order.

use std::io::Write;

use super::*;
use crate::gateway::Timeouts;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use rdkafka::error::RDKafkaErrorCode;
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

const ID: &str = "0192f0c1-2345-7abc-8def-0123456789ab";

#[tokio::test]
async fn one_event_is_answered_with_its_place_in_kafka() {
    let running = start().await;
    let reply = Ask::structured(&event(ID)).to(&running).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let published = running.kafka.published();
    let id = published[0].id.to_string();
    let accepted = json!([{"index": 0, "id": id, "topic": "weir.activity.v1", "partition": 3, "offset": 0}]);
    assert_eq!(reply.json(), json!({"accepted": accepted, "rejected": []}));
    assert_eq!((published.len(), published[0].tenant.as_str()), (1, "acme"));
    assert_eq!(
        published[0].original_id.as_deref(),
        Some(ID),
        "kept, and made an id of Weir's own with its source"
    );
    assert_ne!(id, ID);
}

#[tokio::test]
async fn binary_mode_says_the_same_as_structured() {
    let running = start().await;
    let structured = event("order-7");
    assert_eq!(Ask::structured(&structured).to(&running).await.status, 202);
    let mut ask = Ask::publish("application/json", structured["data"].to_string());
    for name in ["specversion", "id", "source", "type", "time"] {
        ask = ask.header(&format!("ce-{name}"), structured[name].as_str().expect("text"));
    }
    let ask = ask.header("ce-subject", "caf%C3%A9");
    let reply = ask.to(&running).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    let published = running.kafka.published();
    assert_eq!(published[1].subject.as_deref(), Some("café"), "percent-decoded");
    assert_eq!(published[0], Envelope { subject: None, ..published[1].clone() });
}

#[tokio::test]
async fn binary_mode_without_attributes_is_told_what_is_missing() {
    let running = start().await;
    Ask::publish("application/json", "{}").to(&running).await.expect(400, "invalid-envelope");
    let bad = Ask::publish("application/json", "{}").header("ce-subject", "%ff");
    bad.to(&running).await.expect(400, "invalid-envelope");
}

#[tokio::test]
async fn a_batch_lists_what_was_taken_and_what_was_not() {
    let running = start().await;
    let mut nameless = event("x");
    nameless["source"] = Value::Null;
    let mut foreign = event("y");
    foreign["tenantid"] = "other".into();
    let reply = Ask::batch(&[event("a"), nameless.clone(), event("b"), foreign.clone()]).to(&running).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    let answer = reply.json();
    let indices = |list: &str| -> Vec<_> {
        answer[list].as_array().expect("a list").iter().map(|item| item["index"].clone()).collect()
    };
    assert_eq!(
        (indices("accepted"), indices("rejected")),
        (vec![0.into(), 2.into()], vec![1.into(), 3.into()])
    );
    assert_eq!(answer["rejected"][0]["type"], "/problems/invalid-envelope");
    assert_eq!(answer["rejected"][1]["type"], "/problems/other-tenant");
    assert_eq!(running.kafka.published().len(), 2);

    let none = Ask::batch(&[foreign, nameless]).to(&running).await;
    none.expect(403, "other-tenant");
    assert_eq!(none.json()["rejected"].as_array().map(Vec::len), Some(2), "all of them are listed");
}

#[tokio::test]
async fn encoded_bodies_are_decoded_once() {
    let running = start().await;
    let body = Value::from(vec![event("a"), event("b")]).to_string();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(body.as_bytes()).expect("to memory");
    let gzip = gzip.finish().expect("to memory");
    let zstd = zstd::encode_all(body.as_bytes(), 3).expect("to memory");
    for (name, sent) in [("gzip", gzip), ("zstd", zstd)] {
        let ask = Ask::publish("application/cloudevents-batch+json", sent).header("content-encoding", name);
        let reply = ask.to(&running).await;
        assert_eq!(
            (reply.status, reply.json()["accepted"].as_array().map(Vec::len)),
            (202, Some(2)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_body_in_chunks_is_taken_and_its_connection_closed() {
    let running = start().await;
    let body = event(ID).to_string();
    let ask = Ask::publish("application/cloudevents+json", "").header("transfer-encoding", "chunked");
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let mut wire = Wire::open(&running).await;
    wire.send(&[ask.bytes(), chunked.into_bytes()].concat()).await;
    assert_eq!(wire.reply().await.expect("an answer").status, 202);
    assert!(wire.closed().await);
}

/// Two events of one batch with the given fates.
async fn pair(fates: &[Fate]) -> Reply {
    let timeouts = Timeouts { handler: Duration::from_millis(300), ..Timeouts::default() };
    let running = start_with(GatewayConfig { timeouts, ..config() }, Scripted::new(fates)).await;
    Ask::batch(&[event("a"), event("b")]).to(&running).await
}

#[track_caller]
fn check_503(reply: &Reply, slug: &str, accepted: usize) {
    reply.expect(503, slug);
    assert_eq!(reply.header("retry-after"), "1");
    let listed = reply.json()["accepted"].as_array().map_or(0, Vec::len);
    assert_eq!(listed, accepted, "{}", reply.json());
}

#[tokio::test]
async fn what_kafka_does_not_take_is_503_and_says_what_it_took() {
    let unavailable = Fate::Fails(DeliveryFailure::Unavailable(RDKafkaErrorCode::BrokerTransportFailure));
    check_503(&pair(&[Fate::QueueFull]).await, "queue-full", 0);
    check_503(&pair(&[Fate::Stored, Fate::QueueFull]).await, "queue-full", 1);
    check_503(&pair(&[Fate::Stored, unavailable.clone()]).await, "broker-unavailable", 1);
    check_503(&pair(&[Fate::Fails(DeliveryFailure::TimedOut), Fate::Stored]).await, "outcome-unknown", 1);
    check_503(&pair(&[Fate::NeverHeardOf, Fate::Stored]).await, "outcome-unknown", 1);
    check_503(&pair(&[unavailable, Fate::Fails(DeliveryFailure::Stopped)]).await, "outcome-unknown", 0);
    check_503(&pair(&[Fate::TooLarge, Fate::QueueFull]).await, "queue-full", 0);
}

#[tokio::test]
async fn what_kafka_refuses_for_want_of_a_right_asks_for_an_operator() {
    let refused = Fate::Fails(DeliveryFailure::Refused(RDKafkaErrorCode::TopicAuthorizationFailed));
    let reply = pair(&[refused, Fate::Stored]).await;
    check_503(&reply, "broker-unavailable", 1);
    assert!(reply.json()["detail"].as_str().is_some_and(|detail| detail.contains("operator")), "{reply:?}");
}

#[tokio::test]
async fn an_event_too_large_for_kafka_is_rejected_alone() {
    let reply = pair(&[Fate::TooLarge, Fate::Stored]).await;
    assert_eq!(
        (reply.status, &reply.json()["rejected"][0]["type"]),
        (202, &"/problems/event-too-large".into())
    );
    let reply = pair(&[Fate::TooLarge, Fate::Fails(DeliveryFailure::TooLarge)]).await;
    reply.expect(413, "event-too-large");
}

#[tokio::test]
async fn without_a_broker_nothing_is_queued() {
    for health in [Health::Unreachable, Health::Fatal("epoch".into())] {
        let running = start().await;
        *running.kafka.health.lock().expect("free") = health;
        check_503(&Ask::structured(&event("a")).to(&running).await, "broker-unavailable", 0);
        assert!(running.kafka.published().is_empty());
        let invalid = Ask::publish("application/cloudevents+json", "{").to(&running).await;
        invalid.expect(400, "invalid-json");
    }
}

#[tokio::test]
async fn the_trace_of_the_request_is_the_events_unless_it_has_its_own() {
    let running = start().await;
    let sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let own = "00-11111111111111111111111111111111-2222222222222222-01";
    let mut with_own = event("b");
    with_own["traceparent"] = own.into();
    for (event, header) in [(event("a"), sent), (with_own, sent), (event("c"), "00-0-0-00")] {
        assert_eq!(Ask::structured(&event).header("traceparent", header).to(&running).await.status, 202);
    }
    let traces: Vec<_> =
        running.kafka.published().into_iter().map(|e| e.trace.map(|t| t.traceparent)).collect();
    assert_eq!(traces, [Some(sent.to_owned()), Some(own.to_owned()), None]);
    let refused = Ask::publish("text/plain", "x").header("traceparent", sent).to(&running).await;
    assert_eq!(refused.json()["trace_id"], "0af7651916cd43dd8448eb211c80319c");
}

#[tokio::test]
async fn records_travel_on_in_the_requests_own_span() {
    let provider = SdkTracerProvider::builder().build();
    let recorded = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    // With only one subscriber alive, tracing asks the current thread's: another test's thread, which has none,
    // would switch the span off for everybody.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    // The server runs on this thread too.
    let _recording = tracing_subscriber::registry().with(recorded).set_default();
    let running = start().await;
    let sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(Ask::structured(&event("a")).header("traceparent", sent).to(&running).await.status, 202);
    assert_eq!(Ask::structured(&event("b")).to(&running).await.status, 202);
    let hops: Vec<String> = running.kafka.hops().into_iter().flatten().map(|hop| hop.traceparent).collect();
    assert_eq!(hops.len(), 2);
    assert!(hops[0].starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "the same trace: {}", hops[0]);
    assert!(!hops[0].contains("b7ad6b7169203331"), "another span: {}", hops[0]);
    let created: Vec<_> = running.kafka.published().into_iter().filter_map(|e| e.trace).collect();
    assert_eq!((created[0].traceparent.as_str(), &created[1].traceparent), (sent, &hops[1]));
}

#[tokio::test]
async fn an_event_that_is_ahead_of_the_gateway_is_stored_and_flagged() {
    let running = start().await;
    let ahead = |minutes: i64| {
        let mut ahead = event("a");
        ahead["time"] = (chrono::Utc::now() + chrono::TimeDelta::minutes(minutes)).to_rfc3339().into();
        ahead
    };
    let reply = Ask::batch(&[ahead(4), ahead(6), ahead(23 * 60), ahead(-60)]).to(&running).await;
    assert_eq!(reply.status, 202);
    let flags: Vec<_> = reply.json()["accepted"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["skewed"].clone())
        .collect();
    assert_eq!(flags, [Value::Null, true.into(), true.into(), Value::Null]);
    Ask::structured(&ahead(25 * 60)).to(&running).await.expect(422, "time-out-of-range");
}

/// Bodies and headers as the public SDKs of `CloudEvents` write them, with their defaults.
mod sdks {
    use super::*;

    fn binary(headers: &[(&str, &str)], body: &str) -> Ask {
        let ask = Ask::new("POST", "/api/v1/events")
            .header("authorization", &format!("Bearer {}", token(WRITER)))
            .header("ce-specversion", "1.0")
            .header("ce-id", "7")
            .header("ce-source", "https://example.com/sdk")
            .header("ce-type", "com.example.sample");
        headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value)).body(body)
    }

    async fn check(asks: impl Fn() -> Ask) {
        let running = start().await;
        for _ in 0..2 {
            let reply = asks().to(&running).await;
            assert_eq!(reply.status, 202, "{reply:?}");
        }
        let events = running.kafka.published();
        let identity = |event: &Envelope| (event.id, event.content_sha256());
        assert_eq!(identity(&events[0]), identity(&events[1]), "sent again, it is the same event");
    }

    #[tokio::test]
    async fn javascript() {
        // emitterFor(httpTransport): binary mode, the media type of the data, a time in milliseconds.
        let headers =
            [("content-type", "application/json; charset=utf-8"), ("ce-time", "2026-01-02T03:04:05.000Z")];
        check(|| binary(&headers, r#"{"message":"hi"}"#)).await;
        check(|| binary(&[("content-type", "text/plain")], "hello")).await;
        check(|| binary(&[("ce-time", "2026-01-02T03:04:05.000Z")], "")).await;
    }

    #[tokio::test]
    async fn python() {
        // to_binary and to_structured of an event that was made with attributes alone: time with microseconds and offset.
        let headers = [("content-type", "application/json"), ("ce-time", "2026-01-02T03:04:05.678901+00:00")];
        check(|| binary(&headers, r#"{"message": "hi"}"#)).await;
        check(|| binary(&[("ce-time", "2026-01-02T03:04:05.678901+00:00")], "")).await;
        let event = r#"{"specversion": "1.0", "id": "7", "source": "https://example.com/sdk", "type": "com.example.sample",
                        "time": "2026-01-02T03:04:05.678901+00:00", "data": {"message": "hi"}}"#;
        check(|| Ask::publish("application/cloudevents+json", event)).await;
        let bytes = event.replace(r#""data": {"message": "hi"}"#, r#""data_base64": "aGVsbG8=""#);
        check(|| Ask::publish("application/cloudevents+json", bytes.clone())).await;
    }

    #[tokio::test]
    async fn go_and_java() {
        // Go's client quotes nothing and percent-encodes; Java's Jackson format writes null members of extensions.
        let headers =
            [("content-type", "application/json"), ("ce-subject", "caf%C3%A9"), ("ce-traceparent", "x")];
        check(|| binary(&headers, r#"{"message":"hi"}"#)).await;
        check(|| binary(&[("content-type", "application/xml")], "<hi/>")).await;
        check(|| binary(&[("content-type", "application/protobuf")], "bytes")).await;
        check(|| binary(&[("ce-subject", "\"a b\"")], "{}")).await;
        let batch = r#"[{"specversion":"1.0","id":"7","source":"/s","type":"t","datacontenttype":"text/xml","data":"<hi/>","ext":null}]"#;
        check(|| Ask::publish("application/cloudevents-batch+json; charset=UTF-8", batch)).await;
    }

    #[tokio::test]
    async fn an_empty_batch_is_taken() {
        let running = start().await;
        let reply = Ask::publish("application/cloudevents-batch+json", "[]").to(&running).await;
        assert_eq!((reply.status, reply.json()), (202, json!({"accepted": [], "rejected": []})));
    }
}
