//! End offsets of the topics, against which lag is measured.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};
use schemas::Topic;
use sinks::{TopicPartition, read_models::pipeline::LogEnds};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Time limit for one answer of the cluster.
const PATIENCE: Duration = Duration::from_secs(10);
/// Interval at which the end offsets are requested.
const EVERY: Duration = Duration::from_secs(1);

/// A client that asks for ends and consumes nothing.
#[derive(Clone)]
pub struct EndsReader {
    consumer: Arc<BaseConsumer>,
    topics: Vec<Topic>,
}

impl EndsReader {
    /// A client for these topics. Connects in the background.
    pub fn new(
        bootstrap: &str,
        extra: &BTreeMap<String, String>,
        topics: Vec<Topic>,
    ) -> Result<Self, KafkaError> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("client.id", "weir-ends")
            // Only committed records count: what lies behind an open transaction cannot be applied yet.
            .set("isolation.level", "read_committed");
        for (key, value) in extra {
            config.set(key, value);
        }
        Ok(Self { consumer: Arc::new(config.create()?), topics })
    }

    /// The offset that each partition's next record will get. A topic that does not exist has no partitions.
    pub async fn read(&self) -> Result<LogEnds, KafkaError> {
        let reader = self.clone();
        let answer = tokio::task::spawn_blocking(move || reader.read_now()).await;
        answer.unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()))
    }

    fn read_now(&self) -> Result<LogEnds, KafkaError> {
        let mut ends = LogEnds::new();
        let mut asked = TopicPartitionList::new();
        let metadata = self.consumer.fetch_metadata(None, PATIENCE)?;
        for topic in metadata.topics() {
            let Some(ours) = Topic::from_name(topic.name()).filter(|ours| self.topics.contains(ours)) else {
                continue;
            };
            for partition in topic.partitions() {
                asked.add_partition(ours.name(), partition.id());
            }
        }
        for element in asked.elements() {
            let topic = Topic::from_name(element.topic()).expect("only our topics were added");
            let (_, end) = self.consumer.fetch_watermarks(topic.name(), element.partition(), PATIENCE)?;
            ends.insert(TopicPartition { topic, partition: element.partition() }, end);
        }
        Ok(ends)
    }

    /// Keeps asking until shutdown; `None` until the first answer.
    pub fn watch(self, stop: CancellationToken) -> watch::Receiver<Option<Arc<LogEnds>>> {
        let (told, ends) = watch::channel(None);
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                match self.read().await {
                    Ok(ends) => drop(told.send_replace(Some(Arc::new(ends)))),
                    Err(error) => tracing::warn!(%error, "cannot fetch the topics' end offsets; will retry"),
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(EVERY) => {}
                }
            }
        });
        ends
    }
}

impl std::fmt::Debug for EndsReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndsReader").field("topics", &self.topics).finish_non_exhaustive()
    }
}
