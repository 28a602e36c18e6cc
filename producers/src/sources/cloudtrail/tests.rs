use std::{
    collections::{BTreeMap, HashSet},
    fs,
    io::Read as _,
};

use proptest::prelude::*;
use schemas::{
    codec::{self, Decoded, Framing, Incoming, NoRegistry},
    events::ActorKind,
};
use serde_json::{Value, json};

use super::*;
use crate::sources::{elements::Elements, tests::corpus::corpus};

fn tenant() -> TenantId {
    TenantId::new("acme").expect("a plain name")
}

fn mapped(record: &Value) -> Mapped {
    map(&tenant(), &record.to_string()).expect("an object")
}

fn activity(record: &Value) -> Activity {
    match mapped(record).envelope.event {
        Event::Activity(activity) => activity,
        other => panic!("CloudTrail records are activity, not {other:?}"),
    }
}

fn sample() -> Value {
    json!({
        "eventVersion": "1.10",
        "eventID": "5f1c0a52-8f0e-4bd5-9a51-6a3f1c9f3a10",
        "eventTime": "2026-03-04T05:06:07Z",
        "eventName": "PutRolePolicy",
        "eventSource": "iam.amazonaws.com",
        "awsRegion": "eu-example-1",
        "sourceIPAddress": "192.0.2.07",
        "userAgent": "example-cli/1",
        "recipientAccountId": "111122223333",
        "requestID": "req-1",
        "readOnly": false,
        "requestParameters": {"roleName": "deployer"},
        "userIdentity": {
            "type": "AssumedRole",
            "arn": "arn:aws:sts::111122223333:assumed-role/admin/ada",
            "accountId": "111122223333",
            "accessKeyId": "ASIAEXAMPLE",
            "sessionContext": {
                "attributes": {"mfaAuthenticated": "true", "creationDate": "2026-03-04T05:00:00Z"},
                "sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/admin"},
            },
        },
    })
}

fn with(changes: &Value) -> Value {
    let mut record = sample();
    for (name, value) in changes.as_object().expect("changes are an object") {
        record[name] = value.clone();
    }
    record
}

#[test]
fn a_plain_record_fills_every_field() {
    let text = sample().to_string();
    let Mapped { envelope, oddities } = map(&tenant(), &text).expect("an object");
    assert_eq!(oddities, Oddities::default());
    assert_eq!(envelope.id.to_string(), "5f1c0a52-8f0e-4bd5-9a51-6a3f1c9f3a10");
    assert_eq!(envelope.source.as_str(), "aws://111122223333");
    assert_eq!(envelope.occurred_at.to_rfc3339(), "2026-03-04T05:06:07+00:00");
    assert_eq!(envelope.subject.as_deref(), Some("arn:aws:iam::111122223333:role/deployer"));
    assert_eq!(envelope.native.expect("kept").record, text, "byte for byte");

    let activity = activity(&sample());
    assert_eq!(activity.kind, ActivityKind::PermissionChanged);
    assert_eq!(activity.outcome.status, OutcomeStatus::Success);
    assert_eq!(activity.read_only, Some(false));
    assert_eq!(activity.request_id.as_deref(), Some("req-1"));
    let actor = activity.actor;
    assert_eq!(actor.kind, ActorKind::Role);
    assert_eq!(actor.id, "arn:aws:sts::111122223333:assumed-role/admin/ada");
    assert_eq!(actor.name.as_deref(), Some("admin/ada"));
    assert_eq!(actor.ip.as_deref(), Some("192.0.2.07"), "the text is kept");
    assert_eq!(actor.mfa, Some(true));
    assert_eq!(actor.roles, ["arn:aws:iam::111122223333:role/admin"]);
    assert_eq!(activity.resources[0].region.as_deref(), Some("eu-example-1"));
}

#[test]
fn kinds_follow_what_was_done_and_how_it_ended() {
    let kind = |changes: Value| activity(&with(&changes)).kind;
    assert_eq!(kind(json!({"errorCode": "AccessDenied"})), ActivityKind::AccessDenied);
    assert_eq!(kind(json!({"errorCode": "Client.UnauthorizedOperation"})), ActivityKind::AccessDenied);
    assert_eq!(kind(json!({"errorCode": "NoSuchEntity"})), ActivityKind::ApiCalled);
    assert_eq!(kind(json!({"eventName": "ListRoles"})), ActivityKind::ApiCalled);
    let login = |answer: &str| {
        json!({"eventName": "ConsoleLogin", "eventSource": "signin.amazonaws.com",
               "responseElements": {"ConsoleLogin": answer}})
    };
    assert_eq!(kind(login("Success")), ActivityKind::SignedIn);
    assert_eq!(kind(login("Failure")), ActivityKind::SignInFailed);
    let secret = json!({"eventName": "GetSecretValue", "eventSource": "secretsmanager.amazonaws.com"});
    assert_eq!(kind(secret), ActivityKind::SecretRead);
    let parameter = |decrypted: bool| {
        json!({"eventName": "GetParameter", "eventSource": "ssm.amazonaws.com",
               "requestParameters": {"withDecryption": decrypted}})
    };
    assert_eq!(kind(parameter(true)), ActivityKind::SecretRead);
    assert_eq!(kind(parameter(false)), ActivityKind::ApiCalled);
    let export = json!({"eventName": "ModifySnapshotAttribute", "eventSource": "ec2.amazonaws.com"});
    assert_eq!(kind(export), ActivityKind::DataExported);
}

#[test]
fn every_kind_of_identity_is_an_actor() {
    let actor = |identity: Value| {
        let actor = activity(&with(&json!({"userIdentity": identity}))).actor;
        (actor.kind, actor.id)
    };
    let arn = "arn:aws:iam::111122223333:user/ada";
    let root = "arn:aws:iam::111122223333:root";
    for (identity, kind, id) in [
        (json!({"type": "IAMUser", "arn": arn}), ActorKind::User, arn),
        (json!({"type": "Root", "accountId": "111122223333"}), ActorKind::User, root),
        (json!({"type": "WebIdentityUser", "principalId": "p", "userName": "u"}), ActorKind::User, "p"),
        (json!({"type": "SAMLUser", "userName": "ada"}), ActorKind::User, "ada"),
        (json!({"type": "IdentityCenterUser", "onBehalfOf": {"userId": "u-1"}}), ActorKind::User, "u-1"),
        (
            json!({"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}),
            ActorKind::System,
            "ec2.amazonaws.com",
        ),
        (json!({"type": "AWSAccount", "accountId": "444455556666"}), ActorKind::Unknown, "444455556666"),
        (json!({"type": "Unheard"}), ActorKind::Unknown, ""),
        (json!({}), ActorKind::Unknown, ""),
        (Value::Null, ActorKind::Unknown, ""),
        (json!("text"), ActorKind::Unknown, ""),
    ] {
        assert_eq!(actor(identity.clone()), (kind, id.to_owned()), "{identity}");
    }
}

#[test]
fn an_odd_field_is_left_empty_and_counted() {
    for odd in [
        json!({"userIdentity": null}),
        json!({"userIdentity": [1]}),
        json!({"userIdentity": {"type": "IAMUser", "arn": {"not": "text"}}}),
        json!({"eventSource": 7}),
        json!({"resources": "none"}),
        json!({"readOnly": "maybe"}),
        json!({"userAgent": "x".repeat(crate::sources::fields::MAX_TEXT_BYTES + 1)}),
    ] {
        let mapped = mapped(&with(&odd));
        assert!(mapped.oddities.fields_empty, "{odd}");
        assert_eq!(mapped.envelope.native.expect("kept").record, with(&odd).to_string());
    }
    assert_eq!(activity(&with(&json!({"errorCode": 403}))).outcome.status, OutcomeStatus::Failure);
}

#[test]
fn ids_are_kept_or_derived_from_content() {
    let id = |changes: Value| {
        let mapped = mapped(&with(&changes));
        (mapped.envelope.id.to_string(), mapped.oddities.id_derived)
    };
    let (none, derived) = id(json!({"eventID": null}));
    assert!(derived);
    let record = with(&json!({"eventID": null}));
    let spaced = serde_json::to_string_pretty(&record).expect("JSON");
    assert_eq!(none, map(&tenant(), &spaced).expect("an object").envelope.id.to_string());
    assert_ne!(none, id(json!({"eventID": null, "eventName": "Other"})).0);
    let (text, derived) = id(json!({"eventID": "not-a-uuid"}));
    assert!(derived && text.chars().nth(14) == Some('8'), "UUIDv8: {text}");
    assert_ne!(text, id(json!({"eventID": "not-a-uuid", "eventName": "Other"})).0, "no UUID, no promise");
    assert_eq!(id(json!({"eventID": "5F1C0A52-8F0E-4BD5-9A51-6A3F1C9F3A10"})), id(json!({})));
    assert!(id(json!({"eventID": "00000000-0000-0000-0000-000000000000"})).1);
}

#[test]
fn times_are_read_in_both_spellings_and_assumed_otherwise() {
    let time = |changes: Value| {
        let mapped = mapped(&with(&changes));
        (mapped.envelope.occurred_at.to_rfc3339(), mapped.oddities.time_assumed)
    };
    let told = |text: &str| (text.to_owned(), false);
    assert_eq!(
        time(json!({"eventTime": "2025-01-21 17:39:10.000000000"})),
        told("2025-01-21T17:39:10+00:00")
    );
    assert_eq!(time(json!({"eventTime": "2025-01-21T17:39:10+01:00"})), told("2025-01-21T16:39:10+00:00"));
    assert_eq!(
        time(json!({"eventTime": "soon"})),
        ("2026-03-04T05:00:00+00:00".into(), true),
        "the session's"
    );
    assert_eq!(
        time(json!({"eventTime": 1, "userIdentity": null})),
        ("2000-01-01T00:00:00+00:00".into(), true)
    );
}

#[test]
fn event_bridge_wraps_and_lower_case_keys_are_read() {
    let wrapped = json!({"id": "0b1c0a52-8f0e-4bd5-9a51-6a3f1c9f3a10", "detail-type": "AWS API Call via CloudTrail",
                         "time": "2026-03-04T05:06:08Z", "detail": sample()});
    let envelope = mapped(&wrapped).envelope;
    assert_eq!(envelope, mapped(&sample()).envelope, "the detail is the record");

    let lower: serde_json::Map<String, Value> =
        sample().as_object().expect("an object").iter().map(|(k, v)| (k.to_lowercase(), v.clone())).collect();
    let lower = mapped(&Value::Object(lower)).envelope;
    assert_eq!((lower.id, lower.event), (envelope.id, envelope.event));
}

#[test]
fn only_objects_are_records_and_depth_and_digits_do_no_harm() {
    for other in ["", "1", "[]", "\"x\"", "{", "{\"a\":}"] {
        assert!(map(&tenant(), other).is_err(), "{other}");
    }
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    for odd in [deep.as_str(), r#"{"a":1e400}"#, r#"{"eventName":"a","eventName":"b"}"#] {
        assert!(map(&tenant(), odd).is_ok());
    }
}

/// The event as a stage reads it: no imported record may be parked.
pub(crate) fn through_the_topic(envelope: &Envelope) -> Envelope {
    let encoded = codec::encode(envelope, &Framing::SingleObject);
    let headers: Vec<_> =
        encoded.headers.iter().map(|(name, value)| (*name, Some(value.as_slice()))).collect();
    let incoming = Incoming {
        topic: envelope.event.topic(),
        key: Some(&encoded.key),
        value: Some(&encoded.value),
        headers: &headers,
        // A time ahead of its reception is refused before anything is published, whatever the source.
        timestamp_ms: envelope.occurred_at.timestamp_millis().max(1_900_000_000_000),
    };
    match codec::decode(&incoming, &NoRegistry) {
        Ok(Decoded::Event(envelope)) => *envelope,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_envelope_has_no_room_for_is_left_out() {
    let long = |bytes: usize| format!("arn:aws:iam::111122223333:role/{}", "x".repeat(bytes));
    for odd in [
        json!({"eventTime": "1969-12-31T23:59:59Z"}),
        json!({"eventTime": "+12345-01-01T00:00:00Z"}),
        json!({"sharedEventID": "x".repeat(1_025)}),
        json!({"resources": [{"ARN": long(5_000)}]}),
        json!({"requestParameters": {"roleName": "nul\0"}, "sourceIPAddress": "\0", "eventName": "\0"}),
        json!({"userIdentity": {"type": "IAMUser", "arn": long(8_000), "userName": "\0"}}),
    ] {
        let envelope = mapped(&with(&odd)).envelope;
        assert_eq!(through_the_topic(&envelope), envelope, "{odd}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..4)
                .prop_map(|members: BTreeMap<String, Value>| members.into_iter().collect()),
        ]
    })
}

const NAMES: [&str; 16] = [
    "eventID",
    "eventTime",
    "eventName",
    "eventSource",
    "userIdentity",
    "resources",
    "requestParameters",
    "responseElements",
    "errorCode",
    "errorMessage",
    "sourceIPAddress",
    "recipientAccountId",
    "detail",
    "detail-type",
    "readOnly",
    "additionalEventData",
];

proptest! {
    #[test]
    fn any_value_anywhere_gives_the_same_envelope_twice(
        members in prop::collection::hash_map(prop::sample::select(NAMES.to_vec()), any_json(), 0..8),
    ) {
        let record = with(&members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        let (once, twice) = (mapped(&record), mapped(&record));
        prop_assert_eq!(&once, &twice);
        prop_assert_eq!(through_the_topic(&once.envelope), once.envelope);
    }

    #[test]
    fn any_text_is_mapped_or_refused(text in ".{0,200}") {
        prop_assert_eq!(map(&tenant(), &text).is_ok(), serde_json::from_str::<serde_json::Map<String, Value>>(&text).is_ok());
    }
}

#[test]
fn corpus_stratus_every_event_is_read() {
    let Some((_unpacked, path)) = corpus("stratus") else { return };
    let (mut ids, mut names, mut failures) = (HashSet::new(), HashSet::new(), 0);
    for file in fs::read_dir(path.join("docs/detonation-logs")).expect("listed") {
        let file = fs::File::open(file.expect("an entry").path()).expect("opened");
        for element in Elements::new(file) {
            let text = element.expect("a good file").text.expect("a good record");
            let Mapped { envelope, oddities } = map(&tenant(), &text).expect("an object");
            assert!(!oddities.id_derived && !oddities.time_assumed);
            assert!(ids.insert(envelope.id));
            assert_eq!(through_the_topic(&envelope), envelope);
            let Event::Activity(activity) = envelope.event else { panic!("not activity") };
            failures += usize::from(activity.outcome.status == OutcomeStatus::Failure);
            names.insert(activity.action);
        }
    }
    assert_eq!((ids.len(), names.len(), failures), (310, 54, 52));
}

#[test]
fn corpus_panther_every_line_is_taken() {
    let Some((_unpacked, path)) = corpus("panther") else { return };
    let mut lines = String::new();
    let mut file = fs::File::open(path.join("aws_cloudtrail.jsonl")).expect("opened");
    file.read_to_string(&mut lines).expect("text");
    let (mut derived, mut assumed) = (0, 0);
    for line in lines.lines() {
        let test: Value = serde_json::from_str(line).expect("a line is JSON");
        let Mapped { envelope, oddities } = mapped(&test["event"]);
        assert_eq!(through_the_topic(&envelope), envelope);
        assert_eq!(envelope.native.expect("kept").record, test["event"].to_string());
        derived += u32::from(oddities.id_derived);
        assert!(oddities.time_assumed || envelope.occurred_at > ASSUMED_TIME);
        assumed += u32::from(oddities.time_assumed);
    }
    assert_eq!(lines.lines().count(), 295);
    assert_eq!((derived, assumed), (80 + 109, 60), "no id or time in any case; ids that are no UUID");
}
