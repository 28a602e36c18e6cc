//! Statements of completeness: how many records of an interval of a log a sink owed its receiver. A statement is delivered like a
//! record; the receiver's copy holds as many records of the interval, or something is missing.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{hexadecimal, message::Message};

/// Tenant of statements, which are about records of all tenants of a log.
const TENANT: &str = "weir";
/// Member of a statement's record, below `unmapped`.
const MEMBER: &str = "completeness";

/// A statement on one interval of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The sink.
    pub sink: String,
    /// `<topic>/<partition>`.
    pub log: String,
    /// Index of the first record.
    pub from: u64,
    /// The index behind that of the last record.
    pub to: u64,
    /// Whether the sink has a filter, which leaves records of the log out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub filtered: bool,
    /// Records of the interval that pass the sink's filter.
    pub count: u64,
    /// Of these, the records that were parked instead of being delivered.
    pub parked: u64,
    /// Size of the log's newest checkpoint, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The root of that checkpoint, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

impl Statement {
    /// The statement as a message: an OCSF Base Event (class 0). Equal statements have equal ids.
    pub fn message(&self, closed_at: DateTime<Utc>) -> Message {
        let time_ms = closed_at.timestamp_millis();
        let stated = json!(self);
        let digest = Sha256::digest(format!("{time_ms} {stated}"));
        let id = format!("statement-{}", hexadecimal(&digest[..16]));
        let record = json!({
            "activity_id": 99,
            "activity_name": "Completeness",
            "category_uid": 0,
            "class_uid": 0,
            "message": format!("{} of {} records from {}#{} to #{} were delivered", self.owed(), self.count, self.log, self.from, self.to),
            "metadata": {
                "product": { "name": "Weir", "vendor_name": "Weir" }, "tenant_uid": TENANT, "uid": id, "version": "1.8.0",
            },
            "severity_id": 1,
            "time": time_ms,
            "type_uid": 99,
            "unmapped": { MEMBER: stated },
        });
        Message {
            id,
            time_ms,
            tenant: TENANT.to_owned(),
            class_uid: 0,
            severity_id: 1,
            place: None,
            json: record.to_string().into_bytes().into(),
        }
    }

    /// The statement that a record is, if it is one.
    pub fn stated(record: &Value) -> Option<Self> {
        let stated = record.get("unmapped")?.get(MEMBER)?;
        let statement = Self::deserialize(stated).ok()?;
        (statement.from < statement.to && statement.parked <= statement.count).then_some(statement)
    }

    /// Records that the receiver holds, at least.
    pub fn owed(&self) -> u64 {
        self.count - self.parked
    }

    /// Whether the sink forwarded a part of the log's entries only.
    pub fn is_filtered(&self) -> bool {
        self.filtered || self.count < self.to - self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            sink: "splunk".into(),
            log: "weir.activity.v1/3".into(),
            from: 40,
            to: 50,
            filtered: false,
            count: 10,
            parked: 1,
            size: Some(48),
            root: Some("ab".repeat(32)),
        }
    }

    #[test]
    fn a_statement_is_read_back_and_sent_again_it_has_the_same_id() {
        let at = DateTime::from_timestamp_millis(1_780_000_000_123).expect("a time");
        let message = statement().message(at);
        assert_eq!(Statement::stated(&message.value()), Some(statement()));
        assert_eq!(message, statement().message(at));
        let other = Statement { to: 51, ..statement() }.message(at);
        assert_ne!(other.id, message.id);
        assert!(message.id.len() <= 80 && message.id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
        assert_eq!((statement().owed(), statement().is_filtered()), (9, false));
        assert!(Statement { count: 9, ..statement() }.is_filtered());
        // Of a part of the log an interval may be whole all the same.
        let part = Statement { filtered: true, ..statement() };
        assert!(part.is_filtered() && Statement::stated(&part.message(at).value()) == Some(part));
    }

    #[test]
    fn nonsense_is_no_statement() {
        let of = |statement: &Statement| json!({ "unmapped": { MEMBER: statement } });
        assert_eq!(Statement::stated(&of(&Statement { to: 40, ..statement() })), None);
        assert_eq!(Statement::stated(&of(&Statement { parked: 11, ..statement() })), None);
        assert_eq!(Statement::stated(&json!({ "unmapped": { MEMBER: "x" } })), None);
        assert_eq!(Statement::stated(&json!({})), None);
    }
}
