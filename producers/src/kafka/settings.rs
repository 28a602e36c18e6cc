//! librdkafka settings that the delivery guarantees depend on, for three purposes.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

/// Maximum size of a record: key, value and headers, in bytes.
pub const MAX_RECORD_BYTES: usize = 1_000_000;
/// `message.max.bytes`: the record and its frame, below the default limit of a topic (1,048,588).
const MAX_MESSAGE_BYTES: usize = 1_048_000;

/// Size of a producer's queue, in records.
pub const QUEUE_RECORDS: usize = 100_000;
/// Size of the queue of a producer for which somebody waits, in bytes.
pub const QUEUE_BYTES: usize = 32 * 1024 * 1024;

/// Purpose of a producer: low latency, few requests or high throughput.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Low latency: somebody waits for each acknowledgement. No linger, small queue, fails before the HTTP
    /// timeout.
    Gateway,
    /// Nobody waits: records linger until others join them, in a small queue.
    Unawaited,
    /// High throughput: full batches, and retries through a broker's restart.
    Bulk,
}

/// Configuration of a producer.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// Bootstrap servers: `host:port` of one or more brokers, separated by commas.
    pub bootstrap: String,
    /// Purpose of the producer.
    pub purpose: Purpose,
    /// Name in the brokers' logs and quotas: `weir-<command>-<instance>`.
    pub client_id: String,
    /// Further librdkafka settings (security, tuning), which take precedence over Weir's.
    pub extra: BTreeMap<String, String>,
}

impl ProducerConfig {
    pub(super) fn to_client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", &self.client_id)
            // A retry inside the client can neither double nor reorder records.
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // As Java's: a key lands on one partition whoever writes it.
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
            .set("queue.buffering.max.messages", QUEUE_RECORDS.to_string())
            .set("allow.auto.create.topics", "false")
            // How the client learns that brokers are back when nothing is being sent.
            .set("statistics.interval.ms", "5000")
            // By itself it waits up to 10 s between two attempts: as long as the gateway keeps a record.
            .set("reconnect.backoff.max.ms", "1000");
        for (name, value) in self.purpose.settings() {
            client.set(*name, *value);
        }
        for (name, value) in &self.extra {
            client.set(name, value);
        }
        client
    }
}

impl Purpose {
    const fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Gateway => &[
                ("linger.ms", "0"),
                ("compression.type", "lz4"),
                ("delivery.timeout.ms", "10000"),
                ("queue.buffering.max.kbytes", "32768"),
            ],
            Self::Unawaited => &[
                // At 1,000 records a second a broker answers 20 requests instead of 1,000.
                ("linger.ms", "50"),
                ("compression.type", "lz4"),
                ("delivery.timeout.ms", "10000"),
                ("queue.buffering.max.kbytes", "8192"),
            ],
            Self::Bulk => &[
                ("linger.ms", "10"),
                // A third larger than with zstd, and every consumer group of the topic reads it four times as fast.
                ("compression.type", "lz4"),
                // A broker of a busy machine may take a minute to come back, and fall again.
                ("delivery.timeout.ms", "300000"),
                // The client counts keys and values only; what it keeps beside them comes on top.
                ("queue.buffering.max.kbytes", "32768"),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(purpose: Purpose) -> ProducerConfig {
        ProducerConfig {
            bootstrap: "localhost:9092".into(),
            purpose,
            client_id: "weir-test-1".into(),
            extra: BTreeMap::from([("linger.ms".into(), "7".into())]),
        }
    }

    #[test]
    fn every_producer_is_idempotent_and_waits_for_all_replicas() {
        for purpose in [Purpose::Gateway, Purpose::Unawaited, Purpose::Bulk] {
            let client = config(purpose).to_client();
            assert_eq!(client.get("enable.idempotence"), Some("true"));
            assert_eq!(client.get("acks"), Some("all"));
            assert_eq!(client.get("partitioner"), Some("murmur2_random"));
            assert_eq!(client.get("linger.ms"), Some("7"), "what is given wins");
            let made = client.create_native_config();
            assert!(made.is_ok(), "the library knows every setting");
        }
    }
}
