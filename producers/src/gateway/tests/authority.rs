//! Scopes needed to publish each family, over every route.

use std::{collections::BTreeMap, fs, path::Path};

use schemas::{
    Event, Topic,
    events::{ActorKind, Governance},
};

use super::*;
use crate::sources::SourceFormat;

/// One example of every family, as events of this tenant.
fn examples() -> BTreeMap<Topic, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/examples");
    let first = |topic: Topic| {
        let mut files: Vec<_> = fs::read_dir(folder.join(topic.name()))
            .expect("examples of every family")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        files.sort();
        let text = fs::read_to_string(&files[0]).expect("an example");
        let mut event: Value = serde_json::from_str(&text).expect("JSON");
        event["tenantid"] = "acme".into();
        (topic, event)
    };
    Topic::FAMILIES.into_iter().map(first).collect()
}

fn by(key: &str, content_type: &str) -> Ask {
    Ask::new("POST", "/api/v1/events")
        .header("authorization", &format!("Bearer {}", token(key)))
        .header("content-type", content_type)
}

/// The event in each of the three modes of the CloudEvents HTTP binding.
fn modes(key: &str, event: &Value) -> [Ask; 3] {
    let mut binary = by(key, "application/json").body(event["data"].to_string());
    for (name, value) in event.as_object().expect("an object") {
        if let (Some(text), false) = (value.as_str(), matches!(name.as_str(), "data" | "datacontenttype")) {
            binary = binary.header(&format!("ce-{name}"), text);
        }
    }
    [
        by(key, "application/cloudevents+json").body(event.to_string()),
        by(key, "application/cloudevents-batch+json").body(json!([event]).to_string()),
        binary,
    ]
}

/// Nobody with that key may publish the event, however it comes.
async fn refused_in_every_mode(running: &Running, key: &str, event: &Value) {
    for ask in modes(key, event) {
        ask.to(running).await.expect(403, "forbidden");
    }
}

#[tokio::test]
async fn each_family_needs_its_scopes_in_every_mode() {
    let running = start().await;
    for (topic, event) in examples() {
        for key in [WRITER, READER, COMMANDER, BOTH, ASKER] {
            let may_post = [WRITER, BOTH, ASKER].contains(&key);
            let may_decide = topic != Topic::Governance || key == BOTH;
            for ask in modes(key, &event) {
                let reply = ask.to(&running).await;
                if may_post && may_decide {
                    assert_eq!(reply.status, 202, "{topic} by {key}: {}", reply.json());
                } else {
                    reply.expect(403, "forbidden");
                }
            }
        }
    }
}

/// Webhooks apart, which a signature authorises, in `webhook.rs`; and Kafka, whose own rights count.
#[tokio::test]
async fn every_source_needs_the_scope_of_events() {
    let running = start().await;
    let sources = SourceFormat::ALL.iter().filter(|format| **format != SourceFormat::GithubWebhook);
    for source in sources {
        let path = format!("/api/v1/sources/{}", source.slug());
        let ask = || Ask::new("POST", &path).header("content-type", "application/json").body("{}");
        ask().to(&running).await.expect(401, "unauthenticated");
        for key in [WRITER, READER, COMMANDER, BOTH, ASKER] {
            let reply = ask().header("authorization", &format!("Bearer {}", token(key))).to(&running).await;
            if [WRITER, BOTH, ASKER].contains(&key) {
                assert!(![401, 403, 404].contains(&reply.status), "{path} by {key}: {}", reply.status);
            } else {
                reply.expect(403, "forbidden");
            }
        }
    }
    assert!(running.kafka.published().iter().all(|event| event.event.topic() != Topic::Governance));
}

#[tokio::test]
async fn a_refused_decision_does_not_hold_the_rest_of_its_batch_up() {
    let running = start().await;
    let examples = examples();
    let batch = json!([examples[&Topic::Governance], examples[&Topic::Activity]]).to_string();
    let reply = by(WRITER, "application/cloudevents-batch+json").body(batch).to(&running).await;
    assert_eq!(reply.status, 202);
    let answer = reply.json();
    assert_eq!(answer["accepted"][0]["index"], 1);
    assert_eq!(
        (&answer["rejected"][0]["index"], &answer["rejected"][0]["type"]),
        (&json!(0), &json!("/problems/forbidden"))
    );
    let events = running.kafka.published();
    assert!(events.iter().all(|event| event.event.topic() == Topic::Activity));
}

/// A batch is answered for its good events: that something was refused must not be told to its sender alone.
#[tokio::test]
async fn what_is_forbidden_in_a_batch_is_noted_once_a_request() {
    let config = config();
    let trail = Arc::clone(&config.tenants.trail);
    let running = start_with(config, Scripted::new(&[])).await;
    let examples = examples();
    let [decision, good] = [Topic::Governance, Topic::Activity].map(|topic| &examples[&topic]);
    let (mut foreign, mut nameless) = (good.clone(), good.clone());
    foreign["tenantid"] = "other".into();
    nameless["source"] = Value::Null;
    for (events, status, noted) in [
        (vec![good, decision, decision], 202, 1),
        (vec![decision, good], 202, 1),
        (vec![good, &foreign], 202, 1),
        (vec![&nameless, decision], 400, 1),
        (vec![decision, &nameless], 403, 1),
        (vec![decision], 403, 1),
        (vec![good, &nameless], 202, 0),
        (vec![good], 202, 0),
    ] {
        let batch = json!(events).to_string();
        let reply = by(WRITER, "application/cloudevents-batch+json").body(batch.clone()).to(&running).await;
        assert_eq!(reply.status, status, "{batch}");
        let refusals = trail.take_refusals(chrono::Utc::now() + chrono::TimeDelta::minutes(2));
        assert_eq!(refusals.iter().map(|one| one.count).sum::<u64>(), noted, "{batch}");
        assert!(
            refusals.iter().all(|one| (one.reason.code(), one.actor.id.as_str()) == ("forbidden", WRITER))
        );
    }
}

#[tokio::test]
async fn nobody_publishes_in_weirs_own_name() {
    let running = start().await;
    for source in ["/weir/stage", "weir:command", "WEIR:command", "/Weir/risk", "//weir/x", "/%77eir/stage"] {
        let mut event = event("a");
        event["source"] = source.into();
        for key in [WRITER, BOTH] {
            refused_in_every_mode(&running, key, &event).await;
        }
    }
    assert!(running.kafka.published().is_empty());
}

/// A type that a later version may define, or that looks like one that is defined, is no event of somebody else's.
#[tokio::test]
async fn nobody_publishes_types_that_only_weir_defines() {
    let running = start().await;
    for kind in [
        "io.weir.governance.approval_decided.v2",
        "io.weir.governance.approval_decided",
        "IO.Weir.governance.approval_decided.v1",
        "io.weir.finding.incident.v1",
        "io.weir.nonsense",
    ] {
        let mut event = event("a");
        event["type"] = kind.into();
        for key in [WRITER, BOTH] {
            refused_in_every_mode(&running, key, &event).await;
        }
    }
    assert!(running.kafka.published().is_empty());
}

/// The subject of a decision is a key of the read models.
#[tokio::test]
async fn decisions_about_endless_names_are_refused() {
    let running = start().await;
    let mut decision = examples().remove(&Topic::Governance).expect("an example");
    decision["data"]["subject_id"] = "x".repeat(1_025).into();
    refused_in_every_mode(&running, BOTH, &decision).await;
    assert!(running.kafka.published().is_empty());
}

#[tokio::test]
async fn a_decision_that_comes_as_an_event_is_its_senders_own() {
    let running = start().await;
    let decision = |id: &str, actor: &str| {
        json!({
            "specversion": "1.0", "id": id, "source": "/chat", "type": "io.weir.governance.approval_decided.v1",
            "time": "2026-01-02T03:04:05Z", "datacontenttype": "application/json",
            "data": {"subject_kind": "change", "subject_id": "c-1", "decision": "approved",
                     "actor": {"kind": "User", "id": actor}},
        })
    };
    for (id, actor) in [("a", "mara"), ("b", "bob")] {
        let ask = by(BOTH, "application/cloudevents+json").body(decision(id, actor).to_string());
        assert_eq!(ask.to(&running).await.status, 202);
    }
    let began = chrono::Utc::now() - chrono::TimeDelta::minutes(5);
    for (event, claimed) in running.kafka.published().into_iter().zip(["mara", "bob"]) {
        let Event::Governance(Governance { actor, attributes, .. }) = event.event else {
            panic!("a decision")
        };
        assert_eq!((actor.kind, actor.id.as_str()), (ActorKind::ServiceAccount, BOTH));
        assert_eq!(attributes["on_behalf_of"], claimed);
        assert!(event.occurred_at > began, "an approval counts from when the gateway saw it");
    }
    let again = by(BOTH, "application/cloudevents+json").body(decision("a", "mara").to_string());
    assert_eq!(again.to(&running).await.status, 202);
    let events = running.kafka.published();
    assert_eq!(
        (events[2].id, events[2].content_sha256()),
        (events[0].id, events[0].content_sha256()),
        "sent twice it is one event"
    );
}

/// Else a plan that comes after an approval could be dated before it, and pass for the plan that was approved.
#[tokio::test]
async fn proposals_and_requests_count_from_when_the_gateway_took_them() {
    let running = start().await;
    let event = |kind: &str, data: Value| {
        json!({
            "specversion": "1.0", "id": "a", "source": "/ci", "type": format!("io.weir.{kind}.v1"),
            "time": "2026-01-02T03:04:05Z", "datacontenttype": "application/json", "data": data,
        })
    };
    let carol = json!({"kind": "User", "id": "carol"});
    let change = json!({"resource": {"id": "shop/main"}, "change_id": "c-1", "actor": carol});
    let waiver = json!({"subject_kind": "waiver", "subject_id": "w-1", "actor": carol});
    let [proposed, asked] = [
        (WRITER, event("infrastructure.change_proposed", change.clone())),
        (BOTH, event("governance.approval_requested", waiver)),
    ]
    .map(|(key, event)| modes(key, &event));
    for ask in proposed.iter().chain(&asked) {
        let reply = ask.to(&running).await;
        assert_eq!(reply.status, 202, "{}", reply.json());
    }
    let plan = json!({
        "format_version": "1.2", "terraform_version": "1.9.0", "timestamp": "2026-01-02T03:04:05Z",
        "resource_changes": [{"address": "aws_s3_bucket.logs", "change": {"actions": ["create"]}}],
    });
    let plan = Ask::new("POST", "/api/v1/sources/terraform-plan")
        .header("authorization", &format!("Bearer {}", token(WRITER)))
        .header("content-type", "application/json")
        .body(plan.to_string());
    assert_eq!(plan.to(&running).await.status, 202);
    let events = running.kafka.published();
    assert_eq!(events.len(), 7);
    let began = chrono::Utc::now() - chrono::TimeDelta::minutes(5);
    assert!(events.iter().all(|event| event.occurred_at > began), "{events:?}");
    for copies in [&events[..3], &events[3..6]] {
        let identity = |event: &Envelope| (event.id, event.content_sha256());
        assert!(
            copies.iter().all(|copy| identity(copy) == identity(&copies[0])),
            "sent again it is one event"
        );
    }

    // What is only reported keeps its own time.
    let reported = event("infrastructure.provisioned", change).to_string();
    let reported = by(WRITER, "application/cloudevents+json").body(reported).to(&running).await;
    assert_eq!(reported.status, 202);
    let event = running.kafka.published().pop().expect("published");
    assert_eq!(event.occurred_at.to_rfc3339(), "2026-01-02T03:04:05+00:00");
}

#[tokio::test]
async fn who_may_ask_for_approval_may_not_give_it() {
    let running = start().await;
    let ask = |path: &str, body: &str| {
        Ask::new("POST", path)
            .header("authorization", &format!("Bearer {}", token(ASKER)))
            .header("content-type", "application/json")
            .body(body)
    };
    assert_eq!(ask("/api/v1/changes/c-1/approval-requests", "{}").to(&running).await.status, 202);
    let approval = r#"{"decision": "approved", "reason": "x"}"#;
    ask("/api/v1/changes/c-1/decisions", approval).to(&running).await.expect(403, "forbidden");
    let criticality = r#"{"criticality": "low", "reason": "x"}"#;
    ask("/api/v1/risk/entities/user/u/criticality", criticality).to(&running).await.expect(403, "forbidden");
}

#[tokio::test]
async fn a_key_is_good_for_its_sources_networks_and_time() {
    let running = start().await;
    let publish = |key: &str, source: &str| {
        let mut event = event("a");
        event["source"] = source.into();
        by(key, "application/cloudevents+json").body(event.to_string())
    };
    assert_eq!(publish(NARROWED, "/tests/one").to(&running).await.status, 202);
    publish(NARROWED, "/other").to(&running).await.expect(403, "forbidden");
    let records = Ask::new("POST", "/api/v1/sources/okta")
        .header("authorization", &format!("Bearer {}", token(NARROWED)))
        .header("content-type", "application/json")
        .body(
            r#"[{"uuid": "5aeb3a5e-0000-4000-8000-000000000001", "eventType": "user.session.start",
                   "published": "2026-01-02T03:04:05Z"}]"#,
        );
    records.to(&running).await.expect(403, "forbidden");
    let elsewhere = publish(ELSEWHERE, "/tests").to(&running).await;
    elsewhere.expect(403, "forbidden");
    assert!(elsewhere.json()["detail"].as_str().is_some_and(|text| text.contains("127.0.0.1")));
    publish(EXPIRED, "/tests").to(&running).await.expect(401, "unauthenticated");
}
