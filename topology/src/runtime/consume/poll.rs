//! The poll thread: polls without a pause, decides about records while they are borrowed, hands batches over.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers, Message},
};
use schemas::Topic;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::runtime::{
    consume::consumer::StageConsumer,
    consume::intake::{Decide, Record, Taken},
    consume::source::Schemas,
    deliver::batching::BatchLimits,
    deliver::worker::Shared,
    fatal::Fatal,
};

/// Longest wait for a record, and so the interval of all other work of the poll thread.
const POLL_WAIT: Duration = Duration::from_millis(100);
/// Time for which the slot may be full before partitions are paused. Pausing discards fetched records, so a
/// transaction of ordinary length is waited for; the client's own heartbeats keep its membership in the
/// group.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// A burst of this size is handed over early if the worker has nothing to do.
const WORTH_HANDING_OVER: usize = 256;
/// Interval at which the topics' partitions are counted.
const COUNT_INTERVAL: Duration = Duration::from_mins(1);
const METADATA_PATIENCE: Duration = Duration::from_secs(2);

/// Reason for which polling ended although the process is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A shutdown was requested.
    Stopped,
    /// No record came although the log has more; a new consumer may help.
    Stalled,
}

/// Polls one consumer.
pub(crate) struct Poller<'a, D: Decide, Q: Schemas> {
    pub(crate) consumer: &'a StageConsumer<D, Q>,
    pub(crate) shared: &'a Arc<Shared<D::Change>>,
    pub(crate) limits: BatchLimits,
    pub(crate) runtime: Handle,
    pub(crate) stop: CancellationToken,
    /// Cancelled when the worker has ended.
    pub(crate) worker_done: CancellationToken,
    pub(crate) counts: PartitionCounts,
    pub(crate) ready: &'a AtomicBool,
}

impl<D: Decide, Q: Schemas> Poller<'_, D, Q> {
    /// Polls until shutdown.
    pub(crate) fn run(mut self) -> Result<Ended, Fatal> {
        loop {
            if self.stop.is_cancelled() {
                return Ok(Ended::Stopped);
            }
            if self.worker_done.is_cancelled() {
                return Err(Fatal::WorkerGone);
            }
            self.tend()?;
            if self.consumer.context().stall().is_stalled() {
                return Ok(Ended::Stalled);
            }
            if let Some(polled) = self.consumer.poll(POLL_WAIT) {
                self.gather(polled)?;
            }
            self.hand_over()?;
        }
    }

    fn tend(&mut self) -> Result<(), Fatal> {
        let context = self.consumer.context();
        context.driver().tend(self.consumer, Instant::now())?;
        self.shared.slot.free_spent();
        self.ready.store(context.driver().is_ready(), Ordering::Relaxed);
        for (topic, from, to) in self.counts.changed(self.consumer) {
            context.driver().partitions_changed(self.consumer, topic, from, to);
        }
        Ok(())
    }

    /// Polls the available records, up to the limits of a batch.
    fn gather(&self, first: Result<BorrowedMessage<'_>, KafkaError>) -> Result<(), Fatal> {
        let began = Instant::now();
        let mut next = Some(first);
        let mut records = 0_usize;
        while let Some(polled) = next {
            match polled {
                Ok(message) => {
                    records += usize::from(self.take(&message) == Taken::Gathered);
                }
                Err(error) => self.failed(&error)?,
            }
            let worth_it = records > 0 && records.is_multiple_of(WORTH_HANDING_OVER);
            if worth_it && self.shared.slot.worker_waits() {
                break;
            }
            if self.consumer.context().driver().intake.is_full(&self.limits)
                || began.elapsed() >= self.limits.gather
            {
                break;
            }
            next = self.consumer.poll(Duration::ZERO);
        }
        self.shared.seen.gathered(records, began.elapsed());
        Ok(())
    }

    fn take(&self, message: &BorrowedMessage<'_>) -> Taken {
        // A topic we did not subscribe to does not come; should it, nothing of ours is in it.
        let Some(topic) = Topic::from_name(message.topic()) else { return Taken::Dropped };
        let headers = headers(message);
        let record = Record {
            topic,
            partition: message.partition(),
            offset: message.offset(),
            key: message.key(),
            value: message.payload(),
            headers: &headers,
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        };
        self.consumer.context().driver().take(self.consumer, &record, Instant::now())
    }

    fn failed(&self, error: &KafkaError) -> Result<(), Fatal> {
        match error {
            KafkaError::MessageConsumptionFatal(code) => return Err(Fatal::Client(code.to_string())),
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ) => {
                warn!(%error, "offset out of range; checking for truncation or a retention gap");
                self.consumer.context().driver().out_of_range(self.consumer, Instant::now());
            }
            KafkaError::PartitionEOF(_) => {}
            // Told by the client's own log, once an outage and not with every poll.
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure,
            ) => debug!(%error, "polling failed"),
            _ => warn!(%error, "polling failed"),
        }
        Ok(())
    }

    /// Hands gathered records over to the worker; while it has no room, keeps the consumer alive without
    /// fetching.
    fn hand_over(&mut self) -> Result<(), Fatal> {
        let context = self.consumer.context();
        let began = Instant::now();
        while !self.shared.slot.offer(context.driver().intake.gathered()) {
            if self.stop.is_cancelled() || self.worker_done.is_cancelled() {
                break;
            }
            let emptied = self.shared.slot.emptied();
            let waited = self.runtime.block_on(async { tokio::time::timeout(POLL_WAIT, emptied).await });
            if waited.is_ok() || began.elapsed() < PAUSE_AFTER {
                continue;
            }
            context.driver().no_room(self.consumer);
            // Paused, so nothing should come but rebalances; what comes is fetched again later.
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    if let Some(topic) = Topic::from_name(message.topic()) {
                        let partition = sinks::TopicPartition { topic, partition: message.partition() };
                        context.driver().intake.refuse(partition);
                    }
                }
                Some(Err(error)) => self.failed(&error)?,
                None => {}
            }
            self.tend()?;
        }
        context.driver().room(self.consumer);
        Ok(())
    }
}

/// The message's headers. A name that is not UTF-8 makes the client panic; such a record gets no headers, and
/// is parked for the lack of them.
pub(in crate::runtime) fn headers<'a>(message: &'a BorrowedMessage<'_>) -> Vec<(&'a str, Option<&'a [u8]>)> {
    let Some(headers) = message.headers() else { return Vec::new() };
    let read = || headers.iter().map(|header| (header.key, header.value)).collect();
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_default()
}

/// Number of partitions of each topic, refreshed at intervals.
#[derive(Debug, Default)]
pub(crate) struct PartitionCounts {
    topics: Vec<Topic>,
    known: HashMap<Topic, usize>,
    looked_at: Option<Instant>,
}

impl PartitionCounts {
    pub(crate) fn new(topics: &[Topic]) -> Self {
        Self { topics: topics.to_vec(), ..Self::default() }
    }

    /// Topics whose number of partitions has changed since it was first read, with both numbers.
    fn changed<D: Decide, Q: Schemas>(
        &mut self,
        consumer: &StageConsumer<D, Q>,
    ) -> Vec<(Topic, usize, usize)> {
        if self.looked_at.is_some_and(|at| at.elapsed() < COUNT_INTERVAL) {
            return Vec::new();
        }
        self.looked_at = Some(Instant::now());
        let topics = self.topics.clone();
        topics.into_iter().filter_map(|topic| self.recount(consumer, topic)).collect()
    }

    fn recount<D: Decide, Q: Schemas>(
        &mut self,
        consumer: &StageConsumer<D, Q>,
        topic: Topic,
    ) -> Option<(Topic, usize, usize)> {
        let metadata = consumer.fetch_metadata(Some(topic.name()), METADATA_PATIENCE).ok()?;
        let count = metadata
            .topics()
            .first()
            .filter(|found| found.error().is_none() && !found.partitions().is_empty())?
            .partitions()
            .len();
        // Told once: whoever resumes the partitions has accepted the new number.
        let known = self.known.insert(topic, count).unwrap_or(count);
        (known != count).then_some((topic, known, count))
    }
}
