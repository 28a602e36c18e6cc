//! `Idempotency-Key`: a repeated command is the same event.
//!
//! The event's id is derived from the key. Its time is the gateway's clock and not part of its content
//! ([`time_assumed`](schemas::Envelope::time_assumed)): a caller who could set the time of a decision could
//! decide in the past. A repeat is recognised on any gateway, at any later time.

use std::borrow::Cow;

use chrono::SubsecRound;
use edge::api_error::ApiError;
use http::HeaderMap;
use schemas::{
    EventId, Timestamp,
    access::{KeyHolder, Principal},
    problem::ProblemKind,
};

const HEADER: &str = "idempotency-key";
const MAX_KEY_BYTES: usize = 128;

/// The key of a request, without the quotes that some clients put around it.
pub(super) fn key_of(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let invalid = || {
        let detail =
            format!("there may be one Idempotency-Key, of 1 to {MAX_KEY_BYTES} printable ASCII characters");
        ApiError::new(ProblemKind::InvalidRequest, detail)
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

/// The event's id. Equal keys of two credentials are different, but an API key and its successors are one;
/// without a key each command is an event of its own.
pub(super) fn event_id(principal: &Principal, key: Option<&str>, now: Timestamp) -> EventId {
    let Some(key) = key else { return EventId::at(now.trunc_subsecs(6), rand::random()) };
    let holder = match principal {
        Principal::ApiKey(KeyHolder { id, succeeds, .. }) => Cow::Borrowed(succeeds.as_deref().unwrap_or(id)),
        Principal::Person(_) | Principal::Service(_) => principal.id(),
    };
    let content = format!("{holder}/{key}");
    EventId::derived(principal.tenant(), "weir.command", content.as_bytes())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use schemas::TenantId;

    use super::*;

    fn principal(key_id: &str) -> Principal {
        successor(key_id, None)
    }

    fn successor(key_id: &str, succeeds: Option<&str>) -> Principal {
        Principal::ApiKey(KeyHolder {
            id: key_id.into(),
            succeeds: succeeds.map(str::to_owned),
            name: "ci".into(),
            tenant: TenantId::new("acme").expect("a tenant"),
            scopes: Vec::new(),
            sources: Vec::new(),
        })
    }

    #[test]
    fn one_key_is_one_event_and_no_key_is_a_new_one() {
        let at = |seconds: i64| Timestamp::from_timestamp(1_767_323_045 + seconds, 0).expect("an instant");
        let ask = |who: &str, key: Option<&str>, now| event_id(&principal(who), key, now);
        let first = ask("key00001", Some("order-7"), at(0));
        assert_eq!(ask("key00001", Some("order-7"), at(50)), first);
        assert_ne!(ask("key00001", Some("order-8"), at(0)), first);
        assert_ne!(ask("key00002", Some("order-7"), at(0)), first);
        assert_ne!(ask("key00001", None, at(0)), ask("key00001", None, at(0)));
        let rotated = event_id(&successor("key00002", Some("key00001")), Some("order-7"), at(50));
        assert_eq!(rotated, first, "a key and its successor are one");
        let other = event_id(&successor("key00003", Some("key00002")), Some("order-7"), at(50));
        assert_ne!(other, first);
    }

    #[test]
    fn a_key_is_printable_ascii_with_or_without_quotes() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, HeaderValue::from_static(value));
            }
            key_of(&headers).map(|key| key.map(str::to_owned)).map_err(|bad| bad.problem().status)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["a 1"]), Ok(Some("a 1".into())));
        assert_eq!(of(&["\"a-1\""]), Ok(Some("a-1".into())));
        for bad in [&["a", "a"][..], &[""], &["\"\""], &["a\tb"], &["x", "y"]] {
            assert_eq!(of(bad), Err(400), "{bad:?}");
        }
    }
}
