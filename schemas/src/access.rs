//! API keys and what they allow. Pure: keys are loaded elsewhere and checked here.
//!
//! A key reads `weir_<8-character id>_<43 base62 characters>`. It is shown once; what is kept is
//! HMAC-SHA-256(pepper, secret).

use std::{collections::HashMap, fmt};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::{TenantId, Timestamp};

/// Longest credential that is looked at, in bytes.
pub const MAX_CREDENTIAL_BYTES: usize = 8 * 1024;
const ID_LEN: usize = 8;
const SECRET_LEN: usize = 43;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a credential may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Publish events.
    #[serde(rename = "events:write")]
    EventsWrite,
    /// Publish commands.
    #[serde(rename = "commands:write")]
    CommandsWrite,
    /// Read the read models.
    #[serde(rename = "read")]
    Read,
    /// Read audit entries.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Read who is at risk and why, and incidents.
    #[serde(rename = "risk:read")]
    RiskRead,
    /// Replay and discard parked records.
    #[serde(rename = "dead-letter:admin")]
    DeadLetterAdmin,
    /// Resume stages and accept gaps.
    #[serde(rename = "stage:admin")]
    StageAdmin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 7] = [
        Self::EventsWrite,
        Self::CommandsWrite,
        Self::Read,
        Self::AuditRead,
        Self::RiskRead,
        Self::DeadLetterAdmin,
        Self::StageAdmin,
    ];

    /// The scope's name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EventsWrite => "events:write",
            Self::CommandsWrite => "commands:write",
            Self::Read => "read",
            Self::AuditRead => "audit:read",
            Self::RiskRead => "risk:read",
            Self::DeadLetterAdmin => "dead-letter:admin",
            Self::StageAdmin => "stage:admin",
        }
    }

    /// The scope of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// Who a request comes from: the answer of a successful check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The tenant whose data the principal may touch.
    pub tenant: TenantId,
    /// The key's public id; goes into logs and limits.
    pub key_id: String,
    /// What people call the key.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

impl Principal {
    /// Whether the principal holds the scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// A stored key: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Public id, 8 base62 characters.
    pub id: String,
    /// The tenant it speaks for.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// HMAC-SHA-256(pepper, secret).
    pub secret_hmac: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stopped working, if it did.
    pub revoked_at: Option<Timestamp>,
}

/// The server-side secret under which API key secrets are hashed.
#[derive(Clone)]
pub struct Pepper(SecretString);

impl Pepper {
    /// Takes the pepper's text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// HMAC-SHA-256(pepper, secret).
    pub fn hash(&self, secret: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(secret.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(..)")
    }
}

/// A freshly made key: the only moment its secret exists in clear.
#[derive(Debug)]
pub struct NewApiKey {
    /// Public id.
    pub id: String,
    /// What is stored.
    pub secret_hmac: [u8; 32],
    /// What is shown to its owner, once.
    pub token: SecretString,
}

impl NewApiKey {
    /// Makes a key out of random bytes from a cryptographic source (51 or more are used).
    pub fn generate(pepper: &Pepper, random: &[u8; 64]) -> Self {
        let text: String =
            random.iter().take(ID_LEN + SECRET_LEN).map(|b| BASE62[usize::from(*b) % 62] as char).collect();
        let (id, secret) = text.split_at(ID_LEN);
        Self {
            id: id.to_owned(),
            secret_hmac: pepper.hash(secret),
            token: SecretString::from(format!("weir_{id}_{secret}")),
        }
    }
}

/// The valid keys at one moment.
#[derive(Debug, Clone)]
pub struct KeyRing {
    keys: HashMap<String, ApiKey>,
    pepper: Pepper,
}

impl KeyRing {
    /// A ring of the given keys; revoked ones are left out.
    pub fn new(pepper: Pepper, keys: impl IntoIterator<Item = ApiKey>) -> Self {
        let keys = keys.into_iter().filter(|k| k.revoked_at.is_none()).map(|k| (k.id.clone(), k)).collect();
        Self { keys, pepper }
    }

    /// Who holds this token; `None` for anything else, without telling an unknown key from a wrong secret:
    /// both hash once and compare once.
    pub fn verify(&self, token: &str) -> Option<Principal> {
        let (id, secret) = split(token).unwrap_or(("", ""));
        let hashed = self.pepper.hash(secret);
        let key = self.keys.get(id);
        let expected = key.map_or([0; 32], |k| k.secret_hmac);
        let equal = bool::from(hashed.ct_eq(&expected));
        key.filter(|_| equal).map(|k| Principal {
            tenant: k.tenant.clone(),
            key_id: k.id.clone(),
            name: k.name.clone(),
            scopes: k.scopes.clone(),
        })
    }
}

fn split(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.strip_prefix("weir_")?.split_once('_')?;
    (id.len() == ID_LEN && secret.len() == SECRET_LEN).then_some((id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(revoked: bool) -> (KeyRing, String) {
        let pepper = Pepper::new("pepper");
        let made = NewApiKey::generate(&pepper, &[7; 64]);
        let at = Timestamp::from_timestamp(0, 0).expect("epoch");
        let key = ApiKey {
            id: made.id,
            tenant: TenantId::new("acme").expect("valid"),
            name: "ci".into(),
            scopes: vec![Scope::EventsWrite],
            secret_hmac: made.secret_hmac,
            created_at: at,
            revoked_at: revoked.then_some(at),
        };
        (KeyRing::new(pepper, [key]), made.token.expose_secret().to_owned())
    }

    #[test]
    fn a_key_verifies_until_it_is_revoked() {
        let (keys, token) = ring(false);
        let principal = keys.verify(&token).expect("valid key");
        assert_eq!(principal.tenant.as_str(), "acme");
        assert!(principal.may(Scope::EventsWrite) && !principal.may(Scope::Read));
        let (keys, token) = ring(true);
        assert_eq!(keys.verify(&token), None);
    }

    #[test]
    fn anything_else_does_not() {
        let (keys, token) = ring(false);
        let mut wrong = token.clone();
        wrong.replace_range(token.len() - 1.., if token.ends_with('a') { "b" } else { "a" });
        for bad in
            ["", "weir__", "weir_77777777_", &wrong, &token.replace("weir_", "w_"), &format!("{token}x")]
        {
            assert_eq!(keys.verify(bad), None, "{bad}");
        }
    }
}
