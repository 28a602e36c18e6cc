//! Instants at which the rows that replace others became known: one for each billing period.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{Datelike as _, NaiveDate};
use schemas::{Timestamp, events::Usage, rfc3339};

use super::values;

/// Maximum number of billing periods whose instants are compared.
const MAX_PERIODS: usize = 100_000;

/// Provider, billing account and first day of a billing period: what a row replaces.
type Period = (String, String, NaiveDate);

/// The instants that the rows of one delivery state. Of two rows of one billing period with different instants, the
/// later one would replace the earlier one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Instants(Arc<Mutex<HashMap<Period, Timestamp>>>);

impl Instants {
    /// Checks that the row became known when the earlier rows of its billing period did.
    pub(super) fn check(&self, usage: &Usage, known_at: Timestamp, column: &str) -> Result<(), String> {
        let period = period_of(usage);
        let mut instants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = instants.get(&period).copied() else {
            if instants.len() >= MAX_PERIODS {
                return Err(format!(
                    "the rows replace more than {MAX_PERIODS} billing periods; give one instant for all of them with \
                     --known-at (known_at)"
                ));
            }
            instants.insert(period, known_at);
            return Ok(());
        };
        if first == known_at {
            return Ok(());
        }
        Err(format!(
            "column {column} is {}, and {} in an earlier row of the billing period: the rows would replace each other; \
             give one instant for all of them with --known-at (known_at)",
            rfc3339(known_at),
            rfc3339(first)
        ))
    }
}

fn period_of(usage: &Usage) -> Period {
    let stated = usage.other_columns.get("BillingPeriodStart").and_then(|text| values::parse_instant(text));
    let first = stated.unwrap_or(usage.charge_period_start).date_naive();
    let first = if stated.is_none() { first.with_day(1).unwrap_or(first) } else { first };
    (usage.provider_name.clone(), usage.billing_account_id.clone(), first)
}
