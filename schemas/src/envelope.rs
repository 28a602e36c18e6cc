//! The envelope: `CloudEvents` 1.0 attributes around one event, with the source's own record beside it.

use std::{borrow::Cow, fmt, sync::Arc};

use bytestring::ByteString;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::events::Event;

/// An instant in UTC. Stored to the microsecond, as Postgres does.
pub type Timestamp = DateTime<Utc>;

/// One fact, who published it, and when it happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Unique within the tenant; a resend carries the same id.
    pub id: EventId,
    /// Whose event it is. Always from a credential or a trusted topic, never guessed.
    pub tenant: TenantId,
    /// `CloudEvents` `source`: the system that observed the fact.
    pub source: Source,
    /// `CloudEvents` `subject`: what the fact is about, within its source.
    pub subject: Option<String>,
    /// `CloudEvents` `time`: when it happened, by the source's clock.
    pub occurred_at: Timestamp,
    /// Whether that was [ahead](Envelope::is_ahead_of) of when the event was received, so that it cannot be true. Told
    /// by the receiver; no part of the content.
    pub skewed: bool,
    /// Ties the events of one undertaking together (`ce_correlationid`).
    pub correlation_id: Option<String>,
    /// The event that caused this one (`ce_causationid`).
    pub causation_id: Option<String>,
    /// The trace in which the event was created (`ce_traceparent`).
    pub trace: Option<TraceContext>,
    /// What happened.
    pub event: Event,
    /// The source's own record, verbatim; detection rules read it.
    pub native: Option<Native>,
}

/// How far a source's clock may be ahead of the receiver's without being told.
const MAX_SKEW: TimeDelta = TimeDelta::minutes(5);

impl Envelope {
    /// Whether an event of that time was received more than five minutes before it happened.
    pub fn is_ahead_of(occurred_at: Timestamp, received_at: Timestamp) -> bool {
        received_at.checked_add_signed(MAX_SKEW).is_some_and(|limit| occurred_at > limit)
    }

    /// SHA-256 over the tenant, source, type, subject, time, event ([`Event::canonical_bytes`]) and native record,
    /// each length-prefixed.
    ///
    /// Two records with one id and one hash are the same fact sent twice; with two hashes they are a conflict.
    pub fn content_sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(self.tenant.as_str().as_bytes());
        part(self.source.as_str().as_bytes());
        part(self.event.ce_type().as_bytes());
        part(self.subject.as_deref().unwrap_or_default().as_bytes());
        part(&self.occurred_at.timestamp_micros().to_be_bytes());
        part(&self.event.canonical_bytes());
        if let Some(native) = &self.native {
            part(native.format.as_bytes());
            part(native.record.as_bytes());
        }
        hash.finalize().into()
    }
}

/// The identity of an event: a UUID, kept where the source has one and derived where it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// Takes a UUID as it is; `None` for the nil UUID, which identifies nothing.
    pub fn new(id: Uuid) -> Option<Self> {
        (!id.is_nil()).then_some(Self(id))
    }

    /// A new time-ordered id (`UUIDv7`) at the given instant.
    pub fn at(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// The id for a `CloudEvents` (source, id) pair: a UUID is kept (normalised); any other text becomes
    /// a `UUIDv8` of SHA-256(tenant, source, id). `None` for the nil UUID and for an empty id.
    pub fn from_source(tenant: &TenantId, source: &Source, id: &str) -> Option<Self> {
        match Uuid::try_parse(id) {
            Ok(id) => Self::new(id),
            Err(_) if id.is_empty() => None,
            Err(_) => Some(Self::derived(tenant, source.as_str(), id.as_bytes())),
        }
    }

    /// A `UUIDv8` of SHA-256 over the length-prefixed parts: equal input, equal id, on every machine.
    pub fn derived(tenant: &TenantId, scope: &str, content: &[u8]) -> Self {
        let mut hash = Sha256::new();
        for part in [tenant.as_str().as_bytes(), scope.as_bytes(), content] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Self(Uuid::new_v8(first))
    }

    /// The UUID itself.
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose data it is: 1 to 64 characters of `[A-Za-z0-9._-]`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Arc<str>);

/// A tenant's name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tenant {0:?} is not 1 to 64 characters of A-Z a-z 0-9 . _ - beginning with a letter or digit")]
pub struct InvalidTenant(String);

impl TenantId {
    /// Checks and takes a tenant's name.
    pub fn new(name: &str) -> Result<Self, InvalidTenant> {
        let good = (1..=64).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if good { Ok(Self(name.into())) } else { Err(InvalidTenant(name.chars().take(80).collect())) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TenantId {
    type Error = InvalidTenant;
    fn try_from(name: String) -> Result<Self, InvalidTenant> {
        Self::new(&name)
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.as_str().to_owned()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A `CloudEvents` `source`: a non-empty URI reference of at most 512 characters without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source(Cow<'static, str>);

/// A source that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source must be a URI reference of 1 to 512 characters without spaces or control characters")]
pub struct InvalidSource;

impl Source {
    /// Checks and takes a source.
    pub fn new(uri: impl Into<Cow<'static, str>>) -> Result<Self, InvalidSource> {
        let uri = uri.into();
        let good = (1..=512).contains(&uri.len()) && !uri.chars().any(|c| c.is_control() || c == ' ');
        if good { Ok(Self(uri)) } else { Err(InvalidSource) }
    }

    /// The URI reference.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A record as its source wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Native {
    /// The format's name, one of [`native_format`] or the publisher's own.
    pub format: String,
    /// The record's text, byte for byte; copies share its memory.
    pub record: ByteString,
}

/// Names of the native formats that Weir knows.
pub mod native_format {
    /// AWS `CloudTrail` record, JSON.
    pub const CLOUDTRAIL: &str = "aws.cloudtrail";
    /// Kubernetes `audit.k8s.io/v1` Event, JSON.
    pub const KUBERNETES_AUDIT: &str = "kubernetes.audit";
    /// GitHub audit log entry, JSON.
    pub const GITHUB_AUDIT: &str = "github.audit";
    /// GitHub webhook payload, JSON.
    pub const GITHUB_WEBHOOK: &str = "github.webhook";
    /// Okta system log event, JSON.
    pub const OKTA_SYSTEM_LOG: &str = "okta.system_log";
    /// Terraform plan, JSON.
    pub const TERRAFORM_PLAN: &str = "terraform.plan";
    /// The data of a `CloudEvents` event whose type Weir does not know.
    pub const CLOUDEVENTS: &str = "cloudevents";
    /// The `data_base64` of a `CloudEvents` event whose type Weir does not know, still encoded.
    pub const CLOUDEVENTS_BASE64: &str = "cloudevents.base64";
}

/// W3C trace context in which an event was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// `traceparent` header value.
    pub traceparent: String,
    /// `tracestate` header value.
    pub tracestate: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_kept_and_normalised_and_other_ids_are_derived() {
        let (tenant, source) = (TenantId::new("acme").expect("valid"), Source::new("/s").expect("valid"));
        let id = |text| EventId::from_source(&tenant, &source, text);
        let plain = id("0192f0c1-2345-7abc-8def-0123456789ab").expect("kept");
        assert_eq!(plain, id("{0192F0C1-2345-7ABC-8DEF-0123456789AB}").expect("normalised"));
        assert_eq!(id("00000000-0000-0000-0000-000000000000"), None);
        assert_eq!(id(""), None);
        let derived = id("order-7").expect("derived");
        assert_eq!(derived.as_uuid().get_version_num(), 8);
        assert_eq!(Some(derived), id("order-7"));
        assert_ne!(Some(derived), id("order-8"));
    }

    #[test]
    fn tenants_are_plain_names() {
        for good in ["a", "acme", "Acme-1.eu_west", &"x".repeat(64)] {
            assert!(TenantId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "ä", "a/b", "a'--", &"x".repeat(65)] {
            assert!(TenantId::new(bad).is_err(), "{bad}");
        }
    }
}
