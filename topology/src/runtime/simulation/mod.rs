//! The stage loop over a fake log, a fake store and a clock that jumps: thousands of seeds, each another
//! order of claims, crashes, zombies, rebalances, refusals and outages. Whatever happens, applied ranges tile
//! and every record is settled exactly once.

pub(super) mod clock;
mod log;
mod member;
mod store;

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use clock::Simulated;
use futures_executor::{LocalPool, LocalSpawner};
use futures_util::task::LocalSpawnExt;
use log::{Content, Log};
use member::Member;
use rand::{Rng, SeedableRng, rngs::StdRng};
use schemas::Topic;
use sinks::TopicPartition;
use store::Store;

use super::clock::Clock;

const PARTITIONS: i32 = 3;

/// Seeds to run: those of `WEIR_SIMULATION_FIRST` and `WEIR_SIMULATION_SEEDS`, or as many as take half a
/// minute.
fn seeds() -> std::ops::Range<u64> {
    let from = std::env::var("WEIR_SIMULATION_FIRST").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let count =
        std::env::var("WEIR_SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    from..from + count
}

/// Clock and executor of a world.
#[derive(Clone)]
struct Home {
    clock: Simulated,
    spawner: LocalSpawner,
}

/// One world: a topic, a store, and members that come and go.
struct World {
    random: StdRng,
    home: Home,
    log: Arc<Log>,
    store: Arc<Store>,
    members: Vec<Member>,
    /// Member that each partition is assigned to.
    assignment: Vec<Option<usize>>,
    born: u64,
}

impl World {
    fn new(seed: u64, home: Home) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let log = Arc::new(Log::new(partitions()));
        let store = Arc::new(Store::new(seed, home.clock.clone()));
        Self {
            random,
            home,
            log,
            store,
            members: Vec::new(),
            assignment: vec![None; partitions().len()],
            born: seed << 16,
        }
    }

    /// One thing happens.
    async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..35 => self.produce(),
            35..80 => self.turn_of_somebody().await,
            80..85 => self.rebalance().await,
            85..88 => self.crash(),
            88..90 => self.freeze(),
            90..94 => self.start(),
            94..97 => self.store.trouble(self.random.random_range(0..4)),
            _ => self.home.clock.sleep(Duration::from_millis(self.random.random_range(1..20_000))).await,
        }
    }

    fn produce(&mut self) {
        for _ in 0..self.random.random_range(1..6) {
            let partition = partitions()[self.random.random_range(0..partitions().len())];
            let content = match self.random.random_range(0..400) {
                0..10 => Content::Poison,
                10..20 => Content::RefusedByStore,
                20..30 => Content::Ignored,
                30..40 => Content::MarkerOnly,
                40 => Content::Endless,
                _ => Content::Good,
            };
            self.log.append(partition, content);
        }
    }

    async fn turn_of_somebody(&mut self) {
        if !self.members.is_empty() {
            let index = self.random.random_range(0..self.members.len());
            self.members[index].turn().await;
        }
    }

    fn start(&mut self) {
        if self.members.len() < 3 {
            self.born += 1;
            self.members.push(Member::start(self.born, &self.home, &self.log, &self.store));
        }
    }

    /// Somebody dies at whatever it is doing; its partitions are nobody's until the next rebalance.
    fn crash(&mut self) {
        if !self.members.is_empty() {
            let index = self.random.random_range(0..self.members.len());
            drop(self.members.swap_remove(index));
            self.assignment = vec![None; partitions().len()];
            self.members.iter_mut().for_each(Member::forget_quietly);
        }
    }

    /// The group takes a live member for dead: its partitions go to others while it still works on them.
    fn freeze(&mut self) {
        if self.members.len() > 1 {
            let index = self.random.random_range(0..self.members.len());
            self.members[index].is_zombie = true;
        }
    }

    /// The group shares the partitions out anew, one after the other, as a coordinator does.
    async fn rebalance(&mut self) {
        if self.members.is_empty() {
            return;
        }
        for (index, partition) in partitions().into_iter().enumerate() {
            let next = self.random.random_range(0..self.members.len());
            for (number, member) in self.members.iter_mut().enumerate() {
                if number != next && member.holds(partition) && !member.is_zombie {
                    member.revoke(&[partition]).await;
                }
            }
            if !self.members[next].holds(partition) {
                self.members[next].assign(&[partition]).await;
            }
            self.assignment[index] = Some(next);
        }
    }

    /// Trouble ends; a surviving or a new member does the remaining work.
    async fn heal(&mut self) {
        self.store.heal();
        if self.random.random_bool(0.5) {
            self.members.clear();
        }
        self.start();
        self.members.iter_mut().for_each(Member::awaken);
        self.rebalance().await;
        // A record that the store never gets done with is parked after ten attempts, some of them 15 s apart.
        for _ in 0..4_000 {
            for member in &mut self.members {
                member.turn().await;
            }
            self.home.clock.sleep(Duration::from_millis(250)).await;
            if partitions().into_iter().all(|at| self.store.position(at) >= self.log.end(at)) {
                return;
            }
            // Whoever gave up has left the group.
            for at in partitions() {
                if !self.members.iter().any(|member| member.holds(at)) {
                    self.members[0].assign(&[at]).await;
                }
            }
        }
    }
}

fn partitions() -> Vec<TopicPartition> {
    (0..PARTITIONS).map(|partition| TopicPartition { topic: Topic::Activity, partition }).collect()
}

/// Runs one world and checks it.
fn check(seed: u64) {
    let (clock, mut pool) = (Simulated::default(), LocalPool::new());
    let ended = Rc::new(RefCell::new(None));
    let (end, home) = (Rc::clone(&ended), Home { clock: clock.clone(), spawner: pool.spawner() });
    let main = async move {
        let mut world = World::new(seed, home);
        world.start();
        for _ in 0..world.random.random_range(20..200) {
            world.step().await;
        }
        world.heal().await;
        *end.borrow_mut() = Some((Arc::clone(&world.log), Arc::clone(&world.store)));
    };
    pool.spawner().spawn_local(main).expect("the pool is there");
    let (log, store) = loop {
        pool.run_until_stalled();
        if let Some(ended) = ended.borrow_mut().take() {
            break ended;
        }
        assert!(clock.advance(), "everybody waits for ever");
    };
    for partition in partitions() {
        store.check(partition, &log.visible(partition));
        assert_eq!(store.position(partition), log.end(partition), "markers at the end are gone past too");
    }
}

#[test]
fn whatever_happens_ranges_tile_and_every_record_is_settled_once() {
    for seed in seeds() {
        if let Err(panic) = std::panic::catch_unwind(|| check(seed)) {
            eprint_seed(seed);
            std::panic::resume_unwind(panic);
        }
    }
}

#[expect(clippy::print_stderr, reason = "whoever reads the failure needs the seed")]
fn eprint_seed(seed: u64) {
    eprintln!("seed {seed} fails; again with WEIR_SIMULATION_FIRST={seed} WEIR_SIMULATION_SEEDS=1");
}
