//! The API without a database: credentials, routes, problems, headers. What needs rows is tested on real servers.

mod wire;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    sync::Arc,
};

use axum::{Router, body::Body, routing::get as get_route};
use edge::peer::Peer;
use http::{Method, Request, StatusCode, header};
use schemas::{
    TenantId, Timestamp,
    access::{ApiKey, KeyRing, NewApiKey, Pepper, Scope},
};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt;

use super::*;
use crate::read_models::reader_pool;

const PUBLIC: [&str; 5] = ["/livez", "/readyz", "/startupz", "/metrics", "/openapi.json"];
/// Every route that asks for a key, and its scope.
const PROTECTED: [(&str, Scope); 46] = [
    ("/api/v1/audit", Scope::AuditRead),
    ("/api/v1/audit/export", Scope::AuditRead),
    ("/api/v1/audit/0192f0c1-2345-7abc-8def-0123456789ab", Scope::AuditRead),
    ("/api/v1/audit/0192f0c1-2345-7abc-8def-0123456789ab/proof", Scope::AuditRead),
    ("/api/v1/audit/proofs?events=0192f0c1-2345-7abc-8def-0123456789ab", Scope::AuditRead),
    ("/api/v1/audit/logs", Scope::AuditRead),
    ("/api/v1/audit/logs/weir.activity.v1/0/checkpoint", Scope::AuditRead),
    ("/api/v1/audit/logs/weir.activity.v1/0/consistency?from=1&to=2", Scope::AuditRead),
    ("/api/v1/audit/histogram", Scope::AuditRead),
    ("/api/v1/audit/terms", Scope::AuditRead),
    ("/api/v1/audit/searches", Scope::AuditRead),
    ("/api/v1/audit/searches/root%20logins", Scope::AuditRead),
    ("/api/v1/holds", Scope::AuditRead),
    ("/api/v1/erasures", Scope::AuditRead),
    ("/api/v1/subjects/ada", Scope::AuditRead),
    ("/api/v1/changes", Scope::Read),
    ("/api/v1/changes/c", Scope::Read),
    ("/api/v1/parked", Scope::Read),
    ("/api/v1/pipeline", Scope::Read),
    ("/api/v1/pipeline/completeness", Scope::Read),
    ("/api/v1/risk/entities", Scope::RiskRead),
    ("/api/v1/risk/entities/user/u", Scope::RiskRead),
    ("/api/v1/risk/entities/user/u/signals", Scope::RiskRead),
    ("/api/v1/risk/incidents", Scope::RiskRead),
    ("/api/v1/risk/incidents/0192f0c1-2345-7abc-8def-0123456789ab", Scope::RiskRead),
    ("/api/v1/risk/unusable", Scope::RiskRead),
    ("/api/v1/cost/summary", Scope::CostRead),
    ("/api/v1/cost/timeseries", Scope::CostRead),
    ("/api/v1/cost/breakdown", Scope::CostRead),
    ("/api/v1/cost/resources/r", Scope::CostRead),
    ("/api/v1/cost/charges", Scope::CostRead),
    ("/api/v1/cost/export", Scope::CostRead),
    ("/api/v1/cost/budgets", Scope::CostRead),
    ("/api/v1/cost/reconciliation", Scope::CostRead),
    ("/api/v1/cost/allocation", Scope::CostRead),
    ("/api/v1/cost/workloads", Scope::CostRead),
    ("/api/v1/cost/anomalies", Scope::CostRead),
    ("/api/v1/cost/forecast", Scope::CostRead),
    ("/api/v1/cost/recommendations", Scope::CostRead),
    ("/api/v1/compliance/posture", Scope::ComplianceRead),
    ("/api/v1/compliance/controls/c", Scope::ComplianceRead),
    ("/api/v1/compliance/verdicts", Scope::ComplianceRead),
    ("/api/v1/compliance/resources/r", Scope::ComplianceRead),
    ("/api/v1/compliance/findings", Scope::ComplianceRead),
    ("/api/v1/compliance/waivers", Scope::ComplianceRead),
    ("/api/v1/compliance/scorecards", Scope::ComplianceRead),
];

const STRANGER: Peer = Peer(IpAddr::V4(Ipv4Addr::LOCALHOST));

/// An API whose database is away, and the token of a key with these scopes.
fn api(scopes: &[Scope]) -> (Router, String) {
    limited(
        scopes,
        Rates { per_key_per_minute: None, failed_logins_per_minute: NonZeroU32::MAX, ..Rates::default() },
    )
}

/// The same, with this rate limit.
fn limited(scopes: &[Scope], rates: Rates) -> (Router, String) {
    let pepper = Pepper::new("pepper");
    let made = NewApiKey::generate(&pepper, &[7; 64]);
    let key = ApiKey {
        id: made.id,
        succeeds: None,
        tenant: TenantId::new("acme").expect("valid"),
        name: "test".into(),
        scopes: scopes.to_vec(),
        secret_hmac: made.secret_hmac,
        created_at: Timestamp::UNIX_EPOCH,
        revoked_at: None,
        expires_at: None,
        last_used_at: None,
        sources: Vec::new(),
        networks: Vec::new(),
    };
    let ring = Arc::new(KeyRing::new(pepper.clone(), [key]));
    (api_with(&pepper, Some(ring), rates).router(), made.token.expose_secret().to_owned())
}

fn api_with(pepper: &Pepper, keys: Option<Arc<KeyRing>>, rates: Rates) -> QueryApi {
    let config = QueryConfig {
        identities: Arc::default(),
        cursor_key: CursorKey::derived_from(pepper),
        stages: vec![],
        log_keys: Vec::new(),
        controls: Controls::default(),
        log_ends: watch::channel(None).1,
        rates,
        // A database that is away is waited for: as many may wait as there are routes.
        tenants: edge::tenants::Tenants::default(),
        shares: ShareLimits {
            connections: 16,
            connections_per_tenant: 16,
            answer_bytes_per_tenant: 64 * 1024 * 1024,
            // Every route asks a database that is away, which takes its time.
            database_seconds_per_minute: NonZeroU32::MAX,
            ..ShareLimits::default()
        },
        trusted_proxies: Vec::new(),
        metrics: None,
    };
    // Port 1 is nobody's: connections are refused at once.
    let pool = reader_pool("postgres://nobody@127.0.0.1:1/none", 1).expect("an address");
    QueryApi::new(config, pool, watch::channel(keys).1)
}

struct Answered {
    status: StatusCode,
    headers: http::HeaderMap,
    body: String,
}

impl Answered {
    fn slug(&self) -> String {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{}", self.body);
        let problem: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(problem["status"], self.status.as_u16());
        problem["type"].as_str().expect("a type").trim_start_matches("/problems/").to_owned()
    }
}

async fn ask(router: &Router, request: Request<Body>) -> Answered {
    let response = router.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let body = String::from_utf8(body.to_vec()).expect("UTF-8");
    for (name, value) in [
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(parts.headers[name], value);
    }
    assert!(parts.headers.contains_key("x-request-id") && !parts.headers.contains_key("server"));
    assert!(!parts.headers.contains_key("access-control-allow-origin"));
    Answered { status: parts.status, headers: parts.headers, body }
}

fn get(path: &str, token: Option<&str>) -> Request<Body> {
    let mut request = Request::get(path).header(header::HOST, "localhost").extension(STRANGER);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn every_route_needs_its_scope() {
    let (all, token) = api(&Scope::ALL);
    for (path, scope) in PROTECTED {
        let others: Vec<_> = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
        let (without, other_token) = api(&others);
        let answer = ask(&without, get(path, Some(&other_token))).await;
        assert_eq!((answer.status, answer.slug().as_str()), (StatusCode::FORBIDDEN, "forbidden"), "{path}");
    }
    // Allowed in, and met by a database that is away.
    // A few at a time: a tenant may have only so many requests that wait.
    for routes in PROTECTED.chunks(8) {
        let answers = routes.iter().map(|(path, _)| ask(&all, get(path, Some(&token))));
        for answer in futures_util::future::join_all(answers).await {
            assert_eq!(answer.slug(), "database-unavailable");
            assert_eq!(answer.headers[header::RETRY_AFTER], "1");
        }
    }
}

#[tokio::test]
async fn a_missing_unknown_and_wrong_credential_are_told_the_same() {
    let (router, token) = api(&Scope::ALL);
    let flipped = if token.ends_with('a') { "b" } else { "a" };
    let wrong = format!("{}{flipped}", &token[..token.len() - 1]);
    let unknown = token.replacen(&token[5..13], "AAAAAAAA", 1);
    for (path, _) in PROTECTED {
        for token in [None, Some("x"), Some(wrong.as_str()), Some(unknown.as_str())] {
            let mut request = get(path, token);
            request.headers_mut().insert("x-request-id", "same".parse().expect("a header"));
            let answer = ask(&router, request).await;
            assert_eq!(answer.slug(), "unauthenticated");
            assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
            let instance = path.split('?').next().expect("a path");
            let expected = format!(
                "{{\"type\":\"/problems/unauthenticated\",\"title\":\"A valid credential is needed\",\"status\":401,\
                 \"detail\":\"send a valid API key as Authorization: Bearer weir_…\",\"instance\":\"{instance}\",\"request_id\":\"same\"}}"
            );
            assert_eq!(answer.body, expected);
        }
    }
}

#[tokio::test]
async fn a_query_is_checked_before_the_database_is_asked() {
    let (router, token) = api(&Scope::ALL);
    for (path, slug) in [
        ("/api/v1/audit?sort=pg_sleep(5)", "invalid-query"),
        ("/api/v1/audit?limit=0", "invalid-query"),
        ("/api/v1/audit?cursor=abc", "invalid-cursor"),
        ("/api/v1/audit/0192f0c1-2345-7abc-8def-0123456789ab?x=1", "invalid-query"),
        ("/api/v1/audit/no-uuid", "not-found"),
        ("/api/v1/audit/%FF", "not-found"),
        ("/api/v1/pipeline?x=1", "invalid-query"),
        ("/api/v1/parked?status=lost", "invalid-query"),
        ("/api/v1/parked?cursor=abc", "invalid-cursor"),
    ] {
        assert_eq!(ask(&router, get(path, Some(&token))).await.slug(), slug, "{path}");
    }
}

#[tokio::test]
async fn no_route_takes_what_it_does_not_know_or_more_than_it_gives() {
    let (router, token) = api(&Scope::ALL);
    let described: BTreeSet<_> =
        description().paths.paths.keys().filter(|path| path.contains("/api/")).cloned().collect();
    assert_eq!(described.len(), PROTECTED.len(), "each route is asked: {described:?}");
    for (path, _) in PROTECTED {
        for bad in [
            "sort=pg_sleep(5)",
            "limit=-1",
            "limit=0",
            "limit=1001",
            "limit=1000000000",
            "limit=x",
            "offset=1",
        ] {
            let separator = if path.contains('?') { '&' } else { '?' };
            let answer = ask(&router, get(&format!("{path}{separator}{bad}"), Some(&token))).await;
            assert_eq!(
                (answer.status.as_u16(), answer.slug().as_str()),
                (400, "invalid-query"),
                "{path}?{bad}"
            );
        }
    }
    for path in ["/api/v1/audit", "/api/v1/risk/entities/user/u/signals", "/api/v1/risk/incidents"] {
        let turned = format!("{path}?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z");
        assert_eq!(ask(&router, get(&turned, Some(&token))).await.slug(), "invalid-query", "{turned}");
    }
}

#[tokio::test]
async fn paths_and_methods_that_are_not_served_are_problems() {
    let (router, token) = api(&Scope::ALL);
    assert_eq!(ask(&router, get("/api/v1/nothing", Some(&token))).await.slug(), "not-found");
    for method in [Method::POST, Method::PUT, Method::TRACE, Method::DELETE] {
        let request =
            Request::builder().method(method).uri("/api/v1/audit").header(header::HOST, "localhost");
        let request = request.body(Body::empty()).expect("a request");
        let answer = ask(&router, request).await;
        assert_eq!(answer.slug(), "method-not-allowed");
        assert_eq!(answer.headers[header::ALLOW], "GET,HEAD");
    }
}

#[tokio::test]
async fn request_ids_are_kept_where_they_are_harmless() {
    let (router, _) = api(&[]);
    for (given, kept) in
        [("abc-123", true), ("", false), ("a b", false), ("a\tb", false), (&"x".repeat(65), false)]
    {
        let mut request = get("/livez", None);
        request.headers_mut().insert("x-request-id", given.parse().expect("a header"));
        let answer = ask(&router, request).await;
        assert_eq!(answer.headers["x-request-id"] == given, kept, "{given:?}");
    }
}

#[tokio::test]
async fn health_tells_alive_from_ready() {
    let (with_keys, _) = api(&[]);
    let without_keys = api_with(&Pepper::new("pepper"), None, Rates::default());
    let admin = without_keys.admin(RenderMetrics::new(|| "weir_build_info 1\n".to_owned()));
    let without_keys = without_keys.router();
    assert_eq!(ask(&without_keys, get("/livez", None)).await.body, r#"{"status":"alive"}"#);
    assert_eq!(ask(&without_keys, get("/startupz", None)).await.slug(), "keys-unavailable");
    assert_eq!(ask(&without_keys, get("/api/v1/audit", Some("x"))).await.slug(), "keys-unavailable");
    assert_eq!(ask(&with_keys, get("/startupz", None)).await.status, StatusCode::OK);
    assert_eq!(ask(&with_keys, get("/readyz", None)).await.slug(), "not-ready");
    assert_eq!(ask(&with_keys, get("/metrics", None)).await.slug(), "not-found");
    assert_eq!(ask(&admin, get("/livez", None)).await.status, StatusCode::OK);
    assert_eq!(ask(&admin, get("/readyz", None)).await.slug(), "keys-unavailable");
    assert_eq!(ask(&admin, get("/api/v1/audit", None)).await.slug(), "not-found");
    let metrics = ask(&admin, get("/metrics", None)).await;
    assert_eq!(metrics.body, "weir_build_info 1\n");
    assert_eq!(metrics.headers[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
}

#[tokio::test]
async fn the_description_names_every_route_and_nothing_that_is_missing() {
    let (router, _) = api(&[]);
    let answer = ask(&router, get("/openapi.json", None)).await;
    let description: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert!(description["openapi"].as_str().expect("a version").starts_with("3.1"));
    let paths: BTreeSet<_> =
        description["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    let expected: BTreeSet<_> = PUBLIC
        .into_iter()
        .filter(|path| *path != "/openapi.json")
        .chain(["/api/v1/audit/terms", "/api/v1/audit/histogram"])
        .chain(["/api/v1/audit/searches", "/api/v1/audit/searches/{name}"])
        .chain(["/.well-known/weir-log-keys", "/api/v1/audit/{id}/proof", "/api/v1/audit/logs"])
        .chain(["/api/v1/audit/proofs"])
        .chain(["/api/v1/audit/logs/{topic}/{partition}/checkpoint"])
        .chain(["/api/v1/audit/logs/{topic}/{partition}/consistency"])
        .chain(["/api/v1/audit", "/api/v1/audit/{id}", "/api/v1/audit/export"])
        .chain(["/api/v1/pipeline", "/api/v1/pipeline/completeness", "/api/v1/parked"])
        .chain(["/api/v1/holds", "/api/v1/erasures", "/api/v1/subjects/{subject}"])
        .chain(["/api/v1/cost/summary", "/api/v1/cost/timeseries", "/api/v1/cost/breakdown"])
        .chain(["/api/v1/cost/resources/{id}", "/api/v1/cost/charges", "/api/v1/cost/export"])
        .chain(["/api/v1/cost/anomalies", "/api/v1/cost/forecast", "/api/v1/cost/recommendations"])
        .chain(["/api/v1/cost/budgets", "/api/v1/cost/reconciliation", "/api/v1/cost/allocation"])
        .chain(["/api/v1/cost/workloads"])
        .chain(["/api/v1/compliance/posture", "/api/v1/compliance/controls/{id}"])
        .chain(["/api/v1/compliance/resources/{id}", "/api/v1/compliance/findings"])
        .chain(["/api/v1/compliance/verdicts", "/api/v1/compliance/waivers"])
        .chain(["/api/v1/compliance/scorecards"])
        .chain(["/api/v1/changes", "/api/v1/changes/{id}"])
        .chain(["/api/v1/risk/entities", "/api/v1/risk/entities/{kind}/{id}"])
        .chain(["/api/v1/risk/entities/{kind}/{id}/signals"])
        .chain(["/api/v1/risk/incidents", "/api/v1/risk/incidents/{id}", "/api/v1/risk/unusable"])
        .collect();
    assert_eq!(paths, expected);
    let schemas = description["components"]["schemas"].as_object().expect("schemas");
    for reference in answer.body.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap_or_default();
        assert!(schemas.contains_key(name), "{name} is referred to and not described");
    }
    assert_eq!(description["components"]["securitySchemes"]["api_key"]["scheme"], "bearer");
    assert_eq!(super::description().to_json().expect("serialises"), answer.body);
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let (router, token) = limited(&[], Rates { per_key_per_minute: NonZeroU32::new(10), ..Rates::default() });
    let first = ask(&router, get("/api/v1/audit", Some(&token))).await;
    assert_eq!(first.slug(), "forbidden");
    assert_eq!(first.headers["ratelimit-policy"], "\"default\";q=10;w=60");
    assert_eq!(first.headers["x-ratelimit-remaining"], "0");
    // Another route: every question shares the allowance.
    let refused = ask(&router, get("/api/v1/pipeline", Some(&token))).await;
    assert_eq!((refused.status.as_u16(), refused.slug().as_str()), (429, "rate-limited"));
    let seconds: u64 =
        refused.headers[header::RETRY_AFTER].to_str().expect("text").parse().expect("whole seconds");
    assert!((1..=6).contains(&seconds), "{seconds}");
    let text = recorder.handle().render();
    assert!(text.contains("weir_rate_limited_total{tenant_class=\"api_key\"} 1"), "{text}");
}

#[tokio::test]
async fn failed_logins_count_by_address_and_a_good_key_is_let_in_all_the_same() {
    let failed_logins_per_minute = NonZeroU32::new(2).expect("not zero");
    let rates = Rates { failed_logins_per_minute, per_key_per_minute: None, ..Rates::default() };
    let (router, token) = limited(&[], rates);
    for forged in ["203.0.113.1", "203.0.113.2", "203.0.113.3"] {
        let mut request = get("/api/v1/audit", Some("no"));
        request.headers_mut().insert("x-forwarded-for", forged.parse().expect("a header"));
        let answer = ask(&router, request).await;
        let expected = if forged.ends_with('3') { "rate-limited" } else { "unauthenticated" };
        assert_eq!(answer.slug(), expected, "{forged}");
        assert!(answer.slug() != "rate-limited" || answer.headers[header::RETRY_AFTER] != "0");
    }
    assert_eq!(ask(&router, get("/api/v1/audit", Some(&token))).await.slug(), "forbidden");
}

#[tokio::test]
async fn heads_are_bounded_and_what_may_hide_another_request_ends_the_connection() {
    let (router, _) = api(&[]);
    let mut crowded = get("/livez", None);
    for _ in 0..65 {
        crowded.headers_mut().append("a", "b".parse().expect("a header"));
    }
    let mut long = get("/livez", None);
    long.headers_mut().insert("a", "b".repeat(65 * 1024).parse().expect("a header"));
    for request in [crowded, long] {
        let answer = ask(&router, request).await;
        assert_eq!((answer.status.as_u16(), answer.slug().as_str()), (431, "headers-too-large"));
        assert_eq!(answer.headers[header::CONNECTION], "close");
    }
    let mut nowhere = get("/livez", None);
    nowhere.headers_mut().remove(header::HOST);
    assert_eq!(ask(&router, nowhere).await.slug(), "invalid-request");
    let mut framed_twice = get("/livez", None);
    framed_twice.headers_mut().insert(header::TRANSFER_ENCODING, "chunked".parse().expect("a header"));
    assert_eq!(ask(&router, framed_twice).await.headers[header::CONNECTION], "close");
}

#[tokio::test]
async fn a_defect_is_answered_like_everything_else() {
    let (_, token) = api(&[]);
    let router: Router = SERVICE.around(Router::new().route("/defect", get_route(|| async { panics() })));
    let answer = ask(&router, get("/defect", Some(&token))).await;
    assert_eq!((answer.status.as_u16(), answer.slug().as_str()), (500, "internal"));
    assert!(!answer.body.contains("on purpose"), "{}", answer.body);
}

fn panics() -> &'static str {
    panic!("a defect, on purpose")
}
