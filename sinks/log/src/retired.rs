//! Entries of a log that retention removed: a bit for each index, signed by the log's key. They let a
//! verifier tell entries that retention removed from entries that somebody else removed.
//!
//! The note is one in the form of a checkpoint whose origin no log has, `<deployment>/<topic>/<partition>/retired`: its size
//! is the number of entries that were removed, its root the SHA-256 of the bits, its further line the number of the chunk.

use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    hash::Hash,
    keys::{PrivateKey, origin},
    verify::Trust,
};

/// Indices of one chunk.
pub const CHUNK_INDICES: u64 = 65_536;
const CHUNK_BYTES: usize = 8_192;

/// The removed entries of one chunk of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    chunk: u64,
    bits: Vec<u8>,
}

impl Retired {
    /// The chunk that an index belongs to.
    pub const fn chunk_of(index: u64) -> u64 {
        index / CHUNK_INDICES
    }

    /// A chunk of which nothing was removed.
    pub fn none(chunk: u64) -> Self {
        Self { chunk, bits: vec![0; CHUNK_BYTES] }
    }

    /// A chunk of its bits: 8,192 bytes, the lowest bit of the first byte first; `None` for any other number of bytes.
    pub fn of_bits(chunk: u64, bits: Vec<u8>) -> Option<Self> {
        (bits.len() == CHUNK_BYTES).then_some(Self { chunk, bits })
    }

    /// The bits.
    pub fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// Notes that an index of this chunk was removed.
    pub fn add(&mut self, index: u64) {
        assert_eq!(Self::chunk_of(index), self.chunk, "an index of another chunk");
        let within = usize::try_from(index % CHUNK_INDICES).unwrap_or(0);
        self.bits[within / 8] |= 1 << (within % 8);
    }

    /// The removed indices, in order.
    pub fn indices(&self) -> impl Iterator<Item = u64> {
        let first = self.chunk * CHUNK_INDICES;
        (0..CHUNK_INDICES).filter(|within| self.has(*within)).map(move |within| first + within)
    }

    fn has(&self, within: u64) -> bool {
        let within = usize::try_from(within).unwrap_or(0);
        self.bits[within / 8] & 1 << (within % 8) != 0
    }

    fn statement(&self, origin: String) -> Checkpoint {
        let size = self.bits.iter().map(|byte| u64::from(byte.count_ones())).sum();
        let root = Hash::of(&self.bits);
        Checkpoint { origin, size, root, extensions: vec![format!("chunk {}", self.chunk)] }
    }

    /// The note, signed by a log's keys.
    pub fn sign(&self, log: &str, keys: &[PrivateKey]) -> Result<String, CheckpointError> {
        let deployment = keys.first().ok_or(CheckpointError::Form)?.name();
        self.statement(origin(deployment, &name(log))).sign(keys)
    }

    /// Whether a note says this of this log, and one of its keys has signed it.
    pub fn is_signed(&self, log: &str, note: &str, trust: &Trust) -> bool {
        // Witnesses see checkpoints only.
        let trust = Trust { keys: trust.keys.clone(), witnesses: Vec::new() };
        let opened = trust.open(&name(log), note);
        opened.is_ok_and(|opened| self.statement(opened.origin.clone()) == opened)
    }
}

/// The name under which a log signs what was removed of it.
fn name(log: &str) -> String {
    format!("{log}/retired")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Purpose;

    #[test]
    fn what_was_removed_is_signed_and_nothing_else_is() {
        let key = PrivateKey::new("audit.example.com", &[1; 32]).expect("a name");
        let trust = Trust { keys: vec![key.public(Purpose::Log)], witnesses: Vec::new() };
        let mut retired = Retired::none(2);
        let indices = [131_072, 131_073, 131_087, 196_607];
        for index in indices {
            retired.add(index);
        }
        assert_eq!(retired.indices().collect::<Vec<_>>(), indices);
        let note = retired.sign("t/0", std::slice::from_ref(&key)).expect("signed");
        assert!(retired.is_signed("t/0", &note, &trust));
        assert!(!retired.is_signed("t/1", &note, &trust), "another log");
        let other = Retired { chunk: 3, ..retired.clone() };
        assert!(!other.is_signed("t/0", &note, &trust), "another chunk");
        let mut more = retired.clone();
        more.add(131_074);
        assert!(!more.is_signed("t/0", &note, &trust), "another index");
        assert!(trust.open("t/0", &note).is_err(), "it is no checkpoint of the log");
        let stranger = PrivateKey::new("audit.example.com", &[2; 32]).expect("a name");
        let forged = retired.sign("t/0", &[stranger]).expect("signed");
        assert!(!retired.is_signed("t/0", &forged, &trust));
        assert_eq!(Retired::of_bits(0, vec![0; 7]), None);
    }
}
