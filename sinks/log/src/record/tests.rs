use proptest::prelude::*;
use schemas::changes::OcsfRecord;
use serde_json::{Map, Value, json};

use super::*;
use crate::personal::PERSONAL;

fn own(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The split by its definition, over a parsed record.
fn by_definition(record: &Value, native: Option<&str>) -> (Value, Value) {
    let (mut public, mut personal) = (record.clone(), Map::new());
    for path in PERSONAL {
        let (parent, last) = path.rsplit_once('.').unwrap_or(("", path));
        let parent = if parent.is_empty() { String::new() } else { format!("/{}", parent.replace('.', "/")) };
        let object = public.pointer_mut(&parent).and_then(Value::as_object_mut);
        if let Some(value) = object.and_then(|object| object.remove(last)) {
            personal.insert(path.to_owned(), value);
        }
    }
    let object = public.as_object_mut().expect("an object");
    if object.get("unmapped") == Some(&json!({})) {
        object.remove("unmapped");
    }
    if let Some(inside) = object.remove("raw_data") {
        let native = native.map_or_else(|| inside.as_str().expect("text").to_owned(), ToOwned::to_owned);
        let hash = Hash::of(native.as_bytes()).to_string();
        let fingerprint = json!({ "algorithm": "SHA-256", "algorithm_id": 3, "value": hash });
        object.insert("raw_data_hash".into(), fingerprint);
    }
    (public, Value::Object(personal))
}

#[track_caller]
fn check(record: &Value, native: Option<&str>) {
    let stored = OcsfRecord::new(canonical(record).expect("canonical"), native.map(Into::into)).to_bytes();
    let mut splitter = Splitter::default();
    let parts = splitter.split(&stored).expect("splits");
    let (public, personal) = by_definition(record, native);
    assert_eq!(own(parts.public), own(&canonical(&public).expect("canonical")));
    assert_eq!(own(parts.personal), own(&canonical(&personal).expect("canonical")));
    let salt = Salt([3; 32]);
    let leaf_of = parts.leaf(&salt);

    let attested = attested(&stored, r#"{"index":7}"#).expect("attested");
    let copy: Value = serde_json::from_slice(&attested).expect("JSON");
    assert_eq!(own(&attested), own(&canonical(&copy).expect("canonical")), "sent in canonical form");
    assert_eq!(copy.pointer("/unmapped/record_integrity/index"), Some(&json!(7)));
    let mut again = Splitter::default();
    let parts = again.split(&attested).expect("splits");
    assert_eq!(parts.leaf(&salt), leaf_of, "the copy has the leaf of the stored record");

    let mut erased = Splitter::default();
    let public = parts.public.to_vec();
    let erased = erased.split(&public).expect("splits");
    assert_eq!((erased.public, erased.personal), (public.as_slice(), b"{}".as_slice()));
    assert_eq!(leaf(&public, &parts.personal_digest(&salt)), leaf_of, "the public part keeps the leaf");
}

#[test]
fn a_record_falls_into_its_two_parts() {
    let record = json!({
        "activity_id": 1,
        "actor": { "session": { "is_mfa": true, "uid": "s" }, "user": { "name": "Ada", "type_id": 1, "uid": "ada" } },
        "message": "for \"Ada\"",
        "raw_data": "\0",
        "resources": [{ "name": "b", "uid": "u" }],
        "severity": "Low",
        "src_endpoint": { "ip": "192.0.2.1" },
        "unmapped": { "actor_ip": "192.0.2.1", "attributes": [{ "name": "n", "value": "v" }], "service": "s3" },
        "user": { "uid": "ada" }
    });
    let native = r#"{"a": "b\u0000"}"#;
    check(&record, Some(native));
    let stored = OcsfRecord::new(canonical(&record).expect("canonical"), Some(native.into())).to_bytes();
    let mut splitter = Splitter::default();
    let parts = splitter.split(&stored).expect("splits");
    assert_eq!(
        own(parts.personal),
        r#"{"actor.session.uid":"s","actor.user.name":"Ada","actor.user.uid":"ada","message":"for \"Ada\"","#
            .to_owned()
            + r#""src_endpoint.ip":"192.0.2.1","unmapped.actor_ip":"192.0.2.1","#
            + r#""unmapped.attributes":[{"name":"n","value":"v"}],"user.uid":"ada"}"#
    );
    assert_eq!(parts.native.as_deref(), Some(native.as_bytes()));
    assert!(own(parts.public).contains(r#""src_endpoint":{},"unmapped":{"service":"s3"},"user":{}}"#));
}

#[test]
fn records_of_odd_shapes_fall_apart_too() {
    check(&json!({}), None);
    check(&json!({ "unmapped": {} }), None);
    check(&json!({ "unmapped": { "zeta": 1 } }), None);
    check(&json!({ "unmapped": { "alpha": 1 }, "zeta": [] }), None);
    check(&json!({ "actor": "Ada", "user": null, "src_endpoint": [1], "unmapped": { "subject": {} } }), None);
    check(&json!({ "message": { "a": [1, 2] }, "actor": { "user": "x" } }), None);
    check(&json!({ "raw_data": "inside", "zeta": 1 }), None);
    check(&json!({ "raw_data": "\0" }), Some(""));
}

#[test]
fn whatever_is_no_record_is_refused() {
    for odd in
        ["", "null", "[]", "{\"a\":}", "{\"raw_data\":1}", "{\"actor\":{\"user\":{}}", "{\"unmapped\":{,}}"]
    {
        assert!(Splitter::default().split(odd.as_bytes()).is_err(), "{odd}");
        assert!(attested(odd.as_bytes(), "{}").is_err(), "{odd}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        ".{0,12}".prop_map(|text| Value::from(text.replace('\0', " "))),
        Just(Value::Null)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = prop::sample::select(vec![
            "actor",
            "user",
            "name",
            "uid",
            "src_endpoint",
            "ip",
            "message",
            "unmapped",
            "attributes",
            "zeta",
            "alpha",
            "session",
            "ä",
            "\u{1F600}",
            "a.b",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.prop_map(ToOwned::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_record_falls_apart_as_defined(record in value(), native in prop::option::of(".{0,40}")) {
        if let Value::Object(mut record) = record {
            // OCSF has it an object.
            if record.get("unmapped").is_some_and(|unmapped| !unmapped.is_object()) {
                record.remove("unmapped");
            }
            if native.is_some() {
                record.insert("raw_data".into(), "\0".into());
            }
            check(&Value::Object(record), native.as_deref());
        }
    }
}
