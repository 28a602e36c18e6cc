//! Rows that the audit processor hands to its sink.

use std::collections::BTreeSet;

use bytestring::ByteString;

use crate::{
    EventId, TenantId, Timestamp,
    events::{ActorKind, OutcomeStatus},
};

/// The processor and its stage.
pub const STAGE: &str = "audit";

/// One row of the audit log: the columns for filters, and the whole OCSF record.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// The event's id; unique within the tenant.
    pub event_id: EventId,
    /// Tenant of the event.
    pub tenant: TenantId,
    /// Time of the event.
    pub occurred_at: Timestamp,
    /// OCSF `class_uid`, for example 6003.
    pub class_uid: i32,
    /// OCSF `activity_id` within the class.
    pub activity_id: i32,
    /// OCSF `severity_id`, 0 to 6 and 99.
    pub severity_id: i32,
    /// The event's kind, for example `SignedIn`.
    pub kind: &'static str,
    /// Kind of the actor: person, service account, role or system.
    pub actor_kind: ActorKind,
    /// Id of the actor; empty when the source names nobody.
    pub actor: String,
    /// The actor's name for people.
    pub actor_name: Option<String>,
    /// The actor's address, as the source wrote it.
    pub actor_ip: Option<String>,
    /// The action in the source's words.
    pub action: String,
    /// The type of the first resource.
    pub resource_type: Option<String>,
    /// The id of the first resource.
    pub resource: Option<String>,
    /// The ids of the others, as [`other_resources`] gives them.
    pub other_resources: Vec<String>,
    /// Project of the first resource or of the delivery.
    pub project: Option<String>,
    /// Outcome of the action.
    pub outcome: OutcomeStatus,
    /// The source's error code.
    pub outcome_code: Option<String>,
    /// `CloudEvents` `source`.
    pub source: String,
    /// Correlation id that events of one operation share.
    pub correlation_id: Option<String>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
    /// The OCSF 1.8.0 record.
    pub record: OcsfRecord,
}

/// The ids behind the first of an event's resources: in their order, each once, none that is empty or the first one's.
pub fn other_resources<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut ids = ids.into_iter();
    let Some(first) = ids.next() else { return Vec::new() };
    let mut seen = BTreeSet::new();
    ids.filter(|id| !id.is_empty() && *id != first && seen.insert(*id)).collect()
}

/// An OCSF record as JSON text, with its `raw_data` beside the text instead of inside.
///
/// Inside, the native record would be JSON in a JSON string. Escaping it for every event, and unescaping the
/// few that are read, would cost more than all other work on the record.
///
/// Stored form: the text, with [`OcsfRecord::BESIDE`] as `raw_data`, then U+0000, then the native record. A
/// record without a native record, or with its `raw_data` inside, is stored as the text alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcsfRecord {
    json: Vec<u8>,
    /// Shares the memory of the event's.
    raw_data: Option<ByteString>,
}

/// Error of reading a stored record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableRecord {
    /// Its JSON part is not UTF-8.
    #[error("the record is not UTF-8")]
    NotText,
    /// A native record follows the text, but the text has no `raw_data` marker to put it in.
    #[error("a native record follows the record, but its raw_data has no marker")]
    NoPlace,
}

impl OcsfRecord {
    /// Value of `raw_data` that says that the native record follows the JSON text.
    pub const BESIDE: &str = "\0";
    const PLACE: &str = r#""raw_data":"\u0000""#;

    /// A record of its JSON text, and the native record if `raw_data` is [`Self::BESIDE`].
    pub fn new(json: Vec<u8>, raw_data: Option<ByteString>) -> Self {
        Self { json, raw_data }
    }

    /// Appends the record in its stored form.
    pub fn write(&self, to: &mut Vec<u8>) {
        to.reserve(self.json.len() + self.raw_data.as_ref().map_or(0, |raw_data| raw_data.len() + 1));
        to.extend_from_slice(&self.json);
        if let Some(raw_data) = &self.raw_data {
            to.push(0);
            to.extend_from_slice(raw_data.as_bytes());
        }
    }

    /// The record in its stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    /// The whole record as JSON text, out of its bytes.
    pub fn json(bytes: &[u8]) -> Result<String, UnreadableRecord> {
        let text = str::from_utf8(bytes).map_err(|_| UnreadableRecord::NotText)?;
        // JSON text writes U+0000 as an escape: the first one ends it.
        let Some((json, raw_data)) = text.split_once('\0') else { return Ok(text.to_owned()) };
        // A quote within a string is escaped: this can only be the attribute itself.
        let (before, after) = json.split_once(Self::PLACE).ok_or(UnreadableRecord::NoPlace)?;
        let raw_data = serde_json::Value::from(raw_data);
        Ok(format!(r#"{before}"raw_data":{raw_data}{after}"#))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_resources_are_those_behind_the_first_each_once() {
        let of = |ids: &[&'static str]| other_resources(ids.iter().copied());
        assert_eq!(of(&["object", "bucket", "key"]), ["bucket", "key"]);
        assert_eq!(of(&["a", "b", "", "a", "c", "b"]), ["b", "c"]);
        assert_eq!(of(&["", "bucket", ""]), ["bucket"]);
        for none in [[].as_slice(), &["a"], &["a", "a"]] {
            assert!(of(none).is_empty(), "{none:?}");
        }
    }

    #[test]
    fn the_native_record_returns_to_its_place() {
        let native = "{\"a\": \"\\u0000 \0 \u{1F600}\"}\n";
        let text = r#"{"message":"\"raw_data\":\"\\u0000\"","raw_data":"\u0000","time":1}"#;
        let record = OcsfRecord::new(text.into(), Some(native.into()));
        let json = OcsfRecord::json(&record.to_bytes()).expect("readable");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let expected =
            serde_json::json!({ "message": r#""raw_data":"\u0000""#, "raw_data": native, "time": 1 });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_record_with_everything_inside_is_its_own_text() {
        for text in [r#"{"raw_data":"{\"a\":1}","time":1}"#, r#"{"time":1}"#] {
            let record = OcsfRecord::new(text.into(), None);
            assert_eq!(OcsfRecord::json(&record.to_bytes()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        assert_eq!(OcsfRecord::json(b"{\xff}"), Err(UnreadableRecord::NotText));
        assert_eq!(OcsfRecord::json(b"{}\0native"), Err(UnreadableRecord::NoPlace));
    }
}
