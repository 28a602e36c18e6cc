//! Accrual: what resources have cost by the second since they were made, before the bill is known; and reconciliation
//! with the charges that replace it.
//!
//! The answer depends on the set of events alone: order and repeats change nothing. A resource whose first known event
//! is not its beginning accrues from that event on, and says so.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, NaiveTime};
use rust_decimal::Decimal;
use schemas::Timestamp;

const SECONDS_PER_HOUR: i64 = 3_600;
/// Most days that an interval is accrued over, about 30 years: bounds the answer.
const MAX_DAYS: usize = 11_000;

/// What happened to a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happened {
    /// It was made, at this price.
    Provisioned(Rate),
    /// Its size changed; the price from now on.
    Scaled(Rate),
    /// It was deleted.
    Deleted,
}

/// Price of a resource per hour at its size; `None`: the price list has none.
pub type Rate = Option<Decimal>;

/// One event in a resource's life.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifecycle {
    /// When it happened; parts of a second are cut.
    pub at: Timestamp,
    /// The event's id: an event counts once, and orders events of one instant.
    pub id: String,
    /// What happened.
    pub happened: Happened,
}

/// The accrual of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accrual {
    /// Cost and time by day, UTC.
    pub days: BTreeMap<NaiveDate, DayAccrual>,
    /// The first known event is not the resource's beginning: what it cost before is not known.
    pub beginning_unknown: bool,
}

/// The accrual of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayAccrual {
    /// Seconds in which the resource existed and had a price.
    pub priced_seconds: i64,
    /// Seconds in which it existed without a price: they add nothing to the cost.
    pub unpriced_seconds: i64,
    /// Sum of price per hour × seconds; divided by 3,600 it is the cost.
    rate_seconds: Decimal,
}

impl DayAccrual {
    /// Cost of the day.
    pub fn cost(&self) -> Decimal {
        (self.rate_seconds / Decimal::from(SECONDS_PER_HOUR)).normalize()
    }
}

impl Accrual {
    /// Cost of all days.
    pub fn cost(&self) -> Decimal {
        let sum: Decimal = self.days.values().map(|day| day.rate_seconds).sum();
        (sum / Decimal::from(SECONDS_PER_HOUR)).normalize()
    }
}

/// Accrues one resource over `from` (inclusive) to `until` (exclusive).
pub fn accrue(events: &[Lifecycle], from: Timestamp, until: Timestamp) -> Accrual {
    let mut seen = BTreeSet::new();
    let mut ordered: Vec<&Lifecycle> = events.iter().collect();
    ordered.sort_unstable();
    ordered.retain(|event| seen.insert(event.id.as_str()));
    let mut accrual = Accrual {
        beginning_unknown: ordered
            .first()
            .is_some_and(|first| !matches!(first.happened, Happened::Provisioned(_))),
        ..Accrual::default()
    };
    for (at, event) in ordered.iter().enumerate() {
        let end = ordered.get(at + 1).map_or(until, |next| next.at.min(until));
        match &event.happened {
            Happened::Provisioned(rate) | Happened::Scaled(rate) => {
                accrual.add(*rate, event.at.max(from), end);
            }
            Happened::Deleted => {}
        }
    }
    accrual
}

impl Accrual {
    fn add(&mut self, rate: Rate, from: Timestamp, until: Timestamp) {
        let mut from = from;
        for _ in 0..MAX_DAYS {
            if from >= until {
                return;
            }
            let day = from.date_naive();
            let Some(next) = day.succ_opt() else { return };
            let end = until.min(next.and_time(NaiveTime::MIN).and_utc());
            // Whole seconds by the clock: intervals that meet neither overlap nor leave a gap.
            let seconds = end.timestamp() - from.timestamp();
            let of_day = self.days.entry(day).or_default();
            match rate {
                Some(rate) => {
                    of_day.priced_seconds += seconds;
                    let cost = rate.checked_mul(Decimal::from(seconds));
                    let sum = cost.and_then(|cost| of_day.rate_seconds.checked_add(cost));
                    of_day.rate_seconds = sum.unwrap_or(Decimal::MAX);
                }
                None => of_day.unpriced_seconds += seconds,
            }
            from = end;
        }
    }
}

/// What was charged for a resource and a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charged {
    /// The cost of the bill.
    pub cost: Decimal,
    /// Hours that were billed, where the bill tells them.
    pub hours: Option<Decimal>,
}

/// The reason for a part of the difference between bill and accrual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No charge has come for what accrued.
    NotBilledYet,
    /// A charge came for a resource without any event on that day.
    NoEvents,
    /// The resource existed without a price in the price list.
    NoPrice,
    /// The resource's beginning is not known: it may have existed longer than it accrued.
    BeginningUnknown,
    /// More or fewer hours were billed than accrued.
    Hours,
    /// The price of an hour is another than the price list's.
    Price,
}

impl Reason {
    /// The reason's name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotBilledYet => "not_billed_yet",
            Self::NoEvents => "no_events",
            Self::NoPrice => "no_price",
            Self::BeginningUnknown => "beginning_unknown",
            Self::Hours => "hours",
            Self::Price => "price",
        }
    }
}

/// Accrual and bill of one resource and day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// The day.
    pub day: NaiveDate,
    /// What accrued.
    pub accrued: Decimal,
    /// What was charged; `None`: nothing yet.
    pub charged: Option<Decimal>,
    /// The cost that counts: the charge, and until it comes the accrual.
    pub effective: Decimal,
    /// The parts of charge minus accrual (of a day without a charge: of the accrual) with their reasons; their sum is
    /// the whole.
    pub explained: Vec<(Reason, Decimal)>,
}

/// Replaces accrual by charges, day by day, and explains the differences.
pub fn reconcile(accrual: &Accrual, charges: &BTreeMap<NaiveDate, Charged>) -> Vec<Reconciled> {
    let days: BTreeSet<NaiveDate> = accrual.days.keys().chain(charges.keys()).copied().collect();
    let first = accrual.days.keys().next().copied();
    days.into_iter()
        .map(|day| {
            let of_day = accrual.days.get(&day).copied().unwrap_or_default();
            let (accrued, charge) = (of_day.cost(), charges.get(&day));
            Reconciled {
                day,
                accrued,
                charged: charge.map(|charge| charge.cost),
                effective: charge.map_or(accrued, |charge| charge.cost),
                explained: match charge {
                    None if accrued.is_zero() => Vec::new(),
                    None => vec![(Reason::NotBilledYet, accrued)],
                    Some(charge) => {
                        let began = accrual.beginning_unknown && first == Some(day);
                        explain(of_day, accrued, *charge, began)
                    }
                },
            }
        })
        .collect()
}

fn explain(day: DayAccrual, accrued: Decimal, charge: Charged, began: bool) -> Vec<(Reason, Decimal)> {
    let difference = charge.cost - accrued;
    if difference.is_zero() {
        return Vec::new();
    }
    if day.priced_seconds == 0 {
        let reason = if day.unpriced_seconds > 0 { Reason::NoPrice } else { Reason::NoEvents };
        return vec![(reason, difference)];
    }
    let hours_accrued = Decimal::from(day.priced_seconds) / Decimal::from(SECONDS_PER_HOUR);
    let Some(hours) = charge.hours else {
        let reason = if began {
            Reason::BeginningUnknown
        } else if day.unpriced_seconds > 0 {
            Reason::NoPrice
        } else {
            Reason::Price
        };
        return vec![(reason, difference)];
    };
    // More hours at the accrued price; the rest is the price. Together they are the difference, exactly.
    let by_hours = ((hours - hours_accrued) * accrued / hours_accrued).round_dp(10).normalize();
    let reason = if began { Reason::BeginningUnknown } else { Reason::Hours };
    let parts = [(reason, by_hours), (Reason::Price, (difference - by_hours).normalize())];
    parts.into_iter().filter(|(_, part)| !part.is_zero()).collect()
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, TimeZone, Utc};
    use proptest::prelude::*;

    use super::*;

    fn at(day: u32, hour: u32) -> Timestamp {
        Utc.with_ymd_and_hms(2025, 3, day, hour, 0, 0).single().expect("an instant")
    }

    #[expect(clippy::unnecessary_wraps, reason = "events hold rates")]
    fn rate(text: &str) -> Rate {
        Some(text.parse().expect("a decimal"))
    }

    fn event(id: &str, at: Timestamp, happened: Happened) -> Lifecycle {
        Lifecycle { at, id: id.to_owned(), happened }
    }

    fn life() -> Vec<Lifecycle> {
        vec![
            event("1", at(1, 12), Happened::Provisioned(rate("0.1"))),
            event("2", at(2, 6), Happened::Scaled(rate("0.2"))),
            event("3", at(3, 1), Happened::Deleted),
        ]
    }

    /// Cost by day of the month.
    fn check(events: &[Lifecycle], expected: &[(u32, &str)], beginning_unknown: bool) {
        let accrual = accrue(events, at(1, 0), at(10, 0));
        let found: Vec<(u32, String)> = accrual
            .days
            .iter()
            .map(|(day, accrued)| (chrono::Datelike::day(day), accrued.cost().to_string()))
            .collect();
        let expected: Vec<(u32, String)> =
            expected.iter().map(|(day, cost)| (*day, (*cost).to_owned())).collect();
        assert_eq!((found, accrual.beginning_unknown), (expected, beginning_unknown));
    }

    #[test]
    fn cost_accrues_by_the_second_until_the_resource_is_deleted() {
        check(&life(), &[(1, "1.2"), (2, "4.2"), (3, "0.2")], false);
        assert_eq!(accrue(&life(), at(1, 0), at(10, 0)).cost().to_string(), "5.6");
        let second = vec![event("1", at(1, 0), Happened::Provisioned(rate("3600")))];
        assert_eq!(accrue(&second, at(1, 0), at(1, 0) + TimeDelta::seconds(7)).cost(), Decimal::from(7));
    }

    #[test]
    fn missing_beginnings_and_missing_prices_are_said() {
        check(&life()[1..], &[(2, "3.6"), (3, "0.2")], true);
        check(&life()[2..], &[], true);
        let unpriced =
            [event("1", at(1, 0), Happened::Provisioned(None)), event("2", at(1, 1), Happened::Deleted)];
        let accrual = accrue(&unpriced, at(1, 0), at(2, 0));
        let day = accrual.days.values().next().expect("a day");
        assert_eq!((day.unpriced_seconds, day.priced_seconds, day.cost()), (3_600, 0, Decimal::ZERO));
    }

    #[test]
    fn charges_replace_accrual_and_every_difference_is_explained() {
        let accrual = accrue(&life(), at(1, 0), at(10, 0));
        let day = |day| NaiveDate::from_ymd_opt(2025, 3, day).expect("a day");
        let charge = |cost: &str, hours: Option<i64>| Charged {
            cost: cost.parse().expect("a decimal"),
            hours: hours.map(Decimal::from),
        };
        let charges = BTreeMap::from([
            (day(1), charge("1.2", Some(12))),
            (day(2), charge("5", Some(25))),
            (day(4), charge("9", None)),
        ]);
        let found = reconcile(&accrual, &charges);
        let shown: Vec<String> = found
            .iter()
            .map(|one| {
                let parts = one.explained.iter().map(|(reason, part)| format!("{} {part}", reason.name()));
                format!("{} {} {}", one.day, one.effective, parts.collect::<Vec<_>>().join(", "))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "2025-03-01 1.2 ",
                "2025-03-02 5 hours 0.175, price 0.625",
                "2025-03-03 0.2 not_billed_yet 0.2",
                "2025-03-04 9 no_events 9",
            ]
        );
        for one in &found {
            let explained: Decimal = one.explained.iter().map(|(_, part)| *part).sum();
            let whole = one.charged.map_or(one.accrued, |charged| charged - one.accrued);
            assert_eq!(explained, whole, "{one:?}");
        }
    }

    fn any_event() -> impl Strategy<Value = Lifecycle> {
        let happened = prop_oneof![
            (0_i64..100).prop_map(|cents| Happened::Provisioned(Some(Decimal::new(cents, 2)))),
            (0_i64..100).prop_map(|cents| Happened::Scaled(Some(Decimal::new(cents, 2)))),
            Just(Happened::Scaled(None)),
            Just(Happened::Deleted),
        ];
        (0_i64..1_000_000, happened).prop_map(|(seconds, happened)| {
            let at = at(1, 0) + TimeDelta::seconds(seconds);
            event(&format!("{seconds}-{happened:?}"), at, happened)
        })
    }

    proptest! {
        #[test]
        fn order_and_repeats_change_nothing(
            (events, shuffled) in proptest::collection::vec(any_event(), 0..20).prop_flat_map(|events| {
                let twice: Vec<Lifecycle> = events.iter().chain(&events).cloned().collect();
                (Just(events), Just(twice).prop_shuffle())
            }),
        ) {
            prop_assert_eq!(accrue(&events, at(1, 0), at(20, 0)), accrue(&shuffled, at(1, 0), at(20, 0)));
        }

        #[test]
        fn parts_of_a_period_sum_to_the_whole(
            events in proptest::collection::vec(any_event(), 0..20), cut in 0_i64..1_000_000,
        ) {
            let cut = at(1, 0) + TimeDelta::seconds(cut);
            let rate_seconds = |from, until| -> Decimal {
                accrue(&events, from, until).days.values().map(|day| day.rate_seconds).sum()
            };
            let whole = rate_seconds(at(1, 0), at(20, 0));
            prop_assert_eq!(rate_seconds(at(1, 0), cut) + rate_seconds(cut, at(20, 0)), whole);
        }
    }
}
