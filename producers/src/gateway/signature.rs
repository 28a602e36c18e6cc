//! GitHub's signature of a webhook: `X-Hub-Signature-256: sha256=<64 lower-case hexadecimal digits>`, the
//! HMAC-SHA-256 of the body's bytes as they were sent
//! (<https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>).

use std::{collections::HashMap, fmt};

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName};
use schemas::TenantId;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

const HEADER: HeaderName = HeaderName::from_static("x-hub-signature-256");
const PREFIX: &str = "sha256=";
/// Maximum number of valid secrets of one tenant: the new one and, during a rotation, the old one.
const MAX_SECRETS: usize = 2;
/// Minimum length of a secret, in bytes: a shorter one can be guessed from one signed body.
const MIN_SECRET_BYTES: usize = 16;
/// Placeholder secret, so that an unknown tenant takes the same time as a wrong signature.
const NOBODYS: &str = "no tenant has this secret";

/// Webhook secrets by tenant.
#[derive(Clone, Default)]
pub struct WebhookSecrets(HashMap<TenantId, Vec<SecretString>>);

/// Error in the webhook secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSecrets {
    /// No secret, or too many.
    #[error("tenant {tenant} has {count} webhook secrets; give one, or two while one replaces the other")]
    Count {
        /// Tenant.
        tenant: TenantId,
        /// Number of secrets.
        count: usize,
    },
    /// A secret is too short.
    #[error(
        "a webhook secret of tenant {tenant} has {bytes} bytes; take at least {MIN_SECRET_BYTES}, for example of \
         `openssl rand -hex 32`"
    )]
    TooShort {
        /// Tenant.
        tenant: TenantId,
        /// Length of the secret.
        bytes: usize,
    },
}

impl WebhookSecrets {
    /// Sets the secrets of a tenant, all of which are valid.
    pub fn set(&mut self, tenant: TenantId, secrets: Vec<SecretString>) -> Result<(), InvalidSecrets> {
        if !(1..=MAX_SECRETS).contains(&secrets.len()) {
            return Err(InvalidSecrets::Count { tenant, count: secrets.len() });
        }
        let lengths = secrets.iter().map(|secret| secret.expose_secret().len());
        if let Some(bytes) = lengths.into_iter().find(|bytes| *bytes < MIN_SECRET_BYTES) {
            return Err(InvalidSecrets::TooShort { tenant, bytes });
        }
        self.0.insert(tenant, secrets);
        Ok(())
    }

    /// The tenant of that name, if it has secrets.
    pub(super) fn tenant(&self, name: &str) -> Option<TenantId> {
        TenantId::new(name).ok().filter(|tenant| self.0.contains_key(tenant))
    }

    /// The tenant with that name, if the body is signed with one of its secrets. An unknown tenant takes as
    /// long as a wrong signature.
    pub(super) fn verify(&self, tenant: &str, signature: &Signature, body: &[u8]) -> Option<TenantId> {
        let tenant = TenantId::new(tenant).ok();
        let secrets = tenant.as_ref().and_then(|tenant| self.0.get(tenant)).map_or(&[][..], Vec::as_slice);
        let mut holds = Choice::from(0);
        for at in 0..MAX_SECRETS {
            let secret = secrets.get(at).map_or(NOBODYS, |secret| secret.expose_secret());
            let real = Choice::from(u8::from(at < secrets.len()));
            holds |= real & hmac(secret, body).ct_eq(&signature.0);
        }
        tenant.filter(|_| bool::from(holds))
    }
}

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn hmac(secret: &str, body: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

/// HMAC that a request's header declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature([u8; 32]);

impl Signature {
    /// Parses the header; the error names the fault.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, &'static str> {
        let mut values = headers.get_all(HEADER).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err("there must be one X-Hub-Signature-256 header; set a secret for the webhook");
        };
        let text = value.to_str().map_err(|_| "X-Hub-Signature-256 is not ASCII")?;
        let digits = text.strip_prefix(PREFIX).ok_or("X-Hub-Signature-256 does not begin with sha256=")?;
        if digits.len() != 64 {
            return Err("X-Hub-Signature-256 does not have 64 digits after sha256=");
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let (high, low) = (hex_digit(pair[0]), hex_digit(pair[1]));
            let (high, low) =
                high.zip(low).ok_or("X-Hub-Signature-256 is not written in lower-case hexadecimal digits")?;
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Example of GitHub's documentation: secret, body and signature.
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNED: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn secrets(all: &[&str]) -> WebhookSecrets {
        let mut secrets = WebhookSecrets::default();
        let all = all.iter().map(|secret| SecretString::from(*secret)).collect();
        secrets.set(TenantId::new("acme").expect("a tenant"), all).expect("good secrets");
        secrets
    }

    fn read(values: &[&'static str]) -> Result<Signature, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_static(value));
        }
        Signature::of(&headers)
    }

    #[test]
    fn the_documented_example_holds_with_either_secret_and_for_nobody_else() {
        let signature = read(&[SIGNED]).expect("as documented");
        for known in [&[SECRET][..], &["another secret of 16", SECRET], &[SECRET, "another secret of 16"]] {
            let verified = secrets(known).verify("acme", &signature, BODY);
            assert_eq!(verified.as_ref().map(TenantId::as_str), Some("acme"));
            for (tenant, body) in [("acme", &b"Hello, World"[..]), ("Acme", BODY), ("", BODY), ("a/b", BODY)]
            {
                assert_eq!(secrets(known).verify(tenant, &signature, body), None, "{tenant}");
            }
        }
        assert_eq!(secrets(&["another secret of 16"]).verify("acme", &signature, BODY), None);
    }

    #[test]
    fn the_secret_that_nobody_has_signs_for_nobody() {
        let signature = Signature(hmac(NOBODYS, BODY));
        for tenant in ["acme", "unknown"] {
            assert_eq!(secrets(&[SECRET]).verify(tenant, &signature, BODY), None);
        }
    }

    #[test]
    fn a_signature_is_written_in_one_way() {
        let upper = "sha256=757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17";
        let sha1 = "sha1=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        for bad in [
            &[][..],
            &[SIGNED, SIGNED],
            &[upper],
            &[sha1],
            &["757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"],
            &["sha256=757107ea"],
            &["sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e170"],
            &["SHA256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"],
            &["sha256=g57107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn secrets_are_one_or_two_long_ones_and_never_shown() {
        let set = |all: &[&str]| {
            let all = all.iter().map(|secret| SecretString::from(*secret)).collect();
            WebhookSecrets::default().set(TenantId::new("acme").expect("a tenant"), all)
        };
        assert!(matches!(set(&[]), Err(InvalidSecrets::Count { count: 0, .. })));
        assert!(matches!(set(&[SECRET, SECRET, SECRET]), Err(InvalidSecrets::Count { count: 3, .. })));
        assert!(matches!(set(&[SECRET, ""]), Err(InvalidSecrets::TooShort { bytes: 0, .. })));
        assert_eq!(format!("{:?}", secrets(&[SECRET])), "{TenantId(\"acme\")}");
    }
}
