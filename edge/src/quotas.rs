//! Quotas by key that all replicas of a service grant together, in bounded memory.
//!
//! The generic cell rate algorithm with debt: a key may take any amount while one unit is left of its burst,
//! and is refused until what it took has come back. So the largest request fits into the smallest quota, and
//! in the long run no more is granted than the quota. Each of `n` replicas counts every unit `n` times.

use std::{
    collections::HashMap,
    hash::Hash,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::rates::Allowance;

const MINUTE: Duration = Duration::from_mins(1);
/// Maximum number of keys that are tracked; beyond it new ones share one allowance.
const MAX_HOLDERS: usize = 10_000;

/// Quotas by key, with a common quota or the key's own.
#[derive(Debug)]
pub struct Quotas<K> {
    common: Option<NonZeroU32>,
    /// The quota of this time may be taken at once.
    burst: Duration,
    began: Instant,
    holders: Mutex<HashMap<Option<K>, Holder>>,
}

/// State of a key.
#[derive(Debug, Clone, Copy)]
struct Holder {
    per_minute: NonZeroU32,
    /// The time at which all that was taken will have come back, since the beginning.
    repaid_at: Duration,
}

impl<K: Hash + Eq + Clone> Quotas<K> {
    /// Quotas per minute with every burst full. With `None`, only keys with a quota of their own are limited.
    pub fn new(common: Option<NonZeroU32>, burst: Duration) -> Self {
        Self { common, burst, began: Instant::now(), holders: Mutex::default() }
    }

    /// Takes `count` from the key's quota as one of `replicas`; `Err` where nothing is left. `own` is the
    /// key's own quota, if it has one; a changed quota starts with a full burst. `Ok(None)`: no limit.
    pub fn take(
        &self,
        key: K,
        own: Option<NonZeroU32>,
        count: NonZeroU32,
        replicas: NonZeroU32,
    ) -> Result<Option<Allowance>, Allowance> {
        let Some(per_minute) = own.or(self.common) else { return Ok(None) };
        let unit = Unit { per_minute, replicas };
        self.take_at(key, unit, count, self.began.elapsed()).map(Some)
    }

    fn take_at(&self, key: K, unit: Unit, count: NonZeroU32, now: Duration) -> Result<Allowance, Allowance> {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        if holders.len() >= MAX_HOLDERS && !holders.contains_key(&Some(key.clone())) {
            holders.retain(|_, holder| holder.repaid_at > now);
        }
        let is_tracked = holders.len() < MAX_HOLDERS || holders.contains_key(&Some(key.clone()));
        let new = Holder { per_minute: unit.per_minute, repaid_at: now };
        let holder = holders.entry(is_tracked.then_some(key)).or_insert(new);
        if holder.per_minute != unit.per_minute {
            *holder = new;
        }
        let owed = holder.repaid_at.saturating_sub(now);
        // One unit is left, or all of a burst that holds less than one.
        let room = self.burst.saturating_sub(unit.time_of(NonZeroU32::MIN));
        if owed > room {
            return Err(Allowance {
                per_minute: unit.per_minute.get(),
                remaining: 0,
                wait: owed.saturating_sub(room),
            });
        }
        let owed = owed.saturating_add(unit.time_of(count));
        holder.repaid_at = now.saturating_add(owed);
        let remaining = unit.within(self.burst.saturating_sub(owed));
        Ok(Allowance { per_minute: unit.per_minute.get(), remaining, wait: owed })
    }
}

/// A quota, as one replica grants its part.
#[derive(Debug, Clone, Copy)]
struct Unit {
    per_minute: NonZeroU32,
    replicas: NonZeroU32,
}

impl Unit {
    /// The time in which so many come back at this replica.
    fn time_of(self, count: NonZeroU32) -> Duration {
        let units = u128::from(count.get()) * u128::from(self.replicas.get());
        let nanoseconds = units * MINUTE.as_nanos() / u128::from(self.per_minute.get());
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// The number that comes back at this replica within a time.
    fn within(self, time: Duration) -> u32 {
        let units = time.as_nanos() * u128::from(self.per_minute.get())
            / (MINUTE.as_nanos() * u128::from(self.replicas.get()));
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BURST: Duration = Duration::from_secs(15);

    fn number(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).expect("not zero")
    }

    fn take(quotas: &Quotas<u32>, key: u32, per_minute: u32, count: u32, at_ms: u64) -> bool {
        let unit = Unit { per_minute: number(per_minute), replicas: NonZeroU32::MIN };
        quotas.take_at(key, unit, number(count), Duration::from_millis(at_ms)).is_ok()
    }

    #[test]
    fn a_quarter_may_come_at_once_and_the_rest_at_its_pace() {
        let quotas = Quotas::new(None, BURST);
        assert_eq!((0..20).filter(|_| take(&quotas, 1, 60, 1, 0)).count(), 15);
        assert!(take(&quotas, 2, 60, 1, 0), "another key has its own");
        assert!(
            !take(&quotas, 1, 60, 1, 0) && take(&quotas, 1, 60, 1, 1_000) && !take(&quotas, 1, 60, 1, 1_999)
        );
    }

    #[test]
    fn the_largest_request_fits_and_is_paid_for() {
        let quotas = Quotas::new(None, BURST);
        assert!(take(&quotas, 1, 60, 600, 0), "ten minutes at once");
        let unit = Unit { per_minute: number(60), replicas: NonZeroU32::MIN };
        let refused = quotas.take_at(1, unit, NonZeroU32::MIN, Duration::from_secs(1)).expect_err("it owes");
        assert_eq!(refused.retry_after_s(), 600 - 1 - 15 + 1);
        assert!(!take(&quotas, 1, 60, 1, 584_000) && take(&quotas, 1, 60, 1, 586_000));
    }

    #[test]
    fn a_key_may_have_a_quota_of_its_own() {
        let quotas = Quotas::new(Some(number(8)), BURST);
        let takes = |key: u32, own: Option<u32>, times: u32| {
            let took = |_: &u32| quotas.take(key, own.map(number), NonZeroU32::MIN, NonZeroU32::MIN).is_ok();
            (0..times).filter(took).count()
        };
        assert_eq!((takes(1, None, 5), takes(2, Some(16), 5), takes(3, Some(4), 5)), (2, 4, 1));
        assert_eq!(takes(2, Some(16), 1), 0, "the same quota is the same allowance");
        assert_eq!(takes(2, Some(12), 5), 3, "another quota is another");
        assert_eq!(takes(2, None, 5), 2, "and none of its own is everybody's");
        let unlimited = Quotas::new(None, BURST);
        assert_eq!(unlimited.take(1, None, NonZeroU32::MAX, NonZeroU32::MIN), Ok(None));
    }

    #[test]
    fn memory_is_bounded_and_newcomers_share_what_is_left() {
        let quotas = Quotas::new(None, BURST);
        let most = u32::try_from(MAX_HOLDERS).expect("a number");
        assert!((0..most).all(|key| take(&quotas, key, 4, 1, 0)));
        assert!(take(&quotas, most, 4, 1, 0) && !take(&quotas, most + 1, 4, 1, 0), "one allowance");
        assert_eq!(quotas.holders.lock().expect("held").len(), MAX_HOLDERS + 1);
        assert!(take(&quotas, most + 1, 4, 1, 60_000), "all have paid");
        assert_eq!(quotas.holders.lock().expect("held").len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Replicas together grant a quota within 5 %, whatever the size of requests, how they are spread,
        /// and while replicas come and go.
        #[test]
        fn replicas_grant_the_quota_together(
            per_minute in 600_u32..2_000_000,
            parts in prop::collection::vec(1_u32..=9, 1..4),
            largest_percent in 40_u32..100,
            seed in any::<u64>(),
        ) {
            const ROUNDS: u64 = 20 * 60 * 5;
            let largest = (per_minute / 300 * largest_percent / 100).max(1);
            let all: Vec<Quotas<u32>> = (0..9).map(|_| Quotas::new(None, BURST)).collect();
            let (mut granted, mut dice) = (0_u64, seed);
            for round in 0..ROUNDS {
                let part = usize::try_from(round * parts.len() as u64 / ROUNDS).expect("an index");
                let unit = Unit { per_minute: number(per_minute), replicas: number(parts[part]) };
                for quotas in &all[..parts[part] as usize] {
                    // Asked far too often.
                    loop {
                        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let count = u32::try_from(dice >> 33).expect("31 bits") % largest + 1;
                        if quotas.take_at(1, unit, number(count), Duration::from_millis(round * 200)).is_err() {
                            break;
                        }
                        granted += u64::from(count);
                    }
                }
            }
            let quota = u64::from(per_minute) * 20;
            let within = quota * 95 / 100..=quota * 105 / 100;
            prop_assert!(within.contains(&granted), "{granted} of {quota}");
        }
    }
}
