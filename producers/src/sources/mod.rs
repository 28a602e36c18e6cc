//! Foreign records: how they are found in a file, and how each becomes an envelope. Pure but for reading.

pub mod cloudtrail;
pub mod elements;
mod fields;
pub mod github;
pub mod kubernetes_audit;
mod mapped;
pub mod okta;
pub mod terraform;
#[cfg(test)]
mod tests;

pub use mapped::{ASSUMED_TIME, Mapped, NotARecord, Oddities};
use schemas::{TenantId, envelope::native_format};

/// A format of native records that is read from files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceFormat {
    /// AWS CloudTrail records, also as EventBridge wraps them.
    CloudTrail,
    /// Kubernetes `audit.k8s.io` events, also in an `EventList`.
    KubernetesAudit,
    /// GitHub audit log entries.
    GithubAudit,
    /// GitHub webhook bodies.
    GithubWebhook,
    /// Okta system log events.
    OktaSystemLog,
    /// Terraform plans, one a file.
    TerraformPlan,
}

impl SourceFormat {
    /// Every format.
    pub const ALL: [Self; 6] = [
        Self::CloudTrail,
        Self::KubernetesAudit,
        Self::GithubAudit,
        Self::GithubWebhook,
        Self::OktaSystemLog,
        Self::TerraformPlan,
    ];

    /// The format's name, as native records carry it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CloudTrail => native_format::CLOUDTRAIL,
            Self::KubernetesAudit => native_format::KUBERNETES_AUDIT,
            Self::GithubAudit => native_format::GITHUB_AUDIT,
            Self::GithubWebhook => native_format::GITHUB_WEBHOOK,
            Self::OktaSystemLog => native_format::OKTA_SYSTEM_LOG,
            Self::TerraformPlan => native_format::TERRAFORM_PLAN,
        }
    }

    /// What one record is, for people.
    pub const fn record(self) -> &'static str {
        match self {
            Self::CloudTrail => "a CloudTrail record",
            Self::KubernetesAudit => "a Kubernetes audit event",
            Self::GithubAudit => "a GitHub audit log entry",
            Self::GithubWebhook => "a GitHub webhook body",
            Self::OktaSystemLog => "an Okta system log event",
            Self::TerraformPlan => "a Terraform plan",
        }
    }

    /// The member that lists the records where a file is one object around them.
    pub const fn list(self) -> Option<&'static str> {
        match self {
            Self::CloudTrail => Some("Records"),
            Self::KubernetesAudit => Some("items"),
            _ => None,
        }
    }

    /// Whether an object looks like a record of this format: enough to tell a foreign file from one of its own.
    pub fn is_recognised(self, record: &str) -> bool {
        let names: &[&str] = match self {
            Self::CloudTrail => return cloudtrail::is_recognised(record),
            Self::KubernetesAudit => kubernetes_audit::NAMES,
            Self::GithubAudit => github::audit::NAMES,
            Self::GithubWebhook => github::webhook::NAMES,
            Self::OktaSystemLog => okta::NAMES,
            Self::TerraformPlan => terraform::NAMES,
        };
        fields::Fields::parse(record).is_ok_and(|fields| names.iter().any(|name| fields.has(name)))
    }

    /// Maps one record. No object is refused for what it holds, and the same record always gives the same envelope.
    pub fn map(self, tenant: &TenantId, text: &str) -> Result<Mapped, NotARecord> {
        match self {
            Self::CloudTrail => cloudtrail::map(tenant, text),
            Self::KubernetesAudit => kubernetes_audit::map(tenant, text),
            Self::GithubAudit => github::audit::map(tenant, text),
            Self::GithubWebhook => github::webhook::map(tenant, text),
            Self::OktaSystemLog => okta::map(tenant, text),
            Self::TerraformPlan => terraform::map(tenant, text),
        }
    }
}
