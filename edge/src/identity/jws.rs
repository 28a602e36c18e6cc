//! A compact JSON Web Signature (RFC 7515): its parts, and whether a key made it.
//!
//! The algorithm is the key's, never the header's: the header must name the same one. Keys and certificates that a
//! header brings along (`jwk`, `jku`, `x5u`, `x5c`) are not looked at; a header with `crit` is refused, for it names
//! extensions that must be understood.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use thiserror::Error;

use super::jwk::Key;

/// Longest key id that is looked at, in characters.
const MAX_KID_CHARS: usize = 128;

/// Why a token does not hold. For the log and for `weir auth explain`: callers over HTTP are told nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidToken {
    /// Not three parts in canonical base64url with a JSON header.
    #[error("it is not a signed token in compact form")]
    Malformed,
    /// The header asks for something that is not understood.
    #[error("its header {0}")]
    Header(&'static str),
    /// No configured issuer made it.
    #[error("its issuer {0:?} is none of those that are configured")]
    UnknownIssuer(String),
    /// The issuer has no such key.
    #[error("its issuer has no key {0:?}")]
    UnknownKey(String),
    /// The key did not make the signature.
    #[error("its signature does not hold")]
    Signature,
    /// A claim is missing, of a wrong type, or not what it must be.
    #[error("its claim {claim} {why}")]
    Claim {
        /// The claim's name.
        claim: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The members of a header that matter.
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

/// A token whose signature was not checked yet.
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

    /// The payload, before anything of it may be believed: to find out whose keys it must be checked with.
    pub(super) fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload, if the key made the signature.
    pub(super) fn verify(&self, key: &Key) -> Result<&[u8], InvalidToken> {
        let fits = self.header.alg == key.algorithm().name();
        if fits && key.verifies(self.signed.as_bytes(), &self.signature) {
            Ok(&self.payload)
        } else {
            Err(InvalidToken::Signature)
        }
    }
}
