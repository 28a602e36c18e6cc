//! Checkpoints: what a log was at some time, signed by it and cosigned by witnesses (C2SP tlog-checkpoint,
//! <https://c2sp.org/tlog-checkpoint>).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use signed_note::{Note, Signature};

use crate::{
    hash::Hash,
    keys::{PrivateKey, PublicKey, Purpose},
};

/// The longest note that is read, in bytes.
pub const MAX_NOTE_BYTES: usize = 64 * 1024;

/// A log's origin, size and root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log: `<deployment>/<topic>/<partition>`.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// Further lines, none of them empty.
    pub extensions: Vec<String>,
}

/// Begins the extension line that says when a checkpoint was signed, in seconds since 1970.
const TIME: &str = "time ";
/// Begins the extension line that says at which offset of its topic a log begins.
const FIRST_OFFSET: &str = "first-offset ";

/// Reason to distrust a signed note as a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The text is not a signed note of a checkpoint.
    #[error("the checkpoint is not in the form of a signed note")]
    Form,
    /// The origin names another log.
    #[error("the checkpoint belongs to {0}")]
    Foreign(String),
    /// No trusted key signed it, or a trusted key's signature is not of this text.
    #[error("the checkpoint is not signed by {0}")]
    Unsigned(String),
    /// A witness that must have seen it has not signed it.
    #[error("the checkpoint is not cosigned by {0}")]
    Unwitnessed(String),
}

/// The text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root.0))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Checkpoint {
    /// The checkpoint with a line that says when it is signed: what is signed cannot be given another time.
    #[must_use]
    pub fn at(mut self, seconds: u64) -> Self {
        self.extensions.retain(|line| !line.starts_with(TIME));
        self.extensions.push(format!("{TIME}{seconds}"));
        self
    }

    /// When it says that it was signed, in seconds since 1970. Those of 0.2 do not say it.
    pub fn time(&self) -> Option<u64> {
        self.extensions.iter().find_map(|line| line.strip_prefix(TIME)?.parse().ok())
    }

    /// The checkpoint with a line that says that records of the topic below this offset are no part of the log.
    #[must_use]
    pub fn beginning_at(mut self, offset: u64) -> Self {
        self.extensions.retain(|line| !line.starts_with(FIRST_OFFSET));
        self.extensions.insert(0, format!("{FIRST_OFFSET}{offset}"));
        self
    }

    /// The offset below which records of the topic are no part of the log; `None` where the log begins with its topic.
    pub fn first_offset(&self) -> Option<u64> {
        self.extensions.iter().find_map(|line| line.strip_prefix(FIRST_OFFSET)?.parse().ok())
    }

    /// The log that the origin names, `<topic>/<partition>`; `None` if it names none of these keys' deployments.
    pub fn log_of(&self, keys: &[PublicKey]) -> Option<&str> {
        keys.iter().find_map(|key| self.origin.strip_prefix(key.name())?.strip_prefix('/'))
    }

    /// The checkpoint of a text as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Form)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Form);
        };
        let size: u64 = size.parse().map_err(|_| CheckpointError::Form)?;
        let root = STANDARD.decode(root).ok().and_then(|bytes| Hash::from_slice(&bytes));
        let root = root.ok_or(CheckpointError::Form)?;
        let extensions = lines.map(ToOwned::to_owned).collect();
        let checkpoint = Self { origin: origin.to_owned(), size, root, extensions };
        let no_empty_line =
            !checkpoint.extensions.iter().any(String::is_empty) && !checkpoint.origin.is_empty();
        // One spelling only: what is signed is what was read.
        if no_empty_line && checkpoint.to_string() == text {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::Form)
        }
    }

    /// The note: this text, signed by each of the log's keys, whose name is the origin.
    pub fn sign(&self, keys: &[PrivateKey]) -> Result<String, CheckpointError> {
        let text = self.to_string();
        let signatures: Vec<Signature> = keys
            .iter()
            .map(|key| {
                let id = key.public(Purpose::Log).named(&self.origin).id();
                Signature::new(self.origin.clone(), id, key.sign(text.as_bytes()))
            })
            .collect::<Result<_, _>>()
            .map_err(|_| CheckpointError::Form)?;
        let note = Note::new(text.as_bytes(), &signatures).map_err(|_| CheckpointError::Form)?;
        String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::Form)
    }
}

/// A checkpoint with its signatures, not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The signed origin, size and root.
    pub checkpoint: Checkpoint,
    text: String,
    signatures: Vec<(String, u32, Vec<u8>)>,
}

impl SignedCheckpoint {
    /// The checkpoint of a note.
    pub fn parse(note: &str) -> Result<Self, CheckpointError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(CheckpointError::Form);
        }
        let parsed = Note::from_bytes(note.as_bytes()).map_err(|_| CheckpointError::Form)?;
        let text = str::from_utf8(parsed.text()).map_err(|_| CheckpointError::Form)?.to_owned();
        let checkpoint = Checkpoint::parse(&text)?;
        // The parser drops nothing: what follows the text are the signatures' lines.
        let lines = note.get(text.len() + 1..).ok_or(CheckpointError::Form)?;
        let signatures = lines
            .lines()
            .map(|line| {
                let signature = Signature::from_bytes(line.as_bytes()).map_err(|_| CheckpointError::Form)?;
                Ok((signature.name().to_owned(), signature.id(), signature.signature().to_vec()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { checkpoint, text, signatures })
    }

    /// The text that is signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Number of signatures, of the log and of witnesses, whether they are right or not.
    pub fn signature_count(&self) -> usize {
        self.signatures.len()
    }

    /// Checks that it is the checkpoint of `log` and signed by one of the deployment's keys. A signature that bears the
    /// id of a key and is not its own counts against it.
    pub fn check(&self, log: &str, keys: &[PublicKey]) -> Result<(), CheckpointError> {
        let keys: Vec<PublicKey> = keys.iter().map(|key| key.of_log(log)).collect();
        if !keys.iter().any(|key| key.name() == self.checkpoint.origin) {
            return Err(CheckpointError::Foreign(self.checkpoint.origin.clone()));
        }
        let unsigned = || CheckpointError::Unsigned(self.checkpoint.origin.clone());
        let mut signed = false;
        for key in keys.iter().filter(|key| key.name() == self.checkpoint.origin) {
            for signature in self.signatures_of(key) {
                if !key.verify(self.text.as_bytes(), signature) {
                    return Err(unsigned());
                }
                signed = true;
            }
        }
        if signed { Ok(()) } else { Err(unsigned()) }
    }

    /// Whether a signature bears the id of one of these keys and is not that key's. The signature of an unknown key tells
    /// nothing: a deployment's earlier keys signed its earlier checkpoints.
    pub fn is_forged(&self, log: &str, keys: &[PublicKey]) -> bool {
        keys.iter()
            .map(|key| key.of_log(log))
            .any(|key| self.signatures_of(&key).any(|signature| !key.verify(self.text.as_bytes(), signature)))
    }

    /// Time of a witness's cosignature, in seconds since 1970.
    pub fn cosigned(&self, witness: &PublicKey) -> Result<u64, CheckpointError> {
        let times =
            self.signatures_of(witness).filter_map(|bytes| cosignature_time(&self.text, witness, bytes));
        times.max().ok_or_else(|| CheckpointError::Unwitnessed(witness.name().to_owned()))
    }

    fn signatures_of<'a>(&'a self, key: &PublicKey) -> impl Iterator<Item = &'a [u8]> {
        let (name, id) = (key.name().to_owned(), key.id());
        let theirs = move |(by, with, _): &&(String, u32, Vec<u8>)| *by == name && *with == id;
        self.signatures.iter().filter(theirs).map(|(_, _, bytes)| bytes.as_slice())
    }

    /// The note again, with further signature lines.
    pub fn with_lines(&self, more: &[String]) -> Result<String, CheckpointError> {
        let own = self.signatures.iter().map(|(name, id, bytes)| {
            Signature::new(name.clone(), *id, bytes.clone()).map_err(|_| CheckpointError::Form)
        });
        let more = more.iter().map(|line| {
            Signature::from_bytes(line.trim_end_matches('\n').as_bytes()).map_err(|_| CheckpointError::Form)
        });
        let signatures: Vec<Signature> = own.chain(more).collect::<Result<_, _>>()?;
        let note = Note::new(self.text.as_bytes(), &signatures).map_err(|_| CheckpointError::Form)?;
        String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::Form)
    }

    /// The line with which a witness says that it has seen this checkpoint, at a time in seconds since 1970.
    pub fn cosign(&self, witness: &PrivateKey, seconds: u64) -> Result<String, CheckpointError> {
        let public = witness.public(Purpose::Witness);
        let signature = witness.sign(cosigned_text(&self.text, seconds).as_bytes());
        let bytes = [seconds.to_be_bytes().as_slice(), &signature].concat();
        let line = Signature::new(witness.name().to_owned(), public.id(), bytes);
        let line = line.map_err(|_| CheckpointError::Form)?.to_bytes();
        String::from_utf8(line).map_err(|_| CheckpointError::Form)
    }
}

/// Text that a witness signs: `cosignature/v1`.
fn cosigned_text(text: &str, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

/// The time of a cosignature, if it is the witness's: eight bytes of it, then 64 of the signature.
fn cosignature_time(text: &str, witness: &PublicKey, bytes: &[u8]) -> Option<u64> {
    let (time, signature) = bytes.split_first_chunk::<8>()?;
    let seconds = u64::from_be_bytes(*time);
    witness.verify(cosigned_text(text, seconds).as_bytes(), signature).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "weir.activity.v1/3";

    fn key(name: &str, seed: u8) -> PrivateKey {
        PrivateKey::new(name, &[seed; 32]).expect("a name")
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: format!("audit.example.com/{LOG}"),
            size: 42,
            root: Hash([5; 32]),
            extensions: vec!["first offset 7".into()],
        }
    }

    #[test]
    fn a_checkpoint_is_signed_by_both_keys_and_checked_with_either() {
        let keys = [key("audit.example.com", 1), key("audit.example.com", 2)];
        let note = checkpoint().sign(&keys).expect("signed");
        let signed = SignedCheckpoint::parse(&note).expect("a note");
        assert_eq!(signed.checkpoint, checkpoint());
        for key in &keys {
            assert_eq!(signed.check(LOG, &[key.public(Purpose::Log)]), Ok(()));
        }
        let stranger = key("audit.example.com", 3).public(Purpose::Log);
        assert!(matches!(
            signed.check(LOG, std::slice::from_ref(&stranger)),
            Err(CheckpointError::Unsigned(_))
        ));
        assert!(matches!(
            signed.check("weir.activity.v1/4", &[keys[0].public(Purpose::Log)]),
            Err(CheckpointError::Foreign(_))
        ));
        let other = key("other", 1).public(Purpose::Log);
        assert!(matches!(signed.check(LOG, &[other]), Err(CheckpointError::Foreign(_))));
    }

    #[test]
    fn the_time_is_part_of_what_is_signed() {
        let one = key("audit.example.com", 1);
        let dated = checkpoint().at(5).at(1_767_323_040);
        assert_eq!((checkpoint().time(), dated.time()), (None, Some(1_767_323_040)));
        assert_eq!(dated.extensions, ["first offset 7", "time 1767323040"]);
        let note = dated.sign(std::slice::from_ref(&one)).expect("signed");
        assert_eq!(SignedCheckpoint::parse(&note).expect("a note").checkpoint, dated);
        let earlier = SignedCheckpoint::parse(&note.replacen("1767323040", "1767323039", 1)).expect("a note");
        assert!(matches!(earlier.check(LOG, &[one.public(Purpose::Log)]), Err(CheckpointError::Unsigned(_))));
    }

    #[test]
    fn a_log_that_begins_late_says_so() {
        let late = checkpoint().at(5).beginning_at(9).beginning_at(1_000);
        assert_eq!((checkpoint().first_offset(), late.first_offset()), (None, Some(1_000)));
        assert_eq!(late.extensions, ["first-offset 1000", "first offset 7", "time 5"]);
        let keys =
            ["other", "audit.example.com", "audit.example"].map(|name| key(name, 1).public(Purpose::Log));
        assert_eq!((late.log_of(&keys), late.log_of(&keys[..1])), (Some(LOG), None));
    }

    #[test]
    fn a_changed_text_is_signed_by_nobody() {
        let one = key("audit.example.com", 1);
        let note = checkpoint().sign(std::slice::from_ref(&one)).expect("signed");
        let forged = SignedCheckpoint::parse(&note.replacen("42", "41", 1)).expect("a note");
        assert!(matches!(forged.check(LOG, &[one.public(Purpose::Log)]), Err(CheckpointError::Unsigned(_))));
    }

    #[test]
    fn a_signature_is_forged_if_a_known_key_did_not_make_it() {
        let (one, earlier) = (key("audit.example.com", 1), key("audit.example.com", 2));
        let known = [one.public(Purpose::Log)];
        let note = checkpoint().sign(std::slice::from_ref(&one)).expect("signed");
        let is_forged = |note: &str| SignedCheckpoint::parse(note).expect("a note").is_forged(LOG, &known);
        assert!(!is_forged(&note));
        assert!(is_forged(&note.replacen("42", "41", 1)));
        let by_another = checkpoint().sign(&[earlier]).expect("signed");
        assert!(!is_forged(&by_another), "nobody knows that key");
        assert!(!is_forged(&by_another.replacen("42", "41", 1)));
    }

    #[test]
    fn witnesses_cosign() {
        let (one, witness) = (key("audit.example.com", 1), key("witness.example.org", 9));
        let signed = SignedCheckpoint::parse(&checkpoint().sign(&[one]).expect("signed")).expect("a note");
        let public = witness.public(Purpose::Witness);
        assert_eq!(signed.cosigned(&public), Err(CheckpointError::Unwitnessed("witness.example.org".into())));
        let line = signed.cosign(&witness, 1_800_000_000).expect("cosigned");
        let note = signed.with_lines(std::slice::from_ref(&line)).expect("a note");
        let cosigned = SignedCheckpoint::parse(&note).expect("a note");
        assert_eq!(cosigned.cosigned(&public), Ok(1_800_000_000));
        assert_eq!(cosigned.checkpoint, checkpoint());
        let other = key("witness.example.org", 8).public(Purpose::Witness);
        assert!(cosigned.cosigned(&other).is_err());
    }

    #[test]
    fn texts_in_other_spellings_are_refused() {
        let text = checkpoint().to_string();
        assert_eq!(Checkpoint::parse(&text), Ok(checkpoint()));
        let odd = [
            text.replacen("42", "042", 1),
            text.replacen("42", "+42", 1),
            text.replacen("42", "-1", 1),
            text.replacen("42", "18446744073709551616", 1),
            text.trim_end().to_owned(),
            format!("{text}\n"),
            text.replacen("first", "\nfirst", 1),
            text.replace("BQU=", "BQV="),
            text.replace("BQU=", ""),
            String::new(),
            "\n\n\n".to_owned(),
        ];
        for text in odd {
            assert_eq!(Checkpoint::parse(&text), Err(CheckpointError::Form), "{text:?}");
        }
        for note in ["", "a\n1\n", &"x".repeat(MAX_NOTE_BYTES + 1)] {
            assert_eq!(SignedCheckpoint::parse(note).expect_err("no note"), CheckpointError::Form);
        }
    }
}
