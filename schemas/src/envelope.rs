//! The envelope: `CloudEvents` 1.0 attributes around one event, with the source's own record beside it.

use std::{borrow::Cow, fmt, sync::Arc};

use bytestring::ByteString;
use chrono::{DateTime, TimeDelta, Utc};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{canonical_json::with_canonical_json, events::Event};

/// An instant in UTC. Stored to the microsecond, as Postgres does.
pub type Timestamp = DateTime<Utc>;

/// An event with its publisher, time and source's record.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Unique within the tenant; a resend carries the same id.
    pub id: EventId,
    /// The publisher's `CloudEvents` `id`, if [`id`](Self::id) was derived from it and the source.
    pub original_id: Option<String>,
    /// Tenant of the event: from a credential or a trusted topic, never guessed.
    pub tenant: TenantId,
    /// `CloudEvents` `source`: the system that observed the fact.
    pub source: Source,
    /// `CloudEvents` `subject`: the subject of the event within its source.
    pub subject: Option<String>,
    /// `CloudEvents` `time`: when it happened, by the source's clock.
    pub occurred_at: Timestamp,
    /// Whether that time is [ahead](Envelope::is_ahead_of) of the time of reception, so that it cannot be
    /// true. Set by the receiver; not part of the content.
    pub skewed: bool,
    /// Whether the event has no time of its own, so that `occurred_at` is the time of reception or another
    /// substitute. Such a time is not part of the content: a retry is received later and is the same event.
    pub time_assumed: bool,
    /// Correlation id that events of one operation share (`ce_correlationid`).
    pub correlation_id: Option<String>,
    /// Id of the event that caused this one (`ce_causationid`).
    pub causation_id: Option<String>,
    /// The trace in which the event was created (`ce_traceparent`).
    pub trace: Option<TraceContext>,
    /// The event: kind and data.
    pub event: Event,
    /// The source's own record, verbatim; detection rules read it.
    pub native: Option<Native>,
}

/// Largest lead of a source's clock over the receiver's before the event counts as skewed.
const MAX_SKEW: TimeDelta = TimeDelta::minutes(5);

impl Envelope {
    /// Whether an event of that time was received more than five minutes before it happened.
    pub fn is_ahead_of(occurred_at: Timestamp, received_at: Timestamp) -> bool {
        received_at.checked_add_signed(MAX_SKEW).is_some_and(|limit| occurred_at > limit)
    }

    /// SHA-256 over the event's content, each part length-prefixed. Two events with one id and one hash are
    /// the same fact sent twice; with different hashes they are a conflict.
    ///
    /// - For a record that Weir itself maps ([`native_format::is_mapped`]): the tenant, the format and the
    ///   record by value ([`crate::canonical_json()`]). The mapping may improve from version to version
    ///   without changing the content.
    /// - For any other event: tenant, source, type, subject, time unless it was [assumed](Self::time_assumed),
    ///   event ([`Event::canonical_bytes`]), and the native record by value.
    pub fn content_sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(self.tenant.as_str().as_bytes());
        if !self.native.as_ref().is_some_and(|native| native_format::is_mapped(&native.format)) {
            part(self.source.as_str().as_bytes());
            part(self.event.ce_type().as_bytes());
            part(self.subject.as_deref().unwrap_or_default().as_bytes());
            if self.time_assumed {
                part(&[]);
            } else {
                part(&self.occurred_at.timestamp_micros().to_be_bytes());
            }
            part(&self.event.canonical_bytes());
        }
        if let Some(native) = &self.native {
            part(native.format.as_bytes());
            match native.carried() {
                Some(record) => with_canonical_json(&record, part),
                None => with_canonical_json(&native.record, part),
            }
        }
        hash.finalize().into()
    }
}

/// The identity of an event within its tenant: a UUID of Weir's own, or derived from source and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// The id with that UUID; `None` for the nil UUID.
    pub fn new(id: Uuid) -> Option<Self> {
        (!id.is_nil()).then_some(Self(id))
    }

    /// A new time-ordered id (`UUIDv7`) at the given instant.
    pub fn at(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// The id for a `CloudEvents` (source, id) pair, which identifies an event: a `UUIDv8` of SHA-256(tenant,
    /// source, id), even if the id is itself a UUID; source and id are case-sensitive. `None` for an empty id.
    pub fn from_source(tenant: &TenantId, source: &Source, id: &str) -> Option<Self> {
        (!id.is_empty()).then(|| Self::derived(tenant, source.as_str(), id.as_bytes()))
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

    /// Whether a text is the id as it is [displayed](fmt::Display).
    pub fn is_written(&self, text: &str) -> bool {
        text == self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer())
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

/// Id of a tenant: 1 to 64 characters of `[A-Za-z0-9._-]`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Arc<str>);

/// An invalid tenant id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tenant {0:?} is not 1 to 64 characters of A-Z a-z 0-9 . _ - beginning with a letter or digit")]
pub struct InvalidTenant(String);

impl TenantId {
    /// Checks a tenant id.
    pub fn new(name: &str) -> Result<Self, InvalidTenant> {
        let good = (1..=64).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if good { Ok(Self(name.into())) } else { Err(InvalidTenant(name.chars().take(80).collect())) }
    }

    /// The id.
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

/// An invalid `source`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source must be a URI reference of 1 to 512 characters without spaces or control characters")]
pub struct InvalidSource;

impl Source {
    /// Checks a source.
    pub fn new(uri: impl Into<Cow<'static, str>>) -> Result<Self, InvalidSource> {
        let uri = uri.into();
        let good = (1..=512).contains(&uri.len()) && !uri.chars().any(|c| c.is_control() || c == ' ');
        if good { Ok(Self(uri)) } else { Err(InvalidSource) }
    }

    /// The URI reference.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the source is reserved for Weir: `weir`, `weir:…`, `/weir` and `/weir/…`, however they are written: in
    /// another case, percent-encoded, with empty or dot segments, a query or a fragment. Publishers may not use it.
    pub fn is_reserved(&self) -> bool {
        let plain = percent_decode_str(&self.0).decode_utf8_lossy().to_lowercase();
        // A name with a scheme of somebody else's is theirs, whatever follows.
        let is_schemes = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if let Some((scheme, _)) = plain.split_once(':')
            && scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.chars().all(is_schemes)
        {
            return scheme == "weir";
        }
        let mut path = Vec::new();
        for segment in plain.split(['?', '#', ';']).next().unwrap_or_default().split(['/', '\\']) {
            match segment.trim_matches(|c: char| !c.is_alphanumeric() && c != '.') {
                "" | "." => {}
                ".." => drop(path.pop()),
                _ => path.push(segment),
            }
        }
        path.first().is_some_and(|first| first.trim_matches(|c: char| !c.is_alphanumeric()) == "weir")
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

impl Native {
    /// The Kubernetes audit event that AKS wraps as text in a record of its own; wrapped or not, it is one
    /// event.
    fn carried(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Record {
            properties: Properties,
        }
        #[derive(Deserialize)]
        struct Properties {
            log: String,
        }
        let may_carry =
            self.format == native_format::KUBERNETES_AUDIT && self.record.contains("\"properties\"");
        let record: Record = may_carry.then(|| serde_json::from_str(&self.record).ok()).flatten()?;
        Some(record.properties.log).filter(|log| log.trim_start().starts_with('{'))
    }
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
    /// Data of a `CloudEvents` event of an unknown type.
    pub const CLOUDEVENTS: &str = "cloudevents";
    /// The `data_base64` of a `CloudEvents` event of an unknown type, still encoded.
    pub const CLOUDEVENTS_BASE64: &str = "cloudevents.base64";
    /// Google Cloud audit log entry (`LogEntry`), JSON.
    pub const GCP_AUDIT: &str = "gcp.audit";
    /// Azure activity log record, JSON.
    pub const AZURE_ACTIVITY: &str = "azure.activity";
    /// Entra (Azure AD) audit log record, JSON.
    pub const AZURE_AUDIT: &str = "azure.audit";
    /// Entra (Azure AD) sign-in log record, JSON.
    pub const AZURE_SIGNIN: &str = "azure.signin";
    /// `CDEvents` event, JSON.
    pub const CDEVENTS: &str = "cdevents";
    /// A configuration item of AWS Config.
    pub const AWS_CONFIG: &str = "aws.config";
    /// A row of Azure Resource Graph: a resource of Azure Resource Manager, JSON.
    pub const AZURE_RESOURCE: &str = "azure.resource";
    /// An asset of Google's Cloud Asset Inventory, JSON.
    pub const GCP_ASSET: &str = "gcp.asset";
    /// A FOCUS charge: its columns are fields of the event, so there is no native record.
    pub const FOCUS: &str = "focus";

    /// Decision of Weir's policies about a document, JSON.
    pub const POLICY_DECISION: &str = "weir.policy_decision";

    /// Anomaly of costs that Weir found, JSON.
    pub const COST_ANOMALY: &str = "weir.cost_anomaly";

    /// Whether Weir maps records of that format to events: such an event is determined by its record alone.
    pub fn is_mapped(format: &str) -> bool {
        [
            CLOUDTRAIL,
            KUBERNETES_AUDIT,
            GITHUB_AUDIT,
            GITHUB_WEBHOOK,
            OKTA_SYSTEM_LOG,
            TERRAFORM_PLAN,
            GCP_AUDIT,
            AZURE_ACTIVITY,
            AZURE_AUDIT,
            AZURE_SIGNIN,
            CDEVENTS,
            AWS_CONFIG,
            AZURE_RESOURCE,
            GCP_ASSET,
            FOCUS,
        ]
        .contains(&format)
    }
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
    fn an_event_is_identified_by_its_source_and_id_whatever_the_id_looks_like() {
        let tenant = TenantId::new("acme").expect("valid");
        let id = |source: &'static str, text: &str| {
            EventId::from_source(&tenant, &Source::new(source).expect("valid"), text)
        };
        assert_eq!(id("/s", ""), None);
        for text in
            ["order-7", "0192f0c1-2345-7abc-8def-0123456789ab", "00000000-0000-0000-0000-000000000000"]
        {
            let derived = id("/s", text).expect("an id");
            assert_eq!(derived.as_uuid().get_version_num(), 8);
            assert_eq!(Some(derived), id("/s", text));
            assert_ne!(Some(derived), id("/S", text), "sources are compared with case");
            assert_ne!(Some(derived), id("/other", text));
        }
        assert_ne!(
            id("/s", "a9743b0c-2345-4abc-8def-0123456789ab"),
            id("/s", "A9743B0C-2345-4ABC-8DEF-0123456789AB")
        );
    }

    #[test]
    fn a_source_cannot_pass_for_weir_itself() {
        let reserved = |text: &str| Source::new(text.to_owned()).expect("a source").is_reserved();
        for own in [
            "weir:command",
            "WEIR:x",
            "weir:",
            "/weir/stage",
            "/weir",
            "/Weir/risk",
            "//weir/x",
            "/./weir/x",
            "/%77eir/stage",
            "weir%3acommand",
            "./weir/x",
            "../weir/x",
            "/a/../weir/x",
            "/weir?x",
            "/weir#x",
            "/weir;v=1",
            "weir",
            "weir/stage",
            "weir?x",
            "\\weir\\stage",
            "/\u{200b}weir/stage",
            "/.%2fweir/stage",
        ] {
            assert!(reserved(own), "{own}");
        }
        for other in [
            "/weird",
            "/app/weir",
            "urn:weir:source:aws",
            "weird:x",
            "https://weir.example.com/",
            "http:weir",
            "a:/weir/x",
            "weir.example.com/x",
            "/weir/../app",
            "/",
        ] {
            assert!(!reserved(other), "{other}");
        }
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
