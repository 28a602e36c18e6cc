//! `Idempotency-Key`: a command that is sent twice is one event.
//!
//! The event's id is of the key; for the second event to be recognised as the first, its time must be the first's as
//! well. A key that is a `UUIDv7` (or 1, 6) tells when it was made, whoever is asked; for any other key this process
//! remembers when it first saw it. If it has forgotten (a restart, another gateway), the id is the same still: the
//! repeat is parked as a conflict, and nothing is decided twice.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use chrono::{SubsecRound, TimeDelta};
use http::HeaderMap;
use schemas::{EventId, Timestamp, access::Principal, problem::ProblemKind};
use uuid::Uuid;

use crate::gateway::refusal::Refusal;

const HEADER: &str = "idempotency-key";
const MAX_KEY_BYTES: usize = 128;
/// Keys that are remembered; the oldest are forgotten first.
const MAX_REMEMBERED: usize = 10_000;
/// How long ago, at most, a key was made whose time is believed.
const BELIEVED_FOR: TimeDelta = TimeDelta::hours(1);
/// How far another machine's clock may be ahead.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(1);

/// When keys that tell no time were first seen.
#[derive(Debug, Default)]
pub(in crate::gateway) struct FirstSeen(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    times: HashMap<EventId, Timestamp>,
    order: VecDeque<EventId>,
}

impl FirstSeen {
    /// When this id was first seen; now, if it never was or that is forgotten.
    fn time(&self, id: EventId, now: Timestamp) -> Timestamp {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Remembered { times, order } = &mut *remembered;
        if let Some(time) = times.get(&id) {
            return *time;
        }
        if order.len() >= MAX_REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            times.remove(&oldest);
        }
        times.insert(id, now);
        order.push_back(id);
        now
    }
}

/// The key of a request, without the quotes that some clients put around it.
pub(super) fn key_of(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let invalid = || {
        let detail =
            format!("there may be one Idempotency-Key, of 1 to {MAX_KEY_BYTES} printable ASCII characters");
        Refusal::new(ProblemKind::InvalidRequest, detail)
    };
    let mut values = headers.get_all(HEADER).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().map_err(|_| invalid())?.trim(),
        (Some(_), Some(_)) => return Err(invalid()),
    };
    let key = value.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(value);
    let good = (1..=MAX_KEY_BYTES).contains(&key.len()) && key.bytes().all(|b| (b' '..=b'~').contains(&b));
    good.then_some(Some(key)).ok_or_else(invalid)
}

/// The event's id, and when it happened. Keys of two API keys are two keys.
pub(super) fn identity(
    principal: &Principal,
    key: Option<&str>,
    seen: &FirstSeen,
    now: Timestamp,
) -> (EventId, Timestamp) {
    let now = now.trunc_subsecs(6);
    let Some(key) = key else { return (EventId::at(now, rand::random()), now) };
    let content = format!("{}/{key}", principal.key_id);
    let id = EventId::derived(&principal.tenant, "weir.command", content.as_bytes());
    (id, made_at(key, now).unwrap_or_else(|| seen.time(id, now)))
}

/// When a key was made, if it says so and that is not long ago.
fn made_at(key: &str, now: Timestamp) -> Option<Timestamp> {
    let (seconds, nanos) = Uuid::try_parse(key).ok()?.get_timestamp()?.to_unix();
    let made = Timestamp::from_timestamp(i64::try_from(seconds).ok()?, nanos)?.trunc_subsecs(6);
    (now - BELIEVED_FOR..=now + CLOCKS_APART).contains(&made).then_some(made)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use schemas::TenantId;

    use super::*;

    fn principal(key_id: &str) -> Principal {
        let tenant = TenantId::new("acme").expect("a tenant");
        Principal { tenant, key_id: key_id.into(), name: "ci".into(), scopes: Vec::new() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_767_323_045 + seconds, 0).expect("an instant")
    }

    #[test]
    fn one_key_is_one_event_and_no_key_is_a_new_one() {
        let seen = FirstSeen::default();
        let ask = |who: &str, key: Option<&str>, now| identity(&principal(who), key, &seen, now);
        let first = ask("key00001", Some("order-7"), at(0));
        assert_eq!(first.1, at(0));
        assert_eq!(ask("key00001", Some("order-7"), at(50)), first, "id and time");
        assert_ne!(ask("key00001", Some("order-8"), at(0)).0, first.0);
        assert_ne!(ask("key00002", Some("order-7"), at(0)).0, first.0);
        assert_ne!(ask("key00001", None, at(0)).0, ask("key00001", None, at(0)).0);
        let elsewhere = identity(&principal("key00001"), Some("order-7"), &FirstSeen::default(), at(50));
        assert_eq!((elsewhere.0, elsewhere.1), (first.0, at(50)), "another gateway knows the id only");
    }

    #[test]
    fn a_key_that_tells_its_time_needs_nobodys_memory() {
        let made = uuid::Timestamp::from_unix_time(1_767_323_045, 0, 0, 0);
        let key = Uuid::new_v7(made).to_string();
        let ask = |now| identity(&principal("key00001"), Some(&key), &FirstSeen::default(), now).1;
        assert_eq!((ask(at(0)), ask(at(3_600)), ask(at(-60))), (at(0), at(0), at(0)));
        assert_eq!((ask(at(3_601)), ask(at(-61))), (at(3_601), at(-61)), "too old, or of the future");
    }

    #[test]
    fn memory_is_bounded() {
        let seen = FirstSeen::default();
        let ask = |n: usize, now| identity(&principal("key00001"), Some(&n.to_string()), &seen, now).1;
        for n in 0..MAX_REMEMBERED {
            ask(n, at(0));
        }
        assert_eq!(ask(0, at(1)), at(0));
        ask(MAX_REMEMBERED, at(1));
        assert_eq!((ask(1, at(2)), ask(0, at(2))), (at(0), at(2)), "the oldest went");
        assert_eq!(seen.0.lock().expect("free").times.len(), MAX_REMEMBERED);
    }

    #[test]
    fn a_key_is_printable_ascii_with_or_without_quotes() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, HeaderValue::from_static(value));
            }
            key_of(&headers).map(|key| key.map(str::to_owned)).map_err(|bad| bad.answer.problem.status)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["a 1"]), Ok(Some("a 1".into())));
        assert_eq!(of(&["\"a-1\""]), Ok(Some("a-1".into())));
        for bad in [&["a", "a"][..], &[""], &["\"\""], &["a\tb"], &["x", "y"]] {
            assert_eq!(of(bad), Err(400), "{bad:?}");
        }
    }
}
