//! What correlation rules ask for: events that count together, and when they are enough.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::risk::{Entity, RiskSignal, SignalEvidence, SignalRule};
use crate::{EventId, TenantId, Timestamp};

/// An event that a correlation rule counts: one row per event, correlation rule and rule that it refers to.
///
/// The event *completes* the rule's condition if the events of its group in the `timespan` that ends with it, those of
/// the same instant included, satisfy its terms. Of each clock hour the first event of a group that does becomes a signal
/// of the correlation rule: the condition is reported once, however long it holds. More events only ever complete more,
/// so which ones are reported depends on the set of events and not on the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrelationPart {
    /// Whose.
    pub tenant: TenantId,
    /// The event.
    pub event_id: EventId,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The group within which events count together: the values of the `group-by` fields.
    pub group: String,
    /// The rule that fired, as the correlation refers to it.
    pub reference: String,
    /// What `value_count` counts; empty for other types.
    pub value: String,
    /// When the condition is satisfied, by the version of the rule under which the event was seen.
    pub terms: CorrelationTerms,
    /// The correlation rule.
    pub rule: Arc<SignalRule>,
    /// What the event becomes once it completes the condition.
    pub signal: CorrelationSignal,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// When a correlation's condition is satisfied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CorrelationTerms {
    /// How far back events count, in seconds.
    pub timespan_seconds: u32,
    /// What they must amount to.
    pub condition: CorrelationCondition,
}

/// What the events of a group must amount to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorrelationCondition {
    /// So many events.
    EventCount(u64),
    /// So many different values.
    ValueCount(u64),
    /// An event of each of these rules.
    Temporal(Vec<String>),
    /// An event of each of the rules of one of these lists.
    TemporalAny(Vec<Vec<String>>),
    /// Events of so many different rules.
    TemporalCount(u64),
    /// An event of each of these rules, each no earlier than the one before it.
    TemporalOrdered(Vec<String>),
}

/// The signal of a correlation rule on one event, for everything that it touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrelationSignal {
    /// 1 to 99.
    pub score: u8,
    /// See [`RiskSignal::dedupe_key`].
    pub dedupe_key: String,
    /// What the event says.
    pub evidence: Arc<SignalEvidence>,
    /// What it touches, each with the hazard that it adds in micronats.
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
