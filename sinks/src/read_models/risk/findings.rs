//! Findings about incidents as records of `weir.findings.v1`.

use projections::risk::{
    Finding,
    finding::{CE_SOURCE, CE_TYPE},
};
use schemas::TenantId;

use crate::{
    batch::TopicPartition,
    outbox::{Outgoing, PublishedFinding},
};

/// The record of a finding about an entity, caused by a record of that partition.
pub(super) fn outgoing(from: TopicPartition, tenant: &TenantId, entity: &str, finding: Finding) -> Outgoing {
    PublishedFinding {
        tenant,
        about: entity,
        id: finding.id,
        ce_source: CE_SOURCE,
        ce_type: CE_TYPE,
        ce_subject: &finding.incident_id.to_string(),
        time: finding.time,
        record: finding.record,
    }
    .caused_by(from)
}
