//! The unit that a policy judges.

use std::collections::BTreeSet;

/// One resource or object, as the input of policies.
#[derive(Debug, Clone)]
pub struct Subject {
    /// For example `module.a.aws_s3_bucket.logs` or `Pod/default/web`.
    pub address: String,
    /// The resource type or kind, by which policies are pre-filtered.
    pub kind: String,
    /// The document that a policy reads as `input`.
    pub input: regorus::Value,
    /// Paths of members whose values are known only after the change; places in lists are left out
    /// (`root_block_device.encrypted`).
    pub unknown: BTreeSet<String>,
    /// The Kubernetes review, as Gatekeeper's templates read it.
    pub review: Option<serde_json::Value>,
}

impl Subject {
    /// Whether the value at a path is known only after the change, or that of a block around it.
    pub fn is_unknown(&self, path: &str) -> bool {
        self.unknown.iter().any(|unknown| {
            path == unknown || path.strip_prefix(unknown.as_str()).is_some_and(|rest| rest.starts_with('.'))
        })
    }
}
