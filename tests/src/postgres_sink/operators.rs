//! Operators' commands: API keys, accepted gaps, resumed partitions.

use schemas::{
    Event, TenantId, Topic,
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
    let pool = operator_pool(&place.url, 2).expect("an address");
    let mut connection = pool.acquire().await.expect("a connection");
    let pepper = Pepper::new("pepper");
    let request = KeyRequest {
        tenant: TenantId::new("acme").expect("valid"),
        name: "ci".into(),
        scopes: vec![Scope::EventsWrite, Scope::AuditRead],
        expires_at: None,
        sources: vec!["/ci/*".into()],
        networks: vec!["10.0.0.0/8".parse().expect("a network")],
    };
    let made = api_keys::create(&mut connection, &pepper, &request).await.expect("made");
    let another = api_keys::create(&mut connection, &pepper, &request).await.expect("made");
    assert_ne!(made.token.expose_secret(), another.token.expose_secret());

    let verify = async || {
        let keys = api_keys::load_all(&pool).await.expect("loaded");
        KeyRing::new(pepper.clone(), keys).verify(made.token.expose_secret(), chrono::Utc::now())
    };
    let verified = verify().await.expect("a valid key");
    let holder = &verified.holder;
    assert_eq!(
        (&holder.tenant, &holder.scopes, &holder.sources),
        (&request.tenant, &request.scopes, &request.sources)
    );
    assert!(verified.may_come_from([10, 0, 0, 1].into()) && !verified.may_come_from([192, 0, 2, 1].into()));
    assert!(api_keys::revoke(&mut connection, &made.key.id).await.expect("revoked").is_some());
    let again = api_keys::revoke(&mut connection, &made.key.id).await.expect("asked");
    assert_eq!(again, None, "it is revoked already");
    assert_eq!(verify().await, None);
    let listed = api_keys::list(&pool).await.expect("listed");
    assert_eq!(listed.iter().map(|key| key.revoked_at.is_some()).collect::<Vec<_>>(), [true, false]);
    // Nothing that is stored holds the secret.
    let secret = made.token.expose_secret().rsplit('_').next().expect("a secret").to_owned();
    assert!(!format!("{listed:?}").contains(&secret));
}

#[tokio::test]
async fn a_rotated_key_and_its_successor_overlap() {
    let place = Place::new().await;
    let pool = operator_pool(&place.url, 2).expect("an address");
    let mut connection = pool.acquire().await.expect("a connection");
    let (pepper, now) = (Pepper::new("pepper"), chrono::Utc::now());
    let request = KeyRequest {
        tenant: TenantId::new("acme").expect("valid"),
        name: "ci".into(),
        scopes: vec![Scope::EventsWrite],
        expires_at: None,
        sources: vec!["/ci".into()],
        networks: vec![],
    };
    let old = api_keys::create(&mut connection, &pepper, &request).await.expect("made");
    let overlap = now + chrono::TimeDelta::hours(1);
    let rotated =
        api_keys::rotate(&mut connection, &pepper, &old.key.id, overlap, None).await.expect("asked");
    let new = rotated.expect("the key works");
    assert_eq!(
        (&new.key.tenant, &new.key.scopes, &new.key.sources),
        (&request.tenant, &request.scopes, &request.sources)
    );
    let ring = KeyRing::new(pepper.clone(), api_keys::load_all(&pool).await.expect("loaded"));
    let holds = |token: &secrecy::SecretString, at| ring.verify(token.expose_secret(), at).is_some();
    assert!(holds(&old.token, now) && holds(&new.token, now), "both, for an hour");
    assert!(!holds(&old.token, overlap) && holds(&new.token, overlap));
    let nobody = api_keys::rotate(&mut connection, &pepper, "nobody00", overlap, None).await.expect("asked");
    assert!(nobody.is_none());

    let used: std::collections::BTreeSet<String> = ring.used().map(str::to_owned).collect();
    api_keys::mark_used(&pool, &used, now).await.expect("marked");
    api_keys::mark_used(&pool, &used, now + chrono::TimeDelta::minutes(1)).await.expect("asked");
    let listed = api_keys::list(&pool).await.expect("listed");
    let micros = |at: Option<schemas::Timestamp>| at.map(|at| at.timestamp_micros());
    assert!(listed.iter().all(|key| micros(key.last_used_at) == micros(Some(now))), "written once, coarsely");

    // All of them are one holder, who counts once where two must approve.
    let third = api_keys::rotate(&mut connection, &pepper, &new.key.id, overlap, None).await.expect("asked");
    let third = third.expect("the key works");
    for successor in [&new.key, &third.key] {
        assert_eq!(successor.succeeds.as_deref(), Some(old.key.id.as_str()));
    }
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
    assert_eq!(messages, ["AcceptGap by ada: continues at 20 instead of 5: retention"]);

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
    let waiting = Relay::new(config(url, "relay")).next(Topic::Activity, 10).await.expect("read");
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
    let request = KeyRequest {
        tenant: TenantId::new("acme").expect("valid"),
        name: "n".into(),
        scopes: vec![],
        expires_at: None,
        sources: vec![],
        networks: vec![],
    };
    for polls in 1.. {
        let complete = given_up_after(polls, pool.begin()).await.is_some();
        let mut connection = pool.acquire().await.expect("a connection");
        api_keys::create(&mut connection, &Pepper::new("pepper"), &request).await.expect("made");
        drop(connection);
        // Seen by somebody else: committed.
        let made = i64::try_from(polls).expect("small");
        assert_eq!(place.number("SELECT count(*) FROM api_key").await, made, "given up after {polls} polls");
        if complete {
            assert!(polls > 1, "there are awaits to give up at");
            break;
        }
    }
}
