//! ★ The whole pipeline, one sentence per stage. Start reading here.

use std::error::Error;

use processors::audit::Audit;
use schemas::Topic;
use sinks::{postgres::PostgresSink, read_models::audit_entry::AuditEntries};

use crate::{
    runtime::Site,
    topology::{Destination, Topology, from},
};

/// What is connected to what.
pub fn declaration() -> Topology {
    Topology::new([
        // Every event of every family becomes a row of the audit log.
        from(Topic::FAMILIES).through(Audit).to(AuditLog),
    ])
}

/// The month-partitioned table `audit_entry`.
#[derive(Debug, Clone, Copy)]
struct AuditLog;

impl Destination for AuditLog {
    type Sink = PostgresSink<AuditEntries>;

    fn name(&self) -> &'static str {
        "audit_entry"
    }

    fn open(&self, site: &Site) -> Result<Self::Sink, Box<dyn Error + Send + Sync>> {
        Ok(PostgresSink::new(site.sink_config(), AuditEntries::new()?))
    }
}
