//! The hashes of the log: of an entry, of a leaf, of a node, and the salt of what is personal.
//!
//! ```text
//! subject key = HMAC-SHA-256(deployment's secret, length of the tenant as u32 ‖ tenant ‖ actor)
//! salt        = HMAC-SHA-256(subject key, the 16 bytes of the event's id)
//! entry       = SHA-256(public part ‖ SHA-256(salt ‖ personal part))
//! leaf        = SHA-256(0x00 ‖ entry)
//! node        = SHA-256(0x01 ‖ left ‖ right)
//! ```
//!
//! Leaf and node: RFC 9162, section 2.1.1.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

/// The bytes of a hash.
pub const HASH_BYTES: usize = 32;

impl Hash {
    /// The hash of an empty tree: SHA-256 of nothing.
    pub fn of_empty_tree() -> Self {
        Self(Sha256::digest(b"").into())
    }

    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The leaf of an entry.
    pub fn leaf(entry: &Self) -> Self {
        Self::of_parts(&[&[0], &entry.0])
    }

    /// The node above two others.
    pub fn node(left: &Self, right: &Self) -> Self {
        Self::of_parts(&[&[1], &left.0, &right.0])
    }

    pub(crate) fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The hash of exactly 32 bytes; any other number is no hash.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The hash that 64 hexadecimal digits name.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> =
            pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        if rest.is_empty() { Self::from_slice(&bytes?) } else { None }
    }

    /// 64 lower-case hexadecimal digits.
    pub(crate) fn hexadecimal(&self) -> [u8; 2 * HASH_BYTES] {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let mut text = [0; 2 * HASH_BYTES];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]];
        }
        text
    }

    /// Hashes that lie one behind another, as in a tile; `None` unless they come out even.
    pub fn list(bytes: &[u8]) -> Option<Vec<Self>> {
        let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
        rest.is_empty().then(|| hashes.iter().copied().map(Self).collect())
    }

    /// The bytes of these hashes, one behind another.
    pub fn concat(hashes: &[Self]) -> Vec<u8> {
        hashes.iter().flat_map(|hash| hash.0).collect()
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.hexadecimal()).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The secret of a deployment that subject keys are derived from: without it, nobody who holds a log's hashes can try
/// out which personal values they were made of.
#[derive(Clone)]
pub struct SubjectSecret(Hmac<Sha256>);

/// The shortest secret that is taken, in bytes.
pub const MIN_SECRET_BYTES: usize = 32;

/// A secret that is too short to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret of the subject keys has {0} bytes, and needs {MIN_SECRET_BYTES} or more")]
pub struct ShortSecret(usize);

impl SubjectSecret {
    /// A secret of these bytes.
    pub fn new(secret: &[u8]) -> Result<Self, ShortSecret> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(ShortSecret(secret.len()));
        }
        Hmac::new_from_slice(secret).map(Self).map_err(|_| ShortSecret(secret.len()))
    }

    /// The key of one actor of a tenant.
    pub fn key(&self, tenant: &str, actor: &str) -> SubjectKey {
        let mut mac = self.0.clone();
        let length = u32::try_from(tenant.len()).unwrap_or(u32::MAX);
        mac.update(&length.to_be_bytes());
        mac.update(tenant.as_bytes());
        mac.update(actor.as_bytes());
        SubjectKey::new(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for SubjectSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectSecret(..)")
    }
}

/// The key of one actor of a tenant. Erasing the actor deletes it.
#[derive(Clone)]
pub struct SubjectKey {
    bytes: [u8; 32],
    keyed: Hmac<Sha256>,
}

impl SubjectKey {
    /// A key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        let keyed = Hmac::new_from_slice(&bytes).expect("HMAC takes keys of any length");
        Self { bytes, keyed }
    }

    /// The key's bytes, to be stored.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The salt of one event's personal part.
    pub fn salt(&self, event: &Uuid) -> Salt {
        let mut mac = self.keyed.clone();
        mac.update(event.as_bytes());
        Salt(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey(..)")
    }
}

/// Random salt of one event: without it, the digest of the personal part could be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 32]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_come_back() {
        let hash = Hash::of(b"weir");
        assert_eq!(Hash::from_hex(&hash.to_string()), Some(hash));
        let short = &hash.to_string()[2..];
        for odd in ["", "0", short, &format!("{hash}0"), &format!("{hash}00"), &format!("+1{short}")] {
            assert_eq!(Hash::from_hex(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_subject_key_belongs_to_one_tenant_and_one_actor() {
        let secret = SubjectSecret::new(&[7; MIN_SECRET_BYTES]).expect("long enough");
        let keys =
            [("a", "bc"), ("ab", "c"), ("", "abc"), ("abc", "")].map(|(t, a)| *secret.key(t, a).bytes());
        let distinct: std::collections::BTreeSet<_> = keys.into_iter().collect();
        assert_eq!(distinct.len(), 4);
        assert_eq!(SubjectSecret::new(&[7; 31]).expect_err("too short"), ShortSecret(31));
    }

    /// The empty tree and one leaf, as RFC 9162 has them.
    #[test]
    fn known_hashes() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Hash::of_empty_tree().to_string(), empty);
        let leaf = Hash::leaf(&Hash([0; 32]));
        assert_eq!(leaf, Hash::of(&[0; 33]));
    }
}
