//! Utilisation of a resource, as monitoring measured it.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{EventId, TenantId, Timestamp};

/// One measurement of one resource. Stored once per event, never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UtilisationFact {
    /// The event that says it; unique within the tenant.
    pub event_id: EventId,
    /// Tenant that owns the resource.
    pub tenant: TenantId,
    /// When it was measured.
    pub at: Timestamp,
    /// The resource's id.
    pub resource: String,
    /// The metric: the name of a [`UtilisationMetric`], or the source's own name for it, at most 128 bytes.
    pub metric: String,
    /// The value: percent, or a count or rate in the source's unit.
    pub value: Decimal,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

named! {
    /// A metric that recommendations read.
    UtilisationMetric {
        /// Processor time in use, percent of what the resource has.
        Cpu => "cpu_percent",
        /// Memory in use, percent.
        Memory => "memory_percent",
        /// Input and output operations, percent of what is provisioned.
        Io => "io_percent",
        /// Bytes received and sent, in the source's unit.
        Network => "network",
        /// Open connections.
        Connections => "connections",
        /// Requests, reads or writes, in the source's unit.
        Requests => "requests",
    }
}
