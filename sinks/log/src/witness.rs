//! A witness's decisions (C2SP tlog-witness, <https://c2sp.org/tlog-witness>): it keeps the last checkpoint that it has
//! seen of each log, and cosigns the next only if the log has grown from it.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    hash::Hash,
    keys::PublicKey,
    proof::{ProofError, check_consistency},
};

/// The longest consistency proof that is read: a tree of 2^63 entries has one of fewer hashes.
const MAX_PROOF: usize = 63;

/// The request `add-checkpoint`: what the log believes the witness saw last, and the checkpoint that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness saw last.
    pub old_size: u64,
    /// The consistency proof from there.
    pub proof: Vec<Hash>,
    /// The note.
    pub note: String,
}

/// Reason for which a witness refuses to cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request has another form, or sizes that fall.
    #[error("the request is no add-checkpoint")]
    Malformed,
    /// The witness does not know the log.
    #[error("no log of origin {0} is known here")]
    UnknownLog(String),
    /// No known key of the log signed the checkpoint.
    #[error("the checkpoint is not signed by the log")]
    Unsigned,
    /// The witness has seen another size than the log believes, or another root of that size.
    #[error("the last checkpoint seen has {0} entries")]
    Conflict(u64),
    /// The log has another past than the one that was cosigned: it was tampered with.
    #[error("the log is not consistent with the last checkpoint seen")]
    Inconsistent,
}

impl Refusal {
    /// The HTTP status that the protocol has for it.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unsigned => 403,
            Self::UnknownLog(_) => 404,
            Self::Conflict(_) => 409,
            Self::Inconsistent => 422,
        }
    }
}

impl AddCheckpoint {
    /// The request's body.
    pub fn body(&self) -> String {
        let proof: String = self.proof.iter().map(|hash| STANDARD.encode(hash.0) + "\n").collect();
        format!("old {}\n{proof}\n{}", self.old_size, self.note)
    }

    /// The request of a body.
    pub fn parse(body: &str) -> Result<Self, Refusal> {
        let (head, note) = body.split_once("\n\n").ok_or(Refusal::Malformed)?;
        let mut lines = head.split('\n');
        let size = lines.next().and_then(|line| line.strip_prefix("old ")).ok_or(Refusal::Malformed)?;
        let old_size: u64 = size.parse().map_err(|_| Refusal::Malformed)?;
        let proof: Vec<Hash> = lines
            .map(|line| STANDARD.decode(line).ok().and_then(|bytes| Hash::from_slice(&bytes)))
            .collect::<Option<_>>()
            .ok_or(Refusal::Malformed)?;
        if old_size.to_string() != size || proof.len() > MAX_PROOF {
            return Err(Refusal::Malformed);
        }
        Ok(Self { old_size, proof, note: note.to_owned() })
    }
}

/// State that a witness keeps of a log: the last size and root that it cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl From<&Checkpoint> for Seen {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self { size: checkpoint.size, root: checkpoint.root }
    }
}

/// The origin of a request's checkpoint, by which the witness finds its state of the log.
pub fn origin_of(request: &AddCheckpoint) -> Result<String, Refusal> {
    let signed = SignedCheckpoint::parse(&request.note).map_err(|_| Refusal::Malformed)?;
    Ok(signed.checkpoint.origin)
}

/// Whether a request's checkpoint follows what was seen of its log, which is of one of these deployments. The witness
/// stores the answer before it cosigns.
pub fn decide(
    request: &AddCheckpoint,
    deployments: &[PublicKey],
    seen: Option<Seen>,
) -> Result<SignedCheckpoint, Refusal> {
    let signed = SignedCheckpoint::parse(&request.note).map_err(|_| Refusal::Malformed)?;
    let next = &signed.checkpoint;
    let log = |key: &PublicKey| {
        next.origin.strip_prefix(key.name()).and_then(|rest| rest.strip_prefix('/')).map(ToOwned::to_owned)
    };
    let log = deployments.iter().find_map(log).ok_or_else(|| Refusal::UnknownLog(next.origin.clone()))?;
    signed.check(&log, deployments).map_err(|_| Refusal::Unsigned)?;
    if request.old_size > next.size {
        return Err(Refusal::Malformed);
    }
    let seen = seen.unwrap_or(Seen { size: 0, root: Hash::of_empty_tree() });
    if request.old_size != seen.size {
        return Err(Refusal::Conflict(seen.size));
    }
    if seen.size == next.size {
        return match (seen.root == next.root, request.proof.is_empty()) {
            (true, true) => Ok(signed),
            (true, false) => Err(Refusal::Inconsistent),
            (false, _) => Err(Refusal::Conflict(seen.size)),
        };
    }
    if seen.size == 0 {
        return if request.proof.is_empty() { Ok(signed) } else { Err(Refusal::Inconsistent) };
    }
    let checked = check_consistency((seen.size, &seen.root), (next.size, &next.root), &request.proof);
    checked.map(|()| signed).map_err(|_: ProofError| Refusal::Inconsistent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::{PrivateKey, Purpose},
        proof::consistency,
        tile::Tiles,
        tree::OpenLog,
    };

    struct Log {
        key: PrivateKey,
        leaves: Vec<Hash>,
    }

    impl Log {
        fn new(salt: u8) -> Self {
            let leaves =
                (0..200_u8).map(|n| Hash([n, salt, 0, 0].repeat(8).try_into().expect("32"))).collect();
            Self { key: PrivateKey::new("audit.example.com", &[1; 32]).expect("a name"), leaves }
        }

        fn request(&self, old_size: u64, size: u64) -> AddCheckpoint {
            let count = usize::try_from(size).expect("small");
            let mut log = OpenLog::default();
            self.leaves[..count].iter().for_each(|leaf| drop(log.push(*leaf)));
            let mut tiles = Tiles::default();
            assert!(tiles.add(0, 0, &Hash::concat(&self.leaves)));
            let proof = match consistency(old_size, size) {
                Ok(path) if old_size < size => tiles.hashes(&path, size).expect("all tiles"),
                _ => Vec::new(),
            };
            let checkpoint = Checkpoint {
                origin: "audit.example.com/weir.activity.v1/0".into(),
                size,
                root: log.frontier().root(),
                extensions: Vec::new(),
            };
            let note = checkpoint.sign(std::slice::from_ref(&self.key)).expect("signed");
            AddCheckpoint { old_size, proof, note }
        }

        fn keys(&self) -> [PublicKey; 1] {
            [self.key.public(Purpose::Log)]
        }
    }

    fn decide_on(log: &Log, seen: Option<Seen>, request: &AddCheckpoint) -> Result<Seen, Refusal> {
        let parsed = AddCheckpoint::parse(&request.body()).expect("its own body");
        assert_eq!(&parsed, request);
        decide(&parsed, &log.keys(), seen).map(|signed| (&signed.checkpoint).into())
    }

    #[test]
    fn a_log_that_grows_is_cosigned_and_a_fork_is_not() {
        let (log, fork) = (Log::new(0), Log::new(1));
        let mut seen = decide_on(&log, None, &log.request(0, 3)).expect("the first");
        assert_eq!(seen.size, 3);
        for size in [3, 4, 100, 199] {
            seen = decide_on(&log, Some(seen), &log.request(seen.size, size)).expect("grown");
            assert_eq!(seen.size, size);
        }
        let refused = |request: &AddCheckpoint| decide_on(&log, Some(seen), request).expect_err("refused");
        assert_eq!(refused(&log.request(100, 150)), Refusal::Conflict(199));
        assert_eq!(refused(&fork.request(199, 199)), Refusal::Conflict(199));
        assert_eq!(refused(&fork.request(199, 200)), Refusal::Inconsistent);
        assert_eq!(refused(&log.request(199, 100)), Refusal::Malformed);
        let mut cut = log.request(199, 200);
        cut.proof.pop();
        assert_eq!(refused(&cut), Refusal::Inconsistent);
    }

    #[test]
    fn strangers_are_refused() {
        let log = Log::new(0);
        let mut request = log.request(0, 3);
        let stranger = PrivateKey::new("audit.example.com", &[2; 32]).expect("a name").public(Purpose::Log);
        assert_eq!(decide(&request, &[stranger], None).expect_err("unsigned"), Refusal::Unsigned);
        let other = PrivateKey::new("audit.example", &[1; 32]).expect("a name").public(Purpose::Log);
        assert!(matches!(decide(&request, &[other], None), Err(Refusal::UnknownLog(_))));
        request.proof.push(Hash([0; 32]));
        assert_eq!(
            decide(&request, &log.keys(), None).expect_err("a proof of nothing"),
            Refusal::Inconsistent
        );
        for body in ["", "old 1", "old 01\n\nnote", "old -1\n\nnote", "old 1\nAAAA\n\nnote", "new 1\n\nnote"]
        {
            assert_eq!(AddCheckpoint::parse(body), Err(Refusal::Malformed), "{body}");
        }
    }
}
