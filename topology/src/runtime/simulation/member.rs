//! A member of the group: the real driver, intake, slot and worker between the fake log and the fake store.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{future::RemoteHandle, task::LocalSpawnExt};
use rand::{SeedableRng, rngs::StdRng};
use schemas::{ParkReason, Topic, codec::SchemaRef};
use sinks::{RawRecord, Settlement, TopicPartition};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Home,
    log::{Content, Log},
    store::{CLUSTER, Connection, Store},
};
use crate::runtime::{
    clock::Clock,
    consume::continuity::Watermarks,
    consume::driver::{Driver, Links},
    consume::intake::{Decide, Decision, Record},
    consume::source::{Schemas, Source},
    deliver::batching::BatchLimits,
    deliver::notices::Notices,
    deliver::slot::Slot,
    deliver::worker::{CLAIM_PATIENCE, Shared, Worker},
    observe::metrics::{StageMetrics, Tracing},
};

/// Reads a record's one byte.
#[derive(Debug, Clone)]
pub(super) struct ByByte;

impl Decide for ByByte {
    type Change = u8;

    fn decide(&self, record: &Record<'_>, _: &RawRecord) -> Decision<u8> {
        let byte = record.value.expect("every record has a value")[0];
        let settlement = if byte == Content::Poison.byte() {
            Settlement::Park { reason: ParkReason::Undecodable, detail: String::new() }
        } else if byte == Content::Ignored.byte() {
            Settlement::Ignore("by rule")
        } else {
            Settlement::Apply(vec![byte])
        };
        Decision::Settle { settlement, identity: None }
    }
}

/// No schema is ever needed.
#[derive(Debug, Clone)]
pub(super) struct NoSchemas;

impl Schemas for NoSchemas {
    fn want(&self, schema: SchemaRef) {
        unreachable!("the schema of {schema} is not needed")
    }
    fn is_answered(&self, _schema: SchemaRef) -> bool {
        true
    }
}

/// A consumer: where each assigned partition is read next.
#[derive(Debug)]
struct FakeConsumer {
    log: Arc<Log>,
    places: RefCell<BTreeMap<TopicPartition, i64>>,
    handed_out: RefCell<BTreeMap<TopicPartition, Option<i64>>>,
    paused: RefCell<BTreeSet<TopicPartition>>,
}

impl FakeConsumer {
    fn assign(&self, at: TopicPartition, offset: Option<i64>) {
        self.places.borrow_mut().insert(at, offset.unwrap_or(0));
        self.handed_out.borrow_mut().insert(at, None);
        if offset.is_none() {
            self.paused.borrow_mut().insert(at);
        }
    }

    /// Drops the partition's place, but keeps it paused until it is resumed: as librdkafka does.
    fn unassign(&self, at: TopicPartition) {
        self.places.borrow_mut().remove(&at);
        self.handed_out.borrow_mut().remove(&at);
    }

    fn poll(&self) -> Option<(TopicPartition, i64, Content)> {
        let mut places = self.places.borrow_mut();
        for (at, place) in places.iter_mut().filter(|(at, _)| !self.paused.borrow().contains(at)) {
            let read = self.log.read(*at, *place);
            let end = read.map_or_else(|| self.log.end(*at), |(offset, _)| offset + 1);
            if *place < end {
                *place = end;
                self.handed_out.borrow_mut().insert(*at, Some(end));
            }
            if let Some((offset, content)) = read {
                return Some((*at, offset, content));
            }
        }
        None
    }
}

impl Source for FakeConsumer {
    fn watermarks(&self, at: TopicPartition) -> Result<Watermarks, String> {
        Ok(Watermarks { low: 0, high: self.log.end(at) })
    }

    fn partitions(&self, _: Topic) -> Result<i32, String> {
        Ok(super::PARTITIONS)
    }

    fn seek(&self, places: &[(TopicPartition, i64)]) -> Result<(), String> {
        for (at, offset) in places {
            *self.places.borrow_mut().get_mut(at).ok_or("not assigned")? = *offset;
            self.handed_out.borrow_mut().insert(*at, None);
        }
        Ok(())
    }

    fn pause(&self, partitions: &[TopicPartition]) {
        self.paused.borrow_mut().extend(partitions);
    }

    fn resume(&self, partitions: &[TopicPartition]) {
        self.paused.borrow_mut().retain(|at| !partitions.contains(at));
    }

    fn handed_out(&self) -> Vec<(TopicPartition, Option<i64>)> {
        self.handed_out.borrow().iter().map(|(at, upto)| (*at, *upto)).collect()
    }

    fn commit(&self, _: &BTreeMap<TopicPartition, i64>) {}
}

/// A running member. Dropping it is a crash.
pub(super) struct Member {
    /// The group has given its partitions away, and it does not know yet.
    pub(super) is_zombie: bool,
    consumer: FakeConsumer,
    driver: Driver<ByByte, NoSchemas>,
    shared: Arc<Shared<u8>>,
    home: Home,
    limits: BatchLimits,
    /// Dropping it drops the worker, wherever it is.
    _worker: RemoteHandle<()>,
}

impl Member {
    pub(super) fn start(seed: u64, home: &Home, log: &Arc<Log>, store: &Arc<Store>) -> Self {
        let limits = BatchLimits {
            records: 7,
            bytes: 1 << 20,
            changes: 5,
            gather: Duration::from_millis(200),
            linger: Duration::ZERO,
            worthwhile: 7,
        };
        let instruments = StageMetrics::new("simulated", "weir-simulated", Tracing::Off);
        let shared =
            Arc::new(Shared { slot: Slot::new(limits), notices: Notices::default(), seen: instruments });
        let (commands, inbox) = mpsc::channel(64);
        let sink = Connection(Arc::clone(store));
        let random = StdRng::seed_from_u64(seed);
        let worker = Worker::new(
            (sink, home.clock.clone()),
            Arc::clone(&shared),
            inbox,
            CancellationToken::new(),
            random.clone(),
        );
        let links =
            Links { shared: Arc::clone(&shared), commands, schemas: NoSchemas, cluster_id: CLUSTER.into() };
        Self {
            is_zombie: false,
            consumer: FakeConsumer {
                log: Arc::clone(log),
                places: RefCell::default(),
                handed_out: RefCell::default(),
                paused: RefCell::default(),
            },
            driver: Driver::new(ByByte, links, random),
            shared,
            home: home.clone(),
            limits,
            _worker: home.spawner.spawn_local_with_handle(worker.run()).expect("the pool is there"),
        }
    }

    pub(super) fn holds(&self, at: TopicPartition) -> bool {
        self.driver.intake.holds(at)
    }

    /// One turn of the poll loop.
    pub(super) async fn turn(&mut self) {
        if self.driver.tend(&self.consumer, self.home.clock.now()).is_err() {
            // A fence storm ends the process; the next one begins with nothing.
            self.lose_everything();
            return;
        }
        while !self.driver.intake.is_full(&self.limits) {
            let Some((at, offset, content)) = self.consumer.poll() else { break };
            let value = [content.byte(), u8::try_from(offset % 251).expect("small")];
            let record = Record {
                topic: at.topic,
                partition: at.partition,
                offset,
                key: None,
                value: Some(&value),
                headers: &[],
                timestamp_ms: offset,
            };
            self.driver.take(&self.consumer, &record, self.home.clock.now());
        }
        if self.shared.slot.offer(self.driver.intake.gathered()) {
            self.driver.room(&self.consumer);
        } else {
            self.driver.no_room(&self.consumer);
        }
        self.home.clock.sleep(Duration::ZERO).await;
    }

    /// Partitions come, as in the consumer's callback.
    pub(super) async fn assign(&mut self, partitions: &[TopicPartition]) {
        self.is_zombie = false;
        let mut places = Vec::new();
        if let Some(mut asked) = self.driver.ask(&self.consumer, partitions, self.home.clock.now()) {
            let answer = match self.home.clock.timeout(CLAIM_PATIENCE, &mut asked.reply).await {
                Some(Ok(answer)) => answer,
                _ => Err(sinks::DeliveryError::Unavailable("no answer".into())),
            };
            places = self.driver.answered(&asked, answer, self.home.clock.now());
        }
        for at in partitions {
            let place = places.iter().find(|(placed, _)| placed == at).map(|(_, offset)| *offset);
            self.consumer.assign(*at, place);
        }
        self.driver.hear(&self.consumer);
    }

    /// Partitions go, as in the consumer's callback.
    pub(super) async fn revoke(&mut self, partitions: &[TopicPartition]) {
        if let Some(released) = self.driver.revoked(&self.consumer, partitions) {
            // Too late is as good: the owner epoch tells.
            self.home.clock.timeout(Duration::from_secs(5), released).await;
        }
        for at in partitions {
            self.consumer.unassign(*at);
        }
    }

    /// The group is shared out anew; nothing is waited for.
    pub(super) fn forget_quietly(&mut self) {
        if !self.is_zombie {
            self.lose_everything();
        }
    }

    /// A zombie learns that its partitions are others'.
    pub(super) fn awaken(&mut self) {
        if std::mem::take(&mut self.is_zombie) {
            self.lose_everything();
        }
    }

    fn lose_everything(&mut self) {
        let held: Vec<_> = self.driver.intake.assigned().collect();
        drop(self.driver.revoked(&self.consumer, &held));
        for at in held {
            self.consumer.unassign(at);
        }
    }
}
