//! Notes that records carry, and their worth to a verifier.

use super::Trust;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};

/// Worth of a note that a record of a log carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worth {
    /// It bears every signature that is demanded.
    Trusted(Checkpoint),
    /// The log signed it. A witness that is demanded did not: records leave before witnesses have cosigned.
    Signed(Checkpoint),
    /// No key that is known signed it, or it is another log's, or no note at all: it tells nothing.
    Unknown,
    /// It bears the id of a known key, which did not sign it.
    Forged,
}

impl Trust {
    /// The worth of a note for a log.
    pub fn worth(&self, log: &str, note: &str) -> Worth {
        let Ok(signed) = SignedCheckpoint::parse(note) else { return Worth::Unknown };
        if signed.is_forged(log, &self.keys) {
            return Worth::Forged;
        }
        if signed.check(log, &self.keys).is_err() {
            return Worth::Unknown;
        }
        if self.witnesses.iter().all(|witness| signed.cosigned(witness).is_ok()) {
            Worth::Trusted(signed.checkpoint)
        } else {
            Worth::Signed(signed.checkpoint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hash::Hash,
        keys::{PrivateKey, Purpose},
    };

    const LOG: &str = "weir.activity.v1/3";

    fn key(name: &str, seed: u8) -> PrivateKey {
        PrivateKey::new(name, &[seed; 32]).expect("a name")
    }

    #[test]
    fn a_note_is_worth_what_its_signatures_are() {
        let (own, retired, witness) =
            (key("audit.example.com", 1), key("audit.example.com", 2), key("witness.example.org", 3));
        let origin = format!("audit.example.com/{LOG}");
        let checkpoint = Checkpoint { origin, size: 42, root: Hash([5; 32]), extensions: Vec::new() };
        let note = checkpoint.sign(std::slice::from_ref(&own)).expect("signed");
        let signed = SignedCheckpoint::parse(&note).expect("a note");
        let cosigned = signed.with_lines(&[signed.cosign(&witness, 7).expect("cosigned")]).expect("a note");
        let by_retired = checkpoint.sign(std::slice::from_ref(&retired)).expect("signed");
        let by_both = checkpoint.sign(&[own.clone(), retired]).expect("signed");

        let keys = vec![own.public(Purpose::Log)];
        let alone = Trust { keys: keys.clone(), witnesses: Vec::new() };
        let witnessed = Trust { keys, witnesses: vec![witness.public(Purpose::Witness)] };
        let trusted = || Worth::Trusted(checkpoint.clone());
        assert_eq!(
            [&note, &cosigned, &by_both, &by_retired].map(|note| alone.worth(LOG, note)),
            [trusted(), trusted(), trusted(), Worth::Unknown]
        );
        assert_eq!(
            [&note, &cosigned].map(|note| witnessed.worth(LOG, note)),
            [Worth::Signed(checkpoint.clone()), trusted()]
        );
        assert_eq!(alone.worth(LOG, &note.replacen("42", "41", 1)), Worth::Forged);
        assert_eq!(alone.worth(LOG, &by_retired.replacen("42", "41", 1)), Worth::Unknown);
        assert_eq!(alone.worth("weir.activity.v1/4", &note), Worth::Unknown, "another log's");
        assert_eq!(alone.worth(LOG, note.trim_end()), Worth::Unknown, "no note any more");
    }
}
