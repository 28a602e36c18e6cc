//! Fingerprint of the last settled record, by which a stage recognises its log.

use sha2::{Digest, Sha256};
use sinks::{LastRecord, RawRecord};

/// Length that marks a null key or value.
const NULL_LENGTH: u32 = u32::MAX;

/// SHA-256 of key length, key, value length, value, timestamp (u32, u32, i64 big-endian; null = 2³²−1).
pub(crate) fn fingerprint(key: Option<&[u8]>, value: Option<&[u8]>, timestamp_ms: i64) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [key, value] {
        let length = part.map_or(NULL_LENGTH, |bytes| u32::try_from(bytes.len()).unwrap_or(NULL_LENGTH - 1));
        hash.update(length.to_be_bytes());
        hash.update(part.unwrap_or_default());
    }
    hash.update(timestamp_ms.to_be_bytes());
    hash.finalize().into()
}

/// The record's offset and print, as they are stored with a position.
pub(crate) fn last_record(offset: i64, raw: &RawRecord) -> LastRecord {
    LastRecord { offset, print: fingerprint(raw.key.as_deref(), raw.value.as_deref(), raw.timestamp_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts_and_none_runs_into_the_next() {
        let prints = [
            fingerprint(None, None, 0),
            fingerprint(Some(b""), None, 0),
            fingerprint(None, Some(b""), 0),
            fingerprint(Some(b"a"), Some(b"b"), 0),
            fingerprint(Some(b"ab"), Some(b""), 0),
            fingerprint(Some(b"a"), Some(b"b"), 1),
        ];
        for (i, one) in prints.iter().enumerate() {
            assert!(prints[i + 1..].iter().all(|other| other != one), "print {i} is not unique");
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let mut bytes = vec![0, 0, 0, 1, b'k', 255, 255, 255, 255];
        bytes.extend_from_slice(&7_i64.to_be_bytes());
        let expected: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(fingerprint(Some(b"k"), None, 7), expected);
    }
}
