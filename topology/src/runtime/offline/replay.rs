//! Replays parked records: their own bytes and headers, to the partition they came from.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::Consumer as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::Message as _,
    producer::{FutureProducer, FutureRecord},
};
use schemas::{Timestamp, Topic};
use sha2::{Digest, Sha256};
use sinks::{
    Headers, TopicPartition,
    parking::{self, MAX_REPLAYS, ParkedPlace, ParkedRecord},
};

use crate::runtime::{
    consume::poll,
    deliver::relay::{kafka_headers, producer},
    offline::history::History,
    quiet::Quiet,
};
use crate::topology::topic_spec;

/// Longest wait of a record for room in the producer's queue.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);
/// Time limit for fetching one record from the broker.
const READ_PATIENCE: Duration = Duration::from_secs(15);

/// A client that replays parked records.
pub struct Replayer {
    producer: FutureProducer<Quiet>,
    log: History,
}

/// Reason for which a record was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It has been as often as it may.
    #[error("replay_limit: it was replayed {MAX_REPLAYS} times; fix the cause or discard it")]
    Limit,
    /// Its value was too long to be kept, and the topic does not hold it any more.
    #[error(
        "value_gone: its {size} bytes were too many to be kept, and the topic does not hold them any more"
    )]
    ValueGone {
        /// The value's size.
        size: i64,
    },
    /// The topic takes no record of its size.
    #[error("too_large: the topic does not accept a record of its size")]
    TooLarge,
    /// Kafka does not answer, or refuses.
    #[error("Kafka did not accept the record")]
    Kafka(#[from] KafkaError),
}

impl ReplayError {
    /// Whether it is about this record alone: others may be published all the same.
    pub fn is_the_records_own(&self) -> bool {
        !matches!(self, Self::Kafka(_))
    }
}

impl Replayer {
    /// A client of that cluster; connects when it is first used.
    pub fn new(bootstrap: &str, extra: &BTreeMap<String, String>) -> Result<Self, KafkaError> {
        let producer = producer(bootstrap, extra, format!("weir-replay-{}", std::process::id()))?;
        let log = History { bootstrap: bootstrap.to_owned(), extra: extra.clone(), registry: None };
        Ok(Self { producer, log })
    }

    /// Checks whether the record may be replayed, and with which value; changes nothing.
    pub async fn prepare(&self, place: &ParkedPlace, record: &mut ParkedRecord) -> Result<(), ReplayError> {
        if place.replays >= MAX_REPLAYS {
            return Err(ReplayError::Limit);
        }
        if record.value_was_left_out() {
            let gone = ReplayError::ValueGone { size: record.summary.value_size };
            let (value, headers) = self.read_at(place, &record.value_sha256).await?.ok_or(gone)?;
            (record.value, record.headers) = (Some(value), headers);
        }
        Ok(())
    }

    /// Publishes the record; its new offset, once all replicas have it.
    ///
    /// It goes to the partition it came from, so that the order of an entity stays one partition's order, and with the
    /// timestamp it had, by which its event's time is judged ([`timestamp`]).
    pub async fn publish(&self, place: &ParkedPlace, record: &ParkedRecord) -> Result<i64, ReplayError> {
        let headers = parking::replay_headers(record, place.replays + 1);
        let now = Timestamp::from(std::time::SystemTime::now());
        let retention = topic_spec(place.partition.topic).retention;
        let timestamp = timestamp(record.summary.recorded_at, has_time(&headers), (now, retention));
        let message = FutureRecord::<[u8], [u8]> {
            topic: place.partition.topic.name(),
            partition: Some(place.partition.partition),
            key: record.key.as_deref(),
            payload: record.value.as_deref(),
            timestamp,
            headers: Some(kafka_headers(&headers)),
        };
        match self.producer.send(message, QUEUE_PATIENCE).await {
            Ok(delivered) => Ok(delivered.offset),
            Err((error, _)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
                    Err(ReplayError::TooLarge)
                }
                _ => Err(error.into()),
            },
        }
    }

    /// The value and the headers at that offset, if the record is still there and still the one that was parked.
    async fn read_at(
        &self,
        place: &ParkedPlace,
        sha256: &[u8],
    ) -> Result<Option<(Vec<u8>, Headers)>, KafkaError> {
        let consumer = self.log.consumer()?;
        let (TopicPartition { topic, partition }, offset) = (place.partition, place.offset);
        // The client blocks while it polls.
        let read = tokio::task::spawn_blocking(move || {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(Topic::name(topic), partition, Offset::Offset(offset))?;
            consumer.assign(&list)?;
            match consumer.poll(READ_PATIENCE) {
                Some(Ok(message)) if message.offset() == offset => {
                    let owned =
                        |(name, value): (&str, Option<&[u8]>)| (name.to_owned(), value.map(Into::into));
                    let headers = poll::headers(&message).into_iter().map(owned).collect();
                    Ok(message.payload().map(|value| (value.to_vec(), headers)))
                }
                // Whatever stood there has expired, or the log is shorter than it was.
                Some(
                    Ok(_)
                    | Err(
                        KafkaError::PartitionEOF(_)
                        | KafkaError::MessageConsumption(
                            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                        ),
                    ),
                ) => Ok(None),
                Some(Err(error)) => Err(error),
                None => Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)),
            }
        });
        let read = read.await.unwrap_or(Err(KafkaError::Canceled))?;
        Ok(read.filter(|(value, _)| Sha256::digest(value).as_slice() == sha256))
    }
}

/// The timestamp to publish with; `None`: now.
///
/// An old one would let the broker expire the record at once where it has a segment to itself. So from half
/// the retention on the record gets a new timestamp, unless its event has no other time.
fn timestamp(
    recorded_at: Option<Timestamp>,
    event_has_time: bool,
    (now, retention): (Timestamp, Duration),
) -> Option<i64> {
    let at = recorded_at?;
    let age = now.signed_duration_since(at).to_std().unwrap_or_default();
    (age < retention / 2 || !event_has_time).then(|| at.timestamp_millis())
}

/// Whether the event says in its headers when it happened.
fn has_time(headers: &Headers) -> bool {
    headers.iter().any(|(name, value)| name == "ce_time" && value.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_time_unless_it_would_expire_them() {
        const DAY: i64 = 86_400;
        let at = |days: i64| Timestamp::from_timestamp(days * DAY, 0).expect("a day");
        let retention = Duration::from_hours(14 * 24);
        let check = |recorded: Option<i64>, event_has_time: bool, expected: Option<i64>| {
            let stamp = timestamp(recorded.map(at), event_has_time, (at(100), retention));
            assert_eq!(stamp, expected.map(|days| days * DAY * 1_000), "{recorded:?} {event_has_time}");
        };
        check(Some(99), true, Some(99));
        check(Some(94), true, Some(94));
        check(Some(93), true, None);
        check(Some(1), true, None);
        check(Some(1), false, Some(1));
        // By a producer whose clock is ahead.
        check(Some(101), true, Some(101));
        check(None, true, None);
        check(None, false, None);
    }
}
