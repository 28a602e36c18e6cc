//! Compact JSON Web Signatures (RFC 7515): parsing and verification.
//!
//! The algorithm is that of the key, never that of the header, which must name the same. Keys and
//! certificates in a header (`jwk`, `jku`, `x5u`, `x5c`) are ignored; a header with `crit` is refused,
//! because it names extensions that must be understood.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use thiserror::Error;

use super::jwk::Key;

/// Maximum length of a key id, in characters.
const MAX_KID_CHARS: usize = 128;

/// Reason for rejecting a token, for the log and `weir auth explain`; HTTP clients are not told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidToken {
    /// Not three parts in canonical base64url with a JSON header.
    #[error("it is not a signed token in compact form")]
    Malformed,
    /// The header requires something unsupported.
    #[error("its header {0}")]
    Header(&'static str),
    /// The issuer is not configured.
    #[error("its issuer {0:?} is not configured")]
    UnknownIssuer(String),
    /// The issuer has no key with this id.
    #[error("its issuer has no key {0:?}")]
    UnknownKey(String),
    /// The signature does not match the key.
    #[error("its signature is not valid")]
    Signature,
    /// A claim is missing, of a wrong type, or has a wrong value.
    #[error("its claim {claim} {why}")]
    Claim {
        /// Name of the claim.
        claim: &'static str,
        /// The fault.
        why: &'static str,
    },
}

/// The header members that are used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(default)]
    pub(super) kid: Option<String>,
    #[serde(default)]
    pub(super) typ: Option<String>,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

/// A token whose signature is not yet verified.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    pub(super) header: Header,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, InvalidToken> {
        let (signed, signature) = token.rsplit_once('.').ok_or(InvalidToken::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(InvalidToken::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidToken::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| InvalidToken::Malformed)?;
        if header.crit.is_some() {
            return Err(InvalidToken::Header("names critical extensions, of which none is understood"));
        }
        if header.kid.as_ref().is_some_and(|kid| kid.chars().count() > MAX_KID_CHARS) {
            return Err(InvalidToken::Header("has a kid of more than 128 characters"));
        }
        Ok(Self { header, signed, payload: decode(payload)?, signature: decode(signature)? })
    }

    /// The unverified payload, used only to find the issuer whose keys must verify it.
    pub(super) fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload, if the signature matches the key.
    pub(super) fn verify(&self, key: &Key) -> Result<&[u8], InvalidToken> {
        let fits = self.header.alg == key.algorithm().name();
        if fits && key.verifies(self.signed.as_bytes(), &self.signature) {
            Ok(&self.payload)
        } else {
            Err(InvalidToken::Signature)
        }
    }
}
