//! Reconciliation: charges replace accrual, and every difference is explained.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::{Accrual, DayAccrual, SCALE, SECONDS_PER_HOUR};

/// Charges for a resource and a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charged {
    /// Billed cost.
    pub cost: Decimal,
    /// The same at list prices, if the bill states them.
    pub list: Option<Decimal>,
    /// Billed hours, if the bill states them.
    pub hours: Option<Decimal>,
}

/// Reason for a part of the difference between bill and accrual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// There are no lifecycle events of the resource for that time.
    NoEvents,
    /// The price list has no price for the resource.
    NoPrice,
    /// The resource's creation is unknown: it may have existed longer than it accrued.
    BeginningUnknown,
    /// More or fewer hours were billed than accrued.
    Hours,
    /// The bill's list price differs from the price list.
    Price,
    /// The bill is below or above list prices: discounts, commitments, negotiated rates.
    Discount,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::NoEvents, Self::NoPrice, Self::BeginningUnknown, Self::Hours, Self::Price, Self::Discount];

    /// The reason's name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoEvents => "no_events",
            Self::NoPrice => "no_price",
            Self::BeginningUnknown => "beginning_unknown",
            Self::Hours => "hours",
            Self::Price => "price",
            Self::Discount => "discount",
        }
    }
}

/// Accrued and charged cost of one resource and day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// The day.
    pub day: NaiveDate,
    /// Accrued cost of the billed time.
    pub accrued: Decimal,
    /// Charged cost; `None` if not billed yet.
    pub charged: Option<Decimal>,
    /// Accrued cost of the time that is not billed yet.
    pub pending: Decimal,
    /// Charged minus accrued cost, of the billed time.
    pub difference: Decimal,
    /// Parts of the difference with their reasons; their sum is the difference.
    pub explained: Vec<(Reason, Decimal)>,
}

impl Reconciled {
    /// The effective cost: the charge, plus the accrual of the time that is not billed.
    pub fn effective(&self) -> Decimal {
        (self.charged.unwrap_or_default() + self.pending).normalize()
    }
}

/// Replaces accrual by charges, day by day, and explains the differences. The accruals are those of
/// [`accrue`](super::accrue).
pub fn reconcile(
    covered: &Accrual,
    rest: &Accrual,
    charges: &BTreeMap<NaiveDate, Charged>,
    beginning_unknown: bool,
) -> Vec<Reconciled> {
    let days: BTreeSet<NaiveDate> =
        covered.days.keys().chain(rest.days.keys()).chain(charges.keys()).copied().collect();
    let first = covered.days.keys().chain(rest.days.keys()).min().copied();
    days.into_iter()
        .map(|day| {
            let of_day = covered.days.get(&day).copied().unwrap_or_default();
            let charge = charges.get(&day);
            // A day before the first event, or that of it: the resource may have been there already.
            let began = beginning_unknown && first.is_none_or(|first| day <= first);
            let explained = charge.map(|charge| explain(of_day, *charge, began)).unwrap_or_default();
            Reconciled {
                day,
                accrued: of_day.cost.normalize(),
                charged: charge.map(|charge| charge.cost.normalize()),
                pending: rest.days.get(&day).map(|day| day.cost.normalize()).unwrap_or_default(),
                difference: charge.map_or(Decimal::ZERO, |charge| (charge.cost - of_day.cost).normalize()),
                explained,
            }
        })
        .collect()
}

fn explain(day: DayAccrual, charge: Charged, began: bool) -> Vec<(Reason, Decimal)> {
    let discount = charge.list.map_or(Decimal::ZERO, |list| charge.cost.saturating_sub(list));
    // The rest of the difference is against the list.
    let difference = charge.cost.saturating_sub(discount).saturating_sub(day.cost);
    let hours_accrued = Decimal::from(day.priced_seconds) / Decimal::from(SECONDS_PER_HOUR);
    let more = match () {
        () if day.priced_seconds == 0 && day.unpriced_seconds > 0 => Reason::NoPrice,
        () if began => Reason::BeginningUnknown,
        () if day.priced_seconds == 0 => Reason::NoEvents,
        () => Reason::Hours,
    };
    let by_hours = match charge.hours {
        _ if day.priced_seconds == 0 => difference,
        Some(hours) => {
            let more = hours.saturating_sub(hours_accrued).checked_mul(day.cost);
            // Beyond what a decimal holds there is no telling hours from price.
            more.map_or(difference, |more| (more / hours_accrued).round_dp(SCALE))
        }
        None if began => difference,
        None => Decimal::ZERO,
    };
    // More hours at the accrued price; the rest is the price. Together they are the difference, exactly.
    let remaining = if day.unpriced_seconds > 0 { Reason::NoPrice } else { Reason::Price };
    let parts =
        [(more, by_hours), (remaining, difference.saturating_sub(by_hours)), (Reason::Discount, discount)];
    parts
        .into_iter()
        .map(|(reason, part)| (reason, part.normalize()))
        .filter(|(_, part)| !part.is_zero())
        .collect()
}
