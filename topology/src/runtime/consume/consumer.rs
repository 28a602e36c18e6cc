//! The Kafka consumer of a stage: its settings, and its handling of rebalances.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Offset, Statistics, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol},
    error::KafkaError,
    topic_partition_list::TopicPartitionListElem,
    types::RDKafkaRespErr,
};
use schemas::Topic;
use sinks::{Claim, DeliveryError, TopicPartition};
use tokio::{runtime::Handle, sync::oneshot, time::timeout};
use tracing::{debug, error, info, warn};

use crate::runtime::{
    consume::continuity::Watermarks,
    consume::driver::Driver,
    consume::held_back::{Ends, HeldBack},
    consume::intake::Decide,
    consume::source::{Schemas, Source},
    consume::stall::{PartitionProgress, StallWatch},
    deliver::worker::{CLAIM_PATIENCE, Shared},
    grace::Grace,
};

/// Time limit for fetching watermarks.
const WATERMARK_PATIENCE: Duration = Duration::from_secs(3);
const SEEK_PATIENCE: Duration = Duration::from_secs(5);
/// Time limit for a transaction in flight when its partitions are revoked.
const REVOKE_PATIENCE: Duration = Duration::from_secs(5);

/// Connection of a consumer: cluster, group and client.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerSettings {
    pub(crate) bootstrap: String,
    pub(crate) group: String,
    pub(crate) client_id: String,
    pub(crate) group_instance: Option<String>,
    pub(crate) extra: BTreeMap<String, String>,
}

impl ConsumerSettings {
    /// The settings of librdkafka; those of `extra` take precedence.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let fixed = [
            ("bootstrap.servers", self.bootstrap.as_str()),
            ("group.id", &self.group),
            ("client.id", &self.client_id),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_committed"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("fetch.wait.max.ms", "50"),
            // For as long the client fetches nothing once the queue was full; a fast stage empties it sooner.
            ("fetch.queue.backoff.ms", "2"),
            // A stage that is slower than its broker keeps the queue full, and a process has a consumer for every stage: a
            // tenth of a second of records is enough for the fastest.
            ("queued.max.messages.kbytes", "4096"),
            // Both count compressed bytes: what arrives at once may be eight times that in memory.
            ("fetch.max.bytes", "1048576"),
            ("fetch.message.max.bytes", "131072"),
            ("check.crcs", "true"),
            ("allow.auto.create.topics", "false"),
            ("statistics.interval.ms", "5000"),
            ("session.timeout.ms", "10000"),
            // Also how long a group waits for a member that does not join again; the default is five minutes. The
            // poll thread is never away for longer than a claim and a drain, 10 s.
            ("max.poll.interval.ms", "30000"),
            ("heartbeat.interval.ms", "2000"),
            ("topic.metadata.refresh.interval.ms", "30000"),
            ("reconnect.backoff.max.ms", "2000"),
            ("socket.keepalive.enable", "true"),
        ];
        for (key, value) in fixed {
            config.set(key, value);
        }
        if let Some(instance) = &self.group_instance {
            config.set("group.instance.id", instance);
        }
        for (key, value) in &self.extra {
            config.set(key, value);
        }
        config
    }
}

/// The consumer of a stage.
pub(crate) type StageConsumer<D, Q> = BaseConsumer<ConsumerCallbacks<D, Q>>;

/// State of a consumer's callbacks. They run on the poll thread, inside `poll`, so the driver is never locked
/// across a poll.
pub(crate) struct ConsumerCallbacks<D: Decide, Q> {
    driver: Mutex<Driver<D, Q>>,
    stall: Mutex<StallWatch>,
    held_back: Mutex<HeldBack>,
    shared: Arc<Shared<D::Change>>,
    runtime: Handle,
    grace: Grace,
}

impl<D: Decide, Q: Schemas> ConsumerCallbacks<D, Q> {
    pub(crate) fn new(
        driver: Driver<D, Q>,
        shared: Arc<Shared<D::Change>>,
        runtime: Handle,
        grace: Grace,
    ) -> Self {
        let (stall, held_back) = (Mutex::default(), Mutex::default());
        Self { driver: Mutex::new(driver), stall, held_back, shared, runtime, grace }
    }

    pub(crate) fn driver(&self) -> MutexGuard<'_, Driver<D, Q>> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stall(&self) -> MutexGuard<'_, StallWatch> {
        self.stall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports partitions that a producer's transaction holds back.
    fn tell_held_back(&self, ends: &[Ends]) {
        let mut watch = self.held_back.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, news) = watch.observe(ends, Instant::now());
        for Ends { at, stable, high } in news {
            warn!(topic = %at.topic, partition = at.partition, from = stable, behind = high - stable,
                  "a transaction has been open for a minute; records after it cannot be read");
        }
        self.shared.seen.held_back(count);
    }

    /// Partitions were assigned: claims them, then assigns exactly once, each with its position. Partitions
    /// that cannot be claimed now are assigned paused and claimed later, which avoids a storm of rebalances
    /// while Postgres is down.
    fn assign(&self, consumer: &StageConsumer<D, Q>, list: &TopicPartitionList) {
        let partitions = ours(list);
        let asked = self.driver().ask(consumer, &partitions, Instant::now());
        let mut places = Vec::new();
        if let Some(mut asked) = asked {
            let answer = self.await_claim(&mut asked.reply);
            places = self.driver().answered(&asked, answer, Instant::now());
        }
        let mut assignment = TopicPartitionList::with_capacity(partitions.len());
        let mut waiting = Vec::new();
        for partition in &partitions {
            let place = places.iter().find(|(placed, _)| placed == partition);
            let offset = place.map_or(Offset::Beginning, |(_, offset)| Offset::Offset(*offset));
            if place.is_none() || self.driver().waits_for_room() {
                waiting.push(*partition);
            }
            if let Err(error) =
                assignment.add_partition_offset(partition.topic.name(), partition.partition, offset)
            {
                error!(%error, "cannot assign a position");
            }
        }
        let assigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&assignment),
            RebalanceProtocol::None | RebalanceProtocol::Eager => consumer.assign(&assignment),
        };
        if let Err(error) = assigned {
            error!(%error, "the assignment was refused");
        }
        Source::pause(consumer, &waiting);
        // Before the next poll: what is told from now on was handed out under these claims.
        self.driver().hear(consumer);
        info!(assigned = partitions.len(), waiting = waiting.len(), "partitions assigned");
    }

    fn await_claim(
        &self,
        reply: &mut oneshot::Receiver<Result<Vec<Claim>, DeliveryError>>,
    ) -> Result<Vec<Claim>, DeliveryError> {
        match self.runtime.block_on(async { timeout(CLAIM_PATIENCE, reply).await }) {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(DeliveryError::Unavailable("the worker has ended".into())),
            Err(_) => Err(DeliveryError::Unavailable("no answer to the claim within 5 s".into())),
        }
    }

    /// Partitions were revoked: accepts no more of their records, lets the transaction in flight finish, then
    /// releases them.
    fn revoke(&self, consumer: &StageConsumer<D, Q>, list: &TopicPartitionList) {
        let partitions = ours(list);
        let is_lost = consumer.assignment_lost();
        let released = self.driver().revoked(consumer, &partitions);
        if let Some(released) = released.filter(|_| !is_lost) {
            let ended = async { self.grace.wait(timeout(REVOKE_PATIENCE, released)).await };
            if !matches!(self.runtime.block_on(ended), Some(Ok(_))) {
                warn!(
                    "revoked with a transaction in flight; its commit is fenced if the partition has a new owner"
                );
            }
        }
        let unassigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            RebalanceProtocol::None | RebalanceProtocol::Eager => consumer.unassign(),
        };
        if let Err(error) = unassigned {
            error!(%error, "the revocation was refused");
        }
        info!(revoked = partitions.len(), is_lost, "partitions revoked");
    }
}

impl<D: Decide, Q: Schemas> ClientContext for ConsumerCallbacks<D, Q>
where
    D: Send,
    Q: Send,
{
    fn stats(&self, statistics: Statistics) {
        let any_broker_down =
            statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state != "UP");
        let driver = self.driver();
        let (mut progress, mut ends) = (Vec::new(), Vec::new());
        for (name, told) in &statistics.topics {
            let Some(topic) = Topic::from_name(name) else { continue };
            for partition in told.partitions.values() {
                let at = TopicPartition { topic, partition: partition.partition };
                let Some(position) = driver.settled(at).filter(|_| partition.ls_offset >= 0) else {
                    continue;
                };
                self.shared.seen.lag(at, (partition.ls_offset - position).max(0));
                if driver.intake.epoch_of(at).is_some() {
                    ends.push(Ends { at, stable: partition.ls_offset, high: partition.hi_offset });
                    // Where nothing is left to fetch or to take, the rest of the log is transactions' markers.
                    let is_read = partition.next_offset >= partition.ls_offset && partition.fetchq_cnt == 0;
                    let end = if is_read { position } else { partition.ls_offset };
                    progress.push(PartitionProgress { at, settled: position, end });
                }
            }
        }
        // A worker with a batch in hand may be waiting for Postgres, which is no fault of this consumer's.
        let excused = driver.waits_for_room() || !self.shared.slot.worker_waits() || any_broker_down;
        drop(driver);
        self.stall().observe(&progress, excused, Instant::now());
        self.tell_held_back(&ends);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "Kafka client");
    }
}

impl<D: Decide, Q: Schemas> ConsumerContext for ConsumerCallbacks<D, Q>
where
    D: Send,
    Q: Send,
{
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        self.shared.seen.rebalanced();
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.revoke(consumer, list),
        }
    }

    fn commit_callback(&self, result: Result<(), KafkaError>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            debug!(%error, "positions for dashboards were not committed");
        }
    }
}

impl<D: Decide, Q: Schemas> Source for StageConsumer<D, Q> {
    fn watermarks(&self, partition: TopicPartition) -> Result<Watermarks, String> {
        let (name, number) = (partition.topic.name(), partition.partition);
        match self.fetch_watermarks(name, number, WATERMARK_PATIENCE) {
            Ok((low, high)) => Ok(Watermarks { low, high }),
            Err(error) => Err(error.to_string()),
        }
    }

    fn partitions(&self, topic: Topic) -> Result<i32, String> {
        let metadata = self.fetch_metadata(Some(topic.name()), WATERMARK_PATIENCE);
        let metadata = metadata.map_err(|error| error.to_string())?;
        let found = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        match i32::try_from(found) {
            Ok(count) if count > 0 => Ok(count),
            _ => Err("the cluster does not show the topic's partitions now".to_owned()),
        }
    }

    fn seek(&self, places: &[(TopicPartition, i64)]) -> Result<(), String> {
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (partition, offset) in places {
            let offset = Offset::Offset(*offset);
            list.add_partition_offset(partition.topic.name(), partition.partition, offset)
                .map_err(|error| error.to_string())?;
        }
        let list = self.seek_partitions(list, SEEK_PATIENCE).map_err(|error| error.to_string())?;
        list.elements().iter().try_for_each(TopicPartitionListElem::error).map_err(|error| error.to_string())
    }

    fn pause(&self, partitions: &[TopicPartition]) {
        if partitions.is_empty() {
            return;
        }
        if let Err(error) = Consumer::pause(self, &names(partitions)) {
            warn!(%error, "partitions cannot be paused");
        }
    }

    fn resume(&self, partitions: &[TopicPartition]) {
        if partitions.is_empty() {
            return;
        }
        if let Err(error) = Consumer::resume(self, &names(partitions)) {
            warn!(%error, "partitions cannot be resumed");
        }
    }

    fn handed_out(&self) -> Vec<(TopicPartition, Option<i64>)> {
        let list = match self.position() {
            Ok(list) => list,
            Err(error) => {
                debug!(%error, "cannot read the consumer's position");
                return Vec::new();
            }
        };
        let told = |element: TopicPartitionListElem<'_>| {
            let topic = Topic::from_name(element.topic())?;
            let upto = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            Some((TopicPartition { topic, partition: element.partition() }, upto))
        };
        list.elements().into_iter().filter_map(told).collect()
    }

    fn commit(&self, positions: &BTreeMap<TopicPartition, i64>) {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (partition, position) in positions {
            let offset = Offset::Offset(*position);
            if list.add_partition_offset(partition.topic.name(), partition.partition, offset).is_err() {
                return;
            }
        }
        if let Err(error) = Consumer::commit(self, &list, CommitMode::Async) {
            debug!(%error, "positions for dashboards were not committed");
        }
    }
}

/// The partitions of a list that belong to known topics; all subscribed topics do.
fn ours(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let ours = |name, partition| Topic::from_name(name).map(|topic| TopicPartition { topic, partition });
    list.elements().iter().filter_map(|element| ours(element.topic(), element.partition())).collect()
}

fn names(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(partition.topic.name(), partition.partition);
    }
    list
}
