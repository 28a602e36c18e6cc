//! Ids of the records of one import, to recognise repeated records.

use std::collections::{HashMap, hash_map::Entry};

use schemas::{Envelope, EventId};

/// Maximum number of ids that are tracked: 2^21 slots of 17 bytes, 36 MB, and half as much again while
/// growing.
const MAX_IDS: usize = 1_800_000;

/// Ids and contents by 64 bits of each: both would have to collide for a new record to be mistaken for a
/// repeated one.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<u64, u64>);

impl Seen {
    /// Whether this record, with this content, occurred before. Tracks it while there is room.
    pub(super) fn is_repeated(&mut self, envelope: &Envelope) -> bool {
        self.occurred(envelope.id, content_of(envelope))
    }

    /// The same for a record whose id is derived from all of its content.
    pub(super) fn is_repeated_id(&mut self, id: EventId) -> bool {
        self.occurred(id, id.as_uuid().as_u64_pair().1)
    }

    fn occurred(&mut self, id: EventId, content: u64) -> bool {
        let has_room = self.0.len() < MAX_IDS;
        match self.0.entry(half_of(id)) {
            Entry::Occupied(known) => *known.get() == content,
            Entry::Vacant(free) => {
                if has_room {
                    free.insert(content);
                }
                false
            }
        }
    }
}

fn half_of(id: EventId) -> u64 {
    let (high, low) = id.as_uuid().as_u64_pair();
    high ^ low
}

fn content_of(envelope: &Envelope) -> u64 {
    let digest = envelope.content_sha256();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use schemas::TenantId;

    use super::*;
    use crate::sources::SourceFormat;

    #[test]
    fn same_id_and_content_is_a_repetition_other_content_is_not() {
        let tenant = TenantId::new("acme").expect("a plain name");
        let envelope = |text: &str| SourceFormat::CloudTrail.map(&tenant, text).expect("an object").envelope;
        let mut seen = Seen::default();
        assert!(!seen.is_repeated(&envelope(r#"{"eventID":"00000000-0000-4000-8000-00000000000a"}"#)));
        assert!(seen.is_repeated(&envelope(r#"{"eventID":"00000000-0000-4000-8000-00000000000a"}"#)));
        assert!(!seen.is_repeated(&envelope(
            r#"{"eventID":"00000000-0000-4000-8000-00000000000a","eventName":"Other"}"#
        )));
        assert!(!seen.is_repeated(&envelope(r#"{"eventID":"00000000-0000-4000-8000-00000000000b"}"#)));
    }
}
