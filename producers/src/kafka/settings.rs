//! The client settings that the promises rest on, and the two ways of using them.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

/// Longest record that is sent: key, value and headers.
pub const MAX_RECORD_BYTES: usize = 1_000_000;
/// What the client library lets through: the record and its frame, below what a topic takes by default (1,048,588).
const MAX_MESSAGE_BYTES: usize = 1_048_000;

/// What a producer is for: an answer soon, or much in little time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody waits for each acknowledgement: no linger, small queue, gives up before the HTTP timeout.
    Gateway,
    /// Nobody waits for a single one: full batches, patience through a broker's restart.
    Bulk,
}

/// Where and how to produce.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// `host:port` of one or more brokers, separated by commas.
    pub bootstrap: String,
    /// What the producer is for.
    pub purpose: Purpose,
    /// Name in the brokers' logs and quotas: `weir-<command>-<instance>`.
    pub client_id: String,
    /// Further librdkafka settings (security, tuning); they win over ours.
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
            .set("queue.buffering.max.messages", "100000")
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
            Self::Bulk => &[
                ("linger.ms", "10"),
                // A third larger than with zstd, and every consumer group of the topic reads it four times as fast.
                ("compression.type", "lz4"),
                // A broker of a busy machine may take a minute to come back, and fall again.
                ("delivery.timeout.ms", "300000"),
                ("queue.buffering.max.kbytes", "65536"),
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
        for purpose in [Purpose::Gateway, Purpose::Bulk] {
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
