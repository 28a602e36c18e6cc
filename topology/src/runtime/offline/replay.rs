//! Replays parked records: their own bytes and headers, to the partition they came from.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::Consumer as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::Message as _,
    producer::{FutureProducer, FutureRecord},
};
use schemas::{Timestamp, Topic, codec};
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
use crate::{siem::STAGE_PREFIX, topology::topic_spec};

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
    /// Its value or its headers were not kept, and the topic does not hold it any more.
    #[error(
        "value_gone: its value of {size} bytes or its headers were not kept, and the topic does not hold the \
         record any more"
    )]
    ValueGone {
        /// The value's size.
        size: i64,
    },
    /// The topic takes no record of its size.
    #[error("too_large: the topic does not accept a record of its size")]
    TooLarge,
    /// A sink could not deliver it, and its topic is every sink's.
    #[error(
        "sink_record: the topic would bring it to every sink again, and with what was erased since; `weir sink replay {sink} \
         --from INSTANT` delivers it to the sink that parked it while the topic holds it, then `weir dead-letter discard` \
         settles it here"
    )]
    SinkRecord {
        /// The sink's name.
        sink: String,
    },
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
        check(place, &record.summary.stage)?;
        if record.may_lack_bytes() {
            let gone = ReplayError::ValueGone { size: record.summary.value_size };
            let found = self.read_at(place).await?;
            let found = found.filter(|found| found.is(record.key.as_deref(), &record.value_sha256));
            let Found { value, headers, .. } = found.ok_or(gone)?;
            (record.value, record.headers) = (value, headers);
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
        let has_time = has_time(place.partition.topic, &headers, record.value.as_deref());
        let timestamp = timestamp(record.summary.recorded_at, has_time, (now, retention));
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

    /// The record at that offset, if there is one.
    async fn read_at(&self, place: &ParkedPlace) -> Result<Option<Found>, KafkaError> {
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
                    Ok(Some(Found {
                        key: message.key().map(Into::into),
                        value: message.payload().map(Into::into),
                        headers: poll::headers(&message).into_iter().map(owned).collect(),
                    }))
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
        read.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

/// Refuses a record that is not to be published again, whatever it holds.
fn check(place: &ParkedPlace, stage: &str) -> Result<(), ReplayError> {
    if place.replays >= MAX_REPLAYS {
        return Err(ReplayError::Limit);
    }
    let of_sink = stage.strip_prefix(STAGE_PREFIX);
    match (place.partition.topic, of_sink) {
        // Only sinks read the audit topic.
        (Topic::Audit, _) | (Topic::Findings, Some(_)) => {
            Err(ReplayError::SinkRecord { sink: of_sink.unwrap_or(stage).to_owned() })
        }
        _ => Ok(()),
    }
}

/// A record as the topic holds it.
#[derive(Debug)]
struct Found {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Headers,
}

impl Found {
    /// Whether it is the record that was parked with that key and that hash of its value, and not one of a topic
    /// that was created anew. A missing value has the hash of an empty one.
    fn is(&self, key: Option<&[u8]>, value_sha256: &[u8]) -> bool {
        let value = self.value.as_deref().unwrap_or_default();
        self.key.as_deref() == key && Sha256::digest(value).as_slice() == value_sha256
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

/// Whether the record says when its event happened, so that its timestamp does not matter. Entries of the audit
/// log and findings always do.
fn has_time(topic: Topic, headers: &Headers, value: Option<&[u8]>) -> bool {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    !Topic::FAMILIES.contains(&topic) || codec::states_time(&headers, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record's topic, headers and value.
    type Sent = (Topic, &'static [(&'static str, &'static str)], &'static str);

    const BINARY: Sent = (Topic::Activity, &[("ce_time", "2026-01-05T08:00:00Z")], "{}");
    const BINARY_WITHOUT_TIME: Sent = (Topic::Activity, &[("ce_id", "a")], "{}");
    const STRUCTURED: Sent = (
        Topic::Activity,
        &[("content-type", "application/cloudevents+json; charset=utf-8")],
        r#"{"specversion":"1.0","time":"2026-01-05T08:00:00Z"}"#,
    );
    const STRUCTURED_WITHOUT_TIME: Sent =
        (Topic::Activity, &[("content-type", "application/cloudevents+json")], r#"{"specversion":"1.0"}"#);
    const AUDIT_ENTRY: Sent = (Topic::Audit, &[], r#"{"time":1780000000123}"#);

    #[test]
    fn records_keep_their_time_unless_it_would_expire_them() {
        const DAY: i64 = 86_400;
        let at = |days: i64| Timestamp::from_timestamp(days * DAY, 0).expect("a day");
        let retention = Duration::from_hours(14 * 24);
        let check = |recorded: Option<i64>, (topic, headers, value): Sent, expected: Option<i64>| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), Some(value.as_bytes().to_vec()));
            let of_record: Headers = headers.iter().map(owned).collect();
            let has_time = has_time(topic, &of_record, Some(value.as_bytes()));
            let stamp = timestamp(recorded.map(at), has_time, (at(100), retention));
            assert_eq!(stamp, expected.map(|days| days * DAY * 1_000), "{recorded:?} {headers:?} {value}");
        };
        check(Some(99), BINARY, Some(99));
        check(Some(94), BINARY, Some(94));
        check(Some(93), BINARY, None);
        check(Some(1), BINARY, None);
        check(Some(1), BINARY_WITHOUT_TIME, Some(1));
        check(Some(94), STRUCTURED, Some(94));
        check(Some(93), STRUCTURED, None);
        check(Some(1), STRUCTURED_WITHOUT_TIME, Some(1));
        check(Some(94), AUDIT_ENTRY, Some(94));
        check(Some(1), AUDIT_ENTRY, None);
        // By a producer whose clock is ahead.
        check(Some(101), BINARY, Some(101));
        check(None, BINARY, None);
        check(None, BINARY_WITHOUT_TIME, None);
    }

    #[test]
    fn what_a_sink_parked_does_not_go_to_every_sink_again() {
        let check = |topic: Topic, stage: &str, replays: i16| {
            let partition = TopicPartition { topic, partition: 0 };
            let checked = super::check(&ParkedPlace { partition, offset: 7, replays }, stage);
            checked.err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(check(Topic::Audit, "sink.splunk", 0).contains("`weir sink replay splunk --from INSTANT`"));
        assert!(check(Topic::Findings, "sink.chat", 0).contains("`weir sink replay chat --from INSTANT`"));
        assert!(check(Topic::Activity, "audit", MAX_REPLAYS).starts_with("replay_limit"));
        for (topic, stage) in
            [(Topic::Activity, "audit"), (Topic::Findings, "notices"), (Topic::AuditBackfill, "sink.late")]
        {
            assert_eq!(check(topic, stage, 0), "", "{stage}");
        }
    }

    #[test]
    fn a_record_is_known_by_its_key_and_its_value() {
        let bytes = |text: &str| Some(text.as_bytes().to_vec());
        let check = |key: Option<&str>, value: Option<&str>, expected: bool| {
            let found =
                Found { key: key.and_then(bytes), value: value.and_then(bytes), headers: Headers::new() };
            assert_eq!(found.is(Some(b"k"), &Sha256::digest(b"")), expected, "{key:?} {value:?}");
        };
        check(Some("k"), None, true);
        check(Some("k"), Some(""), true);
        check(Some("k"), Some("x"), false);
        check(Some("other"), None, false);
        check(None, None, false);
    }
}
