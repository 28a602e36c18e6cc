//! Kafka topics: content and retention.

use serde::Serialize;

/// A Kafka topic of Weir.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Topic {
    /// Actions: API calls, sign-ins, console and repository actions. Key: tenant, actor.
    Activity,
    /// Changes of infrastructure: plans, resources, observed configuration. Key: tenant, resource.
    Infrastructure,
    /// Projects, environments, pipelines, deployments, jobs. Key: tenant, project.
    Delivery,
    /// Cost and usage charges (FOCUS). Key: tenant, billing account.
    Usage,
    /// Alerts, thresholds, health, utilisation. Key: tenant, subject.
    Monitoring,
    /// Human decisions: approvals, waivers, budgets, holds, erasures. Key: tenant, subject.
    Governance,
    /// Output: every event as an OCSF record.
    Audit,
    /// Output: audit records out of the table for one sink, which `Audit` does not hold any more.
    AuditBackfill,
    /// Output: incidents, control failures, budget breaches, anomalies (OCSF findings).
    Findings,
    /// Output: copies of parked records, with the reason in headers.
    DeadLetter,
}

impl Topic {
    /// The six families that publishers write, in the order of the documentation.
    pub const FAMILIES: [Self; 6] = [
        Self::Activity,
        Self::Infrastructure,
        Self::Delivery,
        Self::Usage,
        Self::Monitoring,
        Self::Governance,
    ];

    /// Every topic.
    pub const ALL: [Self; 10] = [
        Self::Activity,
        Self::Infrastructure,
        Self::Delivery,
        Self::Usage,
        Self::Monitoring,
        Self::Governance,
        Self::Audit,
        Self::AuditBackfill,
        Self::Findings,
        Self::DeadLetter,
    ];

    /// The name on the broker.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Activity => "weir.activity.v1",
            Self::Infrastructure => "weir.infrastructure.v1",
            Self::Delivery => "weir.delivery.v1",
            Self::Usage => "weir.usage.v1",
            Self::Monitoring => "weir.monitoring.v1",
            Self::Governance => "weir.governance.v1",
            Self::Audit => "weir.audit.v1",
            Self::AuditBackfill => "weir.audit.backfill.v1",
            Self::Findings => "weir.findings.v1",
            Self::DeadLetter => "weir.dead-letter.v1",
        }
    }

    /// The topic of that name, if it is one of Weir's.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

impl std::fmt::Display for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
