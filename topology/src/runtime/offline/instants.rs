//! Offsets of instants, and instants of offsets: a sink's position in time, and the position to replay from.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use schemas::{Timestamp, Topic};
use sinks::TopicPartition;

use crate::runtime::quiet::Quiet;

/// Time limit for one answer of the cluster.
const PATIENCE: Duration = Duration::from_secs(10);

/// A cluster, asked about offsets.
#[derive(Debug, Clone)]
pub struct Instants {
    /// Bootstrap servers of the cluster.
    pub bootstrap: String,
    /// Settings for librdkafka, for example security.
    pub extra: BTreeMap<String, String>,
}

impl Instants {
    /// For each partition of a topic the first offset whose record is of that instant or later, or the log's end; without an
    /// instant, the log's beginning.
    pub async fn offsets(
        &self,
        topic: Topic,
        at: Option<Timestamp>,
    ) -> Result<Vec<(TopicPartition, i64)>, KafkaError> {
        let own = self.clone();
        joined(tokio::task::spawn_blocking(move || own.offsets_now(topic, at)).await)
    }

    fn offsets_now(
        &self,
        topic: Topic,
        at: Option<Timestamp>,
    ) -> Result<Vec<(TopicPartition, i64)>, KafkaError> {
        let consumer = self.consumer()?;
        let metadata = consumer.fetch_metadata(Some(topic.name()), PATIENCE)?;
        let unknown = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition);
        let found = metadata.topics().first().ok_or(unknown)?;
        let mut offsets = Vec::new();
        for partition in found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id) {
            let (low, high) = consumer.fetch_watermarks(topic.name(), partition, PATIENCE)?;
            let mut offset = low;
            if let Some(at) = at {
                let mut asked = TopicPartitionList::new();
                asked.add_partition_offset(topic.name(), partition, Offset::Offset(at.timestamp_millis()))?;
                let answer = consumer.offsets_for_times(asked, PATIENCE)?;
                offset = match answer
                    .elements()
                    .first()
                    .map(rdkafka::topic_partition_list::TopicPartitionListElem::offset)
                {
                    Some(Offset::Offset(offset)) => offset,
                    _ => high,
                };
            }
            offsets.push((TopicPartition { topic, partition }, offset));
        }
        Ok(offsets)
    }

    /// A partition's oldest offset, and the one behind its last record that can be read.
    pub async fn ends(&self, at: TopicPartition) -> Result<(i64, i64), KafkaError> {
        let own = self.clone();
        let asked = move || own.consumer()?.fetch_watermarks(at.topic.name(), at.partition, PATIENCE);
        joined(tokio::task::spawn_blocking(asked).await)
    }

    /// The cluster's id, as stages note it with their positions.
    pub async fn cluster_id(&self) -> Result<Option<String>, KafkaError> {
        let own = self.clone();
        let asked = move || Ok(own.consumer()?.client().fetch_cluster_id(PATIENCE));
        joined(tokio::task::spawn_blocking(asked).await)
    }

    /// The time of the oldest record among those at these places; none if nothing came in time.
    pub async fn oldest(&self, places: Vec<(TopicPartition, i64)>) -> Result<Option<Timestamp>, KafkaError> {
        let own = self.clone();
        joined(tokio::task::spawn_blocking(move || own.oldest_now(&places)).await)
    }

    fn oldest_now(&self, places: &[(TopicPartition, i64)]) -> Result<Option<Timestamp>, KafkaError> {
        if places.is_empty() {
            return Ok(None);
        }
        let consumer = self.consumer()?;
        let mut assignment = TopicPartitionList::new();
        for (at, offset) in places {
            assignment.add_partition_offset(at.topic.name(), at.partition, Offset::Offset(*offset))?;
        }
        consumer.assign(&assignment)?;
        let (mut seen, mut oldest) = (BTreeSet::new(), None);
        let deadline = Instant::now() + PATIENCE;
        while seen.len() < places.len() && Instant::now() < deadline {
            let Some(record) = consumer.poll(Duration::from_millis(500)) else { continue };
            match record {
                Ok(record) => {
                    let place = (record.topic().to_owned(), record.partition());
                    let time = record.timestamp().to_millis();
                    if seen.insert(place) {
                        oldest = [oldest, time].into_iter().flatten().min();
                    }
                }
                // Behind the position there are only ends of transactions.
                Err(KafkaError::PartitionEOF(partition)) => {
                    for (at, _) in places.iter().filter(|(at, _)| at.partition == partition) {
                        seen.insert((at.topic.name().to_owned(), partition));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(oldest.and_then(Timestamp::from_timestamp_millis))
    }

    fn consumer(&self) -> Result<BaseConsumer<Quiet>, KafkaError> {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", "weir-instants")
            .set("client.id", "weir-instants")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest");
        for (key, value) in &self.extra {
            client.set(key, value);
        }
        client.create_with_context(Quiet)
    }
}

fn joined<T>(answer: Result<T, tokio::task::JoinError>) -> T {
    answer.unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()))
}
