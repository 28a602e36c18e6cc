//! A store with Postgres' promises: claims and advances are atomic, an answer can be lost, a refusal is
//! total.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use schemas::ParkReason;
use sinks::{
    Batch, Claim, ClaimRequest, DeliveryError, Guarantee, HaltReason, LastRecord, RangeCounts, Settled,
    Settlement, Sink, TopicPartition,
};

use super::{clock::Simulated, log::Content};
use crate::runtime::clock::Clock;

pub(super) const CLUSTER: &str = "simulated";

/// Faults of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Away,
    Slow,
    Misconfigured,
}

/// Fate of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Applied,
    Ignored,
    Parked,
}

#[derive(Debug)]
struct Row {
    position: i64,
    last: Option<LastRecord>,
    owner_epoch: i64,
    halted: Option<HaltReason>,
    /// Every advance ever made: where it began and ended.
    ranges: Vec<(i64, i64)>,
    fates: BTreeMap<i64, Fate>,
}

/// The rows of all partitions.
#[derive(Debug)]
pub(super) struct Store {
    rows: Mutex<HashMap<TopicPartition, Row>>,
    random: Mutex<StdRng>,
    trouble: Mutex<Trouble>,
    clock: Simulated,
}

impl Store {
    pub(super) fn new(seed: u64, clock: Simulated) -> Self {
        let random = Mutex::new(StdRng::seed_from_u64(seed ^ 0x5707e));
        Self { rows: Mutex::default(), random, trouble: Mutex::new(Trouble::None), clock }
    }

    pub(super) fn trouble(&self, kind: u8) {
        *self.trouble.lock().expect("held briefly") =
            [Trouble::None, Trouble::Away, Trouble::Slow, Trouble::Misconfigured][usize::from(kind)];
    }

    /// Trouble ends, and halted partitions are resumed.
    pub(super) fn heal(&self) {
        self.trouble(0);
        self.rows.lock().expect("held briefly").values_mut().for_each(|row| row.halted = None);
    }

    pub(super) fn position(&self, at: TopicPartition) -> i64 {
        self.rows.lock().expect("held briefly").get(&at).map_or(0, |row| row.position)
    }

    /// Applied ranges tile, and every record has the fate that it must have, once.
    pub(super) fn check(&self, at: TopicPartition, visible: &[(i64, Content)]) {
        let rows = self.rows.lock().expect("held briefly");
        let Some(row) = rows.get(&at) else {
            assert!(visible.is_empty(), "{at:?} was never claimed");
            return;
        };
        let mut cursor = 0;
        for (start, upto) in &row.ranges {
            assert_eq!(*start, cursor, "{at:?}: ranges tile");
            cursor = *upto;
        }
        assert_eq!(cursor, row.position, "{at:?}: the position is the end of the last range");
        let waits = row.halted.as_ref().is_some_and(|reason| !reason.kind.heals_by_itself());
        assert!(!waits, "{at:?} is halted: {:?}", row.halted);
        let fate = |content: &Content| match content {
            Content::Good => Fate::Applied,
            Content::Ignored => Fate::Ignored,
            _ => Fate::Parked,
        };
        let expected: Vec<_> = visible.iter().map(|(offset, content)| (*offset, fate(content))).collect();
        let settled: Vec<_> = row.fates.iter().map(|(offset, fate)| (*offset, *fate)).collect();
        assert_eq!(settled, expected, "{at:?}: every record is settled once, and as it must be");
    }

    /// Waits as a network does, and fails as a troubled store does.
    async fn reach(&self) -> Result<(), DeliveryError> {
        let (wait, roll) = {
            let mut random = self.random.lock().expect("held briefly");
            (random.random_range(0..30), random.random_range(0..100))
        };
        let trouble = *self.trouble.lock().expect("held briefly");
        let slow = if trouble == Trouble::Slow { 200 } else { 1 };
        self.clock.sleep(Duration::from_millis(wait * slow)).await;
        match (trouble, roll) {
            (Trouble::Away, _) | (_, 0..3) => Err(DeliveryError::Unavailable("away".into())),
            (Trouble::Slow, 3..40) => Err(DeliveryError::Interrupted("40P01".into())),
            (Trouble::Misconfigured, _) => Err(DeliveryError::Misconfigured("no table".into())),
            _ => Ok(()),
        }
    }

    /// One transaction.
    fn commit(&self, batch: &Batch<u8>) -> Result<Settled, DeliveryError> {
        let mut rows = self.rows.lock().expect("held briefly");
        for range in &batch.ranges {
            let row = rows.get(&range.partition).expect("claimed before");
            if row.position != range.start || row.owner_epoch != range.owner_epoch {
                return Err(DeliveryError::Fenced);
            }
        }
        let holds = |content: Content| {
            batch.records.iter().any(|record| match &record.settlement {
                Settlement::Apply(changes) => changes.contains(&content.byte()),
                Settlement::Ignore(_) | Settlement::Park { .. } => false,
            })
        };
        if holds(Content::Endless) {
            return Err(DeliveryError::TimedOut("25P03".into()));
        }
        if holds(Content::RefusedByStore) {
            let park_as = ParkReason::ConstraintViolated;
            return Err(DeliveryError::Rejected { park_as, reason: "23514".into() });
        }
        let mut settled =
            Settled { ranges: vec![RangeCounts::default(); batch.ranges.len()], ..Settled::default() };
        for record in &batch.records {
            let row = rows.get_mut(&batch.ranges[record.range].partition).expect("claimed before");
            let counts = &mut settled.ranges[record.range];
            let (fate, count) = match &record.settlement {
                Settlement::Apply(_) => (Fate::Applied, &mut counts.applied),
                Settlement::Ignore(_) => (Fate::Ignored, &mut counts.ignored),
                Settlement::Park { .. } => (Fate::Parked, &mut counts.parked),
            };
            *count += 1;
            assert!(row.fates.insert(record.offset, fate).is_none(), "{} is settled twice", record.offset);
        }
        for range in &batch.ranges {
            let row = rows.get_mut(&range.partition).expect("claimed before");
            row.ranges.push((range.start, range.upto));
            (row.position, row.last) = (range.upto, range.last.or(row.last));
        }
        Ok(settled)
    }
}

/// One member's connection to the store.
pub(super) struct Connection(pub(super) std::sync::Arc<Store>);

impl Sink for Connection {
    type Change = u8;

    const GUARANTEE: Guarantee = Guarantee::ExactlyOnce;

    fn name(&self) -> &'static str {
        "simulated"
    }

    async fn claim(&mut self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> {
        self.0.reach().await?;
        let mut rows = self.0.rows.lock().expect("held briefly");
        let claim = |request: &ClaimRequest| {
            let row = rows.entry(request.partition).or_insert_with(|| Row {
                position: request.low,
                last: None,
                owner_epoch: 0,
                halted: None,
                ranges: Vec::new(),
                fates: BTreeMap::new(),
            });
            row.owner_epoch += 1;
            Claim {
                partition: request.partition,
                position: row.position,
                last: row.last,
                owner_epoch: row.owner_epoch,
                cluster_id: CLUSTER.into(),
                partitions: request.partitions,
                halted: row.halted.clone(),
            }
        };
        Ok(requests.iter().map(claim).collect())
    }

    async fn deliver(&mut self, batch: &Batch<u8>) -> Result<Settled, DeliveryError> {
        self.0.reach().await?;
        let settled = self.0.commit(batch)?;
        // A crash here is a crash between the commit and its answer. That the answer is lost while the stage
        // lives is the real sink's to heal: it reads its row again.
        drop(self.0.reach().await);
        Ok(settled)
    }

    async fn set_halted(
        &mut self,
        partition: TopicPartition,
        owner_epoch: i64,
        reason: Option<&HaltReason>,
    ) -> Result<(), DeliveryError> {
        self.0.reach().await?;
        let mut rows = self.0.rows.lock().expect("held briefly");
        let row = rows.get_mut(&partition).expect("claimed before");
        if row.owner_epoch != owner_epoch {
            return Err(DeliveryError::Fenced);
        }
        row.halted = reason.cloned();
        Ok(())
    }
}
