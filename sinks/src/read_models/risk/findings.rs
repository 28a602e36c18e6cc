//! Findings about incidents as records of `weir.findings.v1`, in `CloudEvents` binary mode.

use chrono::SecondsFormat;
use projections::risk::{
    Finding,
    finding::{CE_SOURCE, CE_TYPE},
};
use schemas::{TenantId, Topic};

use crate::{batch::TopicPartition, outbox::Outgoing};

/// The record of a finding about an entity, caused by a record of that partition.
pub(super) fn outgoing(from: TopicPartition, tenant: &TenantId, entity: &str, finding: Finding) -> Outgoing {
    let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
    Outgoing {
        from,
        to: Topic::Findings,
        key: Some(format!("{}/{entity}", tenant.as_str()).into_bytes()),
        headers: vec![
            header("ce_specversion", "1.0"),
            header("ce_id", &finding.id.to_string()),
            header("ce_source", CE_SOURCE),
            header("ce_type", CE_TYPE),
            header("ce_time", &finding.time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            header("ce_tenantid", tenant.as_str()),
            header("ce_subject", &finding.incident_id.to_string()),
            header("content-type", "application/json"),
        ],
        value: Some(finding.record.into_bytes()),
    }
}
