//! The ledger agrees with the set of charges at every instant.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use proptest::prelude::*;
use schemas::{Timestamp, changes::cost::CostSeries};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(1_700_000_000 + second, 0).expect("a time")
}

/// Whether a charge counts at an instant, by another definition: it is known, and not older than the newest
/// replacement.
fn counts(known_at: i64, replacements: &[i64], now: i64) -> bool {
    let newest = replacements.iter().filter(|replaced| **replaced <= now).max();
    known_at <= now && newest.is_none_or(|newest| known_at >= *newest)
}

proptest! {
    #[test]
    fn no_cent_is_lost_or_invented(
        charges in proptest::collection::vec((0_i64..20, -1000_i64..1000), 0..40),
        replacements in proptest::collection::vec(0_i64..20, 0..5),
        now in 0_i64..22,
    ) {
        let markers: BTreeSet<Timestamp> = replacements.iter().map(|second| at(*second)).collect();
        let entered: i64 = charges
            .iter()
            .flat_map(|(known_at, cents)| entries(at(*known_at), &markers).map(move |entry| (entry, *cents)))
            .filter(|(entry, _)| entry.known_at <= at(now))
            .map(|(entry, cents)| if entry.sign == Sign::Plus { cents } else { -cents })
            .sum();
        let counted: i64 =
            charges.iter().filter(|charge| counts(charge.0, &replacements, now)).map(|charge| charge.1).sum();
        prop_assert_eq!(entered, counted);
    }
}

#[test]
fn keys_tell_series_and_scopes_apart() {
    let period = |month| NaiveDate::from_ymd_opt(2025, month, 1).expect("a day");
    let series = CostSeries { provider: "a".into(), billing_period: period(5), ..CostSeries::default() };
    let moved = CostSeries { provider: String::new(), billing_account: "a".into(), ..series.clone() };
    let other = CostSeries { resource: "R-1".into(), ..series.clone() };
    let next = CostSeries { billing_period: period(6), ..series.clone() };
    assert_eq!(scope_key(&series), scope_key(&other));
    assert_ne!(series_key(&series), series_key(&other));
    let keys: BTreeSet<_> = [&series, &moved, &next].map(scope_key).into();
    assert_eq!(keys.len(), 3);
}
