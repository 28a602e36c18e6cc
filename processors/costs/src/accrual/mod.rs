//! Accrual: cost of resources by the second, before the bill is known; and reconciliation with the charges
//! that replace it.
//!
//! The result depends on the set of events alone: order and repeats do not matter. If a resource's first
//! known event is not its creation, it accrues from that event on, and the result says so. Monthly prices are
//! spread over the seconds of the calendar month, as providers bill storage; hourly prices over 3,600
//! seconds.

mod reconcile;
mod spend;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike as _, Months, NaiveDate, NaiveTime};
use rust_decimal::Decimal;
use schemas::{
    Timestamp,
    changes::cost::{LifecycleKind, SizeTold, SkuTold, UnitPrice},
};
use uuid::Uuid;

pub use reconcile::{Charged, Reason, Reconciled, reconcile};
pub use spend::{Accruing, Covers, Spend};

const SECONDS_PER_HOUR: i64 = 3_600;
const SECONDS_PER_DAY: i64 = 86_400;
/// Digits after the decimal point of the cost of one day of an interval.
pub const SCALE: u32 = 10;
/// Maximum number of days over which an interval accrues, about 30 years: bounds the result.
const MAX_DAYS: usize = 11_000;
/// Reason for a missing price if no event gave one.
const TYPE_UNKNOWN: &str = "no event states the resource's type";

/// One lifecycle event of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// Time of the event, to the second.
    pub at: Timestamp,
    /// Id of the event; each counts once, and events of one instant are ordered by it.
    pub id: Uuid,
    /// Kind of the event.
    pub kind: LifecycleKind,
    /// Price and size as the event states them.
    pub told: SizeTold,
}

/// Price of a resource at its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// Price per hour.
    pub hourly: Decimal,
    /// Price per calendar month.
    pub monthly: Decimal,
}

/// An interval in which a resource existed at one price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// First second of the interval.
    pub from: Timestamp,
    /// The second after the last; `None` if the interval is still open.
    pub until: Option<Timestamp>,
    /// The price, or the reason why there is none.
    pub rate: Result<Rate, String>,
    /// Event that starts the interval.
    pub began_by: Uuid,
}

/// Lifetime of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Life {
    /// Intervals in which it existed, ascending, without overlaps.
    pub intervals: Vec<Interval>,
    /// Whether the first known event is not the resource's creation, so that its earlier cost is unknown.
    pub beginning_unknown: bool,
}

/// State of a resource after a number of events.
#[derive(Debug, Default)]
struct State {
    exists: bool,
    stopped: bool,
    price: Option<UnitPrice>,
    unpriced: Option<String>,
    count: Option<Decimal>,
    size_gb: Option<Decimal>,
    sku: Option<SkuTold>,
    stopped_at: Option<Timestamp>,
}

/// State of a resource at an instant, by the events up to it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Standing {
    /// Whether it exists.
    pub exists: bool,
    /// Since when it has been stopped; `None`: it runs.
    pub stopped_at: Option<Timestamp>,
    /// The prices of one such resource.
    pub price: Option<UnitPrice>,
    /// The size or class behind them.
    pub sku: Option<SkuTold>,
    /// Its size in gigabytes.
    pub size_gb: Option<Decimal>,
}

/// State of a resource after all of these events.
pub fn standing(events: &[Lifecycle]) -> Standing {
    let mut ordered: Vec<&Lifecycle> = events.iter().collect();
    ordered.sort_unstable_by_key(|event| (event.at, event.kind, event.id));
    let mut state = State::default();
    for event in ordered {
        state.apply(event);
    }
    let State { exists, stopped_at, price, sku, size_gb, .. } = state;
    Standing { exists, stopped_at, price, sku, size_gb }
}

/// The lifetime that follows from the events.
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

/// Adds an interval, merging it with the last one if the price stays the same.
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
            self.sku.clone_from(&told.sku);
        } else if told.unpriced.is_some() {
            (self.price, self.unpriced, self.sku) = (None, told.unpriced.clone(), None);
        }
        self.count = told.count.or(self.count);
        self.size_gb = told.size_gb.or(self.size_gb);
        let was_stopped = self.stopped;
        self.stopped = told.running.map_or(was_stopped, |running| !running);
        match (was_stopped, self.stopped) {
            (_, false) => self.stopped_at = None,
            (false, true) => self.stopped_at = Some(event.at),
            (true, true) => {}
        }
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
    /// Seconds in which the resource existed without a price; they add no cost.
    pub unpriced_seconds: i64,
    /// Cost of the day.
    pub cost: Decimal,
}

impl Accrual {
    /// Total cost of all days.
    pub fn cost(&self) -> Decimal {
        self.days.values().map(|day| day.cost).sum::<Decimal>().normalize()
    }

    /// Moves the accrual of the days after `first` and before `until` to `first`, because a charge for
    /// several days is compared with all of them.
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

/// The cost of `seconds` seconds of a day; `None` on overflow.
fn cost(rate: Rate, day: NaiveDate, seconds: i64) -> Option<Decimal> {
    let seconds = Decimal::from(seconds);
    let by_hour = rate.hourly.checked_mul(seconds)? / Decimal::from(SECONDS_PER_HOUR);
    let by_month = rate.monthly.checked_mul(seconds)? / Decimal::from(month_seconds(day));
    let sum = by_hour.checked_add(by_month)?;
    Some(sum.round_dp_with_strategy(SCALE, rust_decimal::RoundingStrategy::MidpointAwayFromZero).normalize())
}

/// Number of seconds in a day's calendar month, UTC.
pub fn month_seconds(day: NaiveDate) -> i64 {
    let first = day.with_day(1).unwrap_or(day);
    let next = first.checked_add_months(Months::new(1)).unwrap_or(first);
    (next - first).num_seconds().max(SECONDS_PER_DAY)
}

/// The accrual of a resource from `from` (inclusive) to `until` (exclusive): of the time that a bill covers,
/// and of the rest. `covers` states for each day until when it is covered, from its beginning on.
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
