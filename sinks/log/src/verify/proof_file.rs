//! The proof of one entry, as `GET /api/v1/audit/{id}/proof` answers it and `weir audit proof` prints it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Fault, Kind, Trust};
use crate::{
    checkpoint::Checkpoint,
    hash::Hash,
    integrity::{Place, leaf_of_copy},
    proof::check_inclusion,
    record::Splitter,
};

/// An entry and its proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProofFile {
    /// `<topic>/<partition>`.
    pub log: String,
    /// The entry's index.
    pub index: u64,
    /// The size of the tree that the proof leads to.
    pub size: u64,
    /// Hashes in base64, from the leaf up.
    pub proof: Vec<String>,
    /// The signed note of that tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The OCSF record with its place in the log.
    pub record: Value,
}

impl ProofFile {
    /// The fault, if there is one: in the checkpoint, or else in the record, when it is not the one that the
    /// tree has at that index.
    pub fn check(&self, trust: &Trust) -> Option<Fault> {
        let opened = self.checkpoint.as_deref().map(|note| trust.open(&self.log, note));
        match opened {
            Some(Ok(checkpoint)) => self.check_under(&checkpoint),
            Some(Err(_)) | None => Some(self.fault(Kind::Checkpoint)),
        }
    }

    /// The same under a checkpoint of the log whose signatures were checked before.
    pub fn check_under(&self, checkpoint: &Checkpoint) -> Option<Fault> {
        if checkpoint.size != self.size {
            return Some(self.fault(Kind::Checkpoint));
        }
        let hashes: Option<Vec<Hash>> = self
            .proof
            .iter()
            .map(|text| STANDARD.decode(text).ok().and_then(|bytes| Hash::from_slice(&bytes)))
            .collect();
        let leaf = Place::stated(&self.record).and_then(|place| {
            let leaf = leaf_of_copy(&mut Splitter::default(), &self.record, &place.personal).ok()?;
            let is_own = place.log == self.log && place.index == self.index && place.leaf == leaf;
            is_own.then_some(leaf)
        });
        let proven = leaf.zip(hashes).is_some_and(|(leaf, hashes)| {
            check_inclusion((self.index, &leaf), (checkpoint.size, &checkpoint.root), &hashes).is_ok()
        });
        if proven { None } else { Some(self.fault(Kind::Edited)) }
    }

    fn fault(&self, kind: Kind) -> Fault {
        Fault { log: self.log.clone(), index: self.index, kind }
    }
}
