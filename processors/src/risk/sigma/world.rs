//! Selections, conditions and values of a small world, so that rules and records meet often.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

const FIELDS: [&str; 4] = ["a", "b", "c.d", "c.e"];
const VALUES: [&str; 9] = ["x", "Y", "z", "7", "'7'", "null", "'x*'", "true", "ä"];
const MODIFIERS: [&str; 8] = ["", "", "", "|contains", "|neq", "|cased", "|all", "|re"];

fn key() -> impl Strategy<Value = String> {
    (prop::sample::select(&FIELDS[..]), prop::sample::select(&MODIFIERS[..]))
        .prop_map(|(field, modifier)| format!("{field}{modifier}"))
}

fn field() -> impl Strategy<Value = String> {
    (key(), prop::collection::vec(prop::sample::select(&VALUES[..]), 1..10)).prop_map(|(key, values)| {
        // Null and wildcards are not for every modifier.
        let values: Vec<&str> = values
            .into_iter()
            .map(
                |value| {
                    if key.contains('|') && (value == "null" || value.contains('*')) { "x" } else { value }
                },
            )
            .collect();
        format!("{key:?}: [{}]", values.join(", "))
    })
}

fn selection() -> impl Strategy<Value = String> {
    let map = || {
        prop::collection::btree_map(prop::sample::select(&FIELDS[..]), field(), 1..3).prop_map(|fields| {
            let mut by_key = BTreeMap::new();
            for field in fields.into_values() {
                let (key, values) = field.split_once(": ").expect("a field");
                by_key.insert(key.to_owned(), values.to_owned());
            }
            let fields: Vec<_> = by_key.into_iter().map(|(key, values)| format!("{key}: {values}")).collect();
            format!("{{{}}}", fields.join(", "))
        })
    };
    prop_oneof![
        4 => map(),
        1 => prop::collection::vec(map(), 1..3).prop_map(|maps| format!("[{}]", maps.join(", "))),
        1 => Just("[x, Y]".to_owned()),
    ]
}

/// A rule's detection.
pub(super) fn detection() -> impl Strategy<Value = String> {
    let conditions = [
        "s_1",
        "s_1 and s_2",
        "s_1 or s_2",
        "s_1 and not s_2",
        "not s_1",
        "1 of s_*",
        "all of them",
        "not (s_1 or s_2)",
    ];
    (selection(), selection(), prop::sample::select(conditions.to_vec())).prop_map(|(one, two, condition)| {
        format!("    s_1: {one}\n    s_2: {two}\n    condition: {condition}\n")
    })
}

/// A record.
pub(super) fn record() -> impl Strategy<Value = Value> {
    let scalar = || {
        prop::sample::select(vec![
            json!("x"),
            json!("X"),
            json!("y"),
            json!("xyz"),
            json!(7),
            json!("7"),
            json!(null),
            json!(true),
            json!("Ä"),
        ])
    };
    let value =
        || prop_oneof![3 => scalar(), 1 => prop::collection::vec(scalar(), 0..3).prop_map(Value::from)];
    let maybe = || prop::option::of(value());
    (maybe(), maybe(), maybe(), maybe()).prop_map(|(a, b, d, e)| {
        let mut record = json!({});
        let fields = [(a, "a"), (b, "b"), (d, "d"), (e, "e")];
        for (value, name) in fields {
            match (value, name) {
                (Some(value), "d" | "e") => record["c"][name] = value,
                (Some(value), name) => record[name] = value,
                (None, _) => {}
            }
        }
        record
    })
}
