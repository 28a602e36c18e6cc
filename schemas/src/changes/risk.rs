//! Facts that the risk processor hands to its sink: signals, correlation parts, and decisions on entities and
//! incidents.
//!
//! Hazard is counted in micronats (millionths of a nat): a signal of score *s* adds −ln(1 − s/100).

use std::{
    borrow::Cow,
    fmt,
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::correlation::{CorrelationPart, Sightings};
use crate::{EventId, TenantId, Timestamp};

/// The processor and its stage.
pub const STAGE: &str = "risk";
/// Maximum length of an entity's id, in bytes; a longer one is cut and ends in its hash.
pub const MAX_ENTITY_BYTES: usize = 512;
/// Maximum length of a rule's id, in bytes; a longer one is cut and ends in its hash.
pub const MAX_RULE_ID_BYTES: usize = 200;
/// Highest score of one signal: certainty would be infinite hazard.
pub const MAX_SCORE: u8 = 99;

/// A fact that risk is computed from. Facts are stored once; everything else is computed from the set of
/// them.
#[derive(Debug, Clone, PartialEq)]
pub enum RiskChange {
    /// A rule fired on an event and touched an entity.
    Signal(Box<RiskSignal>),
    /// A decision on the weight of an entity's hazard.
    Weight(Box<EntityWeight>),
    /// A triage decision on an incident.
    Triage(Box<IncidentTriage>),
    /// An event that a correlation rule counts.
    Part(Box<CorrelationPart>),
    /// Values of an event of which the first event of each counts.
    Sightings(Box<Sightings>),
    /// An event that should have counted and cannot be read.
    Unusable(Box<UnusableEvent>),
}

/// A rule fired on an event and touched an entity: one row per event, rule and entity.
#[derive(Debug, Clone, PartialEq)]
pub struct RiskSignal {
    /// Tenant of the event.
    pub tenant: TenantId,
    /// The event on which the rule fired.
    pub event_id: EventId,
    /// Time of the event.
    pub occurred_at: Timestamp,
    /// Entity that the signal is about.
    pub entity: Entity,
    /// The rule.
    pub rule: Arc<SignalRule>,
    /// Score, 1 to 99.
    pub score: u8,
    /// Hazard that it adds to the entity: [`hazard_micronats`] of the score, or half of it for an owner.
    pub hazard_micronats: i64,
    /// Dedupe key: signals of one rule and entity within an hour count once for each key. Often empty.
    pub dedupe_key: String,
    /// Evidence from the event.
    pub evidence: Arc<SignalEvidence>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// The rule that fired, as outputs name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalRule {
    /// Id of the rule.
    pub id: String,
    /// Version of the rule; changes with its text.
    pub version: String,
    /// Title of the rule.
    pub title: String,
    /// Author of the rule.
    pub author: Option<String>,
    /// File that the rule was loaded from.
    pub file: String,
    /// Level of the rule.
    pub level: SignalLevel,
    /// Names of ATT&CK tactics, for example `initial-access`; sorted, each once.
    pub tactics: Vec<String>,
    /// Ids of ATT&CK techniques, for example `T1078.004`; sorted, each once.
    pub techniques: Vec<String>,
}

/// Evidence of a signal: actor, action and the matched fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalEvidence {
    /// Actor as the event names it; empty when it names nobody.
    pub actor: String,
    /// Action, in the source's words.
    pub action: String,
    /// The event's `CloudEvents` `source`.
    pub source: String,
    /// The native record's format.
    pub native_format: String,
    /// The fields that matched and their values: a JSON object of at most 4 KiB.
    pub matched: String,
}

/// Decision on the weight of an entity's hazard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityWeight {
    /// Tenant of the entity.
    pub tenant: TenantId,
    /// Id of the event that contains the decision.
    pub event_id: EventId,
    /// Time of the decision.
    pub decided_at: Timestamp,
    /// Time at which it expires, if it does.
    pub expires_at: Option<Timestamp>,
    /// Entity that the decision is about.
    pub entity: Entity,
    /// Source of the weight: `criticality` or `watchlist:<name>`; the latest decision of each source counts.
    pub weight_source: String,
    /// Thousandths by which hazard is multiplied: 1,000 changes nothing.
    pub factor_thousandths: i32,
    /// Name of the decision.
    pub decision: String,
    /// Reason that the actor gave.
    pub reason: Option<String>,
    /// Actor who decided.
    pub actor: String,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// Triage decision on an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentTriage {
    /// Tenant of the incident.
    pub tenant: TenantId,
    /// Id of the event that contains the decision.
    pub event_id: EventId,
    /// Time of the decision.
    pub decided_at: Timestamp,
    /// The incident.
    pub incident_id: Uuid,
    /// The entity that the incident is about.
    pub entity: Entity,
    /// The decision.
    pub decision: TriageDecision,
    /// Rules whose hazard no longer counts, for a false positive.
    pub rules: Vec<String>,
    /// Reason that the actor gave.
    pub reason: Option<String>,
    /// Actor who decided.
    pub actor: String,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// An event that should have counted and cannot be read; it is stored so that nothing is dropped silently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableEvent {
    /// Tenant of the event.
    pub tenant: TenantId,
    /// Id of the event.
    pub event_id: EventId,
    /// Time of the event.
    pub occurred_at: Timestamp,
    /// The event's `CloudEvents` `source`.
    pub source: String,
    /// The format that could not be read: a native format, or the event's kind.
    pub format: String,
    /// The reason, in a sentence.
    pub reason: String,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// An entity whose risk is tracked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entity {
    /// Kind of the entity.
    pub kind: EntityKind,
    /// Id within the tenant, at most [`MAX_ENTITY_BYTES`] long.
    id: String,
}

impl Entity {
    /// Creates an entity. Replaces control characters, cuts an id that is too long (it then ends in its
    /// hash), and writes a network address in its shortest form. `None` for a blank id, an invalid network
    /// address, and the machine's own address.
    pub fn new(kind: EntityKind, id: &str) -> Option<Self> {
        let id = id.trim();
        if id.is_empty() {
            return None;
        }
        let id =
            if kind == EntityKind::NetworkAddress { address(id)? } else { bounded(id, MAX_ENTITY_BYTES) };
        Some(Self { kind, id })
    }

    /// Id of the entity.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.id)
    }
}

fn address(text: &str) -> Option<String> {
    let address: IpAddr = text.parse().ok()?;
    let address = address.to_canonical();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

/// The text in at most `limit` bytes without control characters; a longer one is cut and ends in its hash.
pub fn bounded(text: &str, limit: usize) -> String {
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let clean: Cow<'_, str> = if text.contains(char::is_control) {
        Cow::Owned(text.chars().map(plain).collect())
    } else {
        Cow::Borrowed(text)
    };
    if clean.len() <= limit {
        return clean.into_owned();
    }
    let digest: [u8; 32] = Sha256::digest(text).into();
    let mark = format!("#{:016x}", u64::from_be_bytes(*digest.first_chunk().expect("8 of 32 bytes")));
    let kept = clean.floor_char_boundary(limit.saturating_sub(mark.len()));
    format!("{}{mark}", &clean[..kept])
}

/// Kind of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    /// A person.
    User,
    /// A non-human identity of a program.
    ServiceAccount,
    /// A role that others assume.
    Role,
    /// A machine.
    Host,
    /// Any other resource that is acted on.
    Resource,
    /// A project.
    Project,
    /// A network address.
    #[serde(alias = "address")]
    NetworkAddress,
}

impl EntityKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::User,
        Self::ServiceAccount,
        Self::Role,
        Self::Host,
        Self::Resource,
        Self::Project,
        Self::NetworkAddress,
    ];

    /// The kind's name in rules, queries and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServiceAccount => "service_account",
            Self::Role => "role",
            Self::Host => "host",
            Self::Resource => "resource",
            Self::Project => "project",
            Self::NetworkAddress => "network_address",
        }
    }

    /// The kind of that name; `address` is understood as well.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "address" => Some(Self::NetworkAddress),
            name => Self::ALL.into_iter().find(|kind| kind.name() == name),
        }
    }
}

/// Severity level of a rule (Sigma `level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalLevel {
    /// For information.
    #[default]
    Informational,
    /// Rarely indicates an incident.
    Low,
    /// Should be looked at.
    Medium,
    /// Should be looked at promptly.
    High,
    /// Indicates an incident.
    Critical,
}

impl SignalLevel {
    /// Every level, lowest first.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The level's name in Sigma.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Score of a signal of this level, unless the rule states confidence and impact.
    pub const fn score(self) -> u8 {
        match self {
            Self::Informational => 5,
            Self::Low => 21,
            Self::Medium => 47,
            Self::High => 73,
            Self::Critical => 99,
        }
    }
}

/// Triage decision on an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TriageDecision {
    /// The incident is open again.
    Open,
    /// Somebody is working on it.
    Acknowledged,
    /// The incident is closed.
    Closed,
    /// A false positive: the hazard of its rules no longer counts.
    FalsePositive,
}

impl TriageDecision {
    /// Every decision.
    pub const ALL: [Self; 4] = [Self::Open, Self::Acknowledged, Self::Closed, Self::FalsePositive];

    /// Name of the decision.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
            Self::FalsePositive => "false_positive",
        }
    }

    /// The decision of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decision| decision.name() == name)
    }
}

/// −ln(1 − score/100) in millionths of a nat, rounded; scores above [`MAX_SCORE`] count as that.
pub fn hazard_micronats(score: u8) -> i64 {
    static TABLE: LazyLock<[i64; MAX_SCORE as usize + 1]> = LazyLock::new(|| {
        std::array::from_fn(|score| {
            let nats = -f64::ln_1p(-f64::from(u32::try_from(score).expect("small")) / 100.0);
            #[expect(clippy::cast_possible_truncation, reason = "at most 4,605,170")]
            let micronats = (nats * 1e6).round() as i64;
            micronats
        })
    });
    TABLE[usize::from(score.min(MAX_SCORE))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hazards_are_whole_micronats() {
        for (score, micronats) in [(0, 0), (5, 51_293), (21, 235_722), (47, 634_878), (73, 1_309_333)] {
            assert_eq!(hazard_micronats(score), micronats, "{score}");
        }
        assert_eq!((hazard_micronats(99), hazard_micronats(100)), (4_605_170, 4_605_170));
        assert_eq!(SignalLevel::ALL.map(SignalLevel::score), [5, 21, 47, 73, 99]);
    }

    #[test]
    fn an_entity_has_one_bounded_name() {
        let named = |kind, id: &str| Entity::new(kind, id).map(|entity| entity.id);
        assert_eq!(named(EntityKind::User, " ada\u{0} "), Some("ada\u{fffd}".to_owned()));
        assert_eq!(named(EntityKind::User, " \t"), None);
        let (long, other) = ("ä".repeat(400), format!("{}x", "ä".repeat(399)));
        let (cut, other) = (named(EntityKind::Resource, &long), named(EntityKind::Resource, &other));
        assert!(cut.as_ref().is_some_and(|id| id.len() <= MAX_ENTITY_BYTES && id.len() > 500));
        assert_ne!(cut, other);
        for (written, expected) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("::ffff:203.0.113.7", Some("203.0.113.7")),
            ("2001:DB8:0:0::1", Some("2001:db8::1")),
            ("127.0.0.1", None),
            ("::", None),
            ("ec2.amazonaws.com", None),
            ("203.0.113.7:443", None),
        ] {
            assert_eq!(named(EntityKind::NetworkAddress, written).as_deref(), expected, "{written}");
        }
    }
}
