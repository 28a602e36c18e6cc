//! One log's transactional producer.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use audit_log::Hash;
use rdkafka::{
    ClientConfig, ClientContext, Message as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig},
    util::Timeout,
};
use sinks::log_store::{INDEX_HEADER, LogEntry, Standing};

use super::{AuditTopicConfig, RelayError, tail, target::Target};
use crate::runtime::quiet::Quiet;

/// Time limit for each step of a transaction.
const PATIENCE: Timeout = Timeout::After(Duration::from_secs(10));
/// Records of one transaction; more are several.
const MAX_RECORDS: usize = 2_000;
/// Time for which the thread of a producer waits for deliveries before it checks whether the producer is still in use.
///
/// The client spins through the last millisecond of each wait, and each log has a producer: with the 100 ms of the client's
/// own polling threads, 24 idle logs take a twelfth of a processor.
const SERVED_FOR: Duration = Duration::from_secs(10);
/// Longest record that the client accepts.
const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;

/// The only writer of one log to its target, until another takes the log over.
pub(super) struct LogWriter {
    target: Target,
    partition: i32,
    producer: Arc<BaseProducer<Deliveries>>,
    /// The next index to write.
    pub(super) next: u64,
    /// The leaf of the entry before.
    pub(super) previous: Option<Hash>,
}

/// Delivery reports of the records, counted on the client's own thread: a future for each would cost as much
/// as the record.
#[derive(Default)]
struct Deliveries {
    /// The offset behind the last record.
    end: AtomicI64,
    /// Of the first that was not taken.
    failure: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        match delivered {
            Ok(record) => drop(self.end.fetch_max(record.offset() + 1, Relaxed)),
            Err((error, _)) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| error.clone());
            }
        }
    }
}

/// A writer that was let go sends nothing more, although its producer lives until its thread has looked.
impl Drop for LogWriter {
    fn drop(&mut self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
    }
}

/// Starts the thread that handles deliveries. It ends within [`SERVED_FOR`] of the last use of the producer.
fn serve(producer: &Arc<BaseProducer<Deliveries>>) -> io::Result<()> {
    let producer = Arc::downgrade(producer);
    let served = move || {
        while let Some(producer) = producer.upgrade() {
            producer.poll(SERVED_FOR);
        }
    };
    thread::Builder::new().name("audit deliveries".to_owned()).spawn(served).map(drop)
}

impl LogWriter {
    /// Fences the log's former writer, and reads the end of the topic.
    pub(super) async fn take_over(
        config: &AuditTopicConfig,
        target: Target,
        noted: Option<Standing>,
    ) -> Result<Self, RelayError> {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &config.bootstrap)
            .set("client.id", format!("weir-audit-topic-{}", std::process::id()))
            .set("transactional.id", target.transactional_id())
            .set("transaction.timeout.ms", "15000")
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("compression.type", "zstd")
            // The client's own level, 3, takes twice the time for a tenth less.
            .set("compression.level", "1")
            .set("message.max.bytes", MAX_RECORD_BYTES.to_string())
            .set("delivery.timeout.ms", "10000")
            .set("reconnect.backoff.max.ms", "1000")
            .set("queue.buffering.max.kbytes", "65536");
        for (key, value) in &config.kafka {
            client.set(key, value);
        }
        let (config, to) = (config.clone(), target.clone());
        let taken = tokio::task::spawn_blocking(move || {
            let producer: Arc<BaseProducer<Deliveries>> =
                Arc::new(client.create_with_context(Deliveries::default())?);
            serve(&producer).map_err(RelayError::Thread)?;
            producer.init_transactions(PATIENCE)?;
            let partition = tail::partition(producer.client(), &to)?;
            let last =
                tail::last_index(&config, &to, partition, noted.as_ref().and_then(|noted| noted.offset))?;
            Ok::<_, RelayError>((producer, partition, last, noted))
        });
        let (producer, partition, last, noted) = taken.await??;
        let noted = noted.map_or(0, |noted| noted.next_index);
        // Where the topic has lost the log's records to its retention, what was noted is all that is known.
        let next = last.map_or(noted, |last| (last + 1).max(noted));
        Ok(Self { target, partition, producer, next, previous: None })
    }

    /// Writes those of the entries that are next, in transactions; answers the offset behind the last, if any was written.
    pub(super) async fn write(
        &mut self,
        entries: &[LogEntry],
        checkpoint: Option<&str>,
    ) -> Result<Option<i64>, RelayError> {
        let new = entries.partition_point(|entry| entry.index < self.next);
        let mut end = None;
        for part in entries[new..].chunks(MAX_RECORDS) {
            if part[0].index != self.next {
                return Err(RelayError::Missing(self.next));
            }
            end = Some(self.transact(part, checkpoint).await?);
            self.next += part.len() as u64;
            self.previous = part.last().map(|entry| entry.leaf);
            self.target.count(part.len() as u64);
        }
        Ok(end)
    }

    async fn transact(&self, entries: &[LogEntry], checkpoint: Option<&str>) -> Result<i64, RelayError> {
        self.producer.begin_transaction()?;
        let mut previous = self.previous;
        for entry in entries {
            let value = entry
                .attest(&self.target.log, previous, checkpoint)
                .map_err(|malformed| RelayError::Unreadable(entry.index, malformed))?;
            previous = Some(entry.leaf);
            self.send(entry.index, &value).await?;
        }
        let producer = Arc::clone(&self.producer);
        // Waits until the client's thread has told of every record.
        tokio::task::spawn_blocking(move || producer.commit_transaction(PATIENCE)).await??;
        let told = self.producer.context();
        match told.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(failure) => Err(failure.into()),
            None => Ok(told.end.load(Relaxed)),
        }
    }

    /// Enqueues a record, and waits while the client's queue is full.
    async fn send(&self, index: u64, value: &[u8]) -> Result<(), RelayError> {
        let index = index.to_string();
        let headers = OwnedHeaders::new_with_capacity(4)
            .insert(Header { key: "content-type", value: Some("application/json") })
            .insert(Header { key: INDEX_HEADER, value: Some(&index) });
        let headers = self.target.mark(headers);
        let mut record = BaseRecord::<str, [u8]>::to(self.target.topic().name())
            .partition(self.partition)
            .key(&self.target.log)
            .payload(value)
            .headers(headers);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
}
