//! Accrual: what resources have cost by the second since they were made, before the bill is known; and reconciliation
//! with the charges that replace it.
//!
//! The answer depends on the set of events alone: order and repeats change nothing. A resource whose first known event
//! is not its beginning accrues from that event on, and says so. Prices by the month are spread over the seconds of the
//! calendar month, as providers bill storage; prices by the hour over its 3,600 seconds.

mod reconcile;
mod spend;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike as _, Months, NaiveDate, NaiveTime};
use rust_decimal::Decimal;
use schemas::{
    Timestamp,
    changes::cost::{LifecycleKind, SizeTold, UnitPrice},
};
use uuid::Uuid;

pub use reconcile::{Charged, Reason, Reconciled, reconcile};
pub use spend::{Accruing, Spend};

const SECONDS_PER_HOUR: i64 = 3_600;
const SECONDS_PER_DAY: i64 = 86_400;
/// Digits after the point that the cost of a day of an interval is rounded to.
pub const SCALE: u32 = 10;
/// Most days that an interval is accrued over, about 30 years: bounds the answer.
const MAX_DAYS: usize = 11_000;
/// Why a resource has no price if no event gave a reason.
const TYPE_UNKNOWN: &str = "no event tells the resource's type";

/// One event in a resource's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// When it happened, to the second.
    pub at: Timestamp,
    /// The event's id: an event counts once, and orders events of one instant.
    pub id: Uuid,
    /// What happened.
    pub kind: LifecycleKind,
    /// What it says about price and size.
    pub told: SizeTold,
}

/// The price of a resource at its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// For an hour.
    pub hourly: Decimal,
    /// For a calendar month.
    pub monthly: Decimal,
}

/// A time in which a resource existed at one price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// Its first second.
    pub from: Timestamp,
    /// The second after its last; `None`: it lasts.
    pub until: Option<Timestamp>,
    /// Its price, or the reason why it has none.
    pub rate: Result<Rate, String>,
    /// The event that it begins with.
    pub began_by: Uuid,
}

/// The life of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Life {
    /// When it existed, ascending, without overlaps.
    pub intervals: Vec<Interval>,
    /// The first known event is not the resource's beginning: what it cost before is not known.
    pub beginning_unknown: bool,
}

/// Everything that events have said about a resource up to one of them.
#[derive(Debug, Default)]
struct State {
    exists: bool,
    stopped: bool,
    price: Option<UnitPrice>,
    unpriced: Option<String>,
    count: Option<Decimal>,
    size_gb: Option<Decimal>,
}

/// The life that events tell.
pub fn life(events: &[Lifecycle]) -> Life {
    let mut seen = BTreeSet::new();
    let mut ordered: Vec<&Lifecycle> = events.iter().collect();
    ordered.sort_unstable_by_key(|event| (event.at, event.kind, event.id));
    ordered.retain(|event| seen.insert(event.id));
    let beginning_unknown = ordered.first().is_some_and(|first| first.kind != LifecycleKind::Provisioned);
    let (mut state, mut intervals) = (State::default(), Vec::new());
    for (place, event) in ordered.iter().enumerate() {
        state.apply(event);
        let until = ordered.get(place + 1).map(|next| next.at);
        if state.exists && until != Some(event.at) {
            push(&mut intervals, Interval { from: event.at, until, rate: state.rate(), began_by: event.id });
        }
    }
    Life { intervals, beginning_unknown }
}

/// Adds an interval; one that goes on at the same price is one with the last.
fn push(intervals: &mut Vec<Interval>, interval: Interval) {
    match intervals.last_mut() {
        Some(last) if last.until == Some(interval.from) && last.rate == interval.rate => {
            last.until = interval.until;
        }
        _ => intervals.push(interval),
    }
}

impl State {
    fn apply(&mut self, event: &Lifecycle) {
        if event.kind == LifecycleKind::Deleted {
            *self = Self::default();
            return;
        }
        self.exists = true;
        let told = &event.told;
        if told.price.is_some() {
            (self.price, self.unpriced) = (told.price, None);
        } else if told.unpriced.is_some() {
            (self.price, self.unpriced) = (None, told.unpriced.clone());
        }
        self.count = told.count.or(self.count);
        self.size_gb = told.size_gb.or(self.size_gb);
        self.stopped = told.running.map_or(self.stopped, |running| !running);
    }

    fn rate(&self) -> Result<Rate, String> {
        let price =
            self.price.ok_or_else(|| self.unpriced.clone().unwrap_or_else(|| TYPE_UNKNOWN.to_owned()))?;
        let (count, size) = (self.count.unwrap_or(Decimal::ONE), self.size_gb.unwrap_or_default());
        let of = |fixed: Decimal, of_gb: Decimal| {
            let one = of_gb.checked_mul(size)?.checked_add(fixed)?;
            Some(one.checked_mul(count)?.round_dp(SCALE).normalize())
        };
        let running = if self.stopped { Decimal::ZERO } else { price.hourly };
        let rates = of(running, price.gb_hourly).zip(of(price.monthly, price.gb_monthly));
        let (hourly, monthly) = rates.ok_or("the amount is too large")?;
        Ok(Rate { hourly, monthly })
    }
}

/// The accrual of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accrual {
    /// Cost and time by day, UTC.
    pub days: BTreeMap<NaiveDate, DayAccrual>,
}

/// The accrual of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayAccrual {
    /// Seconds in which the resource existed and had a price.
    pub priced_seconds: i64,
    /// Seconds in which it existed without a price: they add nothing to the cost.
    pub unpriced_seconds: i64,
    /// Cost of the day.
    pub cost: Decimal,
}

impl Accrual {
    /// Cost of all days.
    pub fn cost(&self) -> Decimal {
        self.days.values().map(|day| day.cost).sum::<Decimal>().normalize()
    }

    /// Counts the days after `first` and before `until` to `first`: a charge for several days is held against all of them.
    pub fn gather(&mut self, first: NaiveDate, until: Timestamp) {
        let Some(second) = first.succ_opt() else { return };
        let last = (until - chrono::TimeDelta::microseconds(1)).date_naive();
        if last < second {
            return;
        }
        let days: Vec<NaiveDate> = self.days.range(second..=last).map(|(day, _)| *day).collect();
        for day in days {
            let Some(gone) = self.days.remove(&day) else { continue };
            let of_first = self.days.entry(first).or_default();
            of_first.priced_seconds += gone.priced_seconds;
            of_first.unpriced_seconds += gone.unpriced_seconds;
            of_first.cost = of_first.cost.saturating_add(gone.cost);
        }
    }

    fn add(&mut self, day: NaiveDate, rate: &Result<Rate, String>, seconds: i64) {
        let of_day = self.days.entry(day).or_default();
        match rate {
            Ok(rate) => {
                of_day.priced_seconds += seconds;
                let sum = cost(*rate, day, seconds).and_then(|cost| of_day.cost.checked_add(cost));
                of_day.cost = sum.unwrap_or(Decimal::MAX);
            }
            Err(_) => of_day.unpriced_seconds += seconds,
        }
    }
}

/// The cost of so many seconds of a day; `None`: it does not fit.
fn cost(rate: Rate, day: NaiveDate, seconds: i64) -> Option<Decimal> {
    let seconds = Decimal::from(seconds);
    let by_hour = rate.hourly.checked_mul(seconds)? / Decimal::from(SECONDS_PER_HOUR);
    let by_month = rate.monthly.checked_mul(seconds)? / Decimal::from(month_seconds(day));
    let sum = by_hour.checked_add(by_month)?;
    Some(sum.round_dp_with_strategy(SCALE, rust_decimal::RoundingStrategy::MidpointAwayFromZero).normalize())
}

/// Seconds of the calendar month of a day, UTC.
pub fn month_seconds(day: NaiveDate) -> i64 {
    let first = day.with_day(1).unwrap_or(day);
    let next = first.checked_add_months(Months::new(1)).unwrap_or(first);
    (next - first).num_seconds().max(SECONDS_PER_DAY)
}

/// The accrual of a resource over `from` (inclusive) to `until` (exclusive): of the time that a bill covers, and of the
/// rest. `covers` tells until when each day is covered, from its beginning on.
pub fn accrue(
    life: &Life,
    from: Timestamp,
    until: Timestamp,
    covers: &BTreeMap<NaiveDate, Timestamp>,
) -> (Accrual, Accrual) {
    let (mut covered, mut rest) = (Accrual::default(), Accrual::default());
    for interval in &life.intervals {
        let (mut at, end) = (interval.from.max(from), interval.until.map_or(until, |end| end.min(until)));
        for _ in 0..MAX_DAYS {
            if at >= end {
                break;
            }
            let day = at.date_naive();
            let Some(next) = day.succ_opt() else { break };
            let stop = end.min(next.and_time(NaiveTime::MIN).and_utc());
            let cut = covers.get(&day).map_or(at, |covered| (*covered).clamp(at, stop));
            // Whole seconds by the clock: intervals that meet neither overlap nor leave a gap.
            for (part, from, until) in [(&mut covered, at, cut), (&mut rest, cut, stop)] {
                let seconds = until.timestamp() - from.timestamp();
                if seconds > 0 {
                    part.add(day, &interval.rate, seconds);
                }
            }
            at = stop;
        }
    }
    (covered, rest)
}
