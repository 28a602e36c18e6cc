//! The outcome of one policy for one resource.

use serde::{Deserialize, Serialize};

use crate::Severity;

/// The answer of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The policy read the configuration and found nothing against it.
    Pass,
    /// The configuration contradicts the policy.
    Fail,
    /// The input lacks values that the policy reads, for example one that is known only after the change.
    NotEvaluated,
    /// The policy was cut off, or gave a value of the wrong shape.
    Error,
}

impl Status {
    /// The word that is printed and stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotEvaluated => "not_evaluated",
            Self::Error => "error",
        }
    }
}

/// The consequence of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// It is reported.
    Warn,
    /// The change is denied.
    Deny,
}

/// One verdict. It pins the policy by id and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The policy's id.
    pub policy_id: String,
    /// SHA-256 of the policy's text, in hexadecimal digits.
    pub policy_hash: String,
    /// The policy's title.
    pub title: String,
    /// How grave a failure is.
    pub severity: Severity,
    /// The resource's address; empty where the policy judges the whole document.
    pub resource: String,
    /// Its Terraform type or Kubernetes kind.
    pub resource_type: String,
    /// The answer.
    pub status: Status,
    /// The consequence of a failure.
    pub enforcement: Enforcement,
    /// The reasons of the answer, in order of text.
    pub reasons: Vec<String>,
    /// The change that makes the resource compliant.
    pub remediation: String,
}

/// The decision about a document as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Nothing speaks against it.
    Allow,
    /// A policy that only warns failed, or one could not be evaluated.
    Warn,
    /// A policy failed.
    Deny,
}

impl Decision {
    /// The decision that verdicts give: the gravest.
    pub fn from_verdicts<'a>(verdicts: impl IntoIterator<Item = &'a Verdict>) -> Self {
        let each = verdicts.into_iter().map(|verdict| match (verdict.status, verdict.enforcement) {
            (Status::Fail, Enforcement::Deny) => Self::Deny,
            (Status::Fail, Enforcement::Warn) | (Status::Error, _) => Self::Warn,
            (Status::Pass | Status::NotEvaluated, _) => Self::Allow,
        });
        each.max().unwrap_or(Self::Allow)
    }

    /// The word that is printed and stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }
}
