//! Destination of the gateway's events: Kafka, or a fake in tests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, FutureExt};
use schemas::{Envelope, TraceContext, codec::Framing};
use tracing::{error, info, warn};

use crate::kafka::{Acknowledged, DeliveryFailure, Health, Producer, ProducerConfig, SendError, SetupError};

/// Resolves when the event is acknowledged or has failed.
pub type Delivery = BoxFuture<'static, Result<Acknowledged, DeliveryFailure>>;

/// Publishes events and reports the outcome of each.
pub trait Publisher: Send + Sync + 'static {
    /// Queues one event. Never waits: a full queue is an error. `hop` is the trace of the request.
    fn publish(&self, envelope: &Envelope, hop: Option<&TraceContext>) -> Result<Delivery, SendError>;

    /// Health of the connection to the brokers.
    fn health(&self) -> Health;

    /// Waits at most this long until everything queued is acknowledged or has failed; returns the number of
    /// the rest.
    fn flush(&self, at_most: Duration) -> BoxFuture<'_, usize>;
}

impl Publisher for Producer {
    fn publish(&self, envelope: &Envelope, hop: Option<&TraceContext>) -> Result<Delivery, SendError> {
        self.send_within(envelope, hop.or(envelope.trace.as_ref())).map(FutureExt::boxed)
    }

    fn health(&self) -> Health {
        Self::health(self)
    }

    fn flush(&self, at_most: Duration) -> BoxFuture<'_, usize> {
        Self::flush(self, at_most).boxed()
    }
}

/// Time that a fatally failed producer gets to settle its queue.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// A Kafka producer that is replaced after a fatal error (of its idempotent session).
pub struct KafkaPublisher(Arc<Replaceable>);

struct Replaceable {
    config: ProducerConfig,
    framing: Framing,
    current: ArcSwap<Producer>,
    replacing: AtomicBool,
}

impl KafkaPublisher {
    /// Creates the first producer.
    pub fn new(config: ProducerConfig, framing: Framing) -> Result<Self, SetupError> {
        let current = ArcSwap::from_pointee(Producer::new(&config, framing.clone())?);
        Ok(Self(Arc::new(Replaceable { config, framing, current, replacing: AtomicBool::new(false) })))
    }

    /// Starts to replace the producer, unless a replacement is under way. Not ready meanwhile.
    fn replace(&self) {
        if self.0.replacing.swap(true, Ordering::AcqRel) {
            return;
        }
        let publisher = Arc::clone(&self.0);
        tokio::spawn(async move {
            publisher.replace().await;
            publisher.replacing.store(false, Ordering::Release);
        });
    }
}

impl Replaceable {
    async fn replace(&self) {
        let failed = self.current.load_full();
        error!("the Kafka producer failed fatally; replacing it");
        let lost = failed.flush(LAST_FLUSH).await;
        if lost > 0 {
            warn!(records = lost, "the failed Kafka producer did not deliver all queued records");
        }
        match Producer::new(&self.config, self.framing.clone()) {
            Ok(fresh) => {
                self.current.store(Arc::new(fresh));
                info!("the Kafka producer was replaced");
            }
            // The next event asks again.
            Err(error) => error!(%error, "cannot create a new Kafka producer"),
        }
    }
}

impl Publisher for KafkaPublisher {
    fn publish(&self, envelope: &Envelope, hop: Option<&TraceContext>) -> Result<Delivery, SendError> {
        let sent = self.0.current.load().publish(envelope, hop);
        if matches!(sent, Err(SendError::Fatal(_))) {
            self.replace();
        }
        sent
    }

    fn health(&self) -> Health {
        let health = Producer::health(&self.0.current.load());
        if matches!(health, Health::Fatal(_)) {
            self.replace();
        }
        health
    }

    fn flush(&self, at_most: Duration) -> BoxFuture<'_, usize> {
        let current = self.0.current.load_full();
        async move { current.flush(at_most).await }.boxed()
    }
}
