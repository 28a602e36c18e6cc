//! Callbacks of the client library: deliveries, errors, statistics.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
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

/// Interval of log lines about one topic whose records the brokers refuse.
const TELL_EVERY: Duration = Duration::from_mins(1);

pub(super) struct Context {
    /// Notified whenever a record leaves the queue.
    pub(super) room: Notify,
    unreachable: AtomicBool,
    acknowledged: [Counter; Topic::ALL.len()],
    /// Time of the last log line about refused records, by topic.
    refusal_told_at: [Mutex<Option<Instant>>; Topic::ALL.len()],
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
            refusal_told_at: Topic::ALL.map(|_| Mutex::new(None)),
        }
    }

    /// Logs that the brokers refuse a topic's records, which waiting does not mend.
    pub(super) fn note_refusal(&self, topic: Topic, failure: &DeliveryFailure) {
        if let DeliveryFailure::Refused(code) = failure
            && self.is_refusal_due(topic, Instant::now())
        {
            error!(
                topic = topic.name(),
                %code,
                "the Kafka brokers refuse records; check that the topic exists and that this service may write to it"
            );
        }
    }

    fn is_refusal_due(&self, topic: Topic, now: Instant) -> bool {
        let told_at = &self.refusal_told_at[topic as usize];
        let mut told_at = told_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_some_and(|at| now.saturating_duration_since(at) < TELL_EVERY) {
            return false;
        }
        *told_at = Some(now);
        true
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
                self.note_refusal(waiter.topic, &failure);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_records_are_told_once_a_minute_and_topic() {
        let (context, now) = (Context::new(), Instant::now());
        let due = |topic, after| context.is_refusal_due(topic, now + Duration::from_secs(after));
        assert!(due(Topic::ALL[0], 0) && due(Topic::ALL[1], 0));
        assert!(!due(Topic::ALL[0], 59));
        assert!(due(Topic::ALL[0], 60) && !due(Topic::ALL[0], 119));
    }
}
