//! The last resort where there is no Java: librdkafka's own broker, inside this process.
//!
//! It keeps 5 MiB a partition, forgets everything when the process ends, refuses administration (topics are made here) and
//! does not isolate transactions. It is for looking around, never for a promise.

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A broker that lives as long as this value.
pub struct MockKafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl MockKafka {
    /// Starts it with these topics, each with so many partitions.
    ///
    /// # Errors
    /// The error of librdkafka, if a topic cannot be created.
    pub fn start<'a>(topics: impl IntoIterator<Item = (&'a str, i32)>) -> Result<Self, KafkaError> {
        let cluster = MockCluster::new(1)?;
        for (topic, partitions) in topics {
            cluster.create_topic(topic, partitions, 1)?;
        }
        Ok(Self { cluster })
    }

    /// Bootstrap servers for clients, of this process or others.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::ClientConfig;
    use rdkafka::producer::{FutureProducer, FutureRecord};
    use std::time::Duration;

    #[tokio::test]
    async fn it_takes_records_on_the_topics_it_was_given() {
        let kafka = MockKafka::start([("seen", 2), ("also", 1)]).expect("started");
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", kafka.bootstrap_servers())
            .create()
            .expect("a producer");
        let patience = Duration::from_secs(30);
        let record = FutureRecord::<(), str>::to("seen").partition(1).payload("here");
        let delivery =
            producer.send(record, patience).await.map_err(|(error, _)| error).expect("acknowledged");
        assert_eq!((delivery.partition, delivery.offset), (1, 0));
    }
}
