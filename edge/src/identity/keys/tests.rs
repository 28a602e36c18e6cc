use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use super::*;

/// Has the issuer answer with keys of these ids, or not at all.
async fn publish(server: &MockServer, ids: Option<&[&str]>) {
    server.reset().await;
    // The key of RFC 7517, appendix A.1.
    let jwk = |kid: &&str| {
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
               "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
    };
    let answer = match ids {
        Some(ids) => {
            let keys: Vec<Value> = ids.iter().map(jwk).collect();
            ResponseTemplate::new(200).set_body_json(json!({"keys": keys}))
        }
        None => ResponseTemplate::new(200).set_delay(Duration::from_hours(1)),
    };
    Mock::given(path("/keys")).respond_with(answer).mount(server).await;
}

/// Keys that were fetched from the issuer so long ago.
async fn fetched(server: &MockServer, ids: &[&str], ago: Duration) -> Arc<IssuerKeys> {
    publish(server, Some(ids)).await;
    let source = KeySource::Url(format!("{}/keys", server.uri()));
    let keys = IssuerKeys::new("https://issuer.test".into(), source).expect("a client");
    keys.prime().await;
    let young = keys.fetched.load_full().expect("they were fetched");
    let back = |at: Instant| at.checked_sub(ago).expect("a clock that can be set back");
    let (at, tried_at) = (back(young.at), back(young.tried_at));
    keys.fetched.store(Some(Arc::new(Fetched { keys: young.keys.clone(), at, tried_at })));
    keys.attempts.lock().await.last = Some(tried_at);
    Arc::new(keys)
}

async fn requests(server: &MockServer) -> usize {
    server.received_requests().await.expect("recorded").len()
}

#[tokio::test]
async fn an_issuer_that_hangs_delays_no_token_of_a_known_key() {
    let server = MockServer::start().await;
    let keys = fetched(&server, &["k1"], RENEW_AFTER).await;
    publish(&server, None).await;
    for _ in 0..100 {
        assert!(matches!(keys.find(Some("k1")).await, Found::Key(_)));
        assert!(keys.attempts.try_lock().is_err(), "the issuer is still asked");
    }
    while requests(&server).await == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(requests(&server).await, 1, "once for all of them");
}

#[tokio::test]
async fn a_key_that_the_issuer_took_away_ends_with_the_renewal() {
    let server = MockServer::start().await;
    let keys = fetched(&server, &["k1", "k2"], RENEW_AFTER).await;
    publish(&server, Some(&["k2"])).await;
    while matches!(keys.find(Some("k1")).await, Found::Key(_)) {
        tokio::task::yield_now().await;
    }
    assert!(matches!(keys.find(Some("k2")).await, Found::Key(_)));
    assert!(matches!(keys.find(Some("k1")).await, Found::Unknown));
}

#[tokio::test]
async fn keys_that_nobody_looked_after_are_renewed_before_they_are_used() {
    let server = MockServer::start().await;
    let keys = fetched(&server, &["k1"], UNATTENDED_AFTER).await;
    publish(&server, Some(&["k2"])).await;
    assert!(!matches!(keys.find(Some("k1")).await, Found::Key(_)), "not even once");
    assert!(matches!(keys.find(Some("k2")).await, Found::Key(_)));
}

#[test]
fn the_pause_between_two_fetches_counts_from_the_end_of_the_first() {
    let (mut attempts, began) = (Attempts::default(), Instant::now());
    assert!(!attempts.are_recent(began, None) && !attempts.are_recent(began, Some("k1")));
    attempts.note(began, None);
    let ended = began + FETCH_TIMEOUT;
    attempts.note(ended, None);
    // Whoever asked meanwhile has its answer; whoever asks a moment later has it, too.
    assert!(attempts.are_recent(began + FETCH_TIMEOUT / 2, None));
    assert!(attempts.are_recent(ended + RETRY_AFTER / 2, None));
    assert!(!attempts.are_recent(ended + RETRY_AFTER, None));
}
