//! GitHub's webhooks: known by their signature or not at all.

use hmac::{Hmac, KeyInit, Mac};
use metrics_exporter_prometheus::PrometheusBuilder;
use schemas::{Event, events::ActivityKind};
use secrecy::SecretString;
use sha2::Sha256;

use super::*;
use crate::gateway::{Limits, WebhookSecrets};

const SECRET: &str = "0123456789abcdef-new";
const OLD_SECRET: &str = "0123456789abcdef-old";
/// A GUID of version 1, created at 2014-04-25T12:52:24.582507Z.
const DELIVERY: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";

fn webhooks() -> GatewayConfig {
    let mut github = WebhookSecrets::default();
    let acme = TenantId::new("acme").expect("a tenant");
    github.set(acme, vec![SecretString::from(SECRET), SecretString::from(OLD_SECRET)]).expect("good secrets");
    GatewayConfig { github, ..config() }
}

async fn start() -> Running {
    start_with(webhooks(), Scripted::new(&[])).await
}

fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(body);
    format!("sha256={:x}", bytes::Bytes::copy_from_slice(&mac.finalize().into_bytes()))
}

/// A delivery as GitHub makes it, but for its signature.
fn unsigned(tenant: &str, body: impl Into<Vec<u8>>) -> Ask {
    Ask::new("POST", &format!("/api/v1/sources/github-webhook/{tenant}"))
        .header("content-type", "application/json")
        .header("x-github-event", "member")
        .header("x-github-delivery", DELIVERY)
        .body(body)
}

fn signed(tenant: &str, secret: &str, body: impl Into<Vec<u8>>) -> Ask {
    let body = body.into();
    let signature = signature(secret, &body);
    unsigned(tenant, body).header("x-hub-signature-256", &signature)
}

/// A member was added to a repository. The body contains no time.
fn member_added() -> String {
    json!({
        "action": "added", "member": {"login": "jo"}, "sender": {"login": "mara", "type": "User"},
        "repository": {"full_name": "acme/shop"}, "organization": {"login": "acme"},
    })
    .to_string()
}

#[tokio::test]
async fn a_delivery_is_one_event_with_the_deliverys_id() {
    let running = start().await;
    let reply = signed("acme", SECRET, member_added()).to(&running).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let answer = reply.json();
    assert_eq!(
        (&answer["accepted"][0]["id"], &answer["accepted"][0]["offset"]),
        (&DELIVERY.into(), &0.into())
    );
    assert_eq!(answer["counts"]["times_assumed"], 0, "{answer}");
    let event = running.kafka.published().remove(0);
    assert_eq!((event.tenant.as_str(), event.id.to_string().as_str()), ("acme", DELIVERY));
    assert_eq!(event.occurred_at.to_rfc3339(), "2014-04-25T12:52:24.582507+00:00");
    let native = event.native.as_ref().expect("the body travels along");
    assert_eq!((native.format.as_str(), &*native.record), ("github.webhook", &*member_added()));
    let Event::Activity(activity) = &event.event else { panic!("an activity") };
    assert_eq!(
        (activity.kind, activity.action.as_str(), activity.actor.id.as_str()),
        (ActivityKind::PermissionChanged, "member.added", "mara")
    );
    assert_eq!(activity.request_id.as_deref(), Some(DELIVERY));

    assert_eq!(
        signed("acme", OLD_SECRET, member_added()).to(&running).await.status,
        202,
        "while it is replaced"
    );
    assert_eq!(running.kafka.published()[1], event, "a redelivery is the same event");
}

#[tokio::test]
async fn events_that_nobody_knows_are_taken() {
    let running = start().await;
    for (event, body) in [("ping", "{\"zen\":\"Approachable\"}"), ("brand_new_thing", "{}")] {
        let ask = Ask::new("POST", "/api/v1/sources/github-webhook/acme")
            .header("content-type", "application/json; charset=utf-8")
            .header("x-github-event", event)
            .header("x-github-delivery", "0192f0c1-2345-4abc-8def-0123456789ab")
            .header("x-hub-signature-256", &signature(SECRET, body.as_bytes()))
            .body(body);
        let reply = ask.to(&running).await;
        assert_eq!(reply.status, 202, "{}", reply.json());
        let Event::Activity(activity) = running.kafka.published().pop().expect("published").event else {
            panic!("an activity")
        };
        assert_eq!((activity.kind, activity.action.as_str()), (ActivityKind::ApiCalled, event));
    }
}

#[tokio::test]
async fn nothing_is_read_without_a_signature_in_the_one_right_form() {
    let running = start().await;
    let body = member_added();
    let good = signature(SECRET, body.as_bytes());
    let upper = format!("sha256={}", good["sha256=".len()..].to_uppercase());
    let cases = [
        (None, "must be one X-Hub-Signature-256"),
        (Some(upper), "lower-case"),
        (Some(good[..good.len() - 1].to_owned()), "64 digits"),
        (Some(format!("{good}0")), "64 digits"),
        (Some(good.replace("sha256=", "sha1=")), "sha256="),
        (Some(good["sha256=".len()..].to_owned()), "sha256="),
        (Some(String::new()), "sha256="),
    ];
    for (header, said) in cases {
        // Neither JSON nor within any limit: whoever looked at it would complain of that.
        let mut ask = unsigned("acme", "{".repeat(2_000_000)).header("x-hub-signature", "sha1=00");
        if let Some(header) = &header {
            ask = ask.header("x-hub-signature-256", header);
        }
        let reply = ask.to(&running).await;
        reply.expect(401, "unauthenticated");
        let detail = reply.json()["detail"].as_str().expect("text").to_owned();
        assert!(detail.contains(said), "{header:?}: {detail}");
    }
    let twice = signed("acme", SECRET, body.clone()).header("x-hub-signature-256", &good);
    twice.to(&running).await.expect(401, "unauthenticated");
    assert!(running.kafka.published().is_empty());
    assert_eq!(signed("acme", SECRET, body).to(&running).await.status, 202);
}

#[tokio::test]
async fn wrong_secret_other_body_and_unknown_tenant_get_the_same_answer() {
    let running = start().await;
    let body = member_added();
    let reserialised = body.replace(':', ": ");
    let other_body =
        unsigned("acme", reserialised).header("x-hub-signature-256", &signature(SECRET, body.as_bytes()));
    let nobodys = signed("acme", "no tenant has this secret", body.clone());
    let mut answers = Vec::new();
    for ask in [
        signed("acme", "fedcba9876543210", body.clone()),
        other_body,
        nobodys,
        signed("acme", SECRET, body.clone()).body("not JSON"),
        signed("other", SECRET, body.clone()),
        signed("no%20tenant", SECRET, body.clone()),
        signed("%ff", SECRET, body.clone()),
    ] {
        let reply = ask.header("x-request-id", "same").to(&running).await;
        reply.expect(401, "unauthenticated");
        let mut answer = reply.json();
        answer["instance"].take();
        answers.push(answer);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(running.kafka.published().is_empty());
}

#[tokio::test]
async fn a_signed_body_is_still_held_to_the_limits() {
    let running = start().await;
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(1_000_001));
    let ahead = json!({"action": "edited", "issue": {"updated_at": "9000-01-01T00:00:00Z"}}).to_string();
    for (status, slug, body) in [
        (400, "json-limit", deep),
        (413, "event-too-large", long),
        (413, "body-too-large", "x".repeat(5_000_000)),
        (422, "time-out-of-range", ahead),
        (400, "invalid-json", "[1]".into()),
        (400, "invalid-json", "{\"a\":".into()),
        (400, "invalid-json", String::new()),
    ] {
        let reply = signed("acme", SECRET, body).to(&running).await;
        assert_eq!((reply.status, reply.problem().as_str()), (status, slug), "{}", reply.json());
    }
    let text = "payload";
    let ask = Ask::new("POST", "/api/v1/sources/github-webhook/acme")
        .header("content-type", "text/plain")
        .header("x-github-event", "ping")
        .header("x-github-delivery", DELIVERY)
        .header("x-hub-signature-256", &signature(SECRET, text.as_bytes()));
    let reply = ask.body(text).to(&running).await;
    reply.expect(415, "unsupported-media-type");
    assert!(reply.json()["detail"].as_str().is_some_and(|text| text.contains("application/json")));
    assert!(running.kafka.published().is_empty());
}

#[tokio::test]
async fn a_signed_delivery_that_is_refused_is_counted_and_an_unsigned_one_is_not() {
    let exporter = PrometheusBuilder::new().build_recorder();
    let rendered = exporter.handle();
    // The server runs on this thread too.
    let _installed = metrics::set_default_local_recorder(&exporter);
    let mut config = webhooks();
    config.rates.failed_logins_per_minute = NonZeroU32::MAX;
    let running = start_with(config, Scripted::new(&[])).await;
    let count = |outcome: &str| counted(&rendered, "github.webhook", outcome);
    for (slug, body) in [
        ("invalid-json", r#"{"a":"b\u0000"}"#.to_owned()),
        ("json-limit", format!("{{\"a\":[{}]}}", vec!["1"; 10_001].join(","))),
        ("event-too-large", format!("{{\"a\":\"{}\"}}", "x".repeat(1_000_001))),
    ] {
        let unsigned = signed("acme", "a wrong secret of 16", body.clone());
        unsigned.to(&running).await.expect(401, "unauthenticated");
        assert_eq!(count(slug), 0, "{slug}");
        assert_eq!(signed("acme", SECRET, body).to(&running).await.problem(), slug);
        assert_eq!(count(slug), 1, "{slug}");
    }
    // Too large for its signature to be checked.
    let unchecked = signed("acme", SECRET, "x".repeat(5_000_000));
    unchecked.to(&running).await.expect(413, "body-too-large");
    assert_eq!((count("body-too-large"), count("accepted")), (0, 0));
    assert_eq!(signed("acme", SECRET, member_added()).to(&running).await.status, 202);
    assert_eq!(count("accepted"), 1);
}

#[tokio::test]
async fn a_delivery_names_its_event_and_its_id() {
    let running = start().await;
    let body = member_added();
    let ask = |event: Option<&str>, delivery: Option<&str>| {
        let mut ask = Ask::new("POST", "/api/v1/sources/github-webhook/acme")
            .header("content-type", "application/json")
            .header("x-hub-signature-256", &signature(SECRET, body.as_bytes()));
        for (name, value) in [("x-github-event", event), ("x-github-delivery", delivery)] {
            ask = value.into_iter().fold(ask, |ask, value| ask.header(name, value));
        }
        ask.body(body.clone())
    };
    let nil = "00000000-0000-0000-0000-000000000000";
    for (event, delivery) in [
        (None, Some(DELIVERY)),
        (Some("member"), None),
        (Some("member"), Some("a.b")),
        (Some("member"), Some(nil)),
        (Some("mem ber"), Some(DELIVERY)),
        (Some(""), Some(DELIVERY)),
    ] {
        ask(event, delivery).to(&running).await.expect(400, "invalid-request");
    }
    assert_eq!(ask(Some("member"), Some(DELIVERY)).to(&running).await.status, 202);
}

#[tokio::test]
async fn guessing_is_limited_by_address_and_a_good_signature_is_not() {
    let mut config = webhooks();
    config.rates.failed_logins_per_minute = NonZeroU32::new(2).expect("not zero");
    let running = start_with(config, Scripted::new(&[])).await;
    for _ in 0..2 {
        signed("acme", "a wrong secret of 16", "{}").to(&running).await.expect(401, "unauthenticated");
    }
    let refused = signed("acme", "a wrong secret of 16", "{}").to(&running).await;
    refused.expect(429, "rate-limited");
    assert_ne!(refused.header("retry-after"), "");
    assert_eq!(signed("acme", SECRET, member_added()).to(&running).await.status, 202);
}

/// Withholds the last byte of a body of that many bytes.
async fn stall(running: &Running, tenant: &str, bytes: usize) -> Wire {
    let mut wire = Wire::open(running).await;
    let whole = signed(tenant, "a wrong secret of 16", "x".repeat(bytes)).bytes();
    wire.send(&whole[..whole.len() - 1]).await;
    wire
}

/// Repeats a delivery for that tenant until it is answered so.
async fn answered(running: &Running, tenant: &str, secret: &str, status: u16) -> Reply {
    let asking = async {
        loop {
            let reply = signed(tenant, secret, member_added()).to(running).await;
            if reply.status == status {
                break reply;
            }
        }
    };
    timeout(HANGING, asking).await.expect("the stalled bytes are counted")
}

#[tokio::test]
async fn strangers_use_up_nothing_but_what_strangers_have() {
    let limits = Limits { stranger_bytes: 8_000, unproven_bytes: 8_000, ..Limits::default() };
    let mut config = GatewayConfig { limits, ..webhooks() };
    config.rates.failed_logins_per_minute = NonZeroU32::MAX;
    let running = start_with(config, Scripted::new(&[])).await;
    // For a tenant that nobody knows: other strangers from there are refused, and nobody else.
    let _stranger = stall(&running, "nobody", 2_000).await;
    answered(&running, "nobody", SECRET, 429).await.expect(429, "quota-exceeded");
    assert_eq!(signed("acme", SECRET, member_added()).to(&running).await.status, 202);
    // In the name of a tenant: it is the tenant's own part, and of that what one address may hold.
    let _forger = stall(&running, "acme", 1_000).await;
    answered(&running, "acme", SECRET, 429).await.expect(429, "quota-exceeded");
    assert_eq!(Ask::structured(&event("a")).to(&running).await.status, 202, "events have room of their own");
}

#[tokio::test]
async fn wrong_signatures_are_one_event_a_minute_of_the_tenant_that_they_name() {
    let mut config = webhooks();
    config.rates.failed_logins_per_minute = NonZeroU32::MAX;
    let trail = Arc::clone(&config.tenants.trail);
    let running = start_with(config, Scripted::new(&[])).await;
    for (tenant, secret) in [("acme", "another secret of 16"), ("nobody", "another secret of 16")] {
        for body in ["x".to_owned(), member_added(), "{}".to_owned()] {
            signed(tenant, secret, body).to(&running).await.expect(401, "unauthenticated");
        }
    }
    assert_eq!(signed("acme", SECRET, member_added()).to(&running).await.status, 202);
    let later = chrono::Utc::now() + chrono::TimeDelta::minutes(2);
    let refusals = trail.take_refusals(later);
    // A minute may have ended in between.
    assert!((1..=2).contains(&refusals.len()), "{refusals:?}");
    assert_eq!(refusals.iter().map(|refusals| refusals.count).sum::<u64>(), 3);
    for refusals in refusals {
        assert_eq!((refusals.tenant.as_str(), refusals.reason.code()), ("acme", "wrong-signature"));
        assert_eq!(refusals.actor.id, "github-webhook");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_counts_against_its_address() {
    let mut config = webhooks();
    config.rates.failed_logins_per_minute = NonZeroU32::MIN;
    config.timeouts.body = Duration::from_millis(200);
    let running = start_with(config, Scripted::new(&[])).await;
    let mut first = stall(&running, "acme", 100).await;
    first.reply().await.expect("an answer").expect(408, "request-timeout");
    let mut second = stall(&running, "acme", 100).await;
    second.reply().await.expect("an answer").expect(429, "rate-limited");
}

#[tokio::test]
async fn without_kafka_a_delivery_is_not_taken() {
    let running = start().await;
    *running.kafka.health.lock().expect("free") = Health::Unreachable;
    let reply = signed("acme", SECRET, member_added()).to(&running).await;
    reply.expect(503, "broker-unavailable");
    assert_eq!(reply.header("retry-after"), "1");
}

/// A form with the payload percent-encoded, as GitHub sends it for that content type of the webhook.
fn signed_form(payload: &str) -> Ask {
    let encoded: String = payload
        .bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let form = format!("payload={encoded}");
    let signature = signature(SECRET, form.as_bytes());
    Ask::new("POST", "/api/v1/sources/github-webhook/acme")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .header("x-github-event", "member")
        .header("x-github-delivery", DELIVERY)
        .header("x-hub-signature-256", &signature)
        .body(form)
}

#[tokio::test]
async fn a_form_is_limited_by_its_payload_not_by_its_encoding() {
    let running = start().await;
    let padded = |pad: String| {
        let mut payload: Value = serde_json::from_str(&member_added()).expect("JSON");
        payload["pad"] = pad.into();
        payload.to_string()
    };
    let ask = signed_form(&padded("{".repeat(500_000)));
    assert!(ask.bytes().len() > 1_500_000);
    assert_eq!(ask.to(&running).await.status, 202);
    signed_form(&padded("x".repeat(1_000_000))).to(&running).await.expect(413, "event-too-large");
}

#[tokio::test]
async fn a_form_encoded_delivery_is_the_same_event() {
    let running = start().await;
    let text = member_added().replace("mara", "mara + co & \u{20ac}");
    assert_eq!(signed_form(&text).to(&running).await.status, 202);
    assert_eq!(signed("acme", SECRET, text).to(&running).await.status, 202);
    let events = running.kafka.published();
    assert_eq!(events[0], events[1]);

    let empty = "other=1";
    let signature = signature(SECRET, empty.as_bytes());
    let ask = Ask::new("POST", "/api/v1/sources/github-webhook/acme")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-github-event", "member")
        .header("x-github-delivery", DELIVERY)
        .header("x-hub-signature-256", &signature)
        .body(empty);
    ask.to(&running).await.expect(400, "invalid-json");
}
