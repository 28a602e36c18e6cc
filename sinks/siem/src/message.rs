//! One message to a receiver: an OCSF record, or a part of one that is too large for the receiver.

use std::sync::Arc;

use bytes::Bytes;
use schemas::{LogPlace, OcsfEvent};
use serde_json::{Map, Value, json};

/// Most bytes that a protocol puts around one record; verified by the tests of each destination.
pub const ENVELOPE_BYTES: usize = 1_024;
/// Most bytes that a part of a native record needs beside its text.
const PART_BYTES: usize = 2_048;

/// One message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Equal for equal content, independent of sender and time: the leaf's hash of an audit record, a
    /// finding's id, and for a part of a record `-1`, `-2`, … behind it. At most 80 letters, digits and
    /// hyphens.
    pub id: String,
    /// Time of the event, in milliseconds since 1970.
    pub time_ms: i64,
    /// The tenant.
    pub tenant: String,
    /// OCSF `class_uid`.
    pub class_uid: i64,
    /// OCSF `severity_id`.
    pub severity_id: i64,
    /// Place of the record in its log; findings have none.
    pub place: Option<Arc<LogPlace>>,
    /// The OCSF record: one JSON object on one line.
    pub json: Bytes,
}

/// A record that its receiver would not take, whichever way it is parted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record has {bytes} bytes without its native record; the limit is {limit}")]
pub struct Oversize {
    /// Bytes without the native record.
    pub bytes: usize,
    /// The limit.
    pub limit: usize,
}

impl Message {
    /// The message of a record.
    pub fn of(event: &OcsfEvent) -> Self {
        let place = event.place.clone();
        Self {
            id: place.as_ref().map_or_else(|| event.id.to_string(), |place| place.leaf.clone()),
            time_ms: event.time.timestamp_millis(),
            tenant: event.tenant.as_str().to_owned(),
            class_uid: event.class_uid,
            severity_id: event.severity_id,
            place,
            json: event.json.clone(),
        }
    }

    /// Bytes that it takes up in a request, at most.
    pub fn weight(&self) -> usize {
        self.json.len() + ENVELOPE_BYTES
    }

    /// The record as JSON.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap_or_default()
    }

    /// The message, or where its record has more than `limit` bytes: the record without its native record, then that in
    /// numbered parts. Every one of them is an OCSF record. Nothing is cut: the parts put together are the native record.
    pub fn parted(self, limit: usize) -> Result<Vec<Self>, Oversize> {
        if self.json.len() <= limit {
            return Ok(vec![self]);
        }
        let bytes = self.json.len();
        let Value::Object(mut record) = self.value() else { return Err(Oversize { bytes, limit }) };
        let Some(Value::String(native)) = record.remove("raw_data") else {
            return Err(Oversize { bytes, limit });
        };
        let room = limit.saturating_sub(PART_BYTES);
        let texts = pieces(&native, room);
        let unmapped = record.entry("unmapped").or_insert_with(|| json!({}));
        if let Some(unmapped) = unmapped.as_object_mut() {
            unmapped.insert("raw_data_parts".into(), texts.len().into());
        }
        let metadata = record.get("metadata").cloned().unwrap_or_default();
        let whole = Self { json: text(&Value::Object(record)), ..self.clone() };
        if whole.json.len() > limit || room == 0 {
            return Err(Oversize { bytes: whole.json.len(), limit });
        }
        let parts = texts.len();
        let part = |(number, native): (usize, &str)| self.part(number + 1, parts, native, &metadata);
        Ok(std::iter::once(whole).chain(texts.into_iter().enumerate().map(part)).collect())
    }

    /// One part of the native record, as an OCSF Base Event (class 0).
    fn part(&self, number: usize, of: usize, native: &str, metadata: &Value) -> Self {
        let product = metadata.get("product").cloned().unwrap_or_else(|| json!({ "name": "Weir" }));
        let mut described = Map::new();
        described.insert("product".into(), product);
        for kept in ["tenant_uid", "uid", "version"] {
            described.extend(metadata.get(kept).map(|value| (kept.to_owned(), value.clone())));
        }
        let record = json!({
            "activity_id": 99,
            "activity_name": "Part",
            "category_uid": 0,
            "class_uid": 0,
            "metadata": described,
            "raw_data": native,
            "severity_id": 1,
            "time": self.time_ms,
            "type_uid": 99,
            "unmapped": { "raw_data_part": { "number": number, "of": of, "record": self.id } },
        });
        let id = format!("{}-{number}", self.id);
        Self { id, class_uid: 0, severity_id: 1, place: None, json: text(&record), ..self.clone() }
    }
}

fn text(value: &Value) -> Bytes {
    value.to_string().into_bytes().into()
}

/// Cuts a text so that no piece is longer than `room` bytes once it stands in a JSON string.
fn pieces(text: &str, room: usize) -> Vec<&str> {
    let (mut pieces, mut start, mut length) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        let escaped = match c {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            c if c.is_control() => 6,
            c => c.len_utf8(),
        };
        if length + escaped > room && at > start {
            pieces.push(&text[start..at]);
            (start, length) = (at, 0);
        }
        length += escaped;
    }
    pieces.push(&text[start..]);
    pieces
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An audit record with a native record of so many characters.
    pub(crate) fn record(native: &str) -> Message {
        let leaf = "ab".repeat(32);
        let json = json!({
            "activity_id": 1, "activity_name": "Create", "actor": { "user": { "name": "ada", "uid": "u-1" } },
            "api": { "operation": "CreateUser" }, "category_uid": 6, "class_name": "API Activity", "class_uid": 6003,
            "message": "ada created a user", "severity": "High",
            "metadata": { "product": { "name": "Weir", "vendor_name": "Weir" }, "tenant_uid": "acme",
                          "uid": "0192f0c1-2345-7abc-8def-0123456789ab", "version": "1.8.0" },
            "raw_data": native, "severity_id": 4, "src_endpoint": { "ip": "192.0.2.7" }, "status": "Success",
            "status_id": 1, "time": 1_764_288_000_123_i64, "type_uid": 600_301,
            "unmapped": { "record_integrity": { "index": 42, "log": "weir.activity.v1/3", "attestation_list": [{
                "chain_uid": "weir.activity.v1/3", "uid": "weir.activity.v1/3#42",
                "fingerprint": { "algorithm": "SHA-256", "algorithm_id": 3, "value": leaf },
                "prev_event": { "uid": "weir.activity.v1/3#41",
                                "fingerprint": { "algorithm": "SHA-256", "algorithm_id": 3, "value": "cd".repeat(32) } },
            }] } },
        });
        Message::of(&OcsfEvent::from_json(text(&json)).expect("a record"))
    }

    #[test]
    fn a_message_goes_by_its_leaf_and_a_finding_by_its_id() {
        let message = record("{}");
        assert_eq!(message.id, "ab".repeat(32));
        let place = message.place.expect("a place");
        assert_eq!((place.log.as_str(), place.index), ("weir.activity.v1/3", 42));
        assert_eq!(place.previous.as_deref(), Some("cd".repeat(32).as_str()));
        let finding = json!({ "class_uid": 2004, "time": 1, "severity_id": 5, "metadata": {
            "uid": "0192f0c1-2345-7abc-8def-0123456789ab", "tenant_uid": "acme" } });
        let finding = Message::of(&OcsfEvent::from_json(text(&finding)).expect("a finding"));
        assert_eq!((finding.id.as_str(), finding.place), ("0192f0c1-2345-7abc-8def-0123456789ab", None));
    }

    #[test]
    fn parts_keep_to_the_limit_and_put_together_are_the_native_record() {
        for native in ["x".repeat(30_000), "\"\\\u{1}é\u{1F600}\n".repeat(3_000)] {
            for limit in [4_096, 10_000, 20_000] {
                let parts = record(&native).parted(limit).expect("it can be parted");
                assert!(parts.len() > 2 && parts.iter().all(|part| part.json.len() <= limit));
                let whole = parts[0].value();
                assert_eq!(whole["unmapped"]["raw_data_parts"], parts.len() - 1);
                assert!(whole.get("raw_data").is_none() && parts[0].place.is_some());
                let values: Vec<Value> = parts[1..].iter().map(Message::value).collect();
                let joined: String = values.iter().filter_map(|part| part["raw_data"].as_str()).collect();
                assert_eq!(joined, native);
                let ids: std::collections::BTreeSet<&str> =
                    parts.iter().map(|part| part.id.as_str()).collect();
                assert_eq!(ids.len(), parts.len(), "each has an id of its own");
                assert_eq!(values[0]["unmapped"]["raw_data_part"]["record"], parts[0].id.as_str());
            }
        }
    }

    #[test]
    fn what_fits_is_left_alone_and_what_never_fits_is_named() {
        let message = record("{}");
        assert_eq!(message.clone().parted(10_000), Ok(vec![message.clone()]));
        let refused =
            record(&"x".repeat(5_000)).parted(600).expect_err("too large without its native record");
        assert!(refused.bytes > 600 && refused.limit == 600, "{refused}");
        let mut value = message.value();
        value["raw_data"] = Value::Null;
        value["message"] = "y".repeat(9_000).into();
        assert!(Message { json: text(&value), ..message }.parted(4_096).is_err());
    }
}
