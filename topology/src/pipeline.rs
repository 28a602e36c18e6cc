//! ★ The whole pipeline, one sentence per stage. Start reading here.

use std::error::Error;

use processors::{
    audit::Audit,
    change_review::ChangeReview,
    risk::{Risk, RuleSet},
};
use schemas::Topic;
use sinks::{
    postgres::PostgresSink,
    read_models::{audit_entry::AuditEntries, change_review::ChangeReviews, risk::RiskSignals},
};

use crate::{
    runtime::Site,
    topology::{Destination, Topology, from},
};

/// What is connected to what, with Weir's own rules.
pub fn declaration() -> Topology {
    with_rules(RuleSet::own())
}

/// What is connected to what, with these rules; whoever holds them may replace them while stages run.
pub fn with_rules(rules: RuleSet) -> Topology {
    Topology::new([
        // Every event of every family becomes a row of the audit log.
        from(Topic::FAMILIES).through(Audit).to(AuditLog),
        // Rules find signals in what was done; signals and decisions make up who is at risk.
        from([Topic::Activity, Topic::Delivery, Topic::Governance]).through(Risk::new(rules)).to(RiskLog),
        // Proposed changes are scored and routed; requests, decisions and progress make up where each of them stands.
        from([Topic::Infrastructure, Topic::Governance]).through(ChangeReview).to(ChangeLog),
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
        let secret = site.subject_secret.clone().ok_or(
            "the stage audit needs the secret of its subjects' keys: set WEIR_AUDIT__SUBJECT_SECRET_FILE to a file of \
             32 random bytes or more, the same for all stages and rebuilds (`weir up` makes one)",
        )?;
        Ok(PostgresSink::new(
            site.sink_config(),
            AuditEntries::new(secret)?.handing_over(site.appended.clone()),
        ))
    }
}

/// The table `risk_signal`, and what follows from it.
#[derive(Debug, Clone, Copy)]
struct RiskLog;

impl Destination for RiskLog {
    type Sink = PostgresSink<RiskSignals>;

    fn name(&self) -> &'static str {
        "risk_signal"
    }

    fn open(&self, site: &Site) -> Result<Self::Sink, Box<dyn Error + Send + Sync>> {
        Ok(PostgresSink::new(site.sink_config(), RiskSignals::new()))
    }
}

/// The table `change_fact`, and `change_review`, which follows from it.
#[derive(Debug, Clone, Copy)]
struct ChangeLog;

impl Destination for ChangeLog {
    type Sink = PostgresSink<ChangeReviews>;

    fn name(&self) -> &'static str {
        "change_review"
    }

    fn open(&self, site: &Site) -> Result<Self::Sink, Box<dyn Error + Send + Sync>> {
        Ok(PostgresSink::new(site.sink_config(), ChangeReviews))
    }
}
