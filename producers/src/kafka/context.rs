//! Callbacks of the client library: deliveries, errors, statistics.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use metrics::Counter;
use rdkafka::{
    ClientContext, Message as _,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::ProducerContext,
};
use schemas::Topic;
use serde::Deserialize;
use tokio::sync::Notify;
use tracing::{debug, error, warn};

use super::delivery::{Acknowledged, DeliveryFailure, Waiter};

pub(super) struct Context {
    /// Notified whenever a record leaves the queue.
    pub(super) room: Notify,
    unreachable: AtomicBool,
    acknowledged: [Counter; Topic::ALL.len()],
}

impl Context {
    pub(super) fn new() -> Self {
        Self {
            room: Notify::new(),
            unreachable: AtomicBool::new(false),
            acknowledged: Topic::ALL.map(|topic| {
                metrics::counter!("messaging_client_sent_messages_total",
                    "messaging_system" => "kafka", "messaging_destination_name" => topic.name())
            }),
        }
    }

    pub(super) fn unreachable(&self) -> bool {
        self.unreachable.load(Relaxed)
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Waiter>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiter: Box<Waiter>) {
        let answer = match result {
            Ok(message) => {
                self.unreachable.store(false, Relaxed);
                self.acknowledged[waiter.topic as usize].increment(1);
                let (partition, offset) = (message.partition(), message.offset());
                Ok(Acknowledged { topic: waiter.topic, partition, offset })
            }
            Err((error, _)) => {
                let failure = DeliveryFailure::of(error);
                metrics::counter!("messaging_client_sent_messages_total",
                    "messaging_system" => "kafka", "messaging_destination_name" => waiter.topic.name(),
                    "error_type" => failure.name())
                .increment(1);
                Err(failure)
            }
        };
        waiter.resolve(answer);
        self.room.notify_one();
    }
}

/// The part of librdkafka's statistics that is used (its `STATISTICS.md` describes the rest).
#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    msg_cnt: u64,
    #[serde(default)]
    msg_size: u64,
    #[serde(default)]
    brokers: HashMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    state: String,
}

impl ClientContext for Context {
    /// Failures arrive as errors or deliveries; the library's own log lines serve debugging only.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                error!(facility, line, "librdkafka");
            }
            _ => debug!(facility, line, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                if !self.unreachable.swap(true, Relaxed) {
                    warn!(reason, "no Kafka broker is reachable; events wait in the send queue");
                }
            }
            Some(RDKafkaErrorCode::Fatal) => error!(reason, "the Kafka producer failed fatally"),
            _ => warn!(%error, reason, "the Kafka producer reported an error and continues"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) else {
            warn!("the Kafka producer's statistics cannot be read");
            return;
        };
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.unreachable.store(false, Relaxed);
        }
        // Counts of a bounded queue: far below 2^52.
        #[expect(
            clippy::cast_precision_loss,
            reason = "the queue holds far fewer than 2^52 records and bytes"
        )]
        let (records, bytes) = (statistics.msg_cnt as f64, statistics.msg_size as f64);
        metrics::gauge!("weir_producer_queue_records").set(records);
        metrics::gauge!("weir_producer_queue_bytes").set(bytes);
    }
}
