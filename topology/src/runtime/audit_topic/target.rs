//! Destination of a log's entries: the audit topic for all of them, the topic of backfills for those that one sink lacks.

use rdkafka::message::{BorrowedHeaders, Header, OwnedHeaders};
use schemas::{SINK_HEADER, Topic};

use super::tail::header;

/// Header of a backfill's records: its id.
const BACKFILL_HEADER: &str = "weir-backfill";

/// A log, and the topic to which its entries are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// `<topic>/<partition>`.
    pub(super) log: String,
    /// The backfill that the entries are written for; `None`: they go to the audit topic.
    backfill: Option<Mark>,
}

/// Id and sink of a backfill, as its records name them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    id: String,
    sink: String,
}

impl Target {
    /// The audit topic.
    pub(super) fn audit(log: &str) -> Self {
        Self { log: log.to_owned(), backfill: None }
    }

    /// The backfill of that id, for that sink.
    pub(super) fn backfill(log: String, id: String, sink: String) -> Self {
        Self { log, backfill: Some(Mark { id, sink }) }
    }

    pub(super) const fn topic(&self) -> Topic {
        match self.backfill {
            None => Topic::Audit,
            Some(_) => Topic::AuditBackfill,
        }
    }

    /// The transactional id under which it is written: who takes it over fences whoever wrote before.
    pub(super) fn transactional_id(&self) -> String {
        match &self.backfill {
            None => format!("weir-audit-topic {}", self.log),
            Some(Mark { id, .. }) => format!("weir-audit-topic-backfill {id}"),
        }
    }

    /// Adds the headers that tell its records from others.
    pub(super) fn mark(&self, headers: OwnedHeaders) -> OwnedHeaders {
        match &self.backfill {
            None => headers,
            Some(Mark { id, sink }) => headers
                .insert(Header { key: SINK_HEADER, value: Some(sink) })
                .insert(Header { key: BACKFILL_HEADER, value: Some(id) }),
        }
    }

    /// Whether a record of the topic is one of its own.
    pub(super) fn wrote(&self, key: Option<&[u8]>, headers: Option<&BorrowedHeaders>) -> bool {
        let is_marked =
            |Mark { id, .. }: &Mark| header(headers, BACKFILL_HEADER).is_some_and(|marked| marked == id);
        key == Some(self.log.as_bytes()) && self.backfill.as_ref().is_none_or(is_marked)
    }

    /// Counts written entries.
    pub(super) fn count(&self, written: u64) {
        match &self.backfill {
            None => metrics::counter!("weir_audit_topic_records_total").increment(written),
            Some(Mark { sink, .. }) => {
                metrics::counter!("weir_siem_backfill_records_total", "sink" => sink.clone())
                    .increment(written);
            }
        }
    }
}
