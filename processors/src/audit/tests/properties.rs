//! What holds for any event.

use proptest::prelude::*;

use super::{any, check};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    /// One entry, the same each time; valid, canonical JSON; nothing lost that the publisher told.
    #[test]
    fn any_event_is_audited_whole(envelope in any::envelope()) {
        check(&envelope);
    }
}
