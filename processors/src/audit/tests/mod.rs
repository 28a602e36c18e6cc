//! Every stored example, and arbitrary events, through the processor.

mod any;
mod examples;
mod properties;

use std::collections::BTreeSet;

use schemas::{
    Envelope,
    changes::{AuditEntry, OcsfRecord},
};
use serde_json::Value;

use super::Audit;
use crate::Processor;

/// Processes an envelope and checks the properties of every event's record; returns the entry and its parsed
/// record.
fn check(envelope: &Envelope) -> (AuditEntry, Value) {
    let mut entries = Audit.process(envelope);
    assert_eq!(entries, Audit.process(envelope), "the same envelope gives the same entry");
    let entry = entries.pop().expect("one entry");
    assert!(entries.is_empty(), "one event gives one entry");
    let text = OcsfRecord::json(&entry.record.to_bytes()).expect("readable");
    let record: Value = serde_json::from_str(&text).expect("the record is JSON");
    check_identity(envelope, &entry, &record);
    assert_eq!(canonical(&record), text, "the record is in canonical form");
    let (told, kept) = (told(envelope), texts(&record));
    let lost: Vec<_> = told.difference(&kept).collect();
    assert!(lost.is_empty(), "the record lacks {lost:?}");
    (entry, record)
}

fn check_identity(envelope: &Envelope, entry: &AuditEntry, record: &Value) {
    let number = |name: &str| record[name].as_i64().unwrap_or_else(|| panic!("{name} is a number"));
    assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"));
    assert_eq!(number("category_uid"), number("class_uid") / 1000);
    assert_eq!(number("class_uid"), i64::from(entry.class_uid));
    assert_eq!(number("activity_id"), i64::from(entry.activity_id));
    assert_eq!(number("severity_id"), i64::from(entry.severity_id));
    assert_eq!(number("time"), envelope.occurred_at.timestamp_millis());
    assert_eq!(record["metadata"]["version"], "1.8.0");
    assert_eq!(record["metadata"]["uid"], envelope.id.to_string());
    assert_eq!(record["metadata"]["log_name"], envelope.event.topic().name());
    assert_eq!(record["raw_data"].as_str(), envelope.native.as_ref().map(|native| &*native.record));
    assert_eq!(entry.content_sha256, envelope.content_sha256());
}

/// Every text in the publisher's event, except the words that OCSF numbers.
fn told(envelope: &Envelope) -> BTreeSet<String> {
    let mut event = serde_json::to_value(&envelope.event).expect("events are JSON");
    for numbered in ["/kind", "/actor/kind", "/outcome/status"] {
        if let Some(word) = event.pointer_mut(numbered) {
            *word = Value::Null;
        }
    }
    let mut told = texts(&event);
    let own = |text: &Option<String>| text.clone();
    told.extend(own(&envelope.subject));
    told.extend(own(&envelope.correlation_id));
    told.extend(own(&envelope.causation_id));
    told.extend(envelope.trace.iter().map(|trace| trace.traceparent.clone()));
    told.extend(envelope.trace.iter().filter_map(|trace| trace.tracestate.clone()));
    told.extend(envelope.native.iter().map(|native| native.format.clone()));
    told.insert(envelope.source.as_str().to_owned());
    told.insert(envelope.tenant.as_str().to_owned());
    told.remove("");
    told
}

/// Every text in a JSON value: strings, and the keys of maps that a publisher named.
fn texts(value: &Value) -> BTreeSet<String> {
    match value {
        Value::String(text) => BTreeSet::from([text.clone()]),
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(map) => {
            let named =
                ["tags", "attributes", "other_columns"].iter().filter_map(|name| map.get(*name)?.as_object());
            let keys = named.flat_map(|map| map.keys().cloned());
            map.values().flat_map(texts).chain(keys).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// RFC 8785 for values whose numbers are integers and whose keys are ASCII.
fn canonical(value: &Value) -> String {
    let join = |parts: Vec<String>| parts.join(",");
    match value {
        Value::Array(items) => format!("[{}]", join(items.iter().map(canonical).collect())),
        Value::Object(map) => {
            assert!(map.keys().all(|key| key.is_ascii()), "a key comes from outside");
            let sorted: std::collections::BTreeMap<_, _> = map.iter().collect();
            format!("{{{}}}", join(sorted.iter().map(|(k, v)| format!("\"{k}\":{}", canonical(v))).collect()))
        }
        Value::Number(number) => {
            let number = number.as_i64().expect("numbers are integers");
            assert!(number.abs() < 1 << 53, "{number} is exact everywhere");
            number.to_string()
        }
        other => other.to_string(),
    }
}
