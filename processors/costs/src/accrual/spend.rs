//! Finds when a spend that accrues by the second reaches given amounts.
//!
//! A spend grows in steps when charges become known, and linearly while resources accrue. When a charge
//! becomes known, the accrual that it covers is removed at that instant.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use schemas::Timestamp;

use super::{MAX_DAYS, Rate, SCALE, SECONDS_PER_HOUR, month_seconds};

/// Coverage by charges, by resource and day: when it became known, and until when of the day it goes.
pub type Covers = BTreeMap<(String, NaiveDate), Vec<(Timestamp, Timestamp)>>;

/// Components of the spend within a period of days.
#[derive(Debug, Clone, Default)]
pub struct Spend {
    /// Changes by the time they became known: charges, and replaced charges as negative amounts.
    pub steps: Vec<(Timestamp, Decimal)>,
    /// Accruing resources.
    pub accruing: Vec<Accruing>,
    /// Charges that take the place of accrual.
    pub covers: Arc<Covers>,
}

/// A resource at one price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accruing {
    /// The resource.
    pub resource: String,
    /// First second.
    pub from: Timestamp,
    /// The second after the last; `None` if it is still accruing.
    pub until: Option<Timestamp>,
    /// Its price.
    pub rate: Rate,
}

/// Change of the spend at an instant: a step, and the growth per second.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    step: Decimal,
    slope: Decimal,
}

impl Spend {
    /// The first instant up to `horizon` at which the spend on the days from `first` to before `end` reached
    /// each of the amounts, with the spend at that instant.
    pub fn reached(
        &self,
        (first, end): (NaiveDate, NaiveDate),
        horizon: Timestamp,
        amounts: &[Decimal],
    ) -> Vec<Option<(Timestamp, Decimal)>> {
        let mut changes: BTreeMap<Timestamp, Change> = BTreeMap::new();
        for (at, step) in &self.steps {
            add(&mut changes, *at, *step, Decimal::ZERO);
        }
        let begin = first.and_time(NaiveTime::MIN).and_utc();
        let close = end.and_time(NaiveTime::MIN).and_utc().min(horizon);
        for accruing in &self.accruing {
            let mut at = accruing.from.max(begin);
            let until = accruing.until.map_or(close, |until| until.min(close));
            for _ in 0..MAX_DAYS {
                let Some(next) = at.date_naive().succ_opt().filter(|_| at < until) else { break };
                let stop = until.min(next.and_time(NaiveTime::MIN).and_utc());
                self.add_day(&mut changes, accruing, at, stop);
                at = stop;
            }
        }
        sweep(&changes, horizon, amounts)
    }

    /// Adds the accrual within one day.
    fn add_day(
        &self,
        changes: &mut BTreeMap<Timestamp, Change>,
        accruing: &Accruing,
        from: Timestamp,
        until: Timestamp,
    ) {
        let day = from.date_naive();
        let by_hour = accruing.rate.hourly / Decimal::from(SECONDS_PER_HOUR);
        let by_month = accruing.rate.monthly / Decimal::from(month_seconds(day));
        let per_second = by_hour.saturating_add(by_month);
        let mut covers = self.covers.get(&(accruing.resource.clone(), day)).cloned().unwrap_or_default();
        covers.sort_unstable_by_key(|(_, until)| *until);
        let mut at = from;
        for (place, (_, covered)) in covers.iter().enumerate() {
            let stop = (*covered).min(until);
            if stop <= at {
                continue;
            }
            // Known to be covered as soon as one of the covers that go so far is known.
            let known = covers[place..].iter().map(|(known, _)| *known).min().unwrap_or(stop);
            if known > at {
                let grown_until = known.min(stop);
                add(changes, at, Decimal::ZERO, per_second);
                add(changes, grown_until, Decimal::ZERO, -per_second);
                let grown = per_second.saturating_mul(seconds(at, grown_until));
                add(changes, known, -grown, Decimal::ZERO);
            }
            at = stop;
        }
        if at < until {
            add(changes, at, Decimal::ZERO, per_second);
            add(changes, until, Decimal::ZERO, -per_second);
        }
    }
}

fn add(changes: &mut BTreeMap<Timestamp, Change>, at: Timestamp, step: Decimal, slope: Decimal) {
    let change = changes.entry(at).or_default();
    change.step = change.step.saturating_add(step);
    change.slope = change.slope.saturating_add(slope);
}

fn seconds(from: Timestamp, until: Timestamp) -> Decimal {
    Decimal::from((until - from).num_milliseconds()) / Decimal::ONE_THOUSAND
}

fn sweep(
    changes: &BTreeMap<Timestamp, Change>,
    horizon: Timestamp,
    amounts: &[Decimal],
) -> Vec<Option<(Timestamp, Decimal)>> {
    let mut reached = vec![None; amounts.len()];
    let (mut spent, mut slope) = (Decimal::ZERO, Decimal::ZERO);
    let mut instants = changes.iter().peekable();
    while let Some((at, change)) = instants.next().filter(|(at, _)| **at <= horizon) {
        spent = spent.saturating_add(change.step);
        slope = slope.saturating_add(change.slope);
        let next = instants.peek().map_or(horizon, |(next, _)| (**next).min(horizon));
        let grown = slope.saturating_mul(seconds(*at, next));
        for (amount, reached) in amounts.iter().zip(&mut reached).filter(|(_, reached)| reached.is_none()) {
            if spent.round_dp(SCALE) >= *amount {
                *reached = Some((*at, spent.round_dp(SCALE).normalize()));
            } else if slope > Decimal::ZERO && spent.saturating_add(grown) >= *amount {
                // Rounded up to the second: then it is at least the amount.
                let after = ((*amount - spent) / slope).ceil();
                let at = after
                    .to_i64()
                    .and_then(TimeDelta::try_seconds)
                    .map_or(next, |after| *at + after)
                    .min(next);
                let then = spent.saturating_add(slope.saturating_mul(after)).max(*amount);
                *reached = Some((at, then.round_dp(SCALE).normalize()));
            }
        }
        spent = spent.saturating_add(grown);
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    fn one_an_hour(from: &str, until: Option<&str>) -> Accruing {
        let rate = Rate { hourly: Decimal::ONE, monthly: Decimal::ZERO };
        Accruing { resource: "r".into(), from: at(from), until: until.map(at), rate }
    }

    /// Checks when 10, 30 and 100 are reached in May, and the spend then.
    fn check(spend: &Spend, horizon: &str, expected: [Option<(&str, &str)>; 3]) {
        let amounts = [10, 30, 100].map(Decimal::from);
        let found = spend.reached((day("2025-05-01"), day("2025-06-01")), at(horizon), &amounts);
        let expected: Vec<_> = expected
            .into_iter()
            .map(|told| told.map(|(when, spent)| (at(when), spent.parse::<Decimal>().expect("a decimal"))))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_steady_spend_reaches_an_amount_at_its_second_and_not_before_the_horizon() {
        let steady = Spend { accruing: vec![one_an_hour("2025-05-01T00:00:00Z", None)], ..Spend::default() };
        let ten = Some(("2025-05-01T10:00:00Z", "10"));
        check(&steady, "2025-05-01T12:00:00Z", [ten, None, None]);
        let thirty = Some(("2025-05-02T06:00:00Z", "30"));
        check(&steady, "2025-05-03T00:00:00Z", [ten, thirty, None]);
        let hundred = Some(("2025-05-05T04:00:00Z", "100"));
        check(&steady, "2025-07-01T00:00:00Z", [ten, thirty, hundred]);
        let short = Spend {
            accruing: vec![one_an_hour("2025-04-30T00:00:00Z", Some("2025-05-01T09:59:59Z"))],
            ..Spend::default()
        };
        check(&short, "2025-07-01T00:00:00Z", [None; 3]);
    }

    #[test]
    fn charges_take_the_place_of_what_they_cover() {
        let mut spend = Spend {
            accruing: vec![one_an_hour("2025-05-01T00:00:00Z", Some("2025-05-02T00:00:00Z"))],
            steps: vec![(at("2025-05-03T00:00:00Z"), Decimal::from(29))],
            ..Spend::default()
        };
        let ten = Some(("2025-05-01T10:00:00Z", "10"));
        check(&spend, "2025-07-01T00:00:00Z", [ten, Some(("2025-05-03T00:00:00Z", "53")), None]);
        let cover = (at("2025-05-03T00:00:00Z"), at("2025-05-02T00:00:00Z"));
        Arc::make_mut(&mut spend.covers).insert(("r".into(), day("2025-05-01")), vec![cover]);
        check(&spend, "2025-07-01T00:00:00Z", [ten, None, None]);
        // Known before it accrued: it never does.
        let cover = (at("2025-04-03T00:00:00Z"), at("2025-05-02T00:00:00Z"));
        Arc::make_mut(&mut spend.covers).insert(("r".into(), day("2025-05-01")), vec![cover]);
        check(&spend, "2025-07-01T00:00:00Z", [Some(("2025-05-03T00:00:00Z", "29")), None, None]);
    }
}
