//! Verdicts of compliance policies about a plan, as change review stores and answers them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The verdicts of the policies in force about the resources of a plan, as they would be after the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanVerdicts {
    /// The gravest consequence of a verdict.
    pub decision: PolicyDecision,
    /// SHA-256 of the policy set, in hexadecimal digits.
    pub policy_set: String,
    /// How many verdicts there are of each kind.
    pub counts: VerdictCounts,
    /// Verdicts other than `pass`, gravest first; at most 100.
    pub verdicts: Vec<PlanVerdict>,
    /// How many verdicts other than `pass` there are.
    pub verdicts_total: u32,
}

/// Numbers of verdicts. Each is of one policy about one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct VerdictCounts {
    /// The policy found nothing against the resource.
    pub passed: u32,
    /// A policy that only warns failed.
    pub warned: u32,
    /// A policy that denies failed.
    pub failed: u32,
    /// The plan lacks what the policy reads, for example a value that is known only after the change.
    pub not_evaluated: u32,
    /// The policy was cut off, or gave a value of the wrong shape.
    pub errors: u32,
    /// Policies and resources beyond the bound of one plan: they were not looked at.
    pub left_out: u32,
}

/// The consequence of verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyDecision {
    /// Nothing speaks against the plan.
    Allow,
    /// A policy that only warns failed, or one could not be evaluated.
    Warn,
    /// A policy failed.
    Deny,
}

/// One policy's verdict about one resource, or about the plan as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanVerdict {
    /// The policy's id.
    pub policy_id: String,
    /// SHA-256 of the policy's text, in hexadecimal digits.
    pub policy_hash: String,
    /// The policy's title.
    pub title: String,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// `fail`, `warn`, `not_evaluated` or `error`.
    pub verdict: String,
    /// The resource's address; empty where the policy judges the plan as a whole.
    pub resource: String,
    /// Its Terraform type.
    pub resource_type: String,
    /// The reasons; at most 10, each of at most 500 bytes.
    pub reasons: Vec<String>,
    /// The change that makes the resource compliant; empty where there is nothing to change.
    pub remediation: String,
}
