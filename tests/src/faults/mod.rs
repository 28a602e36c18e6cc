//! Processes, servers and connections that die at random, and the four promises that hold all the same: nothing lost,
//! nothing doubled, applied ranges tile, counts agree with an independent reader of the topics.
//!
//! The schedule follows from a seed, printed at the start; `WEIR_FAULT_SEED` repeats it. `WEIR_FAULT_EVENTS` and
//! `WEIR_FAULT_KILLS` make a run longer or shorter, `WEIR_FAULT_LOG` (`info`, `debug`) lets the stages say more.

mod at_least_once;
mod decisions;
mod gateway;
mod kill;
mod ledger;
pub(crate) mod member;
pub(crate) mod projections;
mod servers;
mod storm;
mod transactions;
mod zombie;

use std::time::{SystemTime, UNIX_EPOCH};

use rand::{SeedableRng, rngs::StdRng};

/// Random choices of one test, repeatable by the seed it prints.
#[expect(clippy::print_stderr, reason = "whoever sees the test fail needs the seed")]
pub(crate) fn dice(test: &str) -> StdRng {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let seed = setting("WEIR_FAULT_SEED", u64::from(now.subsec_nanos()));
    eprintln!("{test}: WEIR_FAULT_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// A number from the environment, or its default.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}
