//! Records of other systems over HTTP: accepted and rejected ones, and the responses.

use std::io::Write;

use metrics_exporter_prometheus::PrometheusBuilder;
use schemas::{Event, events::ActivityKind};

use super::*;
use rdkafka::error::RDKafkaErrorCode;

fn post(source: &str, body: impl Into<Vec<u8>>) -> Ask {
    Ask::new("POST", &format!("/api/v1/sources/{source}"))
        .header("authorization", &format!("Bearer {}", token(WRITER)))
        .header("content-type", "application/json")
        .body(body)
}

/// An audit event as an API server sends it.
fn audited(audit_id: &str, verb: &str) -> Value {
    json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": audit_id,
        "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/shop/secrets/db", "verb": verb,
        "user": {"username": "mara@example.com", "groups": ["system:authenticated"]},
        "sourceIPs": ["192.0.2.7"], "userAgent": "kubectl",
        "objectRef": {"resource": "secrets", "namespace": "shop", "name": "db", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2026-01-02T03:04:05.678901Z",
    })
}

fn event_list(items: &[Value]) -> String {
    json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items}).to_string()
}

fn audit_id(n: u32) -> String {
    format!("6f1c2a5e-0000-4000-8000-{n:012x}")
}

fn nested(depth: usize) -> String {
    let mut record = audited(&audit_id(77), "create").to_string();
    record.pop();
    format!("{record},\"requestObject\":{}{}}}", "[".repeat(depth), "]".repeat(depth))
}

fn longer_than(bytes: usize) -> String {
    let mut record = audited(&audit_id(78), "create");
    record["requestObject"] = "x".repeat(bytes).into();
    record.to_string()
}

#[tokio::test]
async fn an_event_list_becomes_one_event_a_record() {
    let running = start().await;
    let (get, watch) = (audited(&audit_id(1), "get"), audited(&audit_id(2), "watch"));
    let body = event_list(&[get.clone(), watch]);
    let reply = post("kubernetes-audit", body.clone()).to(&running).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let answer = reply.json();
    assert_eq!(
        answer["counts"],
        json!({"records": 2, "accepted": 2, "rejected": 0, "ids_derived": 0, "times_assumed": 0,
               "fields_empty": 0})
    );
    assert_eq!(
        (&answer["accepted"][1]["index"], &answer["accepted"][1]["partition"]),
        (&1.into(), &3.into())
    );
    let events = running.kafka.published();
    let native = events[0].native.as_ref().expect("the record travels along");
    assert_eq!((native.format.as_str(), &*native.record), ("kubernetes.audit", &*get.to_string()));
    assert_eq!(events[0].tenant.as_str(), "acme", "the key's");
    let Event::Activity(activity) = &events[0].event else { panic!("an activity") };
    assert_eq!((activity.kind, activity.actor.id.as_str()), (ActivityKind::SecretRead, "mara@example.com"));

    assert_eq!(post("kubernetes-audit", body).to(&running).await.status, 202);
    let again = running.kafka.published();
    assert_eq!(events[..], again[2..], "sent again, it is the same events");
}

#[tokio::test]
async fn one_event_an_array_and_a_record_a_line_are_taken_too() {
    let running = start().await;
    let (one, two) = (audited(&audit_id(1), "get").to_string(), audited(&audit_id(2), "get").to_string());
    for (body, records) in [(one.clone(), 1), (format!("[{one},{two}]"), 2), (format!("{one}\n{two}\n"), 2)] {
        let reply = post("kubernetes-audit", body).to(&running).await;
        assert_eq!((reply.status, &reply.json()["counts"]["accepted"]), (202, &records.into()));
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(one.as_bytes()).expect("to memory");
    let ask = post("kubernetes-audit", gzip.finish().expect("to memory")).header("content-encoding", "gzip");
    assert_eq!(ask.to(&running).await.status, 202);
}

#[tokio::test]
async fn every_source_has_its_path() {
    let running = start().await;
    let cloudtrail = json!({"Records": [{
        "eventVersion": "1.11", "eventName": "CreateUser", "eventSource": "iam.amazonaws.com",
        "eventID": "6f1c2a5e-1111-4000-8000-000000000001", "eventTime": "2026-01-02T03:04:05Z",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::1:user/mara", "accountId": "1"},
    }]});
    let okta = json!([{
        "uuid": "6f1c2a5e-2222-4000-8000-000000000001", "eventType": "user.session.start",
        "published": "2026-01-02T03:04:05.000Z", "outcome": {"result": "SUCCESS"},
        "actor": {"id": "00u1", "type": "User", "alternateId": "mara@example.com"},
    }]);
    let github = json!([{
        "_document_id": "a1", "action": "repo.create", "actor": "mara", "@timestamp": 1_767_323_045_000_i64,
    }]);
    let plan = json!({
        "format_version": "1.2", "terraform_version": "1.9.0", "timestamp": "2026-01-02T03:04:05Z",
        "resource_changes": [{"address": "aws_s3_bucket.logs", "change": {"actions": ["create"]}}],
    });
    for (source, body, format, kind) in [
        ("cloudtrail", cloudtrail, "aws.cloudtrail", "ApiCalled"),
        ("okta", okta, "okta.system_log", "SignedIn"),
        ("github-audit", github, "github.audit", "ApiCalled"),
        ("terraform-plan", plan, "terraform.plan", "ChangeProposed"),
    ] {
        let reply = post(source, body.to_string()).to(&running).await;
        assert_eq!(reply.status, 202, "{source}: {}", reply.json());
        let event = running.kafka.published().pop().expect("published");
        let told = event.native.as_ref().map(|native| native.format.as_str());
        assert_eq!((told, event.event.kind_name()), (Some(format), kind));
    }
}

#[tokio::test]
async fn unknown_kinds_and_wrongly_typed_fields_are_no_reason_to_refuse() {
    let running = start().await;
    let mut odd = audited(&audit_id(1), "teleport");
    odd["kind"] = "Happening".into();
    odd["user"] = json!(["not", "an", "object"]);
    odd["sourceIPs"] = 7.into();
    odd["responseStatus"] = "fine".into();
    let nameless = json!({"verb": 7, "auditID": {"a": 1}, "requestReceivedTimestamp": false});
    let reply = post("kubernetes-audit", event_list(&[odd, nameless])).to(&running).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    assert_eq!(
        reply.json()["counts"],
        json!({"records": 2, "accepted": 2, "rejected": 0, "ids_derived": 1, "times_assumed": 1,
               "fields_empty": 2})
    );
}

#[tokio::test]
async fn what_is_too_deep_or_too_large_is_refused_alone_and_listed() {
    let running = start().await;
    let good = audited(&audit_id(1), "get").to_string();
    let ahead = audited(&audit_id(2), "get").to_string().replace("2026-01-02", "9998-01-02");
    let records = [nested(10_000), good.clone(), longer_than(5_000_000), "7".into(), ahead, nested(60)];
    let reply = post("kubernetes-audit", format!("{{\"items\":[{}]}}", records.join(","))).to(&running).await;
    assert_eq!(reply.status, 202);
    let answer = reply.json();
    let rejected: Vec<_> = answer["rejected"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["index"].as_u64().expect("a place"), one["type"].as_str().expect("a type")))
        .collect();
    assert_eq!(
        rejected,
        [
            (0, "/problems/json-limit"),
            (2, "/problems/event-too-large"),
            (3, "/problems/invalid-json"),
            (4, "/problems/time-out-of-range"),
        ]
    );
    assert_eq!((&answer["counts"]["accepted"], running.kafka.published().len()), (&2.into(), 2));

    post("kubernetes-audit", nested(10_000)).to(&running).await.expect(400, "json-limit");
    post("kubernetes-audit", longer_than(5_000_000)).to(&running).await.expect(413, "event-too-large");
    post("kubernetes-audit", longer_than(9_000_000)).to(&running).await.expect(413, "body-too-large");
    let many = vec!["{\"verb\":\"get\"}"; 10_001].join("\n");
    post("kubernetes-audit", many).to(&running).await.expect(413, "batch-too-large");
    assert_eq!(running.kafka.published().len(), 2);
    assert_eq!(post("kubernetes-audit", good).to(&running).await.status, 202, "the gateway lives");
}

#[tokio::test]
async fn a_body_that_holds_no_such_records_is_told_so() {
    let running = start().await;
    let whole = event_list(&[audited(&audit_id(1), "get"), audited(&audit_id(2), "get")]);
    for (status, slug, body) in [
        (400, "invalid-request", String::new()),
        (400, "invalid-request", event_list(&[])),
        (400, "invalid-json", "7".into()),
        (400, "invalid-json", "<xml/>".into()),
        (400, "invalid-json", whole[..whole.len() - 3].into()),
        (400, "invalid-json", whole.replace("\"verb\":", "\"verb\"")),
        (400, "invalid-json", "{\"verb\": nothing}".into()),
        (422, "invalid-event", "{\"hello\": \"world\"}".into()),
        (422, "invalid-event", "{\"resource_changes\": []}".into()),
    ] {
        let reply = post("kubernetes-audit", body.clone()).to(&running).await;
        assert_eq!((reply.status, reply.problem().as_str()), (status, slug), "{body}\n{}", reply.json());
    }
    for (path, detail) in [("splunk", "kubernetes-audit"), ("github-webhook", "tenant"), ("%ff", "okta")] {
        let reply = post(path, whole.clone()).to(&running).await;
        reply.expect(404, "not-found");
        assert!(
            reply.json()["detail"].as_str().is_some_and(|text| text.contains(detail)),
            "{}",
            reply.json()
        );
    }
    assert!(running.kafka.published().is_empty());
}

#[tokio::test]
async fn what_is_refused_as_a_whole_is_counted_once() {
    let exporter = PrometheusBuilder::new().build_recorder();
    let rendered = exporter.handle();
    // The server runs on this thread too.
    let _installed = metrics::set_default_local_recorder(&exporter);
    let running = start().await;
    let count = |outcome: &str| counted(&rendered, "kubernetes.audit", outcome);
    let whole = event_list(&[audited(&audit_id(1), "get"), audited(&audit_id(2), "get")]);
    for (slug, body) in [
        ("body-too-large", longer_than(9_000_000)),
        ("batch-too-large", vec!["{\"verb\":\"get\"}"; 10_001].join("\n")),
        ("invalid-json", whole[..whole.len() - 3].to_owned()),
        ("invalid-request", event_list(&[])),
        ("invalid-event", "{\"hello\": \"world\"}".to_owned()),
        // The only record of its request: refused itself, and the answer to the request.
        ("json-limit", nested(10_000)),
    ] {
        let before = count(slug);
        assert_eq!(post("kubernetes-audit", body).to(&running).await.problem(), slug);
        assert_eq!(count(slug), before + 1, "{slug}");
    }
    let gzip = post("kubernetes-audit", whole.clone()).header("content-encoding", "gzip");
    gzip.to(&running).await.expect(400, "invalid-encoding");
    let brotli = post("kubernetes-audit", whole.clone()).header("content-encoding", "br");
    brotli.to(&running).await.expect(415, "unsupported-encoding");
    assert_eq!((count("invalid-encoding"), count("unsupported-encoding")), (1, 1));

    // A stranger's request, and one that asks for a subscription instead of bringing records.
    let before = count("invalid-request");
    let keyless = Ask::new("POST", "/api/v1/sources/kubernetes-audit").body(event_list(&[]));
    keyless.to(&running).await.expect(401, "unauthenticated");
    let question = post("kubernetes-audit", "[]").header("aeg-event-type", "SubscriptionValidation");
    question.to(&running).await.expect(400, "invalid-request");
    assert_eq!(count("invalid-request"), before);
    assert_eq!((count("accepted"), running.kafka.published().len()), (0, 0));
}

#[tokio::test]
async fn a_refusal_that_passes_is_not_counted() {
    let exporter = PrometheusBuilder::new().build_recorder();
    let rendered = exporter.handle();
    let _installed = metrics::set_default_local_recorder(&exporter);
    let running = start().await;
    *running.kafka.health.lock().expect("free") = Health::Unreachable;
    let body = event_list(&[audited(&audit_id(1), "get")]);
    post("kubernetes-audit", body).to(&running).await.expect(503, "broker-unavailable");
    let series = rendered.render();
    let counts = series.lines().filter(|line| line.starts_with("weir_source_records_total{"));
    assert!(counts.clone().count() > 0, "announced");
    assert!(counts.clone().all(|line| line.ends_with(" 0")), "{series}");
}

#[tokio::test]
async fn senders_need_a_key_and_say_that_it_is_json() {
    let running = start().await;
    let path = "/api/v1/sources/kubernetes-audit";
    Ask::new("POST", path).body("{}").to(&running).await.expect(401, "unauthenticated");
    let reader = Ask::new("POST", path).header("authorization", &format!("Bearer {}", token(READER)));
    reader.body("{}").to(&running).await.expect(403, "forbidden");
    let writer = Ask::new("POST", path).header("authorization", &format!("Bearer {}", token(WRITER)));
    let untyped = writer.header("content-type", "text/plain").body("{}");
    untyped.to(&running).await.expect(415, "unsupported-media-type");
    Ask::new("GET", path).to(&running).await.expect(405, "method-not-allowed");
}

#[tokio::test]
async fn equal_charges_in_parts_of_a_delivery_are_charges_of_their_own() {
    let running = start().await;
    let charge = json!({"BilledCost": 1.5, "BillingCurrency": "USD", "ChargePeriodStart": "2024-09-18T00:00:00Z",
        "ChargePeriodEnd": "2024-09-19T00:00:00Z", "ResourceId": "db"});
    let mut ids = Vec::new();
    for source in ["focus", "focus?part=one", "focus?part=two", "focus?part=one", "focus"] {
        let reply = post(source, charge.to_string()).to(&running).await;
        assert_eq!(reply.status, 202, "{reply:?}");
        ids.push(reply.json()["accepted"][0]["id"].to_string());
    }
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    assert_eq!((&ids[3], &ids[4]), (&ids[1], &ids[0]), "sent again, it is the same charge");
    post("focus?part=", charge.to_string()).to(&running).await.expect(400, "invalid-request");
}

#[tokio::test]
async fn without_kafka_the_sender_is_told_to_come_back() {
    let body = event_list(&[audited(&audit_id(1), "get"), audited(&audit_id(2), "get")]);
    let unavailable = Fate::Fails(DeliveryFailure::Unavailable(RDKafkaErrorCode::BrokerTransportFailure));
    for (fates, slug, accepted) in [
        (&[Fate::QueueFull][..], "queue-full", 0),
        (&[Fate::Stored, unavailable], "broker-unavailable", 1),
        (&[Fate::Stored, Fate::Fails(DeliveryFailure::TimedOut)], "outcome-unknown", 1),
    ] {
        let running = start_with(config(), Scripted::new(fates)).await;
        let reply = post("kubernetes-audit", body.clone()).to(&running).await;
        reply.expect(503, slug);
        assert_eq!(reply.header("retry-after"), "1");
        assert_eq!(reply.json()["accepted"].as_array().map_or(0, Vec::len), accepted);
    }
    let running = start().await;
    *running.kafka.health.lock().expect("free") = Health::Unreachable;
    post("kubernetes-audit", body).to(&running).await.expect(503, "broker-unavailable");
}

#[tokio::test]
async fn the_verification_of_an_event_hook_is_answered() {
    let running = start().await;
    let get = |source: &str| Ask::new("GET", &format!("/api/v1/sources/{source}"));
    let reply = get("okta").header("x-okta-verification-challenge", "abc123").to(&running).await;
    assert_eq!((reply.status, reply.json()), (200, json!({"verification": "abc123"})));
    get("okta").to(&running).await.expect(400, "invalid-request");
    get("cloudtrail").to(&running).await.expect(405, "method-not-allowed");
    get("nobody").to(&running).await.expect(404, "not-found");
    let long = "x".repeat(2_000);
    get("okta")
        .header("x-okta-verification-challenge", &long)
        .to(&running)
        .await
        .expect(400, "invalid-request");
}

#[tokio::test]
async fn every_source_of_the_list_is_a_path_and_is_described() {
    use crate::sources::{Received, SourceFormat};

    let running = start().await;
    let document = serde_json::to_value(crate::gateway::openapi()).expect("JSON");
    let parameters = &document["paths"]["/api/v1/sources/{source}"]["post"]["parameters"];
    let described = parameters[0]["description"].as_str().expect("a description");
    let readme = include_str!("../../../README.md");
    for &format in SourceFormat::ALL {
        let row = format.row();
        let listed = format!("| `{}` | {} |", row.slug, row.record);
        assert!(readme.contains(&listed), "producers/README.md lists {listed}");
        assert!(schemas::envelope::native_format::is_mapped(row.format), "{}", row.format);
        if row.received == Received::Signed {
            continue;
        }
        assert!(described.contains(&format!("`{}`", row.slug)), "{described}");
        assert_eq!(SourceFormat::from_slug(row.slug), Some(format));
        // Something that is nobody's record, on the right path.
        let reply = post(row.slug, r#"{"name":"no record"}"#).to(&running).await;
        assert_eq!(reply.status, 422, "{}: {}", row.slug, reply.json());
        let detail = reply.json()["detail"].as_str().expect("a detail").to_owned();
        // A plan is a document: what is none is told so.
        assert!(detail.contains(row.record) || detail.contains("this is no plan"), "{detail}");
    }
    let wrong = json!({"Records": [{"eventName": "x", "eventID": "1", "userIdentity": {}}]}).to_string();
    let reply = post("okta", wrong).to(&running).await;
    assert!(
        reply.json()["detail"].as_str().is_some_and(|detail| detail.contains("/api/v1/sources/cloudtrail")),
        "{}",
        reply.json()
    );
}

#[tokio::test]
async fn what_carries_no_record_is_refused_with_what_to_do() {
    let running = start().await;
    let notification = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "trail"}, "object": {"key": "a.json.gz"}}}]});
    let reply = post("cloudtrail", notification.to_string()).to(&running).await;
    assert_eq!(reply.status, 422, "{}", reply.json());
    assert!(
        reply.json()["detail"].as_str().is_some_and(|detail| detail.contains("weir import")),
        "{}",
        reply.json()
    );
    let hook = json!({"eventType": "com.okta.event_hook", "data": {"events": [
        {"eventType": "user.account.lock", "uuid": "6f1c2a5e-2222-4000-8000-000000000001", "published": "2026-01-02T03:04:05Z"},
        {"eventType": "user.mfa.factor.deactivate", "uuid": "6f1c2a5e-2222-4000-8000-000000000002", "published": "2026-01-02T03:04:06Z"}]}});
    let reply = post("okta", hook.to_string()).to(&running).await;
    assert_eq!((reply.status, &reply.json()["counts"]["accepted"]), (202, &2.into()));
}
