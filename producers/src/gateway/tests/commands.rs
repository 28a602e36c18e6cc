//! Commands over HTTP: checked, then one governance event each.

use schemas::{
    Event,
    events::{ActorKind, Governance, GovernanceKind},
};

use super::*;

mod searches;

const CHANGE: &str = "/api/v1/changes/change-7";
const INCIDENT: &str = "/api/v1/risk/incidents/6f1c2a5e-0000-8000-8000-000000000001/triage";
const CRITICALITY: &str = "/api/v1/risk/entities/user/mara@example.com/criticality";
const WATCHLISTS: &str = "/api/v1/risk/entities/user/mara@example.com/watchlists";

fn command(path: &str, body: &(impl ToString + ?Sized)) -> Ask {
    asked_by("POST", path, body)
}

fn asked_by(method: &str, path: &str, body: &(impl ToString + ?Sized)) -> Ask {
    Ask::new(method, path)
        .header("authorization", &format!("Bearer {}", token(COMMANDER)))
        .header("content-type", "application/json")
        .body(body.to_string())
}

async fn sent(path: &str, body: Value) -> (Envelope, Governance) {
    let running = start().await;
    let reply = command(path, &body).to(&running).await;
    assert_eq!(reply.status, 202, "{body}\n{}", reply.json());
    let event = running.kafka.published().pop().expect("published");
    let told =
        json!({"event_id": event.id.to_string(), "topic": "weir.governance.v1", "partition": 3, "offset": 0});
    assert_eq!(reply.json(), told);
    let Event::Governance(decision) = event.event.clone() else { panic!("a decision") };
    (event, decision)
}

/// The faults' places.
async fn refused(path: &str, body: Value) -> Vec<String> {
    let running = start().await;
    let reply = command(path, &body).to(&running).await;
    reply.expect(422, "invalid-command");
    assert!(running.kafka.published().is_empty());
    let problem = reply.json();
    let faults = problem["errors"].as_array().expect("the faults, one by one").clone();
    faults
        .iter()
        .map(|fault| {
            let at = fault["at"].as_str().expect("a place");
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(at)), "{problem}");
            at.to_owned()
        })
        .collect()
}

fn attributes(decision: &Governance) -> Vec<(&str, &str)> {
    decision.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn an_approval_is_asked_for_and_given() {
    let path = format!("{CHANGE}/approval-requests");
    let (event, asked) = sent(&path, json!({"reason": "more disks", "environment": "production"})).await;
    assert_eq!((asked.kind, asked.decision.as_deref()), (GovernanceKind::ApprovalRequested, None));
    assert_eq!((asked.subject_kind.as_str(), asked.subject_id.as_str()), ("change", "change-7"));
    assert_eq!((asked.actor.kind, asked.actor.id.as_str()), (ActorKind::ServiceAccount, COMMANDER));
    assert_eq!(
        (asked.actor.name.as_deref(), attributes(&asked)),
        (Some(COMMANDER), vec![("environment", "production")])
    );
    assert_eq!((event.tenant.as_str(), event.correlation_id.as_deref()), ("acme", Some("change-7")));

    let body = json!({"decision": "approved", "reason": "fine", "on_behalf_of": "mara@example.com"});
    let (_, decided) = sent(&format!("{CHANGE}/decisions"), body).await;
    assert_eq!(
        (decided.kind, decided.decision.as_deref()),
        (GovernanceKind::ApprovalDecided, Some("approved"))
    );
    assert_eq!((decided.reason.as_deref(), decided.subject_id.as_str()), (Some("fine"), "change-7"));
    let actor = &decided.actor;
    assert_eq!((actor.kind, actor.id.as_str()), (ActorKind::ServiceAccount, COMMANDER), "the key decides");
    assert_eq!(attributes(&decided), [("on_behalf_of", "mara@example.com")], "for whom is recorded");
}

#[tokio::test]
async fn a_decision_names_the_proposal_that_it_is_about() {
    let proposal = "019B76DA-A800-7000-8000-000000000001";
    let body = json!({"decision": "approved", "reason": "fine", "proposal": proposal});
    let (_, decided) = sent(&format!("{CHANGE}/decisions"), body).await;
    assert_eq!(attributes(&decided), [("proposal", proposal.to_lowercase().as_str())]);
    let body = json!({"decision": "approved", "reason": "fine", "proposal": "the first"});
    assert_eq!(refused(&format!("{CHANGE}/decisions"), body).await, ["/proposal"]);
}

#[tokio::test]
async fn who_asks_for_a_person_is_kept_beside_the_person() {
    let path = format!("{CHANGE}/approval-requests");
    let (_, asked) = sent(&path, json!({"on_behalf_of": " mara@example.com "})).await;
    assert_eq!((asked.actor.kind, asked.actor.id.as_str()), (ActorKind::User, "mara@example.com"));
    assert_eq!(attributes(&asked), [("requested_through", COMMANDER)], "neither may approve");
    let (_, asked) = sent(&path, json!({"on_behalf_of": COMMANDER})).await;
    assert_eq!((asked.actor.id.as_str(), attributes(&asked)), (COMMANDER, vec![]));
}

#[tokio::test]
async fn a_request_for_approval_needs_no_body() {
    let running = start().await;
    let bare = Ask::new("POST", &format!("{CHANGE}/approval-requests"))
        .header("authorization", &format!("Bearer {}", token(COMMANDER)));
    assert_eq!(bare.to(&running).await.status, 202);
}

#[tokio::test]
async fn criticality_and_watchlists_are_about_an_entity() {
    let body = json!({"criticality": "extreme", "reason": "domain admin"});
    let (_, set) = sent(CRITICALITY, body.clone()).await;
    assert_eq!((set.kind, set.decision.as_deref()), (GovernanceKind::CriticalitySet, Some("extreme")));
    assert_eq!((set.subject_kind.as_str(), set.subject_id.as_str()), ("user", "mara@example.com"));
    for (path, kind, id) in [
        ("role/arn:aws:iam::1:role%2Fops", "role", "arn:aws:iam::1:role/ops"),
        ("address/::ffff:203.0.113.7", "network_address", "203.0.113.7"),
        ("project/%20shop%20", "project", "shop"),
    ] {
        let (_, set) = sent(&format!("/api/v1/risk/entities/{path}/criticality"), body.clone()).await;
        assert_eq!((set.subject_kind.as_str(), set.subject_id.as_str()), (kind, id));
    }

    let body = json!({"watchlist": "leavers", "action": "added", "multiplier": "2.50", "reason": "gave notice",
                      "expires_at": "2999-01-01T00:00:00+01:00"});
    let (_, added) = sent(WATCHLISTS, body).await;
    assert_eq!((added.kind, added.decision.as_deref()), (GovernanceKind::WatchlistChanged, Some("added")));
    assert_eq!(attributes(&added), [("multiplier", "2.5"), ("watchlist", "leavers")]);
    assert_eq!(added.expires_at.map(|end| end.to_rfc3339()), Some("2998-12-31T23:00:00+00:00".into()));
    let removed = json!({"watchlist": "leavers", "action": "removed", "reason": "stays"});
    assert_eq!(attributes(&sent(WATCHLISTS, removed).await.1), [("watchlist", "leavers")]);
    for (multiplier, text) in [(json!(0.1), "0.1"), (json!(10), "10"), (json!("1.125"), "1.125")] {
        let body = json!({"watchlist": "l", "action": "added", "multiplier": multiplier, "reason": "r"});
        assert_eq!(attributes(&sent(WATCHLISTS, body).await.1)[0], ("multiplier", text));
    }
}

#[tokio::test]
async fn a_triage_carries_what_follows_from_it() {
    let entity = json!({"kind": "user", "id": "mara@example.com"});
    let body =
        json!({"decision": "false_positive", "reason": "a drill", "entity": entity, "rules": ["r-1", "r-2"]});
    let (_, triaged) = sent(INCIDENT, body).await;
    assert_eq!(
        (triaged.kind, triaged.decision.as_deref()),
        (GovernanceKind::FindingTriaged, Some("false_positive"))
    );
    assert_eq!(
        (triaged.subject_kind.as_str(), triaged.subject_id.as_str()),
        ("incident", "6f1c2a5e-0000-8000-8000-000000000001")
    );
    let expected = [("entity", "mara@example.com"), ("entity_kind", "user"), ("rules", "r-1,r-2")];
    assert_eq!(attributes(&triaged), expected);
    let long = format!("{}/a,b.yml", "x".repeat(192));
    let body =
        json!({"decision": "false_positive", "reason": "a drill", "entity": entity, "rules": [long, "r"]});
    let (_, triaged) = sent(INCIDENT, body).await;
    assert_eq!(attributes(&triaged)[2], ("rules", json!([long, "r"]).to_string().as_str()));
    let (_, seen) = sent(INCIDENT, json!({"decision": "acknowledged", "entity": entity})).await;
    assert_eq!((seen.reason, seen.attributes.len()), (None, 2));
}

#[tokio::test]
async fn what_is_wrong_with_a_command_is_named() {
    let (path, ids) = (format!("{CHANGE}/decisions"), ["{kind}", "{id}"]);
    assert_eq!(refused(&path, json!({})).await, ["/decision", "/reason"]);
    let body = json!({"decision": "Approved", "reason": "", "on_behalf_of": 7, "expires_at": "2020-01-01T00:00:00Z",
                      "because": "x"});
    let faults = ["/on_behalf_of", "/decision", "/reason", "/expires_at", "/because"];
    assert_eq!(refused(&path, body).await, faults);
    let good = json!({"decision": "approved", "reason": "x"});
    for id in ["%20", "a%00b", &"x".repeat(513)] {
        assert_eq!(refused(&format!("/api/v1/changes/{id}/decisions"), good.clone()).await, ["{change_id}"]);
    }
    let good = json!({"criticality": "high", "reason": "x"});
    for (path, at) in [("wizard/merlin", ids[0]), ("user/%20", ids[1]), ("network_address/localhost", ids[1])]
    {
        let path = format!("/api/v1/risk/entities/{path}/criticality");
        assert_eq!(refused(&path, good.clone()).await, [at], "{path}");
    }
    assert_eq!(
        refused(CRITICALITY, json!({"criticality": 7, "reason": "x".repeat(1_025)})).await,
        ["/criticality", "/reason"]
    );
    for multiplier in [json!("0.09"), json!(10.1), json!("1.0005"), json!("1e400"), json!(null), json!(true)]
    {
        let body = json!({"watchlist": "l", "action": "added", "multiplier": multiplier, "reason": "r"});
        assert!(refused(WATCHLISTS, body).await.contains(&"/multiplier".to_owned()), "{multiplier}");
    }
    let removed = json!({"watchlist": "l", "action": "removed", "multiplier": 2, "reason": "r"});
    assert_eq!(refused(WATCHLISTS, removed).await, ["/multiplier"]);
    let entity = json!({"kind": "user", "id": "mara"});
    let closed = json!({"decision": "closed", "entity": entity});
    assert_eq!(refused(INCIDENT, closed.clone()).await, ["/reason"]);
    let path = "/api/v1/risk/incidents/7/triage";
    assert_eq!(refused(path, json!({"decision": "open", "entity": entity})).await, ["{id}"]);
    let wrong =
        json!({"decision": "false_positive", "reason": "x", "entity": {"kind": "wizard", "id": "mara"}});
    assert_eq!(refused(INCIDENT, wrong).await, ["/entity/kind", "/rules"]);
    let body = json!({"decision": "open", "entity": {"kind": "user"}, "rules": ["a\nb", " "]});
    assert_eq!(refused(INCIDENT, body).await, ["/entity/id", "/rules/1", "/rules/0"]);
}

const WAIVER: &str = "/api/v1/compliance/waivers/w-1";

fn in_days(days: i64) -> String {
    (chrono::Utc::now() + chrono::TimeDelta::days(days)).to_rfc3339()
}

#[tokio::test]
async fn a_waiver_is_asked_for_granted_and_revoked() {
    let body = json!({"owner": "olga", "policies": ["p-1"], "resources": ["arn:a", "arn:b"], "reason": "moved soon",
                      "expires_at": in_days(30), "on_behalf_of": "ada"});
    let (_, asked) = sent(&format!("{WAIVER}/requests"), body).await;
    assert_eq!((asked.kind, asked.actor.id.as_str()), (GovernanceKind::ApprovalRequested, "ada"));
    assert_eq!((asked.subject_kind.as_str(), asked.subject_id.as_str()), ("waiver", "w-1"));
    let expected = [
        ("owner", "olga"),
        ("policies", r#"["p-1"]"#),
        ("requested_through", COMMANDER),
        ("resources", r#"["arn:a","arn:b"]"#),
    ];
    assert_eq!(attributes(&asked), expected);
    let body = json!({"decision": "approved", "requested_by": "ada", "reason": "fine"});
    let (_, granted) = sent(&format!("{WAIVER}/decisions"), body).await;
    assert_eq!((granted.kind, granted.actor.id.as_str()), (GovernanceKind::WaiverGranted, COMMANDER));
    assert_eq!(attributes(&granted), [("requested_by", "ada")]);
    let body = json!({"decision": "rejected", "requested_by": COMMANDER, "reason": "no"});
    let (_, refused) = sent(&format!("{WAIVER}/decisions"), body).await;
    assert_eq!(
        (refused.kind, refused.decision.as_deref()),
        (GovernanceKind::ApprovalDecided, Some("rejected"))
    );
    let (_, revoked) = sent(&format!("{WAIVER}/revocations"), json!({"reason": "over"})).await;
    assert_eq!(revoked.kind, GovernanceKind::WaiverRevoked);
}

#[tokio::test]
async fn what_is_wrong_with_a_waiver_is_named() {
    let path = format!("{WAIVER}/requests");
    let good = json!({"owner": "olga", "policies": ["p-1"], "resources": ["r"], "reason": "x", "expires_at": in_days(30)});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, faults) in [
        (json!({}), vec!["/owner", "/policies", "/resources", "/reason", "/expires_at"]),
        (with("expires_at", Value::Null), vec!["/expires_at"]),
        (with("expires_at", json!("2020-01-01T00:00:00Z")), vec!["/expires_at"]),
        (with("expires_at", json!(in_days(91))), vec!["/expires_at"]),
        (with("resources", json!(["*"])), vec!["/resources/0"]),
        (with("resources", json!(["a", "arn:aws:s3:::prod-*"])), vec!["/resources/1"]),
        (with("policies", json!([])), vec!["/policies"]),
        (with("policies", json!("all")), vec!["/policies", "/policies"]),
    ] {
        assert_eq!(refused(&path, body.clone()).await, faults, "{body}");
    }
    let path = format!("{WAIVER}/decisions");
    let own = json!({"decision": "approved", "requested_by": COMMANDER, "reason": "x"});
    assert_eq!(refused(&path, own).await, ["/requested_by"]);
    for person in ["ada", " Ada "] {
        let own =
            json!({"decision": "approved", "requested_by": "ada", "reason": "x", "on_behalf_of": person});
        assert_eq!(refused(&path, own).await, ["/requested_by"]);
    }
    assert_eq!(refused(&path, json!({"decision": "approved", "reason": "x"})).await, ["/requested_by"]);
    assert_eq!(refused("/api/v1/compliance/waivers/%20/revocations", json!({"reason": "x"})).await, ["{id}"]);
}

#[tokio::test]
async fn what_is_no_json_object_is_not_read() {
    let running = start().await;
    let path = format!("{CHANGE}/decisions");
    let deep = format!("{{\"reason\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for (status, slug, body) in [
        (400, "invalid-json", "[]".to_owned()),
        (400, "invalid-json", "{\"decision\":".into()),
        (
            400,
            "invalid-json",
            "{\"decision\":\"approved\",\"decision\":\"rejected\",\"reason\":\"x\"}".into(),
        ),
        (400, "json-limit", deep),
        (413, "body-too-large", "x".repeat(5_000_000)),
    ] {
        command(&path, &body).to(&running).await.expect(status, slug);
    }
    let form = Ask::new("POST", &path).header("authorization", &format!("Bearer {}", token(COMMANDER)));
    form.header("content-type", "text/plain")
        .body("{}")
        .to(&running)
        .await
        .expect(415, "unsupported-media-type");
    let path = "/api/v1/changes/%ff/decisions";
    command(path, "{}").to(&running).await.expect(400, "invalid-request");
    assert!(running.kafka.published().is_empty());
}

#[tokio::test]
async fn a_command_that_is_sent_twice_is_one_event() {
    let running = start().await;
    let path = format!("{CHANGE}/decisions");
    let body = json!({"decision": "approved", "reason": "x"});
    let ask = |key: &str| command(&path, &body).header("idempotency-key", key);
    for key in ["order-7", "\"order-7\"", "6f1c2a5e-0000-4000-8000-000000000001"] {
        for _ in 0..2 {
            assert_eq!(ask(key).to(&running).await.status, 202);
        }
    }
    let events = running.kafka.published();
    let same = |one: &Envelope, other: &Envelope| {
        (one.id, one.content_sha256()) == (other.id, other.content_sha256())
    };
    assert!(
        events[..4].iter().all(|event| same(event, &events[0])),
        "the same event, whenever it is sent again"
    );
    assert!(same(&events[4], &events[5]));
    assert_ne!(events[4].id, events[0].id);
    let other = json!({"decision": "rejected", "reason": "x"});
    let reply = command(&path, &other).header("idempotency-key", "order-7").to(&running).await;
    assert_eq!(
        reply.json()["event_id"],
        events[0].id.to_string(),
        "its id, for the stage to see the conflict"
    );
    assert_ne!(running.kafka.published()[6].content_sha256(), events[0].content_sha256());
    for _ in 0..2 {
        assert_eq!(command(&path, &body).to(&running).await.status, 202);
    }
    let events = running.kafka.published();
    assert_ne!(events[7].id, events[8].id, "without a key each is its own");
    ask(&"x".repeat(129)).to(&running).await.expect(400, "invalid-request");
}

#[tokio::test]
async fn commands_need_their_scope() {
    let running = start().await;
    for path in [format!("{CHANGE}/decisions"), CRITICALITY.into(), INCIDENT.into()] {
        Ask::new("POST", &path).body("{}").to(&running).await.expect(401, "unauthenticated");
        let writer = Ask::new("POST", &path).header("authorization", &format!("Bearer {}", token(WRITER)));
        let reply = writer.body("{}").to(&running).await;
        reply.expect(403, "forbidden");
        assert!(reply.json()["detail"].as_str().is_some_and(|text| text.contains("commands:write")));
        Ask::new("GET", &path).to(&running).await.expect(405, "method-not-allowed");
    }
}

#[tokio::test]
async fn without_kafka_a_command_is_not_taken() {
    let body = json!({"decision": "approved", "reason": "x"});
    let path = format!("{CHANGE}/decisions");
    for (fate, slug) in
        [(Fate::QueueFull, "queue-full"), (Fate::Fails(DeliveryFailure::TimedOut), "outcome-unknown")]
    {
        let running = start_with(config(), Scripted::new(&[fate])).await;
        let reply = command(&path, &body).to(&running).await;
        reply.expect(503, slug);
        assert_eq!(reply.header("retry-after"), "1");
    }
    let running = start().await;
    *running.kafka.health.lock().expect("free") = Health::Unreachable;
    command(&path, &body).to(&running).await.expect(503, "broker-unavailable");
}

#[tokio::test]
async fn data_is_held_released_and_erased() {
    let body =
        json!({"scope": "person", "subject": "ada@example.com", "name": " 2026/14 ", "reason": "litigation"});
    let (event, placed) = sent("/api/v1/holds", body.clone()).await;
    assert_eq!((placed.kind, placed.decision.as_deref()), (GovernanceKind::HoldPlaced, Some("placed")));
    assert_eq!((placed.subject_kind.as_str(), placed.subject_id.as_str()), ("person", "ada@example.com"));
    assert_eq!(attributes(&placed), [("hold", "2026/14")]);
    assert_eq!(event.correlation_id, None, "a person's id is no correlation id");
    let (_, released) = sent("/api/v1/holds/releases", body).await;
    assert_eq!(
        (released.kind, released.decision.as_deref()),
        (GovernanceKind::HoldReleased, Some("released"))
    );
    let (_, all) = sent("/api/v1/holds", json!({"scope": "tenant", "reason": "audit"})).await;
    assert_eq!((all.subject_kind.as_str(), all.subject_id.as_str()), ("tenant", "acme"));
    let (_, erased) =
        sent("/api/v1/erasures", json!({"subject": "ada@example.com", "reason": "article 17"})).await;
    assert_eq!((erased.kind, erased.decision.as_deref()), (GovernanceKind::SubjectErased, Some("erased")));
    assert_eq!((erased.subject_kind.as_str(), erased.subject_id.as_str()), ("person", "ada@example.com"));
    assert_eq!(erased.reason.as_deref(), Some("article 17"));
}

#[tokio::test]
async fn decisions_about_data_name_what_is_wrong() {
    assert_eq!(refused("/api/v1/erasures", json!({})).await, ["/subject", "/reason"]);
    assert_eq!(
        refused("/api/v1/erasures", json!({"subject": " ", "reason": ""})).await,
        ["/subject", "/reason"]
    );
    assert_eq!(refused("/api/v1/erasures", json!({"subject": "a\nb", "reason": "r"})).await, ["/subject"]);
    assert_eq!(
        refused("/api/v1/holds", json!({"scope": "planet", "subject": "a", "reason": "r"})).await,
        ["/scope"]
    );
    let other = json!({"scope": "tenant", "subject": "other", "reason": "r"});
    assert_eq!(refused("/api/v1/holds/releases", other).await, ["/subject"]);
    assert_eq!(refused("/api/v1/holds", json!({"scope": "project", "reason": "r"})).await, ["/subject"]);
}
