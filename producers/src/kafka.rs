//! The Kafka producer: idempotent, with every record acknowledged by all in-sync replicas or reported with
//! the reason of its failure.

mod context;
mod delivery;
mod settings;
mod tally;

use std::{sync::Arc, time::Duration};

pub use delivery::{Acknowledged, Delivery, DeliveryFailure};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};
use schemas::{
    Envelope, TraceContext,
    codec::{self, Framing},
};
pub use settings::{MAX_RECORD_BYTES, ProducerConfig, Purpose, QUEUE_BYTES, QUEUE_RECORDS};
pub use tally::Tally;
use thiserror::Error;

use self::{
    context::Context,
    delivery::{Waiter, one_delivery},
};

/// Maximum wait for room in the queue before trying again anyway.
const ROOM_PROBE: Duration = Duration::from_millis(100);

/// Writes events to their topics. Cloning it is cheap; all clones share one connection and one queue.
#[derive(Clone)]
pub struct Producer {
    client: Arc<ThreadedProducer<Context>>,
    framing: Arc<Framing>,
    bootstrap: Arc<str>,
}

/// Error of queuing an event. The event is not in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// The queue is full: the brokers are slower than the publishers, or unreachable.
    #[error("the send queue is full; try again in a moment")]
    QueueFull,
    /// The record exceeds the maximum size.
    #[error("the record has {bytes} bytes, more than the {MAX_RECORD_BYTES} that a topic takes")]
    TooLarge {
        /// Size of key, value and headers together.
        bytes: usize,
    },
    /// The producer has failed fatally; flush it, drop it and create a new one.
    #[error("the producer failed fatally and must be replaced: {0}")]
    Fatal(String),
}

/// Error of creating a producer.
#[derive(Debug, Error)]
#[error("cannot create a Kafka producer for {bootstrap}; check its settings")]
pub struct SetupError {
    /// Configured bootstrap servers.
    pub bootstrap: String,
    /// Error of the client library.
    #[source]
    pub source: KafkaError,
}

/// Health of the connection to the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// A broker is connected, or none was needed yet.
    Ready,
    /// No broker is reachable; records are queued meanwhile.
    Unreachable,
    /// Fatal error; see [`SendError::Fatal`].
    Fatal(String),
}

impl Producer {
    /// Creates the client and its polling thread. Connects in the background: unreachable brokers are not an
    /// error.
    pub fn new(config: &ProducerConfig, framing: Framing) -> Result<Self, SetupError> {
        let settings: ClientConfig = config.to_client();
        let client = settings
            .create_with_context(Context::new())
            .map_err(|source| SetupError { bootstrap: config.bootstrap.clone(), source })?;
        let bootstrap = config.bootstrap.as_str().into();
        Ok(Self { client: Arc::new(client), framing: Arc::new(framing), bootstrap })
    }

    /// Bootstrap servers.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Queues one event for its topic; the returned future resolves when the event is acknowledged or has
    /// failed.
    ///
    /// Never blocks: a full queue is an error.
    pub fn send(&self, envelope: &Envelope) -> Result<Delivery, SendError> {
        self.send_within(envelope, envelope.trace.as_ref())
    }

    /// Like [`Producer::send`], with the trace of the current request in the `traceparent` header
    /// instead of the trace in which the event was created.
    pub fn send_within(
        &self,
        envelope: &Envelope,
        hop: Option<&TraceContext>,
    ) -> Result<Delivery, SendError> {
        let record = self.encode(envelope, hop);
        let (waiter, delivery) = one_delivery(envelope.event.topic(), record.bytes);
        match self.enqueue(&record, waiter) {
            Ok(()) => Ok(delivery),
            Err((SendProblem::Now(error), _)) => Err(error),
            Err((SendProblem::Undeliverable(failure), waiter)) => {
                self.context().note_refusal(waiter.topic, &failure);
                waiter.resolve(Err(failure));
                Ok(delivery)
            }
        }
    }

    /// Queues one event of many, waiting for room instead of failing; `tally` counts its acknowledgement.
    ///
    /// Cancelling the wait leaves the event unsent and uncounted.
    pub async fn send_tallied(&self, envelope: &Envelope, tally: &Arc<Tally>) -> Result<(), SendError> {
        let record = self.encode(envelope, envelope.trace.as_ref());
        let mut waiter = Box::new(Waiter::many(envelope.event.topic(), Arc::clone(tally)));
        loop {
            let room = self.context().room.notified();
            tally.count_sent();
            match self.enqueue(&record, waiter) {
                Ok(()) => return Ok(()),
                Err((SendProblem::Undeliverable(failure), unsent)) => {
                    self.context().note_refusal(unsent.topic, &failure);
                    unsent.resolve(Err(failure));
                    return Ok(());
                }
                Err((SendProblem::Now(error), unsent)) => {
                    tally.uncount_sent();
                    if error != SendError::QueueFull {
                        return Err(error);
                    }
                    waiter = unsent;
                }
            }
            // The wait has an end of its own: should a notice reach another waiter, this one looks again.
            drop(tokio::time::timeout(ROOM_PROBE, room).await);
        }
    }

    /// Waits at most this long until every queued record is acknowledged or has failed.
    /// Returns the number of records still in flight.
    pub async fn flush(&self, at_most: Duration) -> usize {
        let client = Arc::clone(&self.client);
        let flushed = tokio::task::spawn_blocking(move || client.flush(at_most)).await;
        match flushed {
            Ok(Ok(())) => 0,
            Ok(Err(_)) | Err(_) => self.in_flight(),
        }
    }

    /// Records that are queued or sent and not yet acknowledged.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.client.in_flight_count()).unwrap_or(0)
    }

    /// Health of the connection to the brokers.
    pub fn health(&self) -> Health {
        match self.client.client().fatal_error() {
            Some((code, reason)) => Health::Fatal(format!("{reason} ({code})")),
            None if self.context().unreachable() => Health::Unreachable,
            None => Health::Ready,
        }
    }

    fn context(&self) -> &Context {
        self.client.client().context()
    }
}

/// A record that is being sent.
struct Outgoing {
    topic: &'static str,
    encoded: codec::Encoded,
    bytes: usize,
}

enum SendProblem {
    Now(SendError),
    Undeliverable(DeliveryFailure),
}

impl Producer {
    fn encode(&self, envelope: &Envelope, hop: Option<&TraceContext>) -> Outgoing {
        let mut encoded = codec::encode(envelope, &self.framing);
        if let Some(hop) = hop {
            encoded.headers.push(("traceparent", hop.traceparent.clone().into_bytes()));
            if let Some(state) = &hop.tracestate {
                encoded.headers.push(("tracestate", state.clone().into_bytes()));
            }
        }
        let headers: usize = encoded.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let bytes = encoded.key.len() + encoded.value.len() + headers;
        Outgoing { topic: envelope.event.topic().name(), encoded, bytes }
    }

    fn enqueue(&self, record: &Outgoing, waiter: Box<Waiter>) -> Result<(), (SendProblem, Box<Waiter>)> {
        if record.bytes > MAX_RECORD_BYTES {
            return Err((SendProblem::Now(SendError::TooLarge { bytes: record.bytes }), waiter));
        }
        let mut headers = OwnedHeaders::new_with_capacity(record.encoded.headers.len());
        for (key, value) in &record.encoded.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let message = BaseRecord::with_opaque_to(record.topic, waiter)
            .key(&record.encoded.key)
            .payload(&record.encoded.value)
            .headers(headers);
        self.client.send(message).map_err(|(error, unsent)| {
            let problem = match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => SendProblem::Now(SendError::QueueFull),
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    SendProblem::Now(SendError::TooLarge { bytes: record.bytes })
                }
                Some(RDKafkaErrorCode::Fatal) => SendProblem::Now(SendError::Fatal(self.fatal_reason())),
                _ => SendProblem::Undeliverable(DeliveryFailure::of(&error)),
            };
            (problem, unsent.delivery_opaque)
        })
    }

    fn fatal_reason(&self) -> String {
        match self.health() {
            Health::Fatal(reason) => reason,
            Health::Ready | Health::Unreachable => "the client library gives no reason".into(),
        }
    }
}

#[cfg(test)]
mod tests;
