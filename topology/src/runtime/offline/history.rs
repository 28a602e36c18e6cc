//! A topic's past, read by itself: in no group's name, and without a trace in any position.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use producers::registry::{Registry, RegistryError};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{BorrowedMessage, Message as _},
};
use schemas::{
    Envelope, Timestamp, Topic,
    codec::{self, DecodeError, Decoded, Incoming, SchemaRef},
};
use tokio::runtime::Handle;

use crate::runtime::{consume::poll::headers, consume::schema_fetch::FetchedSchemas, quiet::Quiet};

/// Time limit for one answer of the cluster.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest time without a record before reading is given up.
const SILENCE: Duration = Duration::from_mins(1);

/// Connection to a cluster for reading past records.
pub struct History {
    /// Bootstrap servers of the cluster.
    pub bootstrap: String,
    /// Settings for librdkafka, for example security.
    pub extra: BTreeMap<String, String>,
    /// Registry of the schemas of Confluent-framed records.
    pub registry: Option<Arc<Registry>>,
}

/// Counts of the records that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counts {
    /// All records.
    pub records: u64,
    /// Events that happened in the time that was asked for.
    pub events: u64,
    /// Records that cannot be decoded; a stage parks them.
    pub undecodable: u64,
}

/// Error of reading past records.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Kafka does not answer, or refuses.
    #[error("the topic {topic} cannot be read")]
    Kafka {
        /// The topic.
        topic: &'static str,
        /// Error of the client.
        source: KafkaError,
    },
    /// A schema is needed and the registry does not give it.
    #[error("the schema of {schema}, which records need, cannot be fetched")]
    Schema {
        /// The schema.
        schema: SchemaRef,
        /// Error of the registry.
        source: RegistryError,
    },
    /// Nothing comes although more is there; the topic is named.
    #[error("Kafka sent nothing for a minute before the end of {0}")]
    Silent(&'static str),
}

impl History {
    /// Shows every event of the topic that happened within `[from, to)` and had arrived when the reading began.
    /// An event that arrived before it happened may be missed. Blocks; not for a thread of the runtime.
    pub fn read(
        &self,
        runtime: &Handle,
        topic: Topic,
        (from, to): (Timestamp, Timestamp),
        mut see: impl FnMut(Envelope),
    ) -> Result<Counts, HistoryError> {
        let failed = |source| HistoryError::Kafka { topic: topic.name(), source };
        let consumer = self.consumer().map_err(failed)?;
        let mut left = start(&consumer, topic, from).map_err(failed)?;
        let schemas = {
            let _entered = runtime.enter();
            FetchedSchemas::new(self.registry.clone())
        };
        let mut counts = Counts::default();
        while !left.is_empty() {
            match consumer.poll(SILENCE) {
                None => return Err(HistoryError::Silent(topic.name())),
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(left.remove(&partition)),
                Some(Err(source)) => return Err(failed(source)),
                Some(Ok(message)) => {
                    let Some(end) = left.get(&message.partition()).copied() else { continue };
                    if message.offset() + 1 >= end {
                        left.remove(&message.partition());
                    }
                    if message.offset() >= end {
                        continue;
                    }
                    counts.records += 1;
                    match self.decoded(runtime, topic, &message, &schemas)? {
                        Some(Decoded::Event(event)) => {
                            if (from..to).contains(&event.occurred_at) {
                                counts.events += 1;
                                see(*event);
                            }
                        }
                        Some(Decoded::Tombstone) => {}
                        None => counts.undecodable += 1,
                    }
                }
            }
        }
        Ok(counts)
    }

    pub(super) fn consumer(&self) -> Result<BaseConsumer<Quiet>, KafkaError> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", format!("weir-history-{}", std::process::id()))
            // Partitions are assigned by hand; librdkafka wants a name all the same. Nothing is ever committed.
            .set("group.id", "weir-history")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed");
        for (key, value) in &self.extra {
            config.set(key, value);
        }
        config.create_with_context(Quiet)
    }

    /// `None`: it never will be an event.
    fn decoded(
        &self,
        runtime: &Handle,
        topic: Topic,
        message: &BorrowedMessage<'_>,
        schemas: &FetchedSchemas,
    ) -> Result<Option<Decoded>, HistoryError> {
        let headers = headers(message);
        let incoming = Incoming {
            topic,
            key: message.key(),
            value: message.payload(),
            headers: &headers,
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        };
        loop {
            match codec::decode(&incoming, schemas) {
                Ok(decoded) => return Ok(Some(decoded)),
                Err(DecodeError::Refused { .. }) => return Ok(None),
                Err(DecodeError::NeedsSchema(schema)) => {
                    let Some(registry) = &self.registry else { return Ok(None) };
                    // An answer that there is no such schema is remembered, and the record is refused.
                    if let Err(source @ RegistryError::Unavailable(_)) =
                        runtime.block_on(registry.fetch(schema))
                    {
                        return Err(HistoryError::Schema { schema, source });
                    }
                }
            }
        }
    }
}

/// Goes to the first record that arrived at that time or later; answers with the end of each partition that has any.
fn start(
    consumer: &BaseConsumer<Quiet>,
    topic: Topic,
    from: Timestamp,
) -> Result<BTreeMap<i32, i64>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic.name()), PATIENCE)?;
    let mut wanted = TopicPartitionList::new();
    let mut ends = BTreeMap::new();
    for partition in metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
        let (low, end) = consumer.fetch_watermarks(topic.name(), partition.id(), PATIENCE)?;
        if low < end {
            ends.insert(partition.id(), end);
            let since = Offset::Offset(from.timestamp_millis().max(0));
            wanted.add_partition_offset(topic.name(), partition.id(), since)?;
        }
    }
    if ends.is_empty() {
        return Ok(ends);
    }
    let found = consumer.offsets_for_times(wanted, PATIENCE)?;
    let mut assigned = TopicPartitionList::new();
    for element in found.elements() {
        match element.offset() {
            Offset::Offset(offset) if offset >= 0 => {
                assigned.add_partition_offset(topic.name(), element.partition(), Offset::Offset(offset))?;
            }
            // Nothing arrived since.
            _ => drop(ends.remove(&element.partition())),
        }
    }
    if !ends.is_empty() {
        consumer.assign(&assigned)?;
    }
    Ok(ends)
}
