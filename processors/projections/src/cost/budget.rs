//! Budgets: their periods, and findings about reached thresholds.

use chrono::{Datelike as _, Months, NaiveDate};
use schemas::{
    EventId, TenantId, Timestamp, Topic,
    changes::cost::{BudgetPeriod, Enforcement},
};
use serde_json::{Value, json};
use uuid::Uuid;

/// The `CloudEvents` type of a finding about a budget.
pub const CE_TYPE: &str = "io.weir.finding.budget.v1";
/// The `CloudEvents` source.
pub const CE_SOURCE: &str = "/weir/cost";
/// `class_uid` Detection Finding.
const CLASS_UID: i64 = 2004;

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
        let record = record(tenant, crossing, id).to_string();
        Self { id, time: *known_at, record }
    }
}

fn record(tenant: &TenantId, crossing: &Crossing, id: EventId) -> Value {
    let Crossing { budget, period_start, percent, spent, amount, currency, enforcement, .. } = crossing;
    let (severity_id, severity) = match percent {
        100.. => (4, "High"),
        90..100 => (3, "Medium"),
        80..90 => (2, "Low"),
        _ => (1, "Informational"),
    };
    let millis = crossing.known_at.timestamp_millis();
    json!({
        "activity_id": 1,
        "activity_name": "Create",
        "category_name": "Findings",
        "category_uid": 2,
        "class_name": "Detection Finding",
        "class_uid": CLASS_UID,
        "finding_info": {
            "created_time": millis,
            "title": format!("{percent} % of the budget {budget} is spent"),
            "types": ["budget"],
            "uid": id.to_string(),
        },
        "is_alert": *percent >= 100,
        "message": format!(
            "{spent} {currency} of {amount} {currency} are spent in the period from {period_start} on ({percent} %)"
        ),
        "metadata": {
            "event_code": CE_TYPE,
            "log_name": Topic::Findings.name(),
            "product": { "name": "Weir", "vendor_name": "Weir" },
            "tenant_uid": tenant.as_str(),
            "uid": id.to_string(),
            "version": "1.8.0",
        },
        "resources": [{ "name": budget, "type": "budget", "uid": budget }],
        "severity": severity,
        "severity_id": severity_id,
        "status": "New",
        "status_id": 1,
        "time": millis,
        "type_uid": CLASS_UID * 100 + 1,
        "unmapped": {
            "amount": amount,
            "currency": currency,
            "enforcement": enforcement.name(),
            "percent": percent,
            "period_start": period_start.to_string(),
            "spent": spent,
        },
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
