//! Tokens of the scripted issuer, and whom they are about.

use std::path::Path;

use anyhow::{Context, anyhow};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::TimeDelta;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use schemas::{TenantId, Timestamp};
use serde_json::{Value, json};

use super::{AUDIENCE, Refused};
use crate::{deployment::write_private, output, place, up::LOCAL_TENANT};

/// Lifetime of a token.
pub(super) const LIFETIME: TimeDelta = TimeDelta::hours(1);
/// Longest name of a subject, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// Most roles of one subject.
const MAX_ROLES: usize = 16;

/// Whom a token is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    name: String,
    is_service: bool,
    roles: Vec<String>,
    tenant: String,
}

impl Subject {
    /// A person of that name, with these roles, separated by spaces, in a tenant: the local one unless it
    /// is named.
    pub(super) fn person(name: &str, roles: &str, tenant: &str) -> Result<Self, Refused> {
        let tenant = if tenant.is_empty() { LOCAL_TENANT } else { tenant };
        let roles: Vec<String> = roles.split_whitespace().map(str::to_owned).collect();
        let fits = !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control);
        if !fits || roles.len() > MAX_ROLES || TenantId::new(tenant).is_err() {
            return Err(Refused("invalid_request"));
        }
        Ok(Self { name: name.to_owned(), is_service: false, roles, tenant: tenant.to_owned() })
    }

    /// A program.
    pub(super) fn service(name: &str, roles: &str, tenant: &str) -> Result<Self, Refused> {
        Ok(Self { is_service: true, ..Self::person(name, roles, tenant)? })
    }
}

/// Signs tokens.
pub(super) struct Signer {
    pair: EcdsaKeyPair,
    kid: String,
}

impl Signer {
    /// With the key of the file, which is made where it is missing: tokens hold over restarts.
    pub(super) fn of(file: &Path) -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        if !file.exists() {
            let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random)
                .map_err(|_| anyhow!("the operating system gives no random bytes"))?;
            write_private(file, &STANDARD.encode(made.as_ref()))?;
        }
        let unusable = || format!("{} holds no signing key; delete it to have one made", file.display());
        let pkcs8 = STANDARD.decode(place::read(file)?.trim()).with_context(unusable)?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &random)
            .map_err(|error| anyhow!("{error}"))
            .with_context(unusable)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, pair.public_key().as_ref());
        let kid = output::hex(&digest.as_ref()[..8]);
        Ok(Self { pair, kid })
    }

    /// The public key (RFC 7517).
    pub(super) fn jwk(&self) -> Value {
        // An uncompressed point: 4, x, y.
        let point = self.pair.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        })
    }

    /// A token about the subject, good from now for an hour.
    pub(super) fn token(&self, issuer: &str, subject: &Subject, now: Timestamp) -> String {
        let mut claims = json!({
            "iss": issuer, "sub": subject.name, "aud": AUDIENCE, "name": subject.name,
            "iat": now.timestamp(), "nbf": now.timestamp(), "exp": (now + LIFETIME).timestamp(),
            "jti": output::hex(&rand::random::<[u8; 8]>()),
            "roles": subject.roles, "tenant": subject.tenant,
        });
        if subject.is_service {
            claims["client_id"] = subject.name.as_str().into();
        }
        let header = json!({"alg": "ES256", "kid": self.kid, "typ": "JWT"});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.expect("the operating system gives random bytes");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
