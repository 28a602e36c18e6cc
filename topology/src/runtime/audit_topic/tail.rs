//! The last index of a log in a topic.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    client::Client,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedHeaders, Headers as _},
};
use sinks::log_store::{INDEX_HEADER, audit_partition};

use super::{AuditTopicConfig, RelayError, target::Target};
use crate::runtime::quiet::Quiet;

/// Time limit for reaching the topic's end: longer than another log's transaction may stay open.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
const STEP: Duration = Duration::from_secs(5);

/// The highest index of the target's log among the committed records of its partition, from an offset on. To be asked once the log's
/// writer before is fenced.
pub(super) fn last_index(
    config: &AuditTopicConfig,
    target: &Target,
    partition: i32,
    from: Option<i64>,
) -> Result<Option<u64>, RelayError> {
    let topic = target.topic().name();
    // The end as it is, whatever transactions of other logs are open before it.
    let (low, high) = consumer(config, "read_uncommitted")?.fetch_watermarks(topic, partition, STEP)?;
    // A record before what was noted tells that the log is in the topic at all.
    let start = from.map_or(low, |from| from.saturating_sub(1)).clamp(low, high);
    if start >= high {
        return Ok(None);
    }
    let reader = consumer(config, "read_committed")?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(start))?;
    reader.assign(&assignment)?;
    let deadline = Instant::now() + PATIENCE;
    let mut last = None;
    while Instant::now() < deadline {
        match reader.poll(STEP) {
            Some(Ok(record)) => {
                if target.wrote(record.key(), record.headers()) {
                    last =
                        last.max(header(record.headers(), INDEX_HEADER).and_then(|index| index.parse().ok()));
                }
                if record.offset() + 1 >= high {
                    return Ok(last);
                }
            }
            // Behind the last record there are only ends of transactions.
            Some(Err(KafkaError::PartitionEOF(_))) => {
                let (_, stable) = reader.fetch_watermarks(topic, partition, STEP)?;
                if stable >= high {
                    return Ok(last);
                }
            }
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    Err(RelayError::NoEnd)
}

/// The offset behind the last record in the partition of the target's log.
pub(super) fn end(config: &AuditTopicConfig, target: &Target) -> Result<i64, KafkaError> {
    let (topic, consumer) = (target.topic().name(), consumer(config, "read_uncommitted")?);
    let partition = partition(consumer.client(), target)?;
    let (_, high) = consumer.fetch_watermarks(topic, partition, STEP)?;
    Ok(high)
}

/// The partition of the target's log.
pub(super) fn partition(client: &Client<impl ClientContext>, target: &Target) -> Result<i32, KafkaError> {
    let metadata = client.fetch_metadata(Some(target.topic().name()), STEP)?;
    match metadata.topics().first().map_or(0, |topic| topic.partitions().len()) {
        0 => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)),
        partitions => Ok(audit_partition(&target.log, i32::try_from(partitions).unwrap_or(i32::MAX))),
    }
}

/// The value of a header, where it is text.
pub(super) fn header<'a>(headers: Option<&'a BorrowedHeaders>, name: &str) -> Option<&'a str> {
    let value = headers?.iter().find(|header| header.key == name)?.value?;
    str::from_utf8(value).ok()
}

fn consumer(config: &AuditTopicConfig, isolation: &str) -> Result<BaseConsumer<Quiet>, KafkaError> {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.bootstrap)
        .set("group.id", "weir-audit-topic-tail")
        .set("client.id", format!("weir-audit-topic-tail-{}", std::process::id()))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .set("auto.offset.reset", "earliest");
    for (key, value) in &config.kafka {
        client.set(key, value);
    }
    client.create_with_context(Quiet)
}
