//! API keys: generation, storage and verification.
//!
//! Format of a key: `weir_<8-character id>_<43 base62 characters>`. It is shown once; only
//! HMAC-SHA-256(pepper, secret) is stored.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use hmac::{Hmac, KeyInit, Mac};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

use super::{KeyHolder, Scope};
use crate::{TenantId, Timestamp};

/// Maximum length of a credential, in bytes; longer ones are rejected unread.
pub const MAX_CREDENTIAL_BYTES: usize = 8 * 1024;
/// Minimum length of a pepper, in bytes.
pub const MIN_PEPPER_BYTES: usize = 32;
const ID_LEN: usize = 8;
const SECRET_LEN: usize = 43;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A stored key: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Public id, 8 base62 characters.
    pub id: String,
    /// Public id of the first key of its rotations, if it is a successor.
    pub succeeds: Option<String>,
    /// Tenant of the key.
    pub tenant: TenantId,
    /// Name for people.
    pub name: String,
    /// Scopes of the key.
    pub scopes: Vec<Scope>,
    /// HMAC-SHA-256(pepper, secret).
    pub secret_hmac: [u8; 32],
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of revocation, if revoked.
    pub revoked_at: Option<Timestamp>,
    /// Time of expiry, if any.
    pub expires_at: Option<Timestamp>,
    /// Time of the last use, to about an hour; `None` if never used.
    pub last_used_at: Option<Timestamp>,
    /// The `CloudEvents` sources that the key may publish for ([`KeyHolder::sources`]); empty for all.
    pub sources: Vec<String>,
    /// Networks that the key may be used from; empty for all.
    pub networks: Vec<IpNet>,
}

/// The server-side secret under which API key secrets are hashed.
#[derive(Clone)]
pub struct Pepper(SecretString);

/// A pepper that is too short.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the pepper of the API keys has {bytes} bytes; take at least {MIN_PEPPER_BYTES}, for example of \
     `openssl rand -hex 32`"
)]
pub struct ShortPepper {
    /// Length of the given pepper.
    pub bytes: usize,
}

impl Pepper {
    /// Takes a text of any length: for tests and [`Pepper::checked`].
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Takes a text of at least [`MIN_PEPPER_BYTES`].
    pub fn checked(text: impl Into<String>) -> Result<Self, ShortPepper> {
        let text = text.into();
        if text.len() < MIN_PEPPER_BYTES {
            return Err(ShortPepper { bytes: text.len() });
        }
        Ok(Self::new(text))
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

/// The pepper for new keys and, during a rotation, the previous one.
#[derive(Debug, Clone)]
pub struct Peppers {
    /// Pepper for new keys.
    pub current: Pepper,
    /// Pepper of keys that were created before the rotation.
    pub previous: Option<Pepper>,
}

impl From<Pepper> for Peppers {
    fn from(current: Pepper) -> Self {
        Self { current, previous: None }
    }
}

/// A new key, the only place where its secret exists in clear text.
#[derive(Debug)]
pub struct NewApiKey {
    /// Public id.
    pub id: String,
    /// Hash of the secret, to be stored.
    pub secret_hmac: [u8; 32],
    /// The whole key, shown to its owner once.
    pub token: SecretString,
}

impl NewApiKey {
    /// Creates a key from random bytes of a cryptographic source (51 or more are used).
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
#[derive(Debug)]
pub struct KeyRing {
    keys: HashMap<String, Held>,
    peppers: Peppers,
}

#[derive(Debug)]
struct Held {
    key: ApiKey,
    used: AtomicBool,
}

/// A verified key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedKey {
    /// Holder of the key.
    pub holder: KeyHolder,
    networks: Vec<IpNet>,
}

impl VerifiedKey {
    /// Whether the key may be used from that address.
    pub fn may_come_from(&self, address: IpAddr) -> bool {
        self.networks.is_empty()
            || self.networks.iter().any(|network| network.contains(&address.to_canonical()))
    }
}

/// Reason to refuse a token that names a known key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyFault {
    /// Its secret is not the key's.
    WrongSecret,
    /// The key has ended.
    Expired,
    /// The key was revoked.
    Revoked,
}

/// A key that a refused token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedKey {
    /// The key's public id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The tenant it spoke for.
    pub tenant: TenantId,
    /// Fault.
    pub fault: KeyFault,
}

impl KeyRing {
    /// A key ring of the given keys. Revoked and expired keys never verify; they are kept to attribute
    /// refused tokens.
    pub fn new(peppers: impl Into<Peppers>, keys: impl IntoIterator<Item = ApiKey>) -> Self {
        let held = |key: ApiKey| (key.id.clone(), Held { key, used: AtomicBool::new(false) });
        Self { keys: keys.into_iter().map(held).collect(), peppers: peppers.into() }
    }

    /// Whether the text has the form of a key.
    pub fn is_token(text: &str) -> bool {
        split(text).is_some()
    }

    /// The holder of this token; `None` for anything else.
    pub fn verify(&self, token: &str, now: Timestamp) -> Option<VerifiedKey> {
        self.check(token, now).ok()
    }

    /// The holder of this token; otherwise the known key that it names, for the log and not for the answer.
    /// Unknown keys, wrong secrets and ended keys all cost the same: one hash and one comparison for each
    /// pepper.
    pub fn check(&self, token: &str, now: Timestamp) -> Result<VerifiedKey, Option<RefusedKey>> {
        let (id, secret) = split(token).unwrap_or(("", ""));
        let held = self.keys.get(id);
        let expected = held.map_or([0; 32], |held| held.key.secret_hmac);
        let peppers = [Some(&self.peppers.current), self.peppers.previous.as_ref()];
        let equal = peppers
            .into_iter()
            .flatten()
            .fold(Choice::from(0), |equal, pepper| equal | pepper.hash(secret).ct_eq(&expected));
        let Some(held) = held else { return Err(None) };
        let ApiKey { id, succeeds, name, tenant, scopes, sources, networks, revoked_at, expires_at, .. } =
            held.key.clone();
        let fault = match (bool::from(equal), revoked_at, expires_at) {
            (false, ..) => KeyFault::WrongSecret,
            (true, Some(_), _) => KeyFault::Revoked,
            (true, None, Some(end)) if end <= now => KeyFault::Expired,
            (true, None, _) => {
                held.used.store(true, Relaxed);
                let holder = KeyHolder { id, succeeds, name, tenant, scopes, sources };
                return Ok(VerifiedKey { holder, networks });
            }
        };
        Err(Some(RefusedKey { id, name, tenant, fault }))
    }

    /// Ids of the keys that were used since this ring was created.
    pub fn used(&self) -> impl Iterator<Item = &str> {
        self.keys.values().filter(|held| held.used.load(Relaxed)).map(|held| held.key.id.as_str())
    }
}

fn split(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.strip_prefix("weir_")?.split_once('_')?;
    (id.len() == ID_LEN && secret.len() == SECRET_LEN).then_some((id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).expect("an instant")
    }

    /// A ring of one key made under that pepper, checked with these.
    fn ring(
        made_under: &Pepper,
        peppers: impl Into<Peppers>,
        change: impl FnOnce(&mut ApiKey),
    ) -> (KeyRing, String) {
        let made = NewApiKey::generate(made_under, &[7; 64]);
        let mut key = ApiKey {
            id: made.id,
            succeeds: None,
            tenant: TenantId::new("acme").expect("valid"),
            name: "ci".into(),
            scopes: vec![Scope::EventsWrite],
            secret_hmac: made.secret_hmac,
            created_at: at(0),
            revoked_at: None,
            expires_at: None,
            last_used_at: None,
            sources: Vec::new(),
            networks: Vec::new(),
        };
        change(&mut key);
        (KeyRing::new(peppers, [key]), made.token.expose_secret().to_owned())
    }

    fn plain(change: impl FnOnce(&mut ApiKey)) -> (KeyRing, String) {
        let pepper = Pepper::new("pepper");
        ring(&pepper, pepper.clone(), change)
    }

    #[test]
    fn a_key_verifies_until_it_is_revoked_or_expires() {
        let (keys, token) = plain(|_| {});
        assert_eq!(keys.used().count(), 0);
        let verified = keys.verify(&token, at(9)).expect("valid key");
        assert_eq!(
            (verified.holder.tenant.as_str(), verified.holder.scopes.as_slice()),
            ("acme", &[Scope::EventsWrite][..])
        );
        assert_eq!(keys.used().count(), 1, "its use is noticed");
        let (keys, token) = plain(|key| key.revoked_at = Some(at(0)));
        assert_eq!(keys.verify(&token, at(9)), None);
        assert_eq!(keys.used().count(), 0);
        let (keys, token) = plain(|key| key.expires_at = Some(at(10)));
        assert!(keys.verify(&token, at(9)).is_some());
        assert_eq!((keys.verify(&token, at(10)), keys.verify(&token, at(99))), (None, None));
    }

    #[test]
    fn a_refused_token_tells_the_key_that_it_names_and_what_is_wrong() {
        #[track_caller]
        fn check(change: impl FnOnce(&mut ApiKey), spoil: bool, fault: KeyFault) {
            let (keys, mut token) = plain(change);
            if spoil {
                token.replace_range(token.len() - 1.., if token.ends_with('a') { "b" } else { "a" });
            }
            let refused = keys.check(&token, at(99)).expect_err("it does not hold").expect("a known key");
            assert_eq!((refused.tenant.as_str(), refused.name.as_str()), ("acme", "ci"));
            assert!(token.contains(&refused.id));
            assert_eq!(refused.fault, fault);
        }
        check(|_| {}, true, KeyFault::WrongSecret);
        check(|key| key.expires_at = Some(at(99)), false, KeyFault::Expired);
        check(|key| key.revoked_at = Some(at(5)), false, KeyFault::Revoked);
        check(|key| key.revoked_at = Some(at(5)), true, KeyFault::WrongSecret);
        let (keys, token) = plain(|_| {});
        assert_eq!(keys.check(&token.replace("weir_7777", "weir_8888"), at(9)), Err(None));
        assert_eq!(keys.check("", at(9)), Err(None));
    }

    #[test]
    fn anything_else_does_not() {
        let (keys, token) = plain(|_| {});
        let mut wrong = token.clone();
        wrong.replace_range(token.len() - 1.., if token.ends_with('a') { "b" } else { "a" });
        for bad in
            ["", "weir__", "weir_77777777_", &wrong, &token.replace("weir_", "w_"), &format!("{token}x")]
        {
            assert_eq!(keys.verify(bad, at(9)), None, "{bad}");
        }
        assert_eq!(keys.used().count(), 0);
    }

    #[test]
    fn while_the_pepper_is_replaced_keys_of_both_hold() {
        let (old, new) = (Pepper::new("old"), Pepper::new("new"));
        let both = || Peppers { current: new.clone(), previous: Some(old.clone()) };
        for made_under in [&old, &new] {
            let (keys, token) = ring(made_under, both(), |_| {});
            assert!(keys.verify(&token, at(9)).is_some());
        }
        let (keys, token) = ring(&old, new.clone(), |_| {});
        assert_eq!(keys.verify(&token, at(9)), None, "once the old one is gone its keys end");
        let (keys, token) = ring(&Pepper::new("other"), both(), |_| {});
        assert_eq!(keys.verify(&token, at(9)), None);
    }

    #[test]
    fn a_narrowed_key_is_good_in_its_networks_only() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let (keys, token) = plain(|key| key.networks = vec!["10.0.0.0/8".parse().expect("a network")]);
        let verified = keys.verify(&token, at(9)).expect("valid");
        assert!(
            verified.may_come_from(address("10.1.2.3")) && verified.may_come_from(address("::ffff:10.1.2.3"))
        );
        assert!(!verified.may_come_from(address("192.0.2.1")));
        let (keys, token) = plain(|_| {});
        assert!(keys.verify(&token, at(9)).expect("valid").may_come_from(address("192.0.2.1")));
    }

    #[test]
    fn a_short_pepper_is_refused() {
        assert_eq!(Pepper::checked("").err(), Some(ShortPepper { bytes: 0 }));
        assert_eq!(Pepper::checked("x".repeat(31)).err(), Some(ShortPepper { bytes: 31 }));
        assert!(Pepper::checked("x".repeat(32)).is_ok());
    }
}
