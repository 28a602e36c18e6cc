use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[track_caller]
fn same(a: &str, b: &str) {
    assert_eq!(canonical_json(a), canonical_json(b), "{a} {b}");
    assert_ne!(canonical_json(a)[0], b'!', "{a}");
}

#[track_caller]
fn different(a: &str, b: &str) {
    assert_ne!(canonical_json(a), canonical_json(b), "{a} {b}");
}

#[test]
fn spelling_makes_no_difference() {
    same(r#"{"a":1,"b":[true,null]}"#, "\n{ \"b\" : [ true , null ],\t\"a\":1 }\r\n");
    same(r#"{"a":{"y":1,"x":2},"b":3}"#, r#"{"b":3,"a":{"x":2,"y":1}}"#);
    same(r#"{"name":"\u00e4\/\ud83d\ude00\n"}"#, "{\"n\\u0061me\":\"ä/😀\\u000A\"}");
    same(r#"{"a":null,"b":{"c":null}}"#, r#"{"b":{}}"#);
    same(r#"{"a":1,"a":2}"#, r#"{"a":2}"#);
    same(r#"{"a":1,"a":null}"#, "{}");
    for one in ["1", "1.0", "1e0", "10E-1", "0.1e+1", "1.000"] {
        same(one, "1");
    }
    same("1000", "1e3");
    same("-0", "0.0");
    same("1767600000000", "17676e8");
}

#[test]
fn values_make_a_difference() {
    different(r#"{"a":1}"#, r#"{"a":"1"}"#);
    different(r#"{"a":1}"#, r#"{"b":1}"#);
    different("[1,2]", "[2,1]");
    different("[1,null]", "[1]");
    different("9007199254740993", "9007199254740992");
    different("1", "-1");
    different(r#"{"a":""}"#, "{}");
    different(r#"{"a":false}"#, "{}");
    different(r#"["a","b"]"#, r#"["ab"]"#);
}

#[test]
fn what_is_no_json_is_taken_as_it_stands() {
    let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
    for text in ["", "{", "{} {}", "01", "1.", "tru", "{a:1}", "\"\\ud800\"", "\"\\x\"", "[1,]", "+1", &deep]
    {
        assert_eq!(canonical_json(text), [b"!", text.as_bytes()].concat(), "{text}");
    }
    assert_ne!(canonical_json(&deep[1..deep.len() - 1])[0], b'!');
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-c]{0,2}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The value without members that are null.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(elements) => elements.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

proptest! {
    #[test]
    fn forms_are_equal_when_and_only_when_values_are(a in value(), b in value()) {
        let equal = without_nulls(a.clone()) == without_nulls(b.clone());
        let (compact, pretty) = (a.to_string(), serde_json::to_string_pretty(&a).expect("JSON"));
        prop_assert_eq!(canonical_json(&compact), canonical_json(&pretty));
        prop_assert_eq!(canonical_json(&compact) == canonical_json(&b.to_string()), equal);
    }

    #[test]
    fn any_text_has_a_form(text in "\\PC{0,40}|[\\[\\]{}\",:0-9eE.+\\\\u-]{0,40}") {
        let form = canonical_json(&text);
        let is_json = serde_json::from_str::<Value>(&text).is_ok();
        prop_assert!(!is_json || form[0] != b'!', "{}", text);
    }
}
