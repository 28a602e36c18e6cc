//! JSON Web Keys (RFC 7517): the public keys of an issuer, each pinned to one algorithm.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    signature::{self, RsaPublicKeyComponents, UnparsedPublicKey},
};
use serde::Deserialize;
use thiserror::Error;

use self::Algorithm as A;

/// Maximum number of keys in a set.
const MAX_KEYS: usize = 100;

/// Error of reading a key set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum InvalidKeys {
    /// Not JSON with a list `keys`.
    #[error("it is not a JSON Web Key Set")]
    Malformed,
    /// Too many keys.
    #[error("it holds more than {MAX_KEYS} keys")]
    TooMany,
    /// Two signing keys share an id.
    #[error("two of its keys have the id {0:?}")]
    Duplicate(String),
    /// Symmetric and public keys in one set: the public one could be abused as the shared secret.
    #[error("it mixes symmetric and asymmetric keys")]
    Mixed,
}

/// The algorithms of signatures (RFC 7518, section 3.1, and RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    const ALL: [Self; 12] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    pub(super) const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    /// Minimum length of a symmetric secret, in bytes: that of the hash (RFC 7518, section 3.2).
    const fn secret_bytes(self) -> usize {
        match self {
            Self::Hs384 => 48,
            Self::Hs512 => 64,
            _ => 32,
        }
    }
}

/// A key as it is written in a set.
#[derive(Debug, Deserialize)]
struct Jwk {
    kty: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    kid: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    k: Option<String>,
}

impl Jwk {
    fn is_for_signatures(&self) -> bool {
        self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"))
    }
}

/// A key that verifies signatures of one algorithm.
#[derive(Debug, Clone)]
pub(super) struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point, or an Ed25519 key.
    Curve(Vec<u8>),
    Secret(Vec<u8>),
}

impl Key {
    /// The key, if it verifies signatures and its parts are consistent.
    fn parse(jwk: &Jwk) -> Option<Self> {
        let named = jwk.alg.as_deref().map(Algorithm::from_name);
        if !jwk.is_for_signatures() || named == Some(None) {
            return None;
        }
        let named = named.flatten();
        let bytes = |part: &Option<String>| URL_SAFE_NO_PAD.decode(part.as_deref()?).ok();
        let pinned = |usual: Algorithm, others: &[Algorithm]| {
            let algorithm = named.unwrap_or(usual);
            (algorithm == usual || others.contains(&algorithm)).then_some(algorithm)
        };
        let (algorithm, material) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", None) => {
                let algorithm = pinned(A::Rs256, &[A::Rs384, A::Rs512, A::Ps256, A::Ps384, A::Ps512])?;
                (algorithm, Material::Rsa { n: bytes(&jwk.n)?, e: bytes(&jwk.e)? })
            }
            ("EC", Some("P-256")) => (pinned(A::Es256, &[])?, point(bytes(&jwk.x)?, bytes(&jwk.y)?, 32)?),
            ("EC", Some("P-384")) => (pinned(A::Es384, &[])?, point(bytes(&jwk.x)?, bytes(&jwk.y)?, 48)?),
            ("OKP", Some("Ed25519")) => (pinned(A::EdDsa, &[])?, Material::Curve(bytes(&jwk.x)?)),
            ("oct", None) => {
                let algorithm = pinned(A::Hs256, &[A::Hs384, A::Hs512])?;
                let secret = bytes(&jwk.k).filter(|secret| secret.len() >= algorithm.secret_bytes())?;
                (algorithm, Material::Secret(secret))
            }
            _ => return None,
        };
        Some(Self { kid: jwk.kid.clone(), algorithm, material })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether this key made the signature of the message.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match (&self.material, self.algorithm) {
            (Material::Rsa { n, e }, algorithm) => {
                let parameters = match algorithm {
                    A::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    A::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    A::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    A::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    A::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    A::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            (Material::Curve(point), A::Es256) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature)
                    .is_ok()
            }
            (Material::Curve(point), A::Es384) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point)
                    .verify(message, signature)
                    .is_ok()
            }
            (Material::Curve(key), A::EdDsa) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature).is_ok()
            }
            (Material::Secret(secret), algorithm) => {
                let hash = match algorithm {
                    A::Hs384 => hmac::HMAC_SHA384,
                    A::Hs512 => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::verify(&hmac::Key::new(hash, secret), message, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// An uncompressed point of a curve whose coordinates have that many bytes.
fn point(x: Vec<u8>, y: Vec<u8>, bytes: usize) -> Option<Material> {
    (x.len() == bytes && y.len() == bytes).then(|| Material::Curve([vec![4], x, y].concat()))
}

/// The keys of an issuer.
#[derive(Debug, Clone, Default)]
pub(super) struct KeySet(Vec<Key>);

impl KeySet {
    /// Reads a key set. Keys for other uses, and of unknown algorithms, are left out.
    pub(super) fn parse(json: &[u8]) -> Result<Self, InvalidKeys> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let Set { keys } = serde_json::from_slice(json).map_err(|_| InvalidKeys::Malformed)?;
        if keys.len() > MAX_KEYS {
            return Err(InvalidKeys::TooMany);
        }
        let jwks: Vec<Jwk> = keys.into_iter().filter_map(|jwk| serde_json::from_value(jwk).ok()).collect();
        // Those that cannot be used count, too: which of the two a token means would be a guess.
        let ids: Vec<&String> =
            jwks.iter().filter(|jwk| jwk.is_for_signatures()).filter_map(|jwk| jwk.kid.as_ref()).collect();
        if let Some((_, twice)) = ids.iter().enumerate().find(|(at, kid)| ids[..*at].contains(*kid)) {
            return Err(InvalidKeys::Duplicate((*twice).clone()));
        }
        let keys: Vec<Key> = jwks.iter().filter_map(Key::parse).collect();
        let symmetric = keys.iter().filter(|key| key.algorithm.is_symmetric()).count();
        if symmetric > 0 && symmetric < keys.len() {
            return Err(InvalidKeys::Mixed);
        }
        Ok(Self(keys))
    }

    /// Ids of its keys.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|key| key.kid.as_deref())
    }

    /// The key of that id; without an id, the only key.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match (kid, self.0.as_slice()) {
            (Some(kid), keys) => keys.iter().find(|key| key.kid.as_deref() == Some(kid)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it holds symmetric keys, which an issuer's public keys are not.
    pub(super) fn is_symmetric(&self) -> bool {
        self.0.iter().any(|key| key.algorithm.is_symmetric())
    }
}
