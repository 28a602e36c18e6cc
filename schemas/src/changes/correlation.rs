//! Events that Sigma correlation rules count, with the conditions that groups of them must satisfy.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use super::risk::{Entity, RiskSignal, SignalEvidence, SignalRule};
use crate::{EventId, TenantId, Timestamp};

/// Maximum number of values that are kept of a `first_seen` group: the earliest ones.
pub const MAX_VALUES: u64 = 256;

/// An event that a correlation rule counts: one row per event, correlation rule and rule that it refers to.
///
/// An event *completes* the rule if the events of its group in the `timespan` that ends with it, those of the
/// same instant included, satisfy its terms. In each clock hour the first such event of a group becomes a
/// signal of the correlation rule, so that a lasting condition is reported once an hour. Completion depends
/// on the set of events and not on the order of their arrival: a further event can only complete more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrelationPart {
    /// Tenant of the event.
    pub tenant: TenantId,
    /// Id of the event.
    pub event_id: EventId,
    /// Time of the event.
    pub occurred_at: Timestamp,
    /// Group of the event: the values of the `group-by` fields.
    pub group: String,
    /// The rule that matched, as the correlation refers to it.
    pub reference: String,
    /// Value of the field that `value_count` counts or `first_seen` looks for; place of `impossible_travel`; empty for
    /// other correlation types.
    pub value: String,
    /// Condition, by the version of the rule that was in force when the event was processed.
    pub terms: CorrelationTerms,
    /// The correlation rule.
    pub rule: Arc<SignalRule>,
    /// Signal that is raised if the event completes the condition.
    pub signal: CorrelationSignal,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// Condition of a correlation rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CorrelationTerms {
    /// Length of the time window that ends with the event, in seconds.
    pub timespan_seconds: u32,
    /// Condition on the events in the window.
    pub condition: CorrelationCondition,
}

/// Condition on the events of a group within the time window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorrelationCondition {
    /// At least this many events.
    EventCount(u64),
    /// At least this many different values.
    ValueCount(u64),
    /// An event of each of these rules.
    Temporal(Vec<String>),
    /// An event of each of the rules of one of these lists.
    TemporalAny(Vec<Vec<String>>),
    /// Events of at least this many different rules.
    TemporalCount(u64),
    /// An event of each of these rules, each no earlier than the one before it.
    TemporalOrdered(Vec<String>),
    /// An event that cannot be reached from another one of the timespan at this speed, in km/h. The values are places.
    ImpossibleTravel(u64),
    /// A value that the group never had before, among the first values of the group up to this number. The timespan is the
    /// learning time of the group. See [`Sightings`].
    FirstSeen(u64),
    /// At least this many events in one of the windows that follow each other, each as long as the timespan. The group
    /// names its window, the values are the events' ids. See [`Sightings`].
    TumblingEventCount(u64),
    /// At least this many different values in one of the windows that follow each other, each as long as the timespan.
    /// The group names its window. See [`Sightings`].
    TumblingValueCount(u64),
}

impl CorrelationCondition {
    /// Number of values that decide the condition for a group, the earliest ones, if only the first event of each
    /// value counts: such conditions are decided by [`Sightings`].
    pub fn deciding_values(&self) -> Option<u64> {
        match self {
            Self::FirstSeen(_) => Some(MAX_VALUES),
            Self::TumblingEventCount(n) | Self::TumblingValueCount(n) => Some((*n).min(MAX_VALUES)),
            Self::EventCount(_)
            | Self::ValueCount(_)
            | Self::Temporal(_)
            | Self::TemporalAny(_)
            | Self::TemporalCount(_)
            | Self::TemporalOrdered(_)
            | Self::ImpossibleTravel(_) => None,
        }
    }
}

/// Parts of one event in rules of which only the first event of each value counts, one for each rule: `first_seen`, and
/// counts in windows that follow each other.
///
/// No row is stored for the event itself. Of each group and value the first event is stored. It becomes a signal of
/// `first_seen` if the group's first event lies the rule's timespan or more before it, and of a count if it is the one
/// that reaches it. The result depends on the set of events and not on the order of their arrival: a late event may move
/// a signal or remove it.
///
/// Nearly every event shows values that its groups have had for long. So the parts, with their evidence, are made only
/// for an event that shows something new.
#[derive(Debug, Clone)]
pub struct Sightings {
    /// Tenant of the event.
    pub tenant: TenantId,
    /// Id of the event.
    pub event_id: EventId,
    /// Time of the event.
    pub occurred_at: Timestamp,
    /// Value that the event shows to each of the rules.
    pub shown: Vec<Shown>,
    parts: Arc<LazyLock<Vec<CorrelationPart>, MakeParts>>,
}

/// Makes the parts of an event, one for each value that it shows, in the same order.
type MakeParts = Box<dyn FnOnce() -> Vec<CorrelationPart> + Send>;

/// A value that an event shows to a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The correlation rule.
    pub rule: Arc<SignalRule>,
    /// See [`CorrelationPart::terms`].
    pub terms: Arc<CorrelationTerms>,
    /// See [`CorrelationPart::group`].
    pub group: String,
    /// See [`CorrelationPart::value`].
    pub value: String,
}

impl Sightings {
    /// The values that an event shows. `make` makes its part for each of them, in the same order, when one is needed.
    pub fn new(
        tenant: TenantId,
        event_id: EventId,
        occurred_at: Timestamp,
        shown: Vec<Shown>,
        make: impl FnOnce() -> Vec<CorrelationPart> + Send + 'static,
    ) -> Self {
        let make: MakeParts = Box::new(make);
        Self { tenant, event_id, occurred_at, shown, parts: Arc::new(LazyLock::new(make)) }
    }

    /// Those of parts that are made; nothing if there are none.
    pub fn of_parts(parts: Vec<CorrelationPart>) -> Option<Self> {
        let first = parts.first()?;
        let (tenant, event_id, occurred_at) = (first.tenant.clone(), first.event_id, first.occurred_at);
        let shown = parts.iter().map(|part| Shown {
            rule: Arc::clone(&part.rule),
            terms: Arc::new(part.terms.clone()),
            group: part.group.clone(),
            value: part.value.clone(),
        });
        Some(Self::new(tenant, event_id, occurred_at, shown.collect(), move || parts))
    }

    /// The event's part in each of the rules, in the order of `shown`.
    pub fn parts(&self) -> &[CorrelationPart] {
        &self.parts
    }

    /// [`crate::Envelope::content_sha256`] of the event.
    pub fn content_sha256(&self) -> [u8; 32] {
        self.parts().first().map_or([0; 32], |part| part.content_sha256)
    }
}

impl PartialEq for Sightings {
    fn eq(&self, other: &Self) -> bool {
        self.tenant == other.tenant && self.event_id == other.event_id && self.parts() == other.parts()
    }
}

/// Signal of a correlation rule on one event, for every entity involved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrelationSignal {
    /// Score, 1 to 99.
    pub score: u8,
    /// See [`RiskSignal::dedupe_key`].
    pub dedupe_key: String,
    /// Evidence from the event.
    pub evidence: Arc<SignalEvidence>,
    /// Entities involved, each with the hazard that the signal adds, in micronats.
    pub touched: Vec<(Entity, i64)>,
}

impl CorrelationSignal {
    /// The signals of the event by which the condition is reported: one for each entity.
    pub fn signals(
        &self,
        tenant: &TenantId,
        rule: &Arc<SignalRule>,
        (event_id, occurred_at): (EventId, Timestamp),
        content_sha256: [u8; 32],
    ) -> Vec<RiskSignal> {
        let signal = |(entity, hazard_micronats): &(Entity, i64)| RiskSignal {
            tenant: tenant.clone(),
            event_id,
            occurred_at,
            entity: entity.clone(),
            rule: Arc::clone(rule),
            score: self.score,
            hazard_micronats: *hazard_micronats,
            dedupe_key: self.dedupe_key.clone(),
            evidence: Arc::clone(&self.evidence),
            content_sha256,
        };
        self.touched.iter().map(signal).collect()
    }
}
