//! Operators' commands: API keys, accepted gaps, resumed partitions, paused sinks.

use schemas::{
    Event, TenantId, Topic,
    access::{KeyRing, Pepper, Scope},
    events::ActivityKind,
};
use secrecy::ExposeSecret;
use sinks::{
    DeliveryError, HaltReason, Sink, TopicPartition,
    api_keys::{self, KeyRequest},
    event_outbox::{Queue, Waiting, WaitingEvents},
    positions::{self, AcceptedGap, Operator, PositionChange, PositionError},
    postgres::operator_pool,
    siem::control::{self, PauseError},
};

use super::{
    cancelled::given_up_after,
    fixture::{Place, STAGE, apply, batch_of, entry, partition},
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
    let rotated = rotated.expect("the key works");
    let (new, micros) = (rotated.made, |at: schemas::Timestamp| at.timestamp_micros());
    assert_eq!(micros(rotated.old_until), micros(overlap));
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
    assert!(
        listed.iter().all(|key| key.last_used_at.map(micros) == Some(micros(now))),
        "written once, coarsely"
    );

    // All of them are one holder, who counts once where two must approve.
    let soon = now + chrono::TimeDelta::minutes(5);
    let third =
        api_keys::rotate(&mut connection, &pepper, &new.key.id, overlap, Some(soon)).await.expect("asked");
    let third = third.expect("the key works").made;
    for successor in [&new.key, &third.key] {
        assert_eq!(successor.succeeds.as_deref(), Some(old.key.id.as_str()));
    }
    let fourth =
        api_keys::rotate(&mut connection, &pepper, &third.key.id, overlap, None).await.expect("asked");
    let until = fourth.expect("the key works").old_until;
    assert_eq!(micros(until), micros(soon), "a key that ends before the overlap does is not prolonged");
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

/// Offsets of another log mean other records: no decision about a position makes sense of them.
#[tokio::test]
async fn a_halt_that_a_command_does_not_pass_is_refused_with_what_passes_it() {
    let mut place = Place::new().await;
    place.deliver(apply((0..5).map(entry))).await;
    let pool = operator_pool(&place.url, 1).expect("an address");
    let change = PositionChange { stage: STAGE.into(), partition: partition(0) };
    let gap = AcceptedGap { to: 20, reason: "x".into() };
    let another = "restore the database";
    for (why, resumed, accepted) in [
        (HaltReason::log_replaced("a", "b"), Some(another), Some(another)),
        (HaltReason::log_truncated(5, 2), Some(another), Some(another)),
        (HaltReason::log_diverged(4), Some(another), Some(another)),
        (HaltReason::retention_gap(5, 20), Some("accept-gap audit"), None),
        (HaltReason::partitions_changed(8, 12), None, Some("resume audit")),
        (HaltReason::stuck("no"), None, None),
    ] {
        let owner = place.claim().await;
        place.sink.set_halted(owner.partition, owner.owner_epoch, Some(&why)).await.expect("halted");
        let before = positions::read_all(&pool).await.expect("read");
        let events = announced(&place.url).await;
        let refused = |outcome: Result<(), PositionError>, cure: &str| match outcome {
            Err(error @ PositionError::Halted { .. }) => {
                assert!(error.to_string().contains(cure), "{why}: {error}");
            }
            other => panic!("{why}: {other:?}"),
        };
        if let Some(cure) = resumed {
            refused(positions::resume(&pool, &change, &ada()).await.map(drop), cure);
        }
        if let Some(cure) = accepted {
            refused(positions::accept_gap(&pool, &change, (&gap, &ada())).await.map(drop), cure);
        }
        let again = [(partition(0), 0)];
        refused(positions::rewind(&pool, STAGE, &again, &ada()).await.map(|_| ()), why.kind.name());
        assert_eq!(positions::read_all(&pool).await.expect("read"), before, "{why}");
        assert_eq!(announced(&place.url).await, events, "{why}");
        if resumed.is_none() {
            let was = positions::resume(&pool, &change, &ada()).await.expect("resumed");
            assert_eq!(was, Some(why.to_string()));
        }
    }
}

#[tokio::test]
async fn a_sink_delivers_again_from_every_place_that_it_has_passed() {
    let mut place = Place::new().await;
    place.deliver(apply((0..5).map(entry))).await;
    let pool = operator_pool(&place.url, 1).expect("an address");
    // The second one was never claimed, and is none of the stage's.
    let again = positions::rewind(&pool, STAGE, &[(partition(1), 0), (partition(0), 2)], &ada()).await;
    assert_eq!(again.expect("moved back"), 3);
    let claim = place.claim().await;
    assert_eq!((claim.position, claim.last), (2, None));
    assert_eq!(announced(&place.url).await, ["ReplaySink by ada: delivers again from 2, in place of 5"]);
    let nothing = positions::rewind(&pool, STAGE, &[(partition(0), 2)], &ada()).await;
    assert_eq!(nothing.expect("asked"), 0);
}

#[tokio::test]
async fn the_log_says_who_paused_and_resumed_a_sink_and_why() {
    let place = Place::new().await;
    let pool = operator_pool(&place.url, 1).expect("an address");
    let early = control::pause(&pool, "copy", &ada(), "").await;
    assert!(matches!(early, Err(PauseError::NeverRan(_))), "{early:?}");
    assert_eq!(control::list(&pool).await.expect("listed"), []);
    let begins = [(TopicPartition { topic: Topic::Audit, partition: 0 }, 7)];
    positions::begin_at(&pool, ("sink.copy", "cluster"), &begins, &ada()).await.expect("begun");
    control::pause(&pool, "copy", &ada(), "a new disk").await.expect("paused");
    let was = control::resume(&pool, "copy", &ada()).await.expect("resumed");
    assert_eq!(was.as_deref(), Some("ada: a new disk"));
    let again = control::resume(&pool, "copy", &ada()).await.expect("asked");
    assert_eq!(again, None, "it is not paused any more");
    assert_eq!(
        announced(&place.url).await,
        [
            "StartSink by ada: begins at 7",
            "PauseSink by ada: delivers nothing: a new disk",
            "ResumeSink by ada: delivers again; it was paused by ada: a new disk",
        ]
    );
}

fn ada() -> Operator {
    Operator { name: "ada".into(), tenant: TenantId::new("acme").expect("valid") }
}

/// The decisions that wait for a gateway.
async fn announced(url: &str) -> Vec<String> {
    let mut events = WaitingEvents::new(url).expect("an address");
    let waiting = loop {
        // The connection of the call before may not have ended yet.
        if let Some(waiting) = events.after(Queue::Own, i64::MIN, 100).await.expect("read") {
            break waiting;
        }
    };
    let decision = |waiting: Waiting| {
        let Event::Activity(activity) = waiting.event.expect("an event").event else { panic!("an activity") };
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
