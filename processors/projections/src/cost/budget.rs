//! Budgets: their periods, and findings about reached thresholds.

use chrono::{Datelike as _, Months, NaiveDate};
use schemas::{
    EventId, TenantId, Timestamp,
    changes::cost::{BudgetPeriod, Enforcement},
};
use serde_json::json;
use uuid::Uuid;

use super::finding::{self, Content, Severity};
pub use super::finding::{BUDGET_CE_TYPE as CE_TYPE, CE_SOURCE};

/// The period that contains a day: its first day, and the first day of the next period.
pub fn period_of(period: BudgetPeriod, day: NaiveDate) -> (NaiveDate, NaiveDate) {
    let months = match period {
        BudgetPeriod::Monthly => 1,
        BudgetPeriod::Quarterly => 3,
        BudgetPeriod::Yearly => 12,
    };
    let month = day.month0() / months * months + 1;
    let start = NaiveDate::from_ymd_opt(day.year(), month, 1).unwrap_or(day);
    (start, start.checked_add_months(Months::new(months)).unwrap_or(NaiveDate::MAX))
}

/// A threshold of a budget that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// The budget's name.
    pub budget: String,
    /// The decision that set it.
    pub set_by: Uuid,
    /// First day of the period.
    pub period_start: NaiveDate,
    /// Percentage of the amount.
    pub percent: u16,
    /// Time at which it became known.
    pub known_at: Timestamp,
    /// Spend at that time, a decimal.
    pub spent: String,
    /// Amount of the budget, a decimal.
    pub amount: String,
    /// Currency, ISO 4217.
    pub currency: String,
    /// Consequence of exceeding the budget.
    pub enforcement: Enforcement,
}

/// A published crossing: an OCSF 1.8.0 Detection Finding (2004).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetFinding {
    /// Id, derived from budget, period and threshold, so that consumers can recognise duplicates.
    pub id: EventId,
    /// Time at which the threshold was reached.
    pub time: Timestamp,
    /// The OCSF record, a JSON object.
    pub record: String,
}

impl BudgetFinding {
    /// The finding about a crossing.
    pub fn new(tenant: &TenantId, crossing: &Crossing) -> Self {
        let Crossing { budget, set_by, period_start, percent, known_at, .. } = crossing;
        let content = format!("{budget}|{set_by}|{period_start}|{percent}");
        let id = EventId::derived(tenant, "weir.finding.budget", content.as_bytes());
        let record = record(tenant, crossing, id);
        Self { id, time: *known_at, record }
    }
}

fn record(tenant: &TenantId, crossing: &Crossing, id: EventId) -> String {
    let Crossing { budget, period_start, percent, spent, amount, currency, enforcement, .. } = crossing;
    finding::record(&Content {
        tenant,
        id,
        at: crossing.known_at,
        ce_type: CE_TYPE,
        kind: "budget",
        title: format!("{percent} % of the budget {budget} is spent"),
        message: format!(
            "{spent} {currency} of {amount} {currency} are spent in the period from {period_start} on ({percent} %)"
        ),
        severity: match percent {
            100.. => Severity::High,
            90..100 => Severity::Medium,
            80..90 => Severity::Low,
            _ => Severity::Informational,
        },
        is_alert: *percent >= 100,
        resource: ("budget", budget),
        unmapped: json!({
            "amount": amount,
            "basis": "actual",
            "currency": currency,
            "enforcement": enforcement.name(),
            "percent": percent,
            "period_start": period_start.to_string(),
            "spent": spent,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(period: BudgetPeriod, day: &str, expected: [&str; 2]) {
        let (start, end) = period_of(period, day.parse().expect("a day"));
        assert_eq!([start.to_string(), end.to_string()], expected, "{day}");
    }

    #[test]
    fn periods_follow_the_calendar() {
        check(BudgetPeriod::Monthly, "2024-02-29", ["2024-02-01", "2024-03-01"]);
        check(BudgetPeriod::Monthly, "2024-12-31", ["2024-12-01", "2025-01-01"]);
        check(BudgetPeriod::Quarterly, "2024-03-31", ["2024-01-01", "2024-04-01"]);
        check(BudgetPeriod::Quarterly, "2024-10-01", ["2024-10-01", "2025-01-01"]);
        check(BudgetPeriod::Yearly, "2024-07-01", ["2024-01-01", "2025-01-01"]);
    }
}
