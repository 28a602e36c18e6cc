//! The first spend in an account, service or region.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, TimeDelta};

use super::{LEAST_HISTORY_DAYS, LEAST_IMPACT, SeriesKey};

/// Dimension of a first spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// An account or subscription.
    Account,
    /// A service.
    Service,
    /// A region.
    Region,
}

impl Dimension {
    const ALL: [Self; 3] = [Self::Account, Self::Service, Self::Region];

    /// The dimension's name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Service => "service",
            Self::Region => "region",
        }
    }

    fn of(self, key: &SeriesKey) -> Option<&str> {
        match self {
            Self::Account => key.account.as_deref(),
            Self::Service => key.service.as_deref(),
            Self::Region => key.region.as_deref(),
        }
    }
}

/// Cost of a day in an account, service or region.
#[derive(Debug, Clone, PartialEq)]
pub struct Spend {
    /// The day.
    pub day: NaiveDate,
    /// Account, service and region.
    pub key: SeriesKey,
    /// The cost in the tenant's currency.
    pub cost: f64,
}

/// An account, service or region with a cost for the first time.
#[derive(Debug, Clone, PartialEq)]
pub struct FirstSpend {
    /// The day.
    pub day: NaiveDate,
    /// The dimension.
    pub dimension: Dimension,
    /// The account, service or region.
    pub value: String,
    /// Cost on that day, which is the impact.
    pub cost: f64,
}

/// First spends of at least one currency unit. None are reported until the tenant has ten days of history,
/// since everything is new then. The order of spends does not matter.
pub fn first_spends(spends: &[Spend]) -> Vec<FirstSpend> {
    let mut by_day: BTreeMap<NaiveDate, BTreeMap<(Dimension, &str), f64>> = BTreeMap::new();
    for spend in spends.iter().filter(|spend| spend.cost.is_finite()) {
        for dimension in Dimension::ALL {
            if let Some(value) = dimension.of(&spend.key).filter(|value| !value.is_empty()) {
                *by_day.entry(spend.day).or_default().entry((dimension, value)).or_default() += spend.cost;
            }
        }
    }
    let Some(first_day) = by_day.keys().next().copied() else { return Vec::new() };
    let history = TimeDelta::days(i64::try_from(LEAST_HISTORY_DAYS).unwrap_or(i64::MAX));
    let (mut known, mut found) = (BTreeSet::new(), Vec::new());
    for (day, costs) in by_day {
        for ((dimension, value), cost) in costs {
            if cost < LEAST_IMPACT && day - first_day >= history {
                continue;
            }
            if known.insert((dimension, value)) && day - first_day >= history {
                found.push(FirstSpend { day, dimension, value: value.to_owned(), cost });
            }
        }
    }
    found
}
