//! What operators do: API keys, accepted gaps, resumed partitions.

use schemas::{
    Event, TenantId,
    access::{KeyRing, Pepper, Scope},
    codec::{Decoded, Incoming, NoRegistry, decode},
    events::ActivityKind,
};
use secrecy::ExposeSecret;
use sinks::{
    DeliveryError, HaltReason, Sink,
    api_keys::{self, KeyRequest},
    outbox::{OutboxRecord, Outgoing, Relay},
    positions::{self, AcceptedGap, Operator, PositionChange, PositionError},
    postgres::operator_pool,
};

use super::{
    cancelled::given_up_after,
    fixture::{Place, STAGE, apply, batch_of, config, entry, partition},
};

#[tokio::test]
async fn a_key_works_from_its_making_to_its_revocation() {
    let place = Place::new().await;
    let pool = operator_pool(&place.url, 1).expect("an address");
    let pepper = Pepper::new("pepper");
    let request = KeyRequest {
        tenant: TenantId::new("acme").expect("valid"),
        name: "ci".into(),
        scopes: vec![Scope::EventsWrite, Scope::AuditRead],
    };
    let made = api_keys::create(&pool, &pepper, &request).await.expect("made");
    let another = api_keys::create(&pool, &pepper, &request).await.expect("made");
    assert_ne!(made.token.expose_secret(), another.token.expose_secret());

    let verify = async || {
        let keys = api_keys::load_all(&pool).await.expect("loaded");
        KeyRing::new(pepper.clone(), keys).verify(made.token.expose_secret())
    };
    let principal = verify().await.expect("a valid key");
    assert_eq!((&principal.tenant, &principal.scopes), (&request.tenant, &request.scopes));
    assert!(api_keys::revoke(&pool, &made.key.id).await.expect("revoked"));
    assert!(!api_keys::revoke(&pool, &made.key.id).await.expect("asked"), "it is revoked already");
    assert_eq!(verify().await, None);
    let listed = api_keys::list(&pool).await.expect("listed");
    assert_eq!(listed.iter().map(|key| key.revoked_at.is_some()).collect::<Vec<_>>(), [true, false]);
    // Nothing that is stored holds the secret.
    let secret = made.token.expose_secret().rsplit('_').next().expect("a secret").to_owned();
    assert!(!format!("{listed:?}").contains(&secret));
}

#[tokio::test]
async fn an_accepted_gap_fences_the_owner_and_is_written_down() {
    let mut place = Place::new().await;
    place.deliver(apply((0..5).map(entry))).await;
    let owner = place.claim().await;
    place
        .sink
        .set_halted(owner.partition, owner.owner_epoch, Some(&HaltReason::retention_gap(10, 20)))
        .await
        .expect("halted");
    let pool = operator_pool(&place.url, 1).expect("an address");
    let change = |number| PositionChange { stage: STAGE.into(), partition: partition(number) };
    let gap = |to| AcceptedGap { to, reason: "retention".into() };

    let back = positions::accept_gap(&pool, &change(0), (&gap(5), &ada())).await;
    assert!(matches!(back, Err(PositionError::NotAhead { position: 5 })), "{back:?}");
    let unknown = positions::accept_gap(&pool, &change(9), (&gap(5), &ada())).await;
    assert!(matches!(unknown, Err(PositionError::Unknown { .. })), "{unknown:?}");
    let left_out = positions::accept_gap(&pool, &change(0), (&gap(20), &ada())).await;
    assert_eq!(left_out.expect("accepted"), 5..20);
    let messages = announced(&place.url).await;
    assert_eq!(messages, ["AcceptGap by ada: goes on at 20 in place of 5: retention"]);

    let stale = batch_of(&owner, apply([entry(9)]));
    assert!(matches!(place.sink.deliver(&stale).await, Err(DeliveryError::Fenced)));
    let next = place.claim().await;
    assert_eq!((next.position, next.last, next.halted), (20, None, None));
    assert_eq!(place.number("SELECT sum(to_position - from_position)::bigint FROM position_gap").await, 15);
    let all = positions::read_all(&pool).await.expect("read");
    assert_eq!((all.len(), all[0].position, all[0].applied, all[0].first_position), (1, 20, 5, 0));
}

#[tokio::test]
async fn a_halt_is_lifted_by_an_operator() {
    let mut place = Place::new().await;
    let owner = place.claim().await;
    place
        .sink
        .set_halted(owner.partition, owner.owner_epoch, Some(&HaltReason::parking_limit()))
        .await
        .expect("halted");
    let pool = operator_pool(&place.url, 1).expect("an address");
    let change = PositionChange { stage: STAGE.into(), partition: partition(0) };
    let halted = positions::resume(&pool, &change, &ada()).await.expect("resumed");
    assert_eq!(halted.as_deref(), Some("parking_limit"));
    assert_eq!(place.claim().await.halted, None);
    let again = positions::resume(&pool, &change, &ada()).await.expect("asked");
    assert_eq!(again, None, "it is not halted any more");
    assert_eq!(announced(&place.url).await, ["ResumePartition by ada: it was halted: parking_limit"]);
}

fn ada() -> Operator {
    Operator { name: "ada".into(), tenant: TenantId::new("acme").expect("valid") }
}

/// The decisions that wait in the outbox for the relay.
async fn announced(url: &str) -> Vec<String> {
    let waiting = Relay::new(config(url, "relay")).next(10).await.expect("read");
    let decision = |record: OutboxRecord| {
        let Outgoing { to, key, value, headers, .. } = record.outgoing;
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let incoming = Incoming {
            topic: to,
            key: key.as_deref(),
            value: value.as_deref(),
            headers: &headers,
            timestamp_ms: -1,
        };
        let Ok(Decoded::Event(event)) = decode(&incoming, &NoRegistry) else { panic!("an event") };
        let Event::Activity(activity) = event.event else { panic!("an activity") };
        assert_eq!(activity.kind, ActivityKind::ApiCalled);
        let message = activity.outcome.message.expect("a message");
        format!("{} by {}: {message}", activity.action, activity.actor.id)
    };
    waiting.into_iter().map(decision).collect()
}

/// A transaction that is given up while it begins must not swallow what the next borrower writes.
#[tokio::test]
async fn writes_through_the_pool_are_kept_whoever_gave_up_before() {
    let mut place = Place::new().await;
    let pool = operator_pool(&place.url, 1).expect("an address");
    let request =
        KeyRequest { tenant: TenantId::new("acme").expect("valid"), name: "n".into(), scopes: vec![] };
    for polls in 1.. {
        let complete = given_up_after(polls, pool.begin()).await.is_some();
        api_keys::create(&pool, &Pepper::new("pepper"), &request).await.expect("made");
        // Seen by somebody else: committed.
        let made = i64::try_from(polls).expect("small");
        assert_eq!(place.number("SELECT count(*) FROM api_key").await, made, "given up after {polls} polls");
        if complete {
            assert!(polls > 1, "there are awaits to give up at");
            break;
        }
    }
}
