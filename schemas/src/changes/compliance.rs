//! Facts that the compliance processor hands to its sink: observed resources with policy verdicts, applied
//! changes, and steps in the life of waivers.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cost::named;
use crate::{EventId, TenantId, Timestamp};

/// The processor and its stage.
pub const STAGE: &str = "compliance";

/// Subject kind of governance events about waivers.
pub const WAIVER_SUBJECT: &str = "waiver";
/// Maximum duration of a waiver, in days.
pub const MAX_WAIVER_DAYS: i64 = 90;
/// Attribute of a waiver request: the owner of the risk.
pub const WAIVER_OWNER: &str = "owner";
/// Attribute of a waiver request: ids of policies, a JSON list of texts.
pub const WAIVER_POLICIES: &str = "policies";
/// Attribute of a waiver request: ids of resources, a JSON list of texts.
pub const WAIVER_RESOURCES: &str = "resources";
/// Attribute of a waiver grant: the person whose request is granted.
pub const WAIVER_REQUESTED_BY: &str = "requested_by";
/// Maximum number of policies in one waiver.
pub const MAX_WAIVER_POLICIES: usize = 50;
/// Maximum number of resources in one waiver.
pub const MAX_WAIVER_RESOURCES: usize = 500;

/// A fact that the compliance processor hands to its sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComplianceChange {
    /// An observation of a resource.
    Observation(Box<Observation>),
    /// A proposed change was applied.
    Applied(Box<ChangeApplied>),
    /// A step in the life of a waiver.
    Waiver(Box<WaiverFact>),
}

impl ComplianceChange {
    /// Tenant and id of the event.
    pub fn event(&self) -> (&TenantId, EventId) {
        match self {
            Self::Observation(fact) => (&fact.tenant, fact.event_id),
            Self::Applied(fact) => (&fact.tenant, fact.event_id),
            Self::Waiver(fact) => (&fact.tenant, fact.event_id),
        }
    }

    /// Id of the resource, since one event may describe many; empty where the event alone identifies the
    /// fact.
    pub fn resource(&self) -> &str {
        match self {
            Self::Observation(fact) => &fact.resource,
            Self::Applied(_) | Self::Waiver(_) => "",
        }
    }

    /// [`crate::Envelope::content_sha256`].
    pub fn content_sha256(&self) -> [u8; 32] {
        match self {
            Self::Observation(fact) => fact.content_sha256,
            Self::Applied(fact) => fact.content_sha256,
            Self::Waiver(fact) => fact.content_sha256,
        }
    }
}

/// One resource as an event shows it. Stored once per event and resource, never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Id of the event; unique within the tenant.
    pub event_id: EventId,
    /// Tenant of the resource.
    pub tenant: TenantId,
    /// The resource's id within the tenant; at most 1,024 bytes, longer ids end in a hash.
    pub resource: String,
    /// Time of the observation, by the source's clock.
    pub observed_at: Timestamp,
    /// Whether the resource exists.
    pub presence: Presence,
    /// Change whose plan the resource was read from; the observation counts once the change is applied.
    pub change_id: Option<String>,
    /// The kind of event that the observation was read from.
    pub source: ObservationSource,
    /// Type, place and owner of the resource.
    pub attributes: ResourceAttributes,
    /// The answer of every policy that concerns the resource, in the order of ids.
    pub verdicts: Vec<VerdictFact>,
    /// Error of reading the configuration, if any. The resource then keeps its previous state.
    pub fault: Option<String>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// Type, place and owner of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourceAttributes {
    /// Terraform type or Kubernetes kind.
    pub kind: String,
    /// Provider, for example `aws`.
    pub cloud: Option<String>,
    /// Account, subscription, cluster or organisation.
    pub account: Option<String>,
    /// Region or zone.
    pub region: Option<String>,
    /// Name for people.
    pub name: Option<String>,
    /// Project that it belongs to.
    pub project: Option<String>,
    /// Environment, for example `production`.
    pub environment: Option<String>,
}

/// The answer of one policy about one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictFact {
    /// The policy, in the version that answered.
    pub policy: Arc<PolicyVersion>,
    /// The answer.
    pub status: VerdictStatus,
    /// Whether a failure denies a change, or is only reported.
    pub denies: bool,
    /// The reasons, in order; at most 20, each at most 512 bytes.
    pub reasons: Vec<String>,
}

/// One version of a policy, whose hash identifies its text and all other fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersion {
    /// The policy's id.
    pub id: String,
    /// SHA-256 of its text and that of its libraries, in hexadecimal digits.
    pub hash: String,
    /// One line.
    pub title: String,
    /// Severity of a failure.
    pub severity: PolicySeverity,
    /// The change that makes a resource compliant.
    pub remediation: String,
    /// Controls that a verdict is evidence for, by framework.
    pub controls: BTreeMap<String, Vec<String>>,
}

/// A proposed change was applied. Stored once per event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeApplied {
    /// Id of the event; unique within the tenant.
    pub event_id: EventId,
    /// Tenant of the change.
    pub tenant: TenantId,
    /// Id of the change, as in its proposal.
    pub change_id: String,
    /// Time of completion.
    pub applied_at: Timestamp,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// A step in the life of a waiver. Stored once per event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaiverFact {
    /// Id of the event; unique within the tenant.
    pub event_id: EventId,
    /// Tenant of the waiver.
    pub tenant: TenantId,
    /// The waiver's id.
    pub waiver: String,
    /// Time of the step.
    pub decided_at: Timestamp,
    /// The step.
    pub step: WaiverStep,
    /// Actor who took the step.
    pub actor: String,
    /// Id of a second party: the credential through which a person asked, or the person for whom a credential
    /// decided.
    pub second_party: Option<String>,
    /// Reason that the actor gave.
    pub reason: Option<String>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// Step in the life of a waiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaiverStep {
    /// Requested, with its terms, or with the reason why the terms cannot be read.
    Requested(Result<WaiverTerms, String>),
    /// Granted.
    Granted {
        /// The person whose request is granted, where the grant names one.
        requested_by: Option<String>,
    },
    /// Rejected.
    Rejected,
    /// Revoked.
    Revoked,
}

impl WaiverStep {
    /// The step's name in rows and answers.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Requested(_) => "requested",
            Self::Granted { .. } => "granted",
            Self::Rejected => "rejected",
            Self::Revoked => "revoked",
        }
    }
}

/// Terms of a waiver: policies, resources, owner and expiry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WaiverTerms {
    /// Owner of the risk.
    pub owner: String,
    /// Ids of policies, sorted, each once.
    pub policies: Vec<String>,
    /// Ids of resources, sorted, each once.
    pub resources: Vec<String>,
    /// Time at which the waiver expires.
    pub expires_at: Timestamp,
}

impl WaiverTerms {
    /// The reason why a text is not the id of a single thing, if so: a waiver lists policies and resources
    /// one by one.
    pub fn not_an_id(id: &str) -> Option<&'static str> {
        if id.trim().is_empty() {
            Some("is blank")
        } else if id.contains(['*', '?']) {
            Some("is a pattern: a waiver names ids one by one, since a pattern also matches what comes later")
        } else {
            None
        }
    }
}

named! {
    /// The answer of a policy.
    VerdictStatus {
        /// The policy found no violation.
        Pass => "pass",
        /// The configuration violates the policy.
        Fail => "fail",
        /// The input lacks values that the policy reads.
        NotEvaluated => "not_evaluated",
        /// The policy timed out or returned a value of the wrong shape.
        Error => "error",
    }
}

named! {
    /// Severity of a policy's failure.
    PolicySeverity {
        /// Deviation from good practice.
        Low => "low",
        /// A weakness that is exploitable only together with another one.
        Medium => "medium",
        /// A weakness that is exploitable by itself.
        High => "high",
        /// Exposed to anybody.
        Critical => "critical",
    }
}

named! {
    /// Whether a resource exists.
    Presence {
        /// It exists.
        Present => "present",
        /// It was deleted.
        Absent => "absent",
    }
}

named! {
    /// The kind of event that an observation was read from.
    ObservationSource {
        /// A `ConfigurationObserved` event, or another event of infrastructure with a configuration.
        Configuration => "configuration",
        /// A Terraform plan.
        TerraformPlan => "terraform_plan",
        /// A Kubernetes audit event.
        KubernetesAudit => "kubernetes_audit",
        /// A call that CloudTrail recorded.
        CloudTrail => "cloudtrail",
        /// An entry of Google Cloud's audit log.
        GcpAudit => "gcp_audit",
        /// A record of Azure's activity log.
        AzureActivity => "azure_activity",
        /// A webhook of GitHub.
        GitHubWebhook => "github_webhook",
    }
}
