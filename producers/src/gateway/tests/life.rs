//! Health, common headers, the OpenAPI description, and shutdown.

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::gateway::{Admin, Timeouts, openapi};
use edge::RenderMetrics;

#[tokio::test]
async fn every_answer_carries_the_security_headers_and_an_id() {
    let running = start().await;
    let asks = [
        Ask::new("GET", "/livez"),
        Ask::new("GET", "/nowhere"),
        Ask::new("GET", "/api/v1/events"),
        Ask::structured(&event("a")),
        Ask::publish("text/plain", "x"),
    ];
    for ask in asks {
        let reply = ask.to(&running).await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(reply.header(name), value, "{}", ask.head);
        }
        assert!(!reply.headers.contains_key("server") && !reply.header("x-request-id").is_empty());
        assert!(!reply.headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn a_plain_request_id_is_kept_and_any_other_replaced() {
    let running = start().await;
    let ask = |id: &str| Ask::new("GET", "/livez").header("x-request-id", id);
    assert_eq!(ask("Job-42").to(&running).await.header("x-request-id"), "Job-42");
    let long = "x".repeat(65);
    for bad in ["a b", "<script>", "", long.as_str()] {
        let id = ask(bad).to(&running).await.header("x-request-id").to_owned();
        assert!(id != bad && uuid::Uuid::parse_str(&id).is_ok(), "{bad:?} became {id:?}");
    }
}

#[tokio::test]
async fn readiness_follows_kafka() {
    let running = start().await;
    let ready = async || Ask::new("GET", "/readyz").to(&running).await;
    assert_eq!(ready().await.status, 200);
    *running.kafka.health.lock().expect("free") = Health::Unreachable;
    ready().await.expect(503, "broker-unavailable");
    *running.kafka.health.lock().expect("free") = Health::Fatal("epoch".into());
    ready().await.expect(503, "not-ready");
    assert_eq!(Ask::new("GET", "/livez").to(&running).await.status, 200);
    assert_eq!(Ask::new("GET", "/startupz").to(&running).await.status, 200);
}

#[tokio::test]
async fn metrics_are_there_where_there_is_an_exporter() {
    let running = start().await;
    Ask::new("GET", "/metrics").to(&running).await.expect(404, "not-found");
    let metrics = Some(RenderMetrics::new(|| "up 1\n".into()));
    let running = start_with(GatewayConfig { metrics, ..config() }, Scripted::new(&[])).await;
    let reply = Ask::new("GET", "/metrics").to(&running).await;
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"up 1\n"[..]));
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
}

#[tokio::test]
async fn health_and_metrics_have_a_listener_of_their_own() {
    let listen = config().listen;
    let admin = Some(Admin { listen, metrics: RenderMetrics::new(|| "up 1\n".into()) });
    let kafka = Scripted::new(&[Fate::NeverHeardOf]);
    let running = start_with(GatewayConfig { admin, ..config() }, kafka).await;
    let admin = running.admin.expect("an address");
    let ask = async |path| {
        let mut wire = Wire::to(admin).await;
        wire.send(&Ask::new("GET", path).bytes()).await;
        wire.reply().await.expect("an answer")
    };
    for path in ["/livez", "/startupz", "/readyz", "/metrics"] {
        let reply = ask(path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
    }
    assert_eq!(ask("/metrics").await.body, b"up 1\n");
    ask("/api/v1/events").await.expect(404, "not-found");
    Ask::new("GET", "/metrics").to(&running).await.expect(404, "not-found");
    assert_eq!(Ask::new("GET", "/readyz").to(&running).await.status, 200, "probes may ask either");
    // While it stops it can be seen to stop.
    let mut busy = Wire::open(&running).await;
    busy.send(&Ask::structured(&event("a")).bytes()).await;
    published_any(&running).await;
    running.shutdown.cancel();
    let unready = async {
        while ask("/readyz").await.status != 503 {
            tokio::task::yield_now().await;
        }
    };
    timeout(HANGING, unready).await.expect("not ready");
    assert_eq!(ask("/livez").await.status, 200);
}

#[tokio::test]
async fn durations_are_counted_under_names_that_strangers_cannot_invent() {
    let exporter = PrometheusBuilder::new().build_recorder();
    let rendered = exporter.handle();
    // The server runs on this thread too.
    let _installed = metrics::set_default_local_recorder(&exporter);
    let running = start().await;
    Ask::new("GET", "/livez").to(&running).await;
    Ask::new("INVENTED", "/invented/4711").to(&running).await;
    Ask::structured(&event("a")).to(&running).await;
    let text = rendered.render();
    for (method, route, status) in
        [("GET", "/livez", 200), ("_OTHER", "unmatched", 404), ("POST", "/api/v1/events", 202)]
    {
        let labels = format!(
            "{{http_request_method=\"{method}\",http_route=\"{route}\",http_response_status_code=\"{status}\"}} 1"
        );
        assert!(
            text.contains(&format!("http_server_request_duration_seconds_count{labels}")),
            "{labels}\n{text}"
        );
    }
    // By itself, the number may also be the end of a duration.
    let is_told = |name: &str| text.to_ascii_lowercase().contains(name);
    assert!(!["invented", "/4711", "acme"].into_iter().any(is_told), "{text}");
}

#[tokio::test]
async fn a_defect_is_answered_and_ends_nothing_else() {
    let running = start_with(config(), Scripted::new(&[Fate::Panics])).await;
    let mut wire = Wire::open(&running).await;
    wire.send(&Ask::structured(&event("a")).bytes()).await;
    wire.reply().await.expect("an answer").expect(500, "internal");
    wire.send(&Ask::structured(&event("a")).bytes()).await;
    assert_eq!(wire.reply().await.expect("an answer").status, 202);
}

#[tokio::test]
async fn the_description_names_every_route_and_answer() {
    let running = start().await;
    let served = Ask::new("GET", "/openapi.json").to(&running).await.json();
    assert_eq!(served, serde_json::to_value(openapi()).expect("serialises"));
    let paths: Vec<_> = served["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "/api/v1/audit/searches/{name}",
            "/api/v1/changes/{change_id}/approval-requests",
            "/api/v1/changes/{change_id}/decisions",
            "/api/v1/compliance/waivers/{id}/decisions",
            "/api/v1/compliance/waivers/{id}/requests",
            "/api/v1/compliance/waivers/{id}/revocations",
            "/api/v1/cost/allocation",
            "/api/v1/cost/budgets/{name}",
            "/api/v1/cost/recommendations/{id}/decisions",
            "/api/v1/erasures",
            "/api/v1/events",
            "/api/v1/holds",
            "/api/v1/holds/releases",
            "/api/v1/policy/evaluate",
            "/api/v1/policy/evaluate/{mode}",
            "/api/v1/risk/entities/{kind}/{id}/criticality",
            "/api/v1/risk/entities/{kind}/{id}/watchlists",
            "/api/v1/risk/incidents/{id}/triage",
            "/api/v1/sources/github-webhook/{tenant}",
            "/api/v1/sources/{source}",
            "/livez",
            "/metrics",
            "/readyz",
            "/startupz"
        ]
    );
    let publish = &served["paths"]["/api/v1/events"]["post"];
    let statuses: Vec<_> = publish["responses"].as_object().expect("answers").keys().cloned().collect();
    assert_eq!(statuses, ["202", "400", "401", "403", "408", "413", "415", "422", "429", "503"]);
    assert_eq!(publish["requestBody"]["content"].as_object().map(serde_json::Map::len), Some(3));
    assert!(served["components"]["schemas"]["Problem"].is_object());
}

#[tokio::test]
async fn stopping_lets_requests_end_and_takes_no_new_ones() {
    let timeouts = Timeouts { handler: Duration::from_millis(300), ..Timeouts::default() };
    let kafka = Scripted::new(&[Fate::NeverHeardOf]);
    let running = start_with(GatewayConfig { timeouts, ..config() }, kafka).await;
    let mut idle = Wire::open(&running).await;
    idle.send(&Ask::new("GET", "/livez").bytes()).await;
    assert_eq!(idle.reply().await.expect("an answer").status, 200);
    let mut busy = Wire::open(&running).await;
    busy.send(&Ask::structured(&event("a")).bytes()).await;
    published_any(&running).await;
    running.shutdown.cancel();
    assert!(idle.closed().await, "nothing was in hand there");
    busy.reply().await.expect("the request in hand is answered").expect(503, "outcome-unknown");
    running.ended.await.expect("no panic").expect("all was flushed");
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn what_stays_behind_at_a_stop_is_an_error() {
    let timeouts = Timeouts { drain: Duration::from_millis(100), ..Timeouts::default() };
    let kafka = Scripted::leaving(&[Fate::NeverHeardOf], 1);
    let running = start_with(GatewayConfig { timeouts, ..config() }, kafka).await;
    let mut busy = Wire::open(&running).await;
    busy.send(&Ask::structured(&event("a")).bytes()).await;
    published_any(&running).await;
    running.shutdown.cancel();
    let error = running.ended.await.expect("no panic").expect_err("one was not flushed");
    assert!(matches!(error, GatewayError::Unflushed(1)), "{error}");
    assert!(busy.closed().await, "cut off without an answer");
}
