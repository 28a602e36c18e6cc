//! OpenID Connect: verification of issuers' tokens, and mapping of their claims to permissions.
//!
//! A token's signature is verified with the keys of its issuer ([`keys`]), each pinned to one algorithm
//! ([`jwk`]); its claims are checked for issuer, audience and time ([`Identities::verify`]); rules map its
//! claims to a tenant and roles ([`claims`]).

mod claims;
mod jwk;
mod jws;
mod keys;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta};
use schemas::{Timestamp, access::Principal};
use serde_json::Value;
use thiserror::Error;

use self::{
    claims::{Claims, Mapping},
    jwk::Algorithm,
    jws::Unverified,
    keys::{Found, IssuerKeys},
};
pub use self::{
    claims::{RoleRule, RuleOutcome, SubjectKind, TenantOf},
    jws::InvalidToken,
    keys::KeySource,
};

/// Accepted signature algorithms.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
/// Accepted token types; other types have other purposes (RFC 8725, section 3.11).
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];
/// Tolerated difference between the issuer's clock and this one.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);
/// Maximum length of a subject, in bytes.
const MAX_SUBJECT_BYTES: usize = 255;

/// Settings of one issuer.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// URL of the issuer, exactly as in `iss`.
    pub issuer: String,
    /// Accepted audiences; a token must name one of them.
    pub audiences: Vec<String>,
    /// Clients, beside the audiences, whose tokens may name further audiences (`azp`).
    pub authorized_parties: Vec<String>,
    /// Location of the keys.
    pub keys: KeySource,
    /// The claim that names a subject; only `sub` is never reassigned.
    pub principal_claim: String,
    /// Kind of the subjects.
    pub kind: SubjectKind,
    /// Mapping rules, in order.
    pub rules: Vec<RoleRule>,
}

/// Error in the issuers' settings.
#[derive(Debug, Error)]
pub enum InvalidIssuers {
    /// Two issuers have the same URL.
    #[error("the issuer {0} is configured twice")]
    Twice(String),
    /// No audience: tokens for other services would be accepted.
    #[error("the issuer {0} has no audience: its tokens could be for any service")]
    NoAudience(String),
    /// The HTTP client cannot be created.
    #[error("cannot create the HTTP client that fetches keys")]
    Client(#[from] reqwest::Error),
}

/// Result of checking a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The subject, or why it is nobody here.
    pub principal: Result<Principal, Denial>,
    /// Outcome of each rule.
    pub rules: Vec<RuleOutcome>,
}

/// Reason for denying a token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denial {
    /// The token is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidToken),
    /// The token is valid, and no rule grants its subject a role.
    #[error("the token is valid, but no rule gives its subject a role: `weir auth explain` shows why")]
    NoRole,
    /// The token is valid, and the claim that names its subject cannot be used.
    #[error(
        "the token is valid, but its claim {claim}, which names its subject here, {why}: have the issuer send it, \
         or name another claim in principal_claim"
    )]
    NoSubject {
        /// Name of the claim: the issuer's `principal_claim`.
        claim: String,
        /// The fault.
        why: &'static str,
    },
    /// The issuer's keys cannot be fetched at present.
    #[error("the keys of the issuer {0} cannot be fetched now")]
    KeysUnavailable(String),
}

/// The issuers in force. They may be replaced while requests are answered: a token is checked by those that
/// are in force when it comes.
#[derive(Debug, Default)]
pub struct Identities(ArcSwap<Vec<Issuer>>);

#[derive(Debug)]
struct Issuer {
    url: String,
    audiences: Vec<String>,
    authorized_parties: Vec<String>,
    keys: Arc<IssuerKeys>,
    mapping: Mapping,
}

impl Identities {
    /// Creates the issuers; keys are fetched later.
    pub fn new(configs: Vec<IssuerConfig>) -> Result<Self, InvalidIssuers> {
        let identities = Self::default();
        identities.replace(configs)?;
        Ok(identities)
    }

    /// Puts other issuers and rules in force. Keys of issuers that stay where they are need not be fetched
    /// again. On an error the issuers stay as they were.
    pub fn replace(&self, configs: Vec<IssuerConfig>) -> Result<(), InvalidIssuers> {
        let before = self.0.load_full();
        let mut issuers: Vec<Issuer> = Vec::new();
        for config in configs {
            if issuers.iter().any(|issuer| issuer.url == config.issuer) {
                return Err(InvalidIssuers::Twice(config.issuer));
            }
            if config.audiences.is_empty() {
                return Err(InvalidIssuers::NoAudience(config.issuer));
            }
            let IssuerConfig {
                issuer: url,
                audiences,
                authorized_parties,
                keys,
                principal_claim,
                kind,
                rules,
            } = config;
            let mapping = Mapping { issuer: url.clone(), principal_claim, kind, rules };
            let known = before.iter().find(|issuer| issuer.keys.are_of(&url, &keys));
            let keys = match known {
                Some(issuer) => Arc::clone(&issuer.keys),
                None => Arc::new(IssuerKeys::new(url.clone(), keys)?),
            };
            issuers.push(Issuer { url, audiences, authorized_parties, keys, mapping });
        }
        self.0.store(Arc::new(issuers));
        Ok(())
    }

    /// Fetches the keys of every issuer that has none yet, so that the first request need not wait. Errors are
    /// logged.
    pub async fn prime(&self) {
        for issuer in self.0.load_full().iter() {
            issuer.keys.prime().await;
        }
    }

    /// Whether no issuer is configured.
    pub fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    /// Whether the text has the form of a token: three parts.
    pub fn is_token(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// The token's subject.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, Denial> {
        self.admit(token, now).await.map_err(|refused| refused.denial)
    }

    /// The token's subject; else why there is none, and whose the token was as far as its issuer's
    /// signature tells.
    pub async fn admit(&self, token: &str, now: Timestamp) -> Result<Principal, Refused> {
        let explained = self.examine(token, now).await?;
        explained.principal.map_err(Refused::from)
    }

    /// The token's subject, and the outcome of each rule of its issuer.
    pub async fn explain(&self, token: &str, now: Timestamp) -> Result<Explained, Denial> {
        self.examine(token, now).await.map_err(|refused| refused.denial)
    }

    async fn examine(&self, token: &str, now: Timestamp) -> Result<Explained, Refused> {
        let unverified = Unverified::parse(token)?;
        let named = named_issuer(&unverified)?;
        let issuers = self.0.load_full();
        let issuer = issuers.iter().find(|issuer| issuer.url == named);
        let issuer = issuer.ok_or_else(|| InvalidToken::UnknownIssuer(named.chars().take(200).collect()))?;
        issuer.examine(&unverified, now).await
    }
}

/// A token that gave nobody, and whose it is nevertheless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Reason of the refusal.
    pub denial: Denial,
    /// The subject of a token that its issuer signed and that does not hold, for example because it has
    /// expired: for the log, and not to be let in.
    pub subject: Option<Box<Principal>>,
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Self { denial, subject: None }
    }
}

impl From<InvalidToken> for Refused {
    fn from(invalid: InvalidToken) -> Self {
        Denial::from(invalid).into()
    }
}

/// The issuer that an unverified token names.
fn named_issuer(token: &Unverified<'_>) -> Result<String, InvalidToken> {
    let claims: Claims =
        serde_json::from_slice(token.unverified_payload()).map_err(|_| InvalidToken::Malformed)?;
    text(&claims, "iss").map(str::to_owned)
}

impl Issuer {
    async fn examine(&self, token: &Unverified<'_>, now: Timestamp) -> Result<Explained, Refused> {
        let claims = self.claims(token).await?;
        let expires_at = match self.check(&claims, now) {
            Ok(expires_at) => expires_at,
            Err(wrong) => {
                let subject = self.mapping.map(&claims, now).principal.ok().map(Box::new);
                return Err(Refused { denial: wrong.into(), subject });
            }
        };
        let mapped = self.mapping.map(&claims, expires_at);
        Ok(Explained { principal: mapped.principal, rules: mapped.rules })
    }

    /// The claims, verified with one of the issuer's keys.
    async fn claims(&self, token: &Unverified<'_>) -> Result<Claims, Denial> {
        let header = &token.header;
        if header.typ.as_ref().is_some_and(|typ| !TYPES.iter().any(|known| typ.eq_ignore_ascii_case(known))) {
            return Err(InvalidToken::Header("is of a type that is not for access").into());
        }
        if !ALGORITHMS.iter().any(|algorithm| algorithm.name() == header.alg) {
            return Err(InvalidToken::Header("names an unsupported algorithm").into());
        }
        let key = match self.keys.find(header.kid.as_deref()).await {
            Found::Key(key) => key,
            Found::Unavailable => return Err(Denial::KeysUnavailable(self.url.clone())),
            Found::Unknown => {
                return Err(InvalidToken::UnknownKey(header.kid.clone().unwrap_or_default()).into());
            }
        };
        let payload = token.verify(&key)?;
        Ok(serde_json::from_slice(payload).map_err(|_| InvalidToken::Malformed)?)
    }

    /// Checks issuer, audience and time of a token; returns its expiry.
    fn check(&self, claims: &Claims, now: Timestamp) -> Result<Timestamp, InvalidToken> {
        if text(claims, "iss")? != self.url {
            return Err(claim("iss", "is another issuer"));
        }
        let subject = text(claims, "sub")?;
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES {
            return Err(claim("sub", "is empty or longer than 255 bytes"));
        }
        self.check_audience(claims)?;
        let expires_at = instant(claims, "exp")?.ok_or_else(|| claim("exp", "is missing"))?;
        if expires_at + LEEWAY <= now {
            return Err(claim("exp", "has passed"));
        }
        if instant(claims, "nbf")?.is_some_and(|begins| begins - LEEWAY > now) {
            return Err(claim("nbf", "is still to come"));
        }
        Ok(expires_at)
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), InvalidToken> {
        let ours = |audience: &str| self.audiences.iter().any(|ours| ours == audience);
        match claims.get("aud") {
            Some(Value::String(audience)) if ours(audience) => Ok(()),
            Some(Value::Array(audiences)) => {
                let texts: Option<Vec<&str>> = audiences.iter().map(Value::as_str).collect();
                let texts = texts.ok_or_else(|| claim("aud", "is not a text or a list of texts"))?;
                if !texts.iter().any(|audience| ours(audience)) {
                    return Err(claim("aud", "names none of our audiences"));
                }
                // OpenID Connect Core 1.0, section 3.1.3.7: with several audiences it says which one may use it.
                let party = claims.get("azp").and_then(Value::as_str);
                let authorized =
                    |party: &str| ours(party) || self.authorized_parties.iter().any(|known| known == party);
                if texts.len() > 1 && !party.is_some_and(authorized) {
                    return Err(claim("azp", "is no authorized party, where aud names several audiences"));
                }
                Ok(())
            }
            Some(Value::String(_)) => Err(claim("aud", "names none of our audiences")),
            Some(_) => Err(claim("aud", "is not a text or a list of texts")),
            None => Err(claim("aud", "is missing")),
        }
    }
}

const fn claim(claim: &'static str, why: &'static str) -> InvalidToken {
    InvalidToken::Claim { claim, why }
}

fn text<'a>(claims: &'a Claims, name: &'static str) -> Result<&'a str, InvalidToken> {
    match claims.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(claim(name, "is not a text")),
        None => Err(claim(name, "is missing")),
    }
}

/// A NumericDate: seconds since 1970, also with a fraction.
fn instant(claims: &Claims, name: &'static str) -> Result<Option<Timestamp>, InvalidToken> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds =
        value.as_f64().filter(|_| value.is_number()).ok_or_else(|| claim(name, "is not a number"))?;
    #[expect(clippy::cast_possible_truncation, reason = "checked: NumericDates lie far within 64 bits")]
    let instant =
        (seconds.abs() < 1e11).then(|| DateTime::from_timestamp(seconds.floor() as i64, 0)).flatten();
    instant.map(Some).ok_or_else(|| claim(name, "is out of range"))
}
