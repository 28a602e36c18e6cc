//! Keys that sign checkpoints, and keys that check them (C2SP signed-note, <https://c2sp.org/signed-note>, and
//! tlog-cosignature, <https://c2sp.org/tlog-cosignature>).
//!
//! A deployment has one name and one key, or two while one replaces the other. Each of its logs signs under a name of its
//! own, `<deployment>/<topic>/<partition>`, which is the origin of its checkpoints as well.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

/// The signature types of C2SP signed-note.
const ED25519: u8 = 1;
const COSIGNATURE_V1: u8 = 4;

/// A key that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text has another form.
    #[error(
        "a signing key reads PRIVATE+KEY+<name>+<hash>+<base64>, and its public one <name>+<hash>+<base64>"
    )]
    Form,
    /// The key is of another kind than asked for.
    #[error("the key is of signature type {0}: 1 is Ed25519, 4 a cosignature")]
    Type(u8),
    /// The hash in the text is not that of name and key.
    #[error("the hash in the key's text belongs to another name or key")]
    Hash,
    /// The bytes are no point on the curve.
    #[error("the key's bytes are no Ed25519 key")]
    Curve,
    /// A deployment's keys bear its one name.
    #[error("the keys bear different names: {0} and {1}")]
    Names(String, String),
}

/// Use of a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A log signs its checkpoints.
    Log,
    /// A witness cosigns those of others.
    Witness,
}

impl Purpose {
    const fn signature_type(self) -> u8 {
        match self {
            Self::Log => ED25519,
            Self::Witness => COSIGNATURE_V1,
        }
    }
}

/// A name, and a public key that signs under it.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    purpose: Purpose,
    key: VerifyingKey,
}

/// Its text: `<name>+<hash>+<base64>`.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.typed_bytes();
        write!(f, "{}+{:08x}+{}", self.name, self.id(), STANDARD.encode(bytes))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PublicKey {
    /// The key of a text.
    pub fn parse(text: &str, purpose: Purpose) -> Result<Self, KeyError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        let bytes = STANDARD.decode(key).map_err(|_| KeyError::Form)?;
        let (kind, bytes) = bytes.split_first().ok_or(KeyError::Form)?;
        if *kind != purpose.signature_type() {
            return Err(KeyError::Type(*kind));
        }
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| KeyError::Form)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::Curve)?;
        if !signed_note::is_key_name_valid(name) {
            return Err(KeyError::Form);
        }
        let key = Self { name: name.to_owned(), purpose, key };
        if hash == format!("{:08x}", key.id()) { Ok(key) } else { Err(KeyError::Hash) }
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same key under the name of one of the deployment's logs.
    #[must_use]
    pub fn of_log(&self, log: &str) -> Self {
        self.named(&origin(&self.name, log))
    }

    pub(crate) fn named(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    /// The key's id: the first four bytes of a hash of name, type and key.
    pub fn id(&self) -> u32 {
        signed_note::key_id(&self.name, &self.typed_bytes())
    }

    fn typed_bytes(&self) -> Vec<u8> {
        [&[self.purpose.signature_type()], self.key.to_bytes().as_slice()].concat()
    }

    /// Whether a signature is this key's. Keys and signatures that others might read differently are refused.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else { return false };
        self.key.verify_strict(message, &signature).is_ok()
    }
}

/// The origin of a log's checkpoints, and the name that it signs under.
pub fn origin(deployment: &str, log: &str) -> String {
    format!("{deployment}/{log}")
}

/// A name, and a key that signs under it.
#[derive(Clone)]
pub struct PrivateKey {
    name: String,
    key: SigningKey,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.name)
    }
}

impl PrivateKey {
    /// A key of these 32 bytes, which are to be random; `None` if the name cannot be a key's.
    pub fn new(name: &str, seed: &[u8; 32]) -> Option<Self> {
        let key = SigningKey::from_bytes(seed);
        signed_note::is_key_name_valid(name).then(|| Self { name: name.to_owned(), key })
    }

    /// The key of a text as [`PrivateKey::text`] writes it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let rest = text.trim().strip_prefix("PRIVATE+KEY+").ok_or(KeyError::Form)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        let bytes = STANDARD.decode(key).map_err(|_| KeyError::Form)?;
        let (kind, seed) = bytes.split_first().ok_or(KeyError::Form)?;
        if *kind != ED25519 {
            return Err(KeyError::Type(*kind));
        }
        let seed: &[u8; 32] = seed.try_into().map_err(|_| KeyError::Form)?;
        let key = Self::new(name, seed).ok_or(KeyError::Form)?;
        let id = key.public(Purpose::Log).id();
        if hash == format!("{id:08x}") { Ok(key) } else { Err(KeyError::Hash) }
    }

    /// The private key as text: its holder can sign.
    pub fn text(&self) -> String {
        let bytes = [&[ED25519], self.key.to_bytes().as_slice()].concat();
        format!("PRIVATE+KEY+{}+{:08x}+{}", self.name, self.public(Purpose::Log).id(), STANDARD.encode(bytes))
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key that verifies signatures of this key for a purpose.
    pub fn public(&self, purpose: Purpose) -> PublicKey {
        PublicKey { name: self.name.clone(), purpose, key: self.key.verifying_key() }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(message).to_vec()
    }
}

/// The signing keys of a deployment: the text of one, or of two on lines of their own while one replaces the other.
pub fn parse_all(text: &str) -> Result<Vec<PrivateKey>, KeyError> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<PrivateKey> = lines.map(PrivateKey::parse).collect::<Result<_, _>>()?;
    let first = keys.first().ok_or(KeyError::Form)?;
    match keys.iter().find(|key| key.name != first.name) {
        Some(other) => Err(KeyError::Names(first.name.clone(), other.name.clone())),
        None => Ok(keys),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, seed: u8) -> PrivateKey {
        PrivateKey::new(name, &[seed; 32]).expect("a name")
    }

    #[test]
    fn keys_come_back_from_their_texts() {
        let one = key("audit.example.com", 1);
        let back = PrivateKey::parse(&one.text()).expect("its own text");
        assert_eq!(back.text(), one.text());
        for purpose in [Purpose::Log, Purpose::Witness] {
            let public = one.public(purpose);
            assert_eq!(PublicKey::parse(&public.to_string(), purpose), Ok(public));
        }
        let witness = one.public(Purpose::Witness).to_string();
        assert_eq!(PublicKey::parse(&witness, Purpose::Log), Err(KeyError::Type(4)));
    }

    /// The example of golang.org/x/mod/sumdb/note.
    #[test]
    fn a_published_key_is_read() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key = PublicKey::parse(text, Purpose::Log).expect("published");
        assert_eq!((key.name(), key.id(), key.to_string().as_str()), ("PeterNeumann", 0xc74f_20a3, text));
        let private = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        assert_eq!(PrivateKey::parse(private).expect("published").public(Purpose::Log), key);
    }

    #[test]
    fn keys_that_cannot_be_used_are_refused() {
        let text = key("a", 1).public(Purpose::Log).to_string();
        let check =
            |text: &str, error: KeyError| assert_eq!(PublicKey::parse(text, Purpose::Log), Err(error));
        check("", KeyError::Form);
        check("a+b", KeyError::Form);
        check(&text.replacen('a', "b", 1), KeyError::Hash);
        check(&text.replacen('a', "a b", 1), KeyError::Form);
        check(&format!("{text}AAAA"), KeyError::Form);
        let two = format!("{}\n\n# older\n{}\n", key("a", 1).text(), key("a", 2).text());
        assert_eq!(parse_all(&two).expect("two keys").len(), 2);
        let named = format!("{}\n{}\n", key("a", 1).text(), key("b", 2).text());
        assert_eq!(parse_all(&named).expect_err("two names"), KeyError::Names("a".into(), "b".into()));
        assert_eq!(parse_all("# none\n").expect_err("none"), KeyError::Form);
    }

    #[test]
    fn no_key_shows_itself() {
        assert_eq!(format!("{:?}", key("a", 1)), "PrivateKey(a)");
    }
}
