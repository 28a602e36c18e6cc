//! Topics that a log is written to: all of it to the audit topic, parts of it to one sink's backfill.

use rdkafka::message::{BorrowedHeaders, Header, OwnedHeaders};
use schemas::{SINK_HEADER, Topic};

use super::tail::header;

/// Header of a backfill's records: its id.
const BACKFILL_HEADER: &str = "weir-backfill";

/// Where a writer of a log writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// The audit topic.
    Audit,
    /// A backfill.
    Backfill { id: String, sink: String },
}

impl Target {
    pub(super) const fn topic(&self) -> Topic {
        match self {
            Self::Audit => Topic::Audit,
            Self::Backfill { .. } => Topic::AuditBackfill,
        }
    }

    /// The transactional id under which a log is written: who takes it over fences whoever wrote before.
    pub(super) fn transactional_id(&self, log: &str) -> String {
        match self {
            Self::Audit => format!("weir-audit-topic {log}"),
            Self::Backfill { id, .. } => format!("weir-audit-topic-backfill {id}"),
        }
    }

    /// Adds the headers that tell its records from others.
    pub(super) fn mark(&self, headers: OwnedHeaders) -> OwnedHeaders {
        match self {
            Self::Audit => headers,
            Self::Backfill { id, sink } => headers
                .insert(Header { key: SINK_HEADER, value: Some(sink) })
                .insert(Header { key: BACKFILL_HEADER, value: Some(id) }),
        }
    }

    /// Whether a record of the topic is one of its own.
    pub(super) fn wrote(&self, headers: Option<&BorrowedHeaders>) -> bool {
        match self {
            Self::Audit => true,
            Self::Backfill { id, .. } => header(headers, BACKFILL_HEADER) == Some(id),
        }
    }
}
