//! The verdict of one policy on one resource.

use serde::{Deserialize, Serialize};

use crate::{Document, Severity};

/// Status of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The policy found no violation.
    Pass,
    /// The configuration violates the policy.
    Fail,
    /// The input lacks values that the policy reads, for example values known only after the change.
    NotEvaluated,
    /// The policy timed out or returned a value of the wrong shape.
    Error,
}

impl Status {
    /// Name in output and storage.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotEvaluated => "not_evaluated",
            Self::Error => "error",
        }
    }
}

/// Consequence of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// It is reported.
    Warn,
    /// The change is denied.
    Deny,
}

/// One verdict, which identifies the policy by id and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The policy's id.
    pub policy_id: String,
    /// SHA-256 of the policy's text, in hexadecimal digits.
    pub policy_hash: String,
    /// The policy's title.
    pub title: String,
    /// Severity of a failure.
    pub severity: Severity,
    /// Address of the resource; empty if the policy evaluates the whole document.
    pub resource: String,
    /// Terraform type or Kubernetes kind of the resource.
    pub resource_type: String,
    /// Status.
    pub status: Status,
    /// Consequence of a failure.
    pub enforcement: Enforcement,
    /// Reasons, sorted.
    pub reasons: Vec<String>,
    /// The change that makes the resource compliant.
    pub remediation: String,
}

/// Decision on a document as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// No policy failed.
    Allow,
    /// A policy that only warns failed, or one could not be evaluated, or the plan is not complete.
    Warn,
    /// A policy that denies failed.
    Deny,
}

impl Decision {
    /// The strictest decision that follows from the verdicts.
    pub fn from_verdicts<'a>(verdicts: impl IntoIterator<Item = &'a Verdict>) -> Self {
        let each = verdicts.into_iter().map(|verdict| match (verdict.status, verdict.enforcement) {
            (Status::Fail, Enforcement::Deny) => Self::Deny,
            (Status::Fail, Enforcement::Warn) | (Status::Error, _) => Self::Warn,
            (Status::Pass | Status::NotEvaluated, _) => Self::Allow,
        });
        each.max().unwrap_or(Self::Allow)
    }

    /// The decision on a document: at least a warning if it is a plan that is not complete.
    #[must_use]
    pub fn on(self, document: &Document) -> Self {
        if document.incomplete().is_some() { self.max(Self::Warn) } else { self }
    }

    /// Name in output and storage.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }
}
