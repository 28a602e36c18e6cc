//! Findings about costs: OCSF 1.8.0 Detection Findings (2004).

use chrono::NaiveDate;
use schemas::{EventId, TenantId, Timestamp, Topic, changes::cost::Enforcement};
use serde_json::{Value, json};
use uuid::Uuid;

/// The `CloudEvents` source.
pub const CE_SOURCE: &str = "/weir/cost";
/// The `CloudEvents` type of a finding about a budget.
pub const BUDGET_CE_TYPE: &str = "io.weir.finding.budget.v1";
/// The `CloudEvents` type of a finding about an anomaly.
pub const ANOMALY_CE_TYPE: &str = "io.weir.finding.cost_anomaly.v1";
/// `class_uid` Detection Finding.
const CLASS_UID: i64 = 2004;

/// A finding that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostFinding {
    /// Id, derived from the finding's content, so that consumers can recognise duplicates.
    pub id: EventId,
    /// The `CloudEvents` type.
    pub ce_type: &'static str,
    /// Subject of the finding: the budget, or the dimension's value.
    pub subject: String,
    /// Time of the finding.
    pub time: Timestamp,
    /// The OCSF record, a JSON object.
    pub record: String,
}

/// A threshold of a budget that the forecast for the end of its period reaches.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastCrossing {
    /// The budget's name.
    pub budget: String,
    /// The decision that set it.
    pub set_by: Uuid,
    /// First day of the period.
    pub period_start: NaiveDate,
    /// Percentage of the amount.
    pub percent: i64,
    /// Day on which the threshold is expected to be reached.
    pub expected_on: NaiveDate,
    /// Expected spending at the end of the period.
    pub expected: f64,
    /// Amount of the budget, a decimal.
    pub amount: String,
    /// Currency, ISO 4217.
    pub currency: String,
    /// Consequence of exceeding the budget.
    pub enforcement: Enforcement,
}

/// An anomaly of costs.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyFound {
    /// `daily` or `first_spend`.
    pub kind: String,
    /// The day, UTC.
    pub day: NaiveDate,
    /// Series or place: account, service, region and resource, as far as they narrow it.
    pub place: [Option<String>; 4],
    /// Dimension that explains it, and its value.
    pub dimension: (String, String),
    /// Currency, ISO 4217.
    pub currency: String,
    /// Expected cost.
    pub expected: f64,
    /// Actual cost.
    pub actual: f64,
    /// `low`, `medium` or `high`.
    pub severity: String,
    /// The event behind it, if one is known.
    pub cause: Option<CauseFound>,
}

/// The event behind an anomaly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseFound {
    /// Id of the event.
    pub event_id: Uuid,
    /// Actor of the event.
    pub actor: Option<String>,
    /// Resource that the event changed.
    pub resource: String,
}

impl CostFinding {
    /// The finding about a forecast. Its id does not depend on the forecast: each threshold of a period is one finding.
    pub fn of_forecast(tenant: &TenantId, crossing: &ForecastCrossing, now: Timestamp) -> Self {
        let ForecastCrossing { budget, set_by, period_start, percent, .. } = crossing;
        let content = format!("{budget}|{set_by}|{period_start}|{percent}|forecast");
        let id = EventId::derived(tenant, "weir.finding.budget", content.as_bytes());
        let ForecastCrossing { expected_on, expected, amount, currency, enforcement, .. } = crossing;
        let record = record(&Content {
            tenant,
            id,
            at: now,
            ce_type: BUDGET_CE_TYPE,
            kind: "budget",
            title: format!("{percent} % of the budget {budget} will be spent"),
            message: format!(
                "{percent} % of {amount} {currency} are expected to be spent on {expected_on}, and {expected} {currency} at the \
                 end of the period from {period_start} on"
            ),
            severity: if *percent >= 100 { Severity::Medium } else { Severity::Low },
            is_alert: *percent >= 100,
            resource: ("budget", budget),
            unmapped: json!({
                "amount": amount,
                "basis": "forecast",
                "currency": currency,
                "enforcement": enforcement.name(),
                "expected": expected,
                "expected_on": expected_on.to_string(),
                "percent": percent,
                "period_start": period_start.to_string(),
            }),
        });
        Self { id, ce_type: BUDGET_CE_TYPE, subject: budget.clone(), time: now, record }
    }

    /// The finding about an anomaly. Its id does not depend on amounts, which later charges change.
    pub fn of_anomaly(tenant: &TenantId, found: &AnomalyFound, now: Timestamp) -> Self {
        let AnomalyFound { kind, day, place, currency, .. } = found;
        let part = |part: &Option<String>| part.as_deref().unwrap_or_default().replace('|', "||");
        let place_text = place.iter().map(part).collect::<Vec<_>>().join("|");
        let content = format!("{kind}|{day}|{currency}|{place_text}");
        let id = EventId::derived(tenant, "weir.finding.cost_anomaly", content.as_bytes());
        let AnomalyFound { dimension, expected, actual, severity, cause, .. } = found;
        let [account, service, region, resource] = place;
        let title = match kind.as_str() {
            "first_spend" => format!("First spend in the {} {}", dimension.0, dimension.1),
            _ => format!("Unusual cost of the {} {}", dimension.0, dimension.1),
        };
        let record = record(&Content {
            tenant,
            id,
            at: now,
            ce_type: ANOMALY_CE_TYPE,
            kind: "cost_anomaly",
            title,
            message: format!("{actual} {currency} on {day}, and {expected} {currency} were expected"),
            severity: Severity::named(severity),
            is_alert: severity == "high",
            resource: (&dimension.0, &dimension.1),
            unmapped: json!({
                "account": account,
                "actor": cause.as_ref().and_then(|cause| cause.actor.as_deref()),
                "actual": actual,
                "cause_event_id": cause.as_ref().map(|cause| cause.event_id.to_string()),
                "cause_resource": cause.as_ref().map(|cause| cause.resource.as_str()),
                "currency": currency,
                "day": day.to_string(),
                "expected": expected,
                "kind": kind,
                "region": region,
                "resource": resource,
                "service": service,
            }),
        });
        Self { id, ce_type: ANOMALY_CE_TYPE, subject: dimension.1.clone(), time: now, record }
    }
}

/// `severity_id` of OCSF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Informational,
    Low,
    Medium,
    High,
}

impl Severity {
    fn named(name: &str) -> Self {
        match name {
            "high" => Self::High,
            "medium" => Self::Medium,
            _ => Self::Low,
        }
    }

    const fn ocsf(self) -> (i64, &'static str) {
        match self {
            Self::Informational => (1, "Informational"),
            Self::Low => (2, "Low"),
            Self::Medium => (3, "Medium"),
            Self::High => (4, "High"),
        }
    }
}

/// Content of a finding.
pub(super) struct Content<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) id: EventId,
    pub(super) at: Timestamp,
    pub(super) ce_type: &'static str,
    /// `finding_info.types`.
    pub(super) kind: &'static str,
    pub(super) title: String,
    pub(super) message: String,
    pub(super) severity: Severity,
    pub(super) is_alert: bool,
    /// Type and name of the resource.
    pub(super) resource: (&'a str, &'a str),
    pub(super) unmapped: Value,
}

/// The OCSF record.
pub(super) fn record(content: &Content<'_>) -> String {
    let Content { tenant, id, at, ce_type, kind, title, message, severity, is_alert, resource, unmapped } =
        content;
    let (millis, (severity_id, severity)) = (at.timestamp_millis(), severity.ocsf());
    json!({
        "activity_id": 1,
        "activity_name": "Create",
        "category_name": "Findings",
        "category_uid": 2,
        "class_name": "Detection Finding",
        "class_uid": CLASS_UID,
        "finding_info": { "created_time": millis, "title": title, "types": [kind], "uid": id.to_string() },
        "is_alert": is_alert,
        "message": message,
        "metadata": {
            "event_code": ce_type,
            "log_name": Topic::Findings.name(),
            "product": { "name": "Weir", "vendor_name": "Weir" },
            "tenant_uid": tenant.as_str(),
            "uid": id.to_string(),
            "version": "1.8.0",
        },
        "resources": [{ "name": resource.1, "type": resource.0, "uid": resource.1 }],
        "severity": severity,
        "severity_id": severity_id,
        "status": "New",
        "status_id": 1,
        "time": millis,
        "type_uid": CLASS_UID * 100 + 1,
        "unmapped": unmapped,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anomaly(actual: f64, region: &str) -> AnomalyFound {
        AnomalyFound {
            kind: "first_spend".to_owned(),
            day: NaiveDate::from_ymd_opt(2026, 3, 1).expect("a day"),
            place: [None, None, Some(region.to_owned()), None],
            dimension: ("region".to_owned(), region.to_owned()),
            currency: "EUR".to_owned(),
            expected: 0.0,
            actual,
            severity: "high".to_owned(),
            cause: None,
        }
    }

    #[test]
    fn an_anomaly_is_one_finding_whatever_it_costs_later() {
        let tenant = TenantId::new("acme").expect("valid");
        let (now, later) =
            (Timestamp::from_timestamp_nanos(1), Timestamp::from_timestamp_nanos(2_000_000_000));
        let first = CostFinding::of_anomaly(&tenant, &anomaly(5.0, "me-south-1"), now);
        assert_eq!(first.id, CostFinding::of_anomaly(&tenant, &anomaly(7.0, "me-south-1"), later).id);
        assert_ne!(first.id, CostFinding::of_anomaly(&tenant, &anomaly(5.0, "af-south-1"), now).id);
        let record: Value = serde_json::from_str(&first.record).expect("JSON");
        assert_eq!(record["finding_info"]["title"], "First spend in the region me-south-1");
        assert_eq!((&record["class_uid"], &record["severity_id"]), (&2004.into(), &4.into()));
    }
}
