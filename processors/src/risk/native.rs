//! What a native record means for its signals before any rule is asked.

use schemas::envelope::native_format;
use serde_json::Value;

/// Whether a record tells of a request that nobody has decided about yet: what Kubernetes writes when it receives one.
/// Rules that leave refused calls out hold of it, and nothing was done.
pub fn is_undecided(format: &str, record: &Value) -> bool {
    format == native_format::KUBERNETES_AUDIT
        && record.get("stage").and_then(Value::as_str) == Some("RequestReceived")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_that_was_only_received_is_undecided() {
        assert!(is_undecided("kubernetes.audit", &json!({"stage": "RequestReceived"})));
        assert!(!is_undecided("kubernetes.audit", &json!({"stage": "ResponseComplete"})));
        assert!(!is_undecided("aws.cloudtrail", &json!({"stage": "RequestReceived"})));
    }
}
