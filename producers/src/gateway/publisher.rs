//! Destination of the gateway's events: Kafka, or a fake in tests.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, FutureExt};
use schemas::{Envelope, TraceContext, codec::Framing};
use tracing::{error, info, warn};

use crate::kafka::{
    Acknowledged, DeliveryFailure, Health, Producer, ProducerConfig, Purpose, SendError, SetupError,
};

/// Resolves when the event is acknowledged or has failed.
pub struct Delivery {
    outcome: BoxFuture<'static, Result<Acknowledged, DeliveryFailure>>,
    /// Bytes that the event takes in the send queue.
    pub(super) bytes: usize,
}

impl Delivery {
    /// The delivery of an event that takes so many bytes in the send queue.
    pub fn new(
        bytes: usize,
        outcome: impl Future<Output = Result<Acknowledged, DeliveryFailure>> + Send + 'static,
    ) -> Self {
        Self { outcome: outcome.boxed(), bytes }
    }
}

impl Future for Delivery {
    type Output = Result<Acknowledged, DeliveryFailure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.outcome.as_mut().poll(cx)
    }
}

/// Publishes events and reports the outcome of each.
pub trait Publisher: Send + Sync + 'static {
    /// Queues one event. Never waits: a full queue is an error. `hop` is the trace of the request.
    fn publish(&self, envelope: &Envelope, hop: Option<&TraceContext>) -> Result<Delivery, SendError>;

    /// As [`Self::publish`], for an event whose acknowledgement no request waits for: it may linger until others
    /// join it, so that the brokers answer one request for many.
    fn publish_unawaited(
        &self,
        envelope: &Envelope,
        hop: Option<&TraceContext>,
    ) -> Result<Delivery, SendError> {
        self.publish(envelope, hop)
    }

    /// Health of the connection to the brokers.
    fn health(&self) -> Health;

    /// Waits at most this long until everything queued is acknowledged or has failed; returns the number of
    /// the rest.
    fn flush(&self, at_most: Duration) -> BoxFuture<'_, usize>;
}

impl Publisher for Producer {
    fn publish(&self, envelope: &Envelope, hop: Option<&TraceContext>) -> Result<Delivery, SendError> {
        let sent = self.send_within(envelope, hop.or(envelope.trace.as_ref()))?;
        Ok(Delivery::new(sent.bytes(), sent))
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

/// Kafka producers that are replaced after a fatal error (of their idempotent sessions).
pub struct KafkaPublisher {
    awaited: Arc<Replaceable>,
    /// Made for the first event that no request waits for; `None` if it could not be made.
    unawaited: OnceLock<Option<Arc<Replaceable>>>,
}

struct Replaceable {
    config: ProducerConfig,
    framing: Framing,
    current: ArcSwap<Producer>,
    replacing: AtomicBool,
}

impl KafkaPublisher {
    /// Creates the first producer.
    pub fn new(config: ProducerConfig, framing: Framing) -> Result<Self, SetupError> {
        Ok(Self { awaited: Replaceable::new(config, framing)?, unawaited: OnceLock::new() })
    }

    fn unawaited(&self) -> &Arc<Replaceable> {
        let make = || {
            let Replaceable { config, framing, .. } = &*self.awaited;
            let config = ProducerConfig { purpose: Purpose::Unawaited, ..config.clone() };
            let made = Replaceable::new(config, framing.clone());
            made.inspect_err(
                |error| error!(%error, "cannot create a second Kafka producer; one does for both"),
            )
            .ok()
        };
        self.unawaited.get_or_init(make).as_ref().unwrap_or(&self.awaited)
    }
}

impl Replaceable {
    fn new(config: ProducerConfig, framing: Framing) -> Result<Arc<Self>, SetupError> {
        let current = ArcSwap::from_pointee(Producer::new(&config, framing.clone())?);
        Ok(Arc::new(Self { config, framing, current, replacing: AtomicBool::new(false) }))
    }

    /// Starts to replace the producer, unless a replacement is under way. Not ready meanwhile.
    fn start_to_replace(self: &Arc<Self>) {
        if self.replacing.swap(true, Ordering::AcqRel) {
            return;
        }
        let replaceable = Arc::clone(self);
        tokio::spawn(async move {
            replaceable.replace().await;
            replaceable.replacing.store(false, Ordering::Release);
        });
    }

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

    fn publish(
        self: &Arc<Self>,
        envelope: &Envelope,
        hop: Option<&TraceContext>,
    ) -> Result<Delivery, SendError> {
        let sent = self.current.load().publish(envelope, hop);
        if matches!(sent, Err(SendError::Fatal(_))) {
            self.start_to_replace();
        }
        sent
    }
}

impl Publisher for KafkaPublisher {
    fn publish(&self, envelope: &Envelope, hop: Option<&TraceContext>) -> Result<Delivery, SendError> {
        self.awaited.publish(envelope, hop)
    }

    fn publish_unawaited(
        &self,
        envelope: &Envelope,
        hop: Option<&TraceContext>,
    ) -> Result<Delivery, SendError> {
        self.unawaited().publish(envelope, hop)
    }

    fn health(&self) -> Health {
        let health = Producer::health(&self.awaited.current.load());
        if matches!(health, Health::Fatal(_)) {
            self.awaited.start_to_replace();
        }
        health
    }

    fn flush(&self, at_most: Duration) -> BoxFuture<'_, usize> {
        let awaited = self.awaited.current.load_full();
        let unawaited = self.unawaited.get().and_then(Option::as_ref).map(|other| other.current.load_full());
        async move {
            let rest = async {
                match unawaited {
                    Some(unawaited) => unawaited.flush(at_most).await,
                    None => 0,
                }
            };
            let (one, other) = tokio::join!(awaited.flush(at_most), rest);
            one + other
        }
        .boxed()
    }
}
