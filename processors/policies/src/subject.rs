//! The unit that a policy evaluates.

use std::collections::BTreeSet;

/// One resource or object, as the input of policies.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Address, for example `module.a.aws_s3_bucket.logs` or `Pod/default/web`.
    pub address: String,
    /// Resource type or kind, by which policies are selected.
    pub kind: String,
    /// The `input` document of policies.
    pub input: regorus::Value,
    /// Paths of members whose values are known only after the change; list indices are left out
    /// (`root_block_device.encrypted`).
    pub unknown: BTreeSet<String>,
    /// Whether the plan defers the change of the resource to a later plan, so that applying it leaves the resource
    /// as it is.
    pub is_deferred: bool,
    /// The Kubernetes review, as Gatekeeper's templates read it.
    pub review: Option<serde_json::Value>,
}

impl Subject {
    /// Whether the value at a path, or that of an enclosing block, is known only after the change.
    pub fn is_unknown(&self, path: &str) -> bool {
        self.unknown.iter().any(|unknown| {
            path == unknown || path.strip_prefix(unknown.as_str()).is_some_and(|rest| rest.starts_with('.'))
        })
    }
}
