//! Times without seconds, as Azure's FOCUS export writes them.

use super::*;

#[test]
fn a_row_with_times_without_seconds_is_the_same_event() {
    let header = format!("{FOCUS},BillingPeriodStart,BillingPeriodEnd");
    let row = |seconds: &str| {
        let of = |day: &str| format!("{day}T00:00{seconds}Z");
        let [start, end] = ["2024-09-18", "2024-09-19"].map(of);
        let [first, last] = ["2024-09-01", "2024-10-01"].map(of);
        one(&header, &format!("1.5,EUR,{start},{end},{first},{last}"))
    };
    let (short, long) = (row(""), row(":00"));
    assert_eq!(short.id, long.id);
    assert_eq!(usage(&short), usage(&long));
    assert_eq!(usage(&short).charge_period_start, instant("2024-09-18T00:00:00Z"));
    assert_eq!(usage(&short).charge_period_end, instant("2024-09-19T00:00:00Z"));
    let other = |name: &str| usage(&short).other_columns.get(name).cloned();
    assert_eq!(other("BillingPeriodStart").as_deref(), Some("2024-09-01T00:00:00Z"));
    assert_eq!(other("BillingPeriodEnd").as_deref(), Some("2024-10-01T00:00:00Z"));
}
