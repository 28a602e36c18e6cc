//! Decisions of operators about a stage's partition, as events of the audit log.

use schemas::{
    Envelope, Event, EventId, Source, TenantId, Timestamp,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus, Resource},
    text::one_line,
};
use sqlx::PgConnection;

use super::PositionChange;
use crate::event_outbox;

/// Longest reason that goes into an event; the gap keeps all of it.
const MAX_MESSAGE_CHARS: usize = 1_000;

/// Person or script that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Their name, for people.
    pub name: String,
    /// Tenant whose audit log records the decision.
    pub tenant: TenantId,
}

/// A decision that was taken.
pub(crate) struct Decision<'a> {
    pub(crate) change: &'a PositionChange,
    pub(crate) by: &'a Operator,
    /// Action in one word, as the audit log lists it.
    pub(crate) action: &'static str,
    /// Explanation of the decision, with its reason.
    pub(crate) message: String,
    pub(crate) at: Timestamp,
}

impl Decision<'_> {
    /// Leaves the event for a gateway, in the transaction that carries the decision out, or in an earlier one. Stages and
    /// commands may not write events to Kafka.
    pub(crate) async fn announce(self, tx: &mut PgConnection) -> sqlx::Result<()> {
        event_outbox::write(tx, &[self.envelope()]).await
    }

    fn envelope(&self) -> Envelope {
        let PositionChange { stage, partition } = self.change;
        let place = format!("{stage}/{}/{}", partition.topic, partition.partition);
        Envelope {
            id: EventId::at(self.at, rand::random()),
            tenant: self.by.tenant.clone(),
            source: Source::new("/weir/stage").expect("a URI reference"),
            subject: Some(place.clone()),
            occurred_at: self.at,
            skewed: false,
            time_assumed: false,
            original_id: None,
            correlation_id: None,
            causation_id: None,
            trace: None,
            event: Event::Activity(Activity {
                kind: ActivityKind::ApiCalled,
                action: self.action.to_owned(),
                service: Some("weir".to_owned()),
                actor: Actor { kind: ActorKind::User, id: one_line(&self.by.name, 200), ..Actor::default() },
                resources: vec![Resource {
                    kind: Some("weir.stage_partition".to_owned()),
                    id: place,
                    ..Resource::default()
                }],
                outcome: Outcome {
                    status: OutcomeStatus::Success,
                    code: None,
                    message: Some(one_line(&self.message, MAX_MESSAGE_CHARS)),
                },
                read_only: Some(false),
                request_id: None,
            }),
            native: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::{
        Topic,
        codec::{Decoded, Framing, Incoming, NoRegistry, decode, encode},
    };

    use super::*;
    use crate::batch::TopicPartition;

    #[test]
    fn a_decision_is_an_event_that_every_stage_can_read() {
        let partition = TopicPartition { topic: Topic::Usage, partition: 3 };
        let change = PositionChange { stage: "audit".into(), partition };
        let by = Operator { name: "ada\n\0".repeat(500), tenant: TenantId::new("acme").expect("valid") };
        let message = "\0".repeat(5_000);
        let at = Timestamp::from_timestamp(1_780_000_000, 123_000).expect("a time");
        let decision = Decision { change: &change, by: &by, action: "AcceptGap", message, at };
        let (first, second) = (decision.envelope(), decision.envelope());
        assert_ne!(first.id, second.id);
        let encoded = encode(&first, &Framing::SingleObject);
        let headers: Vec<_> =
            encoded.headers.iter().map(|(name, value)| (*name, Some(value.as_slice()))).collect();
        let incoming = Incoming {
            topic: Topic::Activity,
            key: Some(&encoded.key),
            value: Some(&encoded.value),
            headers: &headers,
            timestamp_ms: at.timestamp_millis(),
        };
        let decoded = decode(&incoming, &NoRegistry).expect("it is not parked");
        let Decoded::Event(event) = decoded else { panic!("an event") };
        assert_eq!(*event, first);
    }
}
