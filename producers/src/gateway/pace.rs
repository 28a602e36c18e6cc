//! Pace of tenants: while several publish, each has a bounded amount of events that the stages have not settled.
//!
//! Tenants share partitions, and a stage reads a partition in order: for what one tenant publishes at once, the events of
//! all others behind it wait. A tenant that publishes alone is not paced. Where a second one published lately, the
//! events of a request are published piece by piece: as many as the stages settle within a tenth of a second, at their
//! present rate, are underway for each tenant. Stages that stand still, and events that came by other ways than this
//! gateway, slow nobody down.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use schemas::{Envelope, TenantId, Topic};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};

use crate::kafka::Acknowledged;

/// The next offset of each partition that every stage has yet to settle.
pub type SettledOffsets = HashMap<(Topic, i32), i64>;

/// Time that a tenant's unsettled events may take the stages.
const MAX_AHEAD: Duration = Duration::from_millis(100);
/// Units that a tenant may have underway however slow the stages are.
const MIN_WINDOW: u64 = 200;
/// Time for which a tenant that has published counts as present.
const PRESENT: Duration = Duration::from_secs(10);
/// Stages that have settled nothing for this long stand still.
const STANDSTILL: Duration = Duration::from_secs(2);
/// Interval at which the stages' rate is measured.
const MEASURE_EVERY: Duration = Duration::from_millis(200);
/// Longest wait for news of the stages before the state is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Maximum number of runs that are remembered of one partition; older ones count as settled.
const MAX_RUNS: usize = 2_000;
/// Units after which the next event of a tenant begins a run of its own.
const RUN_UNITS: u64 = 50;
/// Bytes of a native record that count as one event more.
const UNIT_BYTES: usize = 4 * 1024;

/// Offsets up to which the stages have settled what was published, and requests to read them now.
#[derive(Debug, Clone)]
pub struct SettledWatch {
    /// The offsets as last read.
    pub offsets: watch::Receiver<Arc<SettledOffsets>>,
    /// Wakes the task that reads them.
    pub wanted: Arc<Notify>,
}

/// Work that an event makes for the stages: one unit, and one more for every 4 KiB of its native record.
pub(super) fn units(event: &Envelope) -> u64 {
    let native = event.native.as_ref().map_or(0, |native| native.record.len());
    1 + u64::try_from(native / UNIT_BYTES).unwrap_or(u64::MAX)
}

/// Paces the tenants of one gateway.
#[derive(Debug)]
pub(super) struct Pace {
    settled: Option<SettledWatch>,
    backlog: Mutex<Backlog>,
}

impl Pace {
    /// Without offsets nobody is paced.
    pub(super) fn new(settled: Option<SettledWatch>) -> Self {
        Self { settled, backlog: Mutex::new(Backlog::new(Instant::now())) }
    }

    /// Units that the tenant may publish now. Waits until there are some; 0 at the deadline.
    pub(super) async fn room(&self, tenant: &TenantId, deadline: Instant) -> u64 {
        let Some(SettledWatch { offsets, wanted }) = &self.settled else { return u64::MAX };
        let mut offsets = offsets.clone();
        loop {
            let now = Instant::now();
            let known = Arc::clone(&offsets.borrow_and_update());
            let room = self.backlog().room(tenant, &known, now);
            if room > 0 || now >= deadline {
                return room;
            }
            wanted.notify_one();
            // An error is time that went by, or a task that has ended with the process.
            drop(timeout_at(deadline.min(now + LOOK_AGAIN), offsets.changed()).await);
        }
    }

    /// Notes events of the tenant that Kafka has stored.
    pub(super) fn stored(&self, tenant: &TenantId, stored: &[(Acknowledged, u64)]) {
        if self.settled.is_some() {
            self.backlog().stored(tenant, stored, Instant::now());
        }
    }

    fn backlog(&self) -> std::sync::MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events that the stages have not settled, by partition, in order.
#[derive(Debug)]
struct Backlog {
    runs: HashMap<(Topic, i32), VecDeque<Run>>,
    unsettled: HashMap<TenantId, u64>,
    /// The tenant that published last, and the last one before it.
    present: [Option<(TenantId, Instant)>; 2],
    rate: Rate,
}

/// Events of one tenant that follow each other in a partition.
#[derive(Debug)]
struct Run {
    tenant: TenantId,
    last: i64,
    units: u64,
}

/// Units that the stages settle a second while there are some.
#[derive(Debug)]
struct Rate {
    since: Instant,
    settled: u64,
    per_second: u64,
    /// Time at which something was settled, or nothing waited.
    moved: Instant,
}

impl Backlog {
    fn new(now: Instant) -> Self {
        let rate = Rate { since: now, settled: 0, per_second: 0, moved: now };
        Self { runs: HashMap::new(), unsettled: HashMap::new(), present: [None, None], rate }
    }

    fn room(&mut self, tenant: &TenantId, offsets: &SettledOffsets, now: Instant) -> u64 {
        self.settle(offsets, now);
        self.is_here(tenant, now);
        if self.is_alone(now) || now - self.rate.moved > STANDSTILL {
            return u64::MAX;
        }
        let ahead = u64::try_from(MAX_AHEAD.as_millis()).unwrap_or(u64::MAX);
        let window = (self.rate.per_second.saturating_mul(ahead) / 1_000).max(MIN_WINDOW);
        window.saturating_sub(self.unsettled.get(tenant).copied().unwrap_or(0))
    }

    fn is_here(&mut self, tenant: &TenantId, now: Instant) {
        match &mut self.present {
            [Some((latest, at)), _] if latest == tenant => *at = now,
            [latest, before] => *before = latest.replace((tenant.clone(), now)),
        }
    }

    /// Whether no second tenant has published lately.
    fn is_alone(&self, now: Instant) -> bool {
        self.present[1].as_ref().is_none_or(|(_, last)| now - *last > PRESENT)
    }

    fn stored(&mut self, tenant: &TenantId, stored: &[(Acknowledged, u64)], now: Instant) {
        if stored.is_empty() || self.is_alone(now) {
            return;
        }
        let units: u64 = stored.iter().map(|(_, units)| units).sum();
        *self.unsettled.entry(tenant.clone()).or_default() += units;
        for (Acknowledged { topic, partition, offset }, units) in stored {
            let runs = self.runs.entry((*topic, *partition)).or_default();
            match runs.back_mut() {
                Some(run) if run.tenant == *tenant && run.units < RUN_UNITS => {
                    (run.last, run.units) = (run.last.max(*offset), run.units + units);
                }
                _ => runs.push_back(Run { tenant: tenant.clone(), last: *offset, units: *units }),
            }
            if runs.len() > MAX_RUNS
                && let Some(oldest) = runs.pop_front()
            {
                release(&mut self.unsettled, &oldest);
            }
        }
    }

    /// Forgets what the stages have settled.
    fn settle(&mut self, offsets: &SettledOffsets, now: Instant) {
        let mut settled = 0;
        for (place, runs) in &mut self.runs {
            // Nobody reads a partition without an offset.
            let upto = offsets.get(place).copied().unwrap_or(i64::MAX);
            while let Some(run) = runs.pop_front_if(|run| run.last < upto) {
                release(&mut self.unsettled, &run);
                settled += run.units;
            }
        }
        self.rate.measure(settled, self.unsettled.is_empty(), now);
    }
}

fn release(unsettled: &mut HashMap<TenantId, u64>, run: &Run) {
    if let Some(units) = unsettled.get_mut(&run.tenant) {
        *units = units.saturating_sub(run.units);
        if *units == 0 {
            unsettled.remove(&run.tenant);
        }
    }
}

impl Rate {
    fn measure(&mut self, settled: u64, is_idle: bool, now: Instant) {
        self.settled += settled;
        if settled > 0 || is_idle {
            self.moved = now;
        }
        let span = now - self.since;
        if span >= MEASURE_EVERY {
            let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
            let sample = self.settled.saturating_mul(1_000) / millis;
            // Stages with nothing to do are no slower than they were.
            if !is_idle || sample > self.per_second {
                self.per_second = u64::midpoint(self.per_second, sample);
            }
            (self.since, self.settled) = (now, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: (Topic, i32) = (Topic::Activity, 3);

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).expect("valid")
    }

    /// A backlog in which the loud tenant has published so many events, and the quiet one none.
    struct Scene {
        backlog: Backlog,
        began: Instant,
        offset: i64,
    }

    impl Scene {
        fn new(loud: i64) -> Self {
            let began = Instant::now();
            let mut scene = Self { backlog: Backlog::new(began), began, offset: 0 };
            scene.backlog.is_here(&tenant("quiet"), began);
            scene.backlog.is_here(&tenant("loud"), began);
            scene.publish("loud", loud);
            scene
        }

        fn publish(&mut self, name: &str, events: i64) {
            for _ in 0..events {
                let (topic, partition) = PLACE;
                let stored = Acknowledged { topic, partition, offset: self.offset };
                self.backlog.stored(&tenant(name), &[(stored, 1)], self.began);
                self.offset += 1;
            }
        }

        fn room(&mut self, name: &str, settled: i64, millis: u64) -> u64 {
            let now = self.began + Duration::from_millis(millis);
            self.backlog.room(&tenant(name), &SettledOffsets::from([(PLACE, settled)]), now)
        }
    }

    #[test]
    fn a_tenant_that_is_alone_is_not_paced() {
        let began = Instant::now();
        let mut scene = Scene { backlog: Backlog::new(began), began, offset: 0 };
        assert_eq!(scene.room("loud", 0, 10), u64::MAX);
        scene.publish("loud", 5_000);
        assert!(scene.backlog.unsettled.is_empty(), "nobody asks for it");
        assert_eq!(scene.room("quiet", 0, 20), MIN_WINDOW);
        scene.publish("loud", 5_000);
        assert_eq!(scene.room("loud", 5_001, 30), 0, "now there are two");
        assert_eq!(scene.room("loud", 9_000, 10_100), u64::MAX, "the other one left");
    }

    #[test]
    fn each_has_room_of_its_own_until_its_events_are_settled() {
        let mut scene = Scene::new(1_000);
        assert_eq!(scene.room("quiet", 0, 2), MIN_WINDOW);
        scene.publish("quiet", 20);
        assert_eq!(scene.room("quiet", 0, 3), MIN_WINDOW - 20);
        assert_eq!(scene.room("loud", 800, 4), 0);
        assert_eq!(scene.room("loud", 950, 5), MIN_WINDOW - 50);
        assert_eq!(scene.room("quiet", 1_020, 6), MIN_WINDOW, "all is settled");
        assert!(scene.backlog.unsettled.is_empty());
    }

    #[test]
    fn the_window_follows_the_rate_of_the_stages() {
        let mut scene = Scene::new(100_000);
        assert_eq!(scene.room("quiet", 0, 0), MIN_WINDOW);
        for step in 1..20 {
            scene.room("quiet", 0, 0);
            scene.room("loud", i64::try_from(step * 2_000).expect("small"), step * 200);
        }
        let room = scene.room("quiet", 38_000, 3_801);
        assert!((900..=1_000).contains(&room), "10,000 a second, a tenth of it: {room}");
    }

    #[test]
    fn stages_that_stand_still_slow_nobody_down() {
        let mut scene = Scene::new(5_000);
        scene.room("quiet", 0, 0);
        assert_eq!(scene.room("loud", 0, 1_900), 0);
        assert_eq!(scene.room("loud", 0, 2_100), u64::MAX);
        assert_eq!(scene.room("quiet", 0, 2_200), u64::MAX);
        assert_eq!(scene.room("loud", 50, 2_300), 0, "they move again");
    }

    #[test]
    fn memory_is_bounded() {
        let mut scene = Scene::new(0);
        for _ in 0..3 * MAX_RUNS {
            scene.publish("loud", 1);
            scene.publish("quiet", 1);
        }
        assert_eq!(scene.backlog.runs[&PLACE].len(), MAX_RUNS);
        assert_eq!(scene.backlog.unsettled.values().sum::<u64>(), u64::try_from(MAX_RUNS).expect("small"));
    }
}
