//! Properties of every event's record.

use proptest::prelude::*;

use schemas::{Envelope, changes::AuditEntry};
use serde_json::Value;

use super::{any, check};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    /// One entry, always the same; valid, canonical JSON that contains everything the publisher sent.
    #[test]
    fn any_event_is_audited_whole(envelope in any::envelope()) {
        check(&envelope);
    }

    /// Events with an impossible time are labelled, and are otherwise unchanged.
    #[test]
    fn a_skewed_event_is_labelled(envelope in any::envelope()) {
        let (entry, record) = check(&envelope);
        let (flagged, labelled) = check(&Envelope { skewed: true, ..envelope });
        prop_assert_eq!(&record["metadata"]["labels"], &Value::Null);
        prop_assert_eq!(&labelled["metadata"]["labels"], &serde_json::json!(["skewed"]));
        prop_assert_eq!(AuditEntry { record: entry.record.clone(), ..flagged }, entry);
    }
}
