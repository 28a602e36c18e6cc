//! What the audit processor asks for.

use crate::{
    EventId, TenantId, Timestamp,
    events::{ActorKind, OutcomeStatus},
};

/// One row of the audit log: what people filter by, and the whole OCSF record.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// The event's id; unique within the tenant.
    pub event_id: EventId,
    /// Whose event.
    pub tenant: TenantId,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// OCSF `class_uid`, for example 6003.
    pub class_uid: i32,
    /// OCSF `activity_id` within the class.
    pub activity_id: i32,
    /// OCSF `severity_id`, 0 to 6 and 99.
    pub severity_id: i32,
    /// The event's kind, for example `SignedIn`.
    pub kind: &'static str,
    /// What kind of party acted.
    pub actor_kind: ActorKind,
    /// Who acted; empty when the source names nobody.
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
    /// Project of the first resource or of the delivery.
    pub project: Option<String>,
    /// How it ended.
    pub outcome: OutcomeStatus,
    /// The source's error code.
    pub outcome_code: Option<String>,
    /// `CloudEvents` `source`.
    pub source: String,
    /// Ties the events of one undertaking together.
    pub correlation_id: Option<String>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
    /// The OCSF 1.8.0 record, JSON text.
    pub record: Vec<u8>,
}
