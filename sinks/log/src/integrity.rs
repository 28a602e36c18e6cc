//! The members of an outgoing record that state its place in the log; they suffice to verify a single copy.
//!
//! The members are those of the profile `record_integrity` of OCSF 1.9. Version 1.8 has no place for them, so they stand
//! in `unmapped.record_integrity`, with what that profile has no name for: the log, the index, the salt (or, of a person
//! who was erased, the digest), and the newest checkpoint.

use schemas::changes::OcsfRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    hash::{Hash, Salt},
    json::Malformed,
    record::{Splitter, attested, canonical, leaf},
};

/// Source of the personal part's digest: the salt, or the digest itself after an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personal {
    /// The personal part is in the record, to be hashed with this salt.
    Salted(Salt),
    /// The personal part was erased; this is the digest that remains.
    Erased(Hash),
}

/// A record's place in its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `<topic>/<partition>`.
    pub log: String,
    /// The entry's index in it.
    pub index: u64,
    /// The entry's leaf.
    pub leaf: Hash,
    /// The leaf of the entry before; the first has none.
    pub previous: Option<Hash>,
    /// Salt or digest of the personal part.
    pub personal: Personal,
    /// The newest checkpoint of the log when the record left.
    pub checkpoint: Option<String>,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct Fingerprint {
    algorithm: String,
    algorithm_id: i32,
    value: String,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct Before {
    fingerprint: Fingerprint,
    uid: String,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct Attestation {
    chain_uid: String,
    fingerprint: Fingerprint,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_event: Option<Before>,
    uid: String,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct Integrity {
    attestation_list: [Attestation; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
    index: u64,
    log: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    personal_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
}

impl From<&Hash> for Fingerprint {
    fn from(hash: &Hash) -> Self {
        Self { algorithm: "SHA-256".into(), algorithm_id: 3, value: hash.to_string() }
    }
}

impl Place {
    /// The stored record as it leaves: with its native record inside, and its place in the log.
    pub fn attest(&self, stored: &[u8]) -> Result<Vec<u8>, Malformed> {
        attested(stored, &self.json()?)
    }

    fn json(&self) -> Result<String, Malformed> {
        serde_json::to_string(&self.integrity()).map_err(|_| Malformed)
    }

    fn integrity(&self) -> Integrity {
        let log = &self.log;
        let before = self.index.checked_sub(1).zip(self.previous.as_ref());
        let (salt, personal_digest) = match &self.personal {
            Personal::Salted(salt) => (Some(Hash(salt.0).to_string()), None),
            Personal::Erased(digest) => (None, Some(digest.to_string())),
        };
        Integrity {
            attestation_list: [Attestation {
                chain_uid: log.clone(),
                fingerprint: (&self.leaf).into(),
                prev_event: before
                    .map(|(index, hash)| Before { fingerprint: hash.into(), uid: format!("{log}#{index}") }),
                uid: format!("{log}#{}", self.index),
            }],
            checkpoint: self.checkpoint.clone(),
            index: self.index,
            log: log.clone(),
            personal_digest,
            salt,
        }
    }

    /// Whether a record states this place in every member that it has for it: the ids of the entry and of the one before,
    /// the names of algorithms, and the spelling of hashes too. No leaf and no chain vouches for these.
    pub fn is_stated_throughout(&self, record: &Value) -> bool {
        let stated = record.pointer("/unmapped/record_integrity").map(Integrity::deserialize);
        stated.and_then(Result::ok).is_some_and(|stated| stated == self.integrity())
    }

    /// The place that a record states.
    pub fn stated(record: &Value) -> Option<Self> {
        let stated = record.pointer("/unmapped/record_integrity")?;
        let Integrity { attestation_list: [attestation], checkpoint, index, log, personal_digest, salt } =
            Integrity::deserialize(stated).ok()?;
        let personal = match (salt, personal_digest) {
            (Some(salt), None) => Personal::Salted(Salt(Hash::from_hex(&salt)?.0)),
            (None, Some(digest)) => Personal::Erased(Hash::from_hex(&digest)?),
            _ => return None,
        };
        let previous = match attestation.prev_event {
            Some(before) => Some(Hash::from_hex(&before.fingerprint.value)?),
            None => None,
        };
        let leaf = Hash::from_hex(&attestation.fingerprint.value)?;
        Some(Self { log, index, leaf, previous, personal, checkpoint })
    }
}

/// The leaf of a stored record. A record whose personal part was erased is its public part: one that has personal members
/// beside the digest is refused, for nothing vouches for them.
pub fn leaf_of(splitter: &mut Splitter, stored: &[u8], personal: &Personal) -> Result<Hash, Malformed> {
    let parts = splitter.split(stored)?;
    match personal {
        Personal::Salted(salt) => Ok(parts.leaf(salt)),
        Personal::Erased(digest) if parts.personal == b"{}" && parts.native.is_none() => {
            Ok(leaf(parts.public, digest))
        }
        Personal::Erased(_) => Err(Malformed),
    }
}

/// Leaf of a record's copy that others have kept, independent of the copy's spelling.
pub fn leaf_of_copy(splitter: &mut Splitter, record: &Value, personal: &Personal) -> Result<Hash, Malformed> {
    let stored = OcsfRecord::new(canonical(record)?, None).to_bytes();
    leaf_of(splitter, &stored, personal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_states_its_place_and_a_copy_has_its_leaf() {
        let stored =
            b"{\"actor\":{\"user\":{\"uid\":\"ada\"}},\"raw_data\":\"\\u0000\",\"time\":1}\0{\"n\": 1}";
        let mut splitter = Splitter::default();
        let personal = Personal::Salted(Salt([7; 32]));
        let leaf = leaf_of(&mut splitter, stored, &personal).expect("a record");
        let place = Place {
            log: "weir.activity.v1/3".into(),
            index: 42,
            leaf,
            previous: Some(Hash([1; 32])),
            personal,
            checkpoint: Some("note\n".into()),
        };
        let sent = place.attest(stored).expect("a record");
        let mut copy: Value = serde_json::from_slice(&sent).expect("JSON");
        assert_eq!(Place::stated(&copy).as_ref(), Some(&place));
        assert_eq!(leaf_of_copy(&mut splitter, &copy, &personal), Ok(leaf));
        copy["time"] = 1.0.into();
        assert_eq!(leaf_of_copy(&mut splitter, &copy, &personal), Ok(leaf), "another spelling of the number");
        copy["time"] = 2.into();
        assert_ne!(leaf_of_copy(&mut splitter, &copy, &personal), Ok(leaf));
        assert_eq!(Place::stated(&serde_json::json!({})), None);
        assert!(place.is_stated_throughout(&copy));
        for (member, value) in
            [("index", 43.into()), ("attestation_list", Value::Null), ("log", "weir.activity.v1/4".into())]
        {
            let mut odd = copy.clone();
            odd["unmapped"]["record_integrity"][member] = value;
            assert!(
                Place::stated(&odd).is_none_or(|stated| !stated.is_stated_throughout(&odd)),
                "{member} alone"
            );
        }
        let first = Place { index: 0, previous: None, checkpoint: None, ..place };
        let sent: Value = serde_json::from_slice(&first.attest(stored).expect("a record")).expect("JSON");
        assert_eq!(Place::stated(&sent), Some(first));
    }

    #[test]
    fn a_digest_vouches_for_no_personal_part_beside_it() {
        let whole =
            b"{\"actor\":{\"user\":{\"uid\":\"ada\"}},\"raw_data\":\"\\u0000\",\"time\":1}\0{\"n\": 1}";
        let mut splitter = Splitter::default();
        let salt = Salt([7; 32]);
        let leaf = leaf_of(&mut splitter, whole, &Personal::Salted(salt)).expect("a record");
        let parts = splitter.split(whole).expect("a record");
        let (public, digest) = (parts.public.to_vec(), Personal::Erased(parts.personal_digest(&salt)));
        assert_eq!(leaf_of(&mut splitter, &public, &digest), Ok(leaf));
        let forged = String::from_utf8(whole.to_vec()).expect("text").replace("ada", "eve");
        for stored in [whole.as_slice(), forged.as_bytes()] {
            assert_eq!(leaf_of(&mut splitter, stored, &digest), Err(Malformed));
        }
    }
}
