//! Checks on native records before rules are evaluated.

use super::sigma::Json;
use schemas::envelope::native_format;

/// Whether a record is of a request that is not decided yet: Kubernetes writes one when it receives a
/// request. Rules that exclude refused calls would match it, although nothing was done.
pub fn is_undecided(format: &str, record: &Json<'_>) -> bool {
    format == native_format::KUBERNETES_AUDIT
        && record.get("stage").and_then(Json::as_str) == Some("RequestReceived")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_that_was_only_received_is_undecided() {
        assert!(is_undecided("kubernetes.audit", &Json::from(&json!({"stage": "RequestReceived"}))));
        assert!(!is_undecided("kubernetes.audit", &Json::from(&json!({"stage": "ResponseComplete"}))));
        assert!(!is_undecided("aws.cloudtrail", &Json::from(&json!({"stage": "RequestReceived"}))));
    }
}
