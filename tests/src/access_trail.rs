//! Who was refused, who came in and what was exported become events, and are published once.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use edge::trail::Use;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use producers::{
    gateway::{Delivery, Publisher},
    kafka::{Acknowledged, DeliveryFailure, Health, SendError},
};
use schemas::{
    Envelope, Event, TenantId, Timestamp, TraceContext,
    access::{Principal, Role, TokenSubject},
    events::{Activity, ActivityKind, OutcomeStatus},
};
use sinks::access_trail;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;
use topology::runtime::trail;

use crate::query_api::fixture::{Api, entry};

/// A Kafka that takes every event but the first few.
#[derive(Default)]
struct Broker {
    refuses: Mutex<usize>,
    taken: Mutex<Vec<Envelope>>,
}

impl Publisher for Broker {
    fn publish(&self, envelope: &Envelope, _hop: Option<&TraceContext>) -> Result<Delivery, SendError> {
        let mut refuses = self.refuses.lock().expect("no test panics with it");
        if *refuses > 0 {
            *refuses -= 1;
            return Ok(Delivery::new(0, ready(Err(DeliveryFailure::TimedOut))));
        }
        self.taken.lock().expect("no test panics with it").push(envelope.clone());
        let stored = Acknowledged { topic: envelope.event.topic(), partition: 0, offset: 0 };
        Ok(Delivery::new(0, ready(Ok(stored))))
    }

    fn health(&self) -> Health {
        Health::Ready
    }

    fn flush(&self, _at_most: Duration) -> BoxFuture<'_, usize> {
        ready(0).boxed()
    }
}

async fn stored(owner: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM access_event").fetch_one(owner).await.expect("a number")
}

fn activities(broker: &Broker) -> Vec<(String, Activity, String)> {
    let taken = broker.taken.lock().expect("no test panics with it");
    let activity = |envelope: &Envelope| {
        let Event::Activity(activity) = envelope.event.clone() else { panic!("an activity: {envelope:?}") };
        assert_eq!(envelope.source.as_str(), "/weir/access");
        let details = envelope.native.as_ref().expect("details").record.to_string();
        (envelope.tenant.to_string(), activity, details)
    };
    taken.iter().map(activity).collect()
}

/// Runs the relay until nothing waits.
async fn publish(api: &mut Api, broker: &Arc<Broker>) {
    let stop = CancellationToken::new();
    let relay = tokio::spawn(trail::publish(api.database.clone(), broker.clone(), stop.clone()));
    while stored(&mut api.owner).await > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    relay.await.expect("it ends");
}

#[tokio::test]
async fn refusals_sign_ins_and_exports_are_events_of_their_tenant() {
    let mut api = Api::start().await;
    for n in 0..3 {
        api.insert(&entry(n, "Read")).await;
    }
    let stop = CancellationToken::new();
    let following = trail::follow(&api.database, &api.trail, stop.clone());

    let (status, lines) = api.ask("acme", "/api/v1/audit/export?action=Read&format=ndjson").await;
    assert_eq!((status.as_u16(), lines.lines().count()), (200, 3));
    let spoiled = {
        let mut token = api.tokens["other"].clone();
        let last = if token.ends_with('a') { "b" } else { "a" };
        token.replace_range(token.len() - 1.., last);
        token
    };
    for _ in 0..40 {
        let answer = api.client.get(format!("{}/api/v1/audit", api.url)).bearer_auth(&spoiled).send().await;
        assert_eq!(answer.expect("an answer").status(), 401);
    }
    stop.cancel();
    following.await.expect("what is left is written down at the end");

    let broker = Arc::new(Broker { refuses: Mutex::new(1), ..Broker::default() });
    publish(&mut api, &broker).await;
    let events = activities(&broker);
    let of = |tenant: &str, kind: ActivityKind| -> Vec<&(String, Activity, String)> {
        events.iter().filter(|(of, activity, _)| of == tenant && activity.kind == kind).collect()
    };
    let exported = of("acme", ActivityKind::DataExported);
    let actions: std::collections::BTreeSet<&str> =
        exported.iter().map(|(_, activity, _)| activity.action.as_str()).collect();
    assert_eq!(actions.into_iter().collect::<Vec<_>>(), ["BeginAuditExport", "EndAuditExport"]);
    let ended = exported.iter().find(|(_, activity, _)| activity.action == "EndAuditExport").expect("an end");
    assert!(ended.2.contains("\"rows\":3") && ended.2.contains("\"whole\":true"), "{}", ended.2);
    assert!(exported.iter().any(|(_, _, details)| details.contains("action=Read")), "{exported:?}");

    let failed = of("other", ActivityKind::SignInFailed);
    let refused: u64 = failed
        .iter()
        .map(|(_, activity, details)| {
            assert_eq!(activity.outcome.status, OutcomeStatus::Failure);
            assert_eq!(activity.outcome.code.as_deref(), Some("wrong-secret"));
            serde_json::from_str::<serde_json::Value>(details).expect("JSON")["refused"]
                .as_u64()
                .expect("a count")
        })
        .sum();
    assert_eq!(refused, 40);
    assert!(failed.len() <= 2, "one a minute: {failed:?}");
    let signed_in = of("acme", ActivityKind::SignedIn);
    assert_eq!(signed_in.len(), 1, "{signed_in:?}");
    assert_eq!(of("other", ActivityKind::SignedIn).len(), 0, "nobody of theirs came in");
    let operators = sinks::postgres::operator_pool(&api.database, 1).expect("a URL");
    let listed = access_trail::list(&operators, None).await.expect("operators may read it");
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].tenant_id.as_str(), listed[0].kind.as_str()), ("acme", "api_key"));
}

#[tokio::test]
async fn there_is_no_export_without_its_event() {
    let mut api = Api::start().await;
    let (recorder, recordings) = tokio::sync::mpsc::channel(1);
    drop(recordings);
    api.trail.recorded_by(recorder);
    assert_eq!(api.refused("acme", "/api/v1/audit/export").await, "database-unavailable");
    assert_eq!(api.ask("acme", "/api/v1/audit").await.0, 200, "only exports wait for their event");
    assert_eq!(stored(&mut api.owner).await, 0);
}

/// The use of a person's token.
fn used(tenant: &str, id: &str, name: &str, roles: &[Role], at: Timestamp) -> Use {
    let principal = Principal::Person(TokenSubject {
        issuer: "https://issuer.test".to_owned(),
        id: id.to_owned(),
        name: Some(name.to_owned()),
        tenant: TenantId::new(tenant).expect("a tenant"),
        roles: roles.to_vec(),
        scopes: Vec::new(),
        expires_at: at,
    });
    Use { principal: Arc::new(principal), address: [192, 0, 2, 1].into(), at }
}

fn instant() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("an instant")
}

/// A claim in one tenant's token does not end the log of the others.
#[tokio::test]
async fn what_can_never_be_stored_holds_back_nothing_else() {
    let mut api = Api::start().await;
    let pool = sinks::postgres::service_pool(&api.database, 1).expect("a URL");
    let of = |tenant: &str, id: &str, name: &str| used(tenant, id, name, &[Role::Viewer], instant());
    let uses = [
        of("acme", "mara", "Mara"),
        of("other", "ben", "a\0b"),
        of("other", "c\0d", "Cy"),
        of("other", "dana", "Dana"),
        of("third", "eve", "Eve"),
    ];
    access_trail::note_uses(&pool, &uses).await.expect("written");
    let operators = sinks::postgres::operator_pool(&api.database, 1).expect("a URL");
    let listed = access_trail::list(&operators, None).await.expect("operators may read it");
    let ids: Vec<&str> = listed.iter().map(|used| used.actor.as_str()).collect();
    assert_eq!(ids, ["mara", "dana", "eve"]);
    assert_eq!(stored(&mut api.owner).await, 3, "the sign-ins of those three");

    let event = |details: &str| {
        let mut event = edge::trail::export_begun(&uses[0], "csv", "");
        details.clone_into(&mut event.details);
        event
    };
    let (good, bad) = (event("{}"), event("\0"));
    access_trail::keep(&pool, std::slice::from_ref(&bad)).await.expect_err("who waits for it is told");
    access_trail::keep_each(&pool, &[bad, good]).await.expect("kept");
    assert_eq!(stored(&mut api.owner).await, 4);
}

#[tokio::test]
async fn a_principal_signs_in_once_over_replicas_and_its_roles_are_followed() {
    use chrono::TimeDelta;
    let mut api = Api::start().await;
    let pool = sinks::postgres::service_pool(&api.database, 4).expect("a URL");
    let used = |roles: &[Role], after: TimeDelta| [used("acme", "mara", "Mara", roles, instant() + after)];
    let replicas = (0..8).map(|_| {
        let (pool, used) = (pool.clone(), used(&[Role::Viewer], TimeDelta::zero()));
        async move { access_trail::note_uses(&pool, &used).await }
    });
    for outcome in futures_util::future::join_all(replicas).await {
        outcome.expect("written");
    }
    assert_eq!(stored(&mut api.owner).await, 1, "eight replicas saw one sign-in");
    for (roles, minutes, events) in
        [(Role::Viewer, 30, 1), (Role::Viewer, 91, 2), (Role::Auditor, 92, 3), (Role::Auditor, 93, 3)]
    {
        let noted = access_trail::note_uses(&pool, &used(&[roles], TimeDelta::minutes(minutes))).await;
        noted.expect("written");
        assert_eq!(stored(&mut api.owner).await, events, "after {minutes} minutes as {roles:?}");
    }
    let broker = Arc::new(Broker::default());
    publish(&mut api, &broker).await;
    let kinds: Vec<ActivityKind> =
        activities(&broker).into_iter().map(|(_, activity, _)| activity.kind).collect();
    assert_eq!(kinds, [ActivityKind::SignedIn, ActivityKind::SignedIn, ActivityKind::PermissionChanged]);
}
