//! JSON of any publisher: responses to publishers, and reasons for parking records.

mod bounds;
mod events;

use proptest::{collection, prelude::*};

use super::*;
use crate::{Event, ParkReason, events::Activity, problem::ProblemKind};

const ACTIVITY: &str = r#"{"action":"CreateUser","actor":{"id":"alice"}}"#;

fn tenant() -> TenantId {
    TenantId::new("acme").expect("valid")
}

fn now() -> Timestamp {
    "2024-05-06T07:08:09Z".parse().expect("an instant")
}

fn parse(body: impl AsRef<[u8]>) -> Result<Envelope, Refusal> {
    parse_structured(body.as_ref(), &tenant(), now())
}

/// A structured event with this `data`, of one of Weir's types.
fn of_type(kind: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"1","source":"/s","type":"io.weir.{kind}.v1","time":"2024-05-06T07:00:00Z","data":{data}}}"#
    )
}

/// A structured event of a type that is not Weir's, with this `data`.
fn foreign(data: &str) -> String {
    of_type("x", data).replace("io.weir.x.v1", "com.example.thing")
}

/// An API call with further members of its data.
fn activity_with(members: &str) -> String {
    of_type("activity.api_called", &format!(r#"{{"action":"a","actor":{{"id":"alice"}},{members}}}"#))
}

fn why(body: impl AsRef<[u8]>) -> Why {
    let refusal = parse(body).expect_err("refused");
    assert!(!refusal.detail.is_empty());
    refusal.why
}

fn activity(envelope: &Envelope) -> &Activity {
    let Event::Activity(activity) = &envelope.event else { panic!("not an activity") };
    activity
}

fn native(body: &str) -> String {
    parse(body).expect("accepted").native.expect("a native record").record.to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_answered(body in collection::vec(any::<u8>(), 0..200)) {
        drop(parse(&body));
        drop(parse_batch(&body, &tenant(), now()));
        drop(parse_binary([("specversion", body.as_slice())], None, &body, &tenant(), now()));
    }

    #[test]
    fn any_json_like_text_is_answered(body in r#"[\[\]{}",:\\u0-9dDa-f.eE+ -]{0,120}"#) {
        drop(parse(&body));
        drop(parse_batch(body.as_bytes(), &tenant(), now()));
        // What the walk lets pass and the parser takes is then kept to the byte.
        let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&body).is_ok();
        if let Ok(envelope) = parse(foreign(&body)) && is_json {
            let text: Result<String, _> = serde_json::from_str(&body);
            prop_assert_eq!(envelope.native.map(|n| n.record.to_string()), Some(text.unwrap_or_else(|_| body.trim().to_owned())));
        }
    }

    #[test]
    fn a_good_event_with_a_damaged_text_is_answered(at in 0_usize..300, instead in any::<char>()) {
        let good = activity_with(r#""native":{"format":"x","record":{"a":[1,"\ud83d\ude00"]}}"#);
        let at = good.floor_char_boundary(at.min(good.len()));
        let body = format!("{}{instead}{}", &good[..at], good.get(at + 1..).unwrap_or_default());
        drop(parse(body));
    }
}
