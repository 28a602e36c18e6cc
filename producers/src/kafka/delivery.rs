//! Outcome of one record.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use schemas::Topic;
use thiserror::Error;
use tokio::sync::oneshot;

use super::Tally;

/// Position of an acknowledged record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// Topic it was written to.
    pub topic: Topic,
    /// Partition within the topic.
    pub partition: i32,
    /// Offset within the partition; negative in the rare case that a broker recognised a retry and returned
    /// none.
    pub offset: i64,
}

/// Failure of a queued record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeliveryFailure {
    /// No acknowledgement in time. The record may or may not be in Kafka; resend it with the same id.
    #[error("no acknowledgement in time; the event may or may not be stored, send it again with the same id")]
    TimedOut,
    /// The brokers cannot accept it now. Resend it with the same id.
    #[error("the brokers cannot take it now ({0}); send it again with the same id")]
    Unavailable(RDKafkaErrorCode),
    /// The record exceeds the topic's maximum size. It is not stored.
    #[error("the record exceeds the topic's maximum size")]
    TooLarge,
    /// The broker rejects it because of the configuration: missing topic or permission. It is not stored.
    #[error(
        "the broker refuses it ({0}); check that the topics exist and that this client may write to them"
    )]
    Refused(RDKafkaErrorCode),
    /// The producer has failed fatally and must be replaced. The record may or may not be stored.
    #[error("the producer failed fatally ({0})")]
    Fatal(RDKafkaErrorCode),
    /// The producer was stopped before the record was acknowledged. It may or may not be stored.
    #[error("the producer was stopped before the event was acknowledged")]
    Stopped,
}

impl DeliveryFailure {
    /// Whether the record may be in Kafka nevertheless.
    pub const fn outcome_unknown(&self) -> bool {
        !matches!(self, Self::TooLarge | Self::Refused(_))
    }

    /// Name for metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::Unavailable(_) => "unavailable",
            Self::TooLarge => "too_large",
            Self::Refused(_) => "refused",
            Self::Fatal(_) => "fatal",
            Self::Stopped => "stopped",
        }
    }

    pub(super) fn of(error: &KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        match code {
            Code::MessageTimedOut => Self::TimedOut,
            Code::MessageSizeTooLarge | Code::InvalidMessageSize => Self::TooLarge,
            Code::PurgeQueue | Code::PurgeInflight => Self::Stopped,
            Code::Fatal | Code::OutOfOrderSequenceNumber | Code::InvalidProducerEpoch => Self::Fatal(code),
            Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::InvalidTopic
            | Code::InvalidRecord
            | Code::PolicyViolation
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed => Self::Refused(code),
            code => Self::Unavailable(code),
        }
    }
}

/// Resolves when the record is acknowledged or has failed.
#[must_use = "the event is stored only when its delivery says so"]
#[derive(Debug)]
pub struct Delivery {
    outcome: oneshot::Receiver<Result<Acknowledged, DeliveryFailure>>,
    bytes: usize,
}

impl Delivery {
    /// Bytes that the record takes in the send queue.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Future for Delivery {
    type Output = Result<Acknowledged, DeliveryFailure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(cx).map(|answer| answer.unwrap_or(Err(DeliveryFailure::Stopped)))
    }
}

/// Receiver of a record's outcome; travels with the record through the client library.
pub(super) struct Waiter {
    pub(super) topic: Topic,
    whom: Whom,
}

enum Whom {
    One(oneshot::Sender<Result<Acknowledged, DeliveryFailure>>),
    Many(Arc<Tally>),
}

pub(super) fn one_delivery(topic: Topic, bytes: usize) -> (Box<Waiter>, Delivery) {
    let (sender, outcome) = oneshot::channel();
    (Box::new(Waiter { topic, whom: Whom::One(sender) }), Delivery { outcome, bytes })
}

impl Waiter {
    pub(super) fn many(topic: Topic, tally: Arc<Tally>) -> Self {
        Self { topic, whom: Whom::Many(tally) }
    }

    pub(super) fn resolve(self, answer: Result<Acknowledged, DeliveryFailure>) {
        match self.whom {
            // Nobody may be waiting any more: the request was cancelled. The record stays where it is.
            Whom::One(sender) => drop(sender.send(answer)),
            Whom::Many(tally) => tally.count(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_stored_is_told_from_what_is_not() {
        let failure = |code| DeliveryFailure::of(&KafkaError::MessageProduction(code));
        assert!(failure(RDKafkaErrorCode::MessageTimedOut).outcome_unknown());
        assert!(failure(RDKafkaErrorCode::BrokerTransportFailure).outcome_unknown());
        assert!(failure(RDKafkaErrorCode::Fatal).outcome_unknown());
        assert!(!failure(RDKafkaErrorCode::MessageSizeTooLarge).outcome_unknown());
        assert!(!failure(RDKafkaErrorCode::UnknownTopicOrPartition).outcome_unknown());
    }

    #[tokio::test]
    async fn a_producer_that_goes_away_answers_its_waiters() {
        let (waiter, delivery) = one_delivery(Topic::Activity, 0);
        drop(waiter);
        assert_eq!(delivery.await, Err(DeliveryFailure::Stopped));
    }
}
