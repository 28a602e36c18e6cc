//! Authentication, scopes and rate limits of publishing.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;

/// Both challenges, from a header each.
const CHALLENGES: &str = r#"Bearer, Basic realm="weir", charset="UTF-8""#;

fn with_authorization(value: &str) -> Ask {
    Ask::new("POST", "/api/v1/events")
        .header("authorization", value)
        .header("content-type", "application/cloudevents+json")
        .body(event("a").to_string())
}

#[tokio::test]
async fn every_bad_credential_gets_the_same_answer() {
    let running = start().await;
    let mut answers = Vec::new();
    let good = token(WRITER);
    let wrong_secret = format!("{}x", &good[..good.len() - 1]);
    for bad in [
        "Bearer weir_nobody00_sssssssssssssssssssssssssssssssssssssssssss".to_owned(),
        format!("Bearer {wrong_secret}"),
        format!("Bearer {}", "x".repeat(9 * 1024)),
        "Bearer garbled".into(),
        format!("Basic {good}"),
        good.clone(),
    ] {
        let reply = with_authorization(&bad).header("x-request-id", "same").to(&running).await;
        reply.expect(401, "unauthenticated");
        assert_eq!(reply.header("www-authenticate"), CHALLENGES);
        answers.push(reply.json());
    }
    let none = Ask::new("POST", "/api/v1/events").header("x-request-id", "same").to(&running).await;
    answers.push(none.json());
    let twice = with_authorization(&format!("Bearer {good}")).header("authorization", "Bearer x");
    answers.push(twice.header("x-request-id", "same").to(&running).await.json());
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(running.kafka.published().is_empty());
}

#[tokio::test]
async fn a_key_without_the_scope_may_not_publish() {
    let running = start().await;
    let reply = with_authorization(&format!("Bearer {}", token(READER))).to(&running).await;
    reply.expect(403, "forbidden");
    assert!(reply.json()["detail"].as_str().expect("text").contains("events:write"));
}

#[tokio::test]
async fn another_tenant_may_not_be_named() {
    let running = start().await;
    let mut foreign = event("a");
    foreign["tenantid"] = "other".into();
    Ask::structured(&foreign).to(&running).await.expect(403, "other-tenant");
    foreign["tenantid"] = "acme".into();
    assert_eq!(Ask::structured(&foreign).to(&running).await.status, 202, "one's own may");
}

#[tokio::test]
async fn keys_come_and_go_while_it_runs() {
    let running = start().await;
    assert_eq!(Ask::structured(&event("a")).to(&running).await.status, 202);
    running.keys.send(Some(Arc::new(KeyRing::new(Pepper::new("pepper"), [])))).expect("it watches");
    Ask::structured(&event("a")).to(&running).await.expect(401, "unauthenticated");
    running.keys.send(None).expect("it watches");
    let reply = Ask::structured(&event("a")).to(&running).await;
    reply.expect(503, "keys-unavailable");
    assert_eq!(reply.header("retry-after"), "1");
    Ask::new("GET", "/startupz").to(&running).await.expect(503, "keys-unavailable");
    Ask::new("GET", "/readyz").to(&running).await.expect(503, "keys-unavailable");
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let rates = Rates { per_key_per_minute: NonZeroU32::new(10), ..Rates::default() };
    let running = start_with(GatewayConfig { rates, ..config() }, Scripted::new(&[])).await;
    let first = Ask::publish("text/plain", "x").to(&running).await;
    first.expect(415, "unsupported-media-type");
    assert_eq!(first.header("ratelimit-policy"), "\"default\";q=10;w=60");
    assert_eq!((first.header("x-ratelimit-limit"), first.header("x-ratelimit-remaining")), ("10", "0"));
    let refused = Ask::structured(&event("a")).to(&running).await;
    refused.expect(429, "rate-limited");
    let seconds: u64 = refused.header("retry-after").parse().expect("whole seconds");
    assert!((1..=6).contains(&seconds), "{seconds}");
    assert_eq!(refused.header("x-ratelimit-remaining"), "0");
    let reader = with_authorization(&format!("Bearer {}", token(READER))).to(&running).await;
    reader.expect(403, "forbidden");
}

#[tokio::test]
async fn failed_logins_count_by_address_however_it_is_disguised() {
    let rates = Rates { failed_logins_per_minute: NonZeroU32::new(3).expect("not zero"), ..config().rates };
    let running = start_with(GatewayConfig { rates, ..config() }, Scripted::new(&[])).await;
    let fail = async |n: u8| {
        let forged = format!("203.0.113.{n}");
        with_authorization("Bearer no").header("x-forwarded-for", &forged).to(&running).await
    };
    for n in 0..3 {
        fail(n).await.expect(401, "unauthenticated");
    }
    let refused = fail(3).await;
    refused.expect(429, "rate-limited");
    assert_ne!(refused.header("retry-after"), "0");
    assert_eq!(
        Ask::structured(&event("a")).to(&running).await.status,
        202,
        "a good key is let in all the same"
    );
}

#[tokio::test]
async fn who_is_asked_for_a_password_first_has_not_failed_to_log_in() {
    let running = start().await;
    let sns = || {
        Ask::new("POST", "/api/v1/events")
            .header("content-type", "application/cloudevents+json")
            .body(event("a").to_string())
    };
    for _ in 0..40 {
        let reply = sns().to(&running).await;
        reply.expect(401, "unauthenticated");
        assert_eq!(reply.header("www-authenticate"), CHALLENGES);
    }
    let password = STANDARD.encode(format!("weir:{}", token(WRITER)));
    let reply = sns().header("authorization", &format!("Basic {password}")).to(&running).await;
    assert_eq!(reply.status, 202);
}

#[tokio::test]
async fn floods_without_a_credential_have_an_end() {
    let rates = Rates { failed_logins_per_minute: NonZeroU32::MIN, ..config().rates };
    let running = start_with(GatewayConfig { rates, ..config() }, Scripted::new(&[])).await;
    let mut statuses = Vec::new();
    while !statuses.contains(&429) && statuses.len() < 200 {
        statuses.push(Ask::new("POST", "/api/v1/events").to(&running).await.status);
    }
    assert!((100..200).contains(&statuses.len()), "{} before the first 429", statuses.len());
}

#[tokio::test]
async fn a_known_proxy_speaks_for_its_clients() {
    let rates = Rates { failed_logins_per_minute: NonZeroU32::MIN, ..config().rates };
    let trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    let running = start_with(GatewayConfig { rates, trusted_proxies, ..config() }, Scripted::new(&[])).await;
    let fail = async |client: &str| {
        with_authorization("Bearer no").header("x-forwarded-for", client).to(&running).await.status
    };
    assert_eq!(fail("203.0.113.1").await, 401);
    assert_eq!(fail("203.0.113.2").await, 401);
    assert_eq!(fail("198.51.100.1, 203.0.113.1").await, 429, "what the client adds in front is not believed");
}
