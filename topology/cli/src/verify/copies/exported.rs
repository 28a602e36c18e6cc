//! Lines of exports: the columns beside a record are those that were taken from it.

use audit_log::{
    columns::Columns,
    integrity::{Personal, Place},
};
use schemas::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// A line as `GET /api/v1/audit/export` writes it, without its record.
#[derive(Debug, Deserialize)]
pub(super) struct Exported {
    event_id: Uuid,
    occurred_at: Timestamp,
    tenant: String,
    kind: String,
    actor_kind: String,
    actor: String,
    actor_name: Option<String>,
    actor_ip: Option<String>,
    action: String,
    resource_type: Option<String>,
    resource: Option<String>,
    project: Option<String>,
    outcome: String,
    outcome_code: Option<String>,
    source: String,
    correlation_id: Option<String>,
    class_uid: i32,
    activity_id: i32,
    severity_id: i32,
    position: Position,
}

/// The entry's place in Kafka.
#[derive(Debug, Deserialize)]
struct Position {
    topic: String,
    partition: i32,
    offset: i64,
}

impl Exported {
    /// The line, if it is one of an export.
    pub(super) fn of(line: &Value) -> Option<Self> {
        Self::deserialize(line).ok()
    }

    /// The log that an entry of this place in Kafka is in.
    pub(super) fn log(&self) -> String {
        format!("{}/{}", self.position.topic, self.position.partition)
    }

    /// The offset in Kafka.
    pub(super) fn offset(&self) -> i64 {
        self.position.offset
    }

    /// Whether the columns are those of the record; of an erased entry, those of what is left of it. The offset is in no record.
    pub(super) fn agrees(&self, record: &Value, place: &Place) -> bool {
        let columns = Columns::of(record.to_string().as_bytes());
        let are_own = match columns {
            Ok(columns) => self.columns(&columns) == columns,
            Err(_) => matches!(place.personal, Personal::Erased(_)),
        };
        are_own && self.log() == place.log
    }

    /// The columns of the line. A column that it does not have is the record's.
    fn columns(&self, of_record: &Columns) -> Columns {
        Columns {
            occurred_at: self.occurred_at.timestamp_micros(),
            event_id: self.event_id,
            class_uid: self.class_uid,
            activity_id: self.activity_id,
            severity_id: self.severity_id,
            topic: self.position.topic.clone(),
            tenant_id: self.tenant.clone(),
            kind: self.kind.clone(),
            actor_kind: self.actor_kind.clone(),
            actor: self.actor.clone(),
            actor_name: self.actor_name.clone(),
            actor_ip: self.actor_ip.clone(),
            action: self.action.clone(),
            resource_type: self.resource_type.clone(),
            resource: self.resource.clone(),
            project: self.project.clone(),
            outcome: self.outcome.clone(),
            outcome_code: self.outcome_code.clone(),
            source: self.source.clone(),
            correlation_id: self.correlation_id.clone(),
            ..of_record.clone()
        }
    }
}
