//! Verdicts of compliance policies on a plan, as change review stores and returns them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Verdicts of the policies in force on the resources of a plan, as they would be after the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanVerdicts {
    /// Decision that follows from the verdicts; the strictest counts.
    pub decision: PolicyDecision,
    /// SHA-256 of the policy set, in hexadecimal digits.
    pub policy_set: String,
    /// Number of verdicts of each kind.
    pub counts: VerdictCounts,
    /// Verdicts other than `pass`, most severe first; at most 100.
    pub verdicts: Vec<PlanVerdict>,
    /// Number of verdicts other than `pass`.
    pub verdicts_total: u32,
}

/// Numbers of verdicts, each of one policy on one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct VerdictCounts {
    /// The policy passed.
    pub passed: u32,
    /// A policy that only warns failed.
    pub warned: u32,
    /// A policy that denies failed.
    pub failed: u32,
    /// The plan lacks values that the policy reads, for example values known only after the change.
    pub not_evaluated: u32,
    /// The policy timed out or returned a value of the wrong shape.
    pub errors: u32,
    /// Not evaluated: beyond the limit of policies and resources for one plan.
    pub left_out: u32,
}

/// Decision that follows from verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyDecision {
    /// No policy failed.
    Allow,
    /// A policy that only warns failed, or one could not be evaluated.
    Warn,
    /// A policy that denies failed.
    Deny,
}

/// Verdict of one policy on one resource, or on the plan as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanVerdict {
    /// The policy's id.
    pub policy_id: String,
    /// SHA-256 of the policy's text, in hexadecimal digits.
    pub policy_hash: String,
    /// The policy's title.
    pub title: String,
    /// Severity: `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// Verdict: `fail`, `warn`, `not_evaluated` or `error`.
    pub verdict: String,
    /// Address of the resource; empty where the policy judges the plan as a whole.
    pub resource: String,
    /// Terraform type of the resource.
    pub resource_type: String,
    /// The reasons; at most 10, each of at most 500 bytes.
    pub reasons: Vec<String>,
    /// The change that makes the resource compliant; empty where nothing is to be changed.
    pub remediation: String,
}
