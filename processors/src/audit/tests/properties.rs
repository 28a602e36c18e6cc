//! Properties of every event's record.

use std::{collections::BTreeSet, sync::LazyLock};

use proptest::prelude::*;

use schemas::{Envelope, Event, changes::AuditEntry, events::OutcomeStatus};
use serde_json::Value;

use super::{any, check};
use crate::{Processor as _, audit::restore, compliance::Compliance};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    /// One entry, always the same; valid, canonical JSON that contains everything the publisher sent.
    #[test]
    fn any_event_is_audited_whole(envelope in any::envelope()) {
        check(&envelope);
    }

    /// Whoever asks for one of an event's resources finds its entry.
    #[test]
    fn every_resource_of_an_event_is_a_column(envelope in any::envelope()) {
        let Event::Activity(event) = &envelope.event else { return Ok(()) };
        let (entry, _) = check(&envelope);
        let columns: Vec<&String> = entry.resource.iter().chain(&entry.other_resources).collect();
        let asked: BTreeSet<&String> =
            event.resources.iter().map(|resource| &resource.id).filter(|id| !id.is_empty()).collect();
        prop_assert_eq!(columns.len(), asked.len(), "each once");
        prop_assert_eq!(columns.into_iter().collect::<BTreeSet<_>>(), asked);
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

    /// An event that is restored from its record has the same record and the same consequences for compliance.
    #[test]
    fn a_record_gives_its_event_back(envelope in any::envelope()) {
        let envelope = Envelope { trace: None, ..envelope };
        let (_, record) = check(&envelope);
        let restored = restore(&record);
        let is_restorable =
            matches!(envelope.event, Event::Activity(_) | Event::Infrastructure(_) | Event::Governance(_));
        prop_assert_eq!(restored.is_ok(), is_restorable);
        if let Ok(restored) = restored {
            let (_, again) = check(&restored);
            // A status that the kind implies stands in the record as if it had been told.
            let is_told = match &envelope.event {
                Event::Activity(event) => event.outcome.status != OutcomeStatus::Unknown,
                Event::Infrastructure(event) => event.outcome.status != OutcomeStatus::Unknown,
                _ => true,
            };
            prop_assert!(!is_told || again == record, "{again:?}\n{record:?}");
            prop_assert_eq!(consequences(&restored), consequences(&envelope));
        }
    }
}

/// All that compliance makes of an event, but for the hash of the event's content.
fn consequences(envelope: &Envelope) -> String {
    static COMPLIANCE: LazyLock<Compliance> = LazyLock::new(Compliance::default);
    let hash = format!("{:?}", envelope.content_sha256());
    format!("{:?}", COMPLIANCE.process(envelope)).replace(&hash, "")
}
