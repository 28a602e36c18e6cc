use schemas::{
    access::{KeyHolder, Scope},
    events::{ActivityKind, OutcomeStatus},
};

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_767_323_040 + seconds, 0).expect("an instant")
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a tenant")
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn refuse(trail: &Trail, (of, credential): (&str, &str), reason: Reason, from: u8, now: Timestamp) {
    let actor = Actor { id: credential.to_owned(), ..Actor::default() };
    let (tenant, class) = (tenant(of), "query");
    let refusal = Refusal { tenant: &tenant, credential, actor, reason, class, address: address(from) };
    trail.refused(refusal, now);
}

fn key(name: &str) -> Arc<Principal> {
    Arc::new(Principal::ApiKey(KeyHolder {
        id: name.to_owned(),
        succeeds: None,
        name: "ci".to_owned(),
        tenant: tenant("acme"),
        scopes: vec![Scope::AuditRead],
        sources: Vec::new(),
    }))
}

#[test]
fn a_flood_is_one_event_for_each_credential_reason_and_minute() {
    let trail = Trail::default();
    for n in 0..10_000 {
        refuse(
            &trail,
            ("acme", "k1"),
            Reason::RateLimited,
            u8::try_from(n % 200).expect("small"),
            at(n % 60),
        );
    }
    refuse(&trail, ("acme", "k1"), Reason::Forbidden, 1, at(1));
    refuse(&trail, ("acme", "k2"), Reason::RateLimited, 1, at(1));
    refuse(&trail, ("other", "k1"), Reason::RateLimited, 1, at(1));
    refuse(&trail, ("acme", "k1"), Reason::RateLimited, 1, at(61));
    assert_eq!(trail.take_refusals(at(59)), [], "the minute is not over");
    let taken = trail.take_refusals(at(60));
    assert_eq!(taken.len(), 4);
    let flood = taken.iter().find(|refusals| refusals.count > 1).expect("the flood");
    assert_eq!((flood.count, flood.first, flood.last), (10_000, at(0), at(59)));
    assert_eq!(flood.addresses.len(), MAX_NAMED, "addresses are bounded");
    assert_eq!(trail.take_refusals(at(121)).len(), 1);
    assert_eq!(trail.take_refusals(at(9_999)), []);
}

#[test]
fn credentials_beyond_the_bound_count_together_and_tenants_do_not_share_it() {
    let trail = Trail::default();
    for n in 0..MAX_CREDENTIALS + 50 {
        refuse(&trail, ("acme", &format!("k{n}")), Reason::WrongSecret, 1, at(0));
    }
    refuse(&trail, ("other", "k"), Reason::WrongSecret, 1, at(0));
    let taken = trail.take_refusals(at(60));
    assert_eq!(taken.len(), MAX_CREDENTIALS + 2);
    let rest = taken.iter().find(|refusals| refusals.count > 1).expect("the rest");
    assert_eq!((rest.count, rest.actor.id.as_str()), (50, ""));
    assert_eq!(taken.iter().map(|refusals| refusals.count).sum::<u64>(), MAX_CREDENTIALS as u64 + 51);
}

#[test]
fn a_principal_is_noted_once_until_it_is_taken() {
    let trail = Trail::default();
    for n in 0..5 {
        trail.used(&key("k1"), address(n), at(n.into()));
    }
    trail.used(&key("k2"), address(9), at(9));
    let mut taken = trail.take_uses();
    taken.sort_by_key(|used| used.at);
    let seen: Vec<_> = taken.iter().map(|used| (used.principal.id(), used.address, used.at)).collect();
    assert_eq!(seen, [("k1".into(), address(4), at(4)), ("k2".into(), address(9), at(9))]);
    assert_eq!(trail.take_uses(), []);
}

#[test]
fn events_say_who_what_and_how_often() {
    let trail = Trail::default();
    refuse(&trail, ("acme", "k1"), Reason::KeyRevoked, 7, at(3));
    refuse(&trail, ("acme", "k1"), Reason::KeyRevoked, 7, at(5));
    let event = AccessEvent::from(trail.take_refusals(at(60)).remove(0));
    assert_eq!((event.activity.kind, event.occurred_at), (ActivityKind::SignInFailed, at(5)));
    assert_eq!(event.activity.actor.id, "k1");
    assert_eq!(event.activity.actor.ip.as_deref(), Some("192.0.2.7"));
    assert_eq!(event.activity.outcome.code.as_deref(), Some("key-revoked"));
    assert!(event.details.contains("\"refused\":2"), "{}", event.details);

    let used = Use { principal: key("k1"), address: address(1), at: at(0) };
    let begun = export_begun(&used, "csv", "actor=mara");
    let ended = export_ended(&used, &begun, 12, true);
    assert!(!format!("{:?}", begun.activity).contains("mara"), "people stand in the erasable part only");
    assert!(begun.details.contains("actor=mara") && begun.correlation_id.is_some());
    assert_eq!(begun.correlation_id, ended.correlation_id);
    assert_eq!(ended.activity.outcome.message.as_deref(), Some("the export sent 12 entries in whole"));
    assert_eq!(export_ended(&used, &begun, 1, false).activity.outcome.status, OutcomeStatus::Failure);
    let envelope = ended.envelope();
    schemas::codec::check(&envelope, at(1)).expect("an event that can be published");
}

#[tokio::test]
async fn what_must_be_recorded_waits_for_it() {
    let used = Use { principal: key("k1"), address: address(1), at: at(0) };
    let event = || export_begun(&used, "ndjson", "");
    let trail = Trail::default();
    assert_eq!(trail.record(event()).await, Ok(()), "without a database there is nothing to record in");
    let (recorder, mut recordings) = mpsc::channel(1);
    trail.recorded_by(recorder);
    let asked = async { trail.record(event()).await };
    let answered = async { recordings.recv().await.expect("a recording").stored.send(()).expect("it waits") };
    assert_eq!(tokio::join!(asked, answered).0, Ok(()));
    let asked = async { trail.record(event()).await };
    let dropped = async { drop(recordings.recv().await.expect("a recording")) };
    assert_eq!(tokio::join!(asked, dropped).0, Err(NotRecorded));
    drop(recordings);
    assert_eq!(trail.record(event()).await, Err(NotRecorded));
}
