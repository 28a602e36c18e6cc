//! Published incidents: OCSF 1.8.0 Detection Findings (2004) on `weir.findings.v1`, in `CloudEvents` binary
//! mode.
//!
//! A finding is published when an incident opens, on a triage decision, when new tactics appear, and
//! otherwise at most once per hour of event time. Its id is derived from its content, so that consumers can
//! recognise duplicates.

use schemas::{EventId, TenantId, Timestamp, Topic};
use serde_json::{Value, json};

use super::{
    assessment::{RiskLevel, Score},
    facts::EntityName,
    incidents::Incident,
};

/// The `CloudEvents` type of a finding about an incident.
pub const CE_TYPE: &str = "io.weir.finding.incident.v1";
/// The `CloudEvents` source.
pub const CE_SOURCE: &str = "/weir/risk";
/// `category_uid` Findings, `class_uid` Detection Finding.
const CLASS_UID: i64 = 2004;

/// Change of an incident; the number is OCSF's `activity_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// The incident opened.
    Create,
    /// The incident continued, or a decision was made on it.
    Update,
    /// The incident was closed.
    Close,
}

impl Activity {
    const fn id(self) -> i64 {
        match self {
            Self::Create => 1,
            Self::Update => 2,
            Self::Close => 3,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Create => "Create",
            Self::Update => "Update",
            Self::Close => "Close",
        }
    }

    /// The change to publish about an incident, given its previously stored state.
    pub fn between(before: Option<&Incident>, after: &Incident) -> Option<Self> {
        let Some(before) = before else { return Some(Self::Create) };
        let is_over =
            |incident: &Incident| matches!(incident.status.name.as_str(), "closed" | "false_positive");
        let decided = before.status != after.status;
        let new_tactics = after.tactics.iter().any(|tactic| !before.tactics.contains(tactic));
        if decided && is_over(after) {
            return Some(Self::Close);
        }
        (decided || new_tactics || after.last_hour > before.last_hour).then_some(Self::Update)
    }
}

/// A finding to publish about an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Id, derived from the content, so that consumers can recognise duplicates.
    pub id: EventId,
    /// The incident.
    pub incident_id: uuid::Uuid,
    /// Time at which the incident reached this state.
    pub time: Timestamp,
    /// The OCSF record, a JSON object.
    pub record: String,
}

impl Finding {
    /// The finding on an incident of an entity.
    pub fn new(tenant: &TenantId, entity: EntityName<'_>, activity: Activity, incident: &Incident) -> Self {
        let time =
            incident.status.decided_at.map_or(incident.last_at, |decided| decided.max(incident.last_at));
        let mut record = record(tenant, entity, (activity, incident), time);
        let content = format!("{}|{record}", incident.id);
        let id = EventId::derived(tenant, "weir.finding", content.as_bytes());
        record["metadata"]["uid"] = Value::from(id.to_string());
        Self { id, incident_id: incident.id, time, record: record.to_string() }
    }
}

fn record(
    tenant: &TenantId,
    EntityName { kind, id: entity }: EntityName<'_>,
    (activity, incident): (Activity, &Incident),
    time: Timestamp,
) -> Value {
    let score = score(incident);
    let millis = |at: Timestamp| at.timestamp_millis();
    let (status_id, status) = match incident.status.name.as_str() {
        "acknowledged" => (2, "In Progress"),
        "false_positive" => (3, "Suppressed"),
        "closed" => (4, "Resolved"),
        _ => (1, "New"),
    };
    let analytics: Vec<Value> = incident
        .rules
        .iter()
        .map(|fired| json!({ "name": fired.rule.title, "type": "Rule", "type_id": 1, "uid": fired.rule.id }))
        .collect();
    let tactics = incident.tactics.iter().map(|name| json!({ "tactic": { "name": name } }));
    let techniques = incident.techniques.iter().map(|uid| json!({ "technique": { "uid": uid } }));
    json!({
        "activity_id": activity.id(),
        "activity_name": activity.name(),
        "category_name": "Findings",
        "category_uid": 2,
        "class_name": "Detection Finding",
        "class_uid": CLASS_UID,
        "count": incident.signals,
        "finding_info": {
            "attacks": tactics.chain(techniques).collect::<Vec<_>>(),
            "created_time": incident.opened_hour * 3_600_000,
            "first_seen_time": millis(incident.first_at),
            "last_seen_time": millis(incident.last_at),
            "related_analytics": analytics,
            "title": title(EntityName { kind, id: entity }, incident),
            "types": [incident.cause],
            "uid": incident.id.to_string(),
        },
        "is_alert": true,
        "message": message(kind, entity, incident),
        "metadata": {
            "event_code": CE_TYPE,
            "log_name": Topic::Findings.name(),
            "product": { "name": "Weir", "vendor_name": "Weir" },
            "tenant_uid": tenant.as_str(),
            "version": "1.8.0",
        },
        "resources": [{ "name": entity, "type": kind, "uid": entity }],
        "risk_score": score.0 / 100,
        "severity": severity(score.level()).1,
        "severity_id": severity(score.level()).0,
        "status": status,
        "status_detail": incident.status.reason,
        "status_id": status_id,
        "time": millis(time),
        "type_uid": CLASS_UID * 100 + activity.id(),
        "unmapped": { "entity_kind": kind, "level": incident.level, "reopened": incident.status.reopened },
    })
}

/// Score of the incident's highest hazard within 24 hours.
pub fn score(incident: &Incident) -> Score {
    #[expect(clippy::cast_precision_loss, reason = "53 bits of it are plenty")]
    let nats = incident.peak_micronats as f64 / 1e6;
    Score::at(nats.log2(), 0)
}

const fn severity(level: RiskLevel) -> (i64, &'static str) {
    match level {
        RiskLevel::Unknown => (1, "Informational"),
        RiskLevel::Low => (2, "Low"),
        RiskLevel::Moderate => (3, "Medium"),
        RiskLevel::High => (4, "High"),
        RiskLevel::Critical => (5, "Critical"),
    }
}

/// The incident as one line.
pub fn title(entity: EntityName<'_>, incident: &Incident) -> String {
    let EntityName { kind, id: entity } = entity;
    let kind = kind.replace('_', " ");
    match incident.rules.as_slice() {
        [one] => format!("{}: {kind} {entity}", one.rule.title),
        rules => format!("{} rules fired on {kind} {entity}", rules.len()),
    }
}

fn message(kind: &str, entity: &str, incident: &Incident) -> String {
    let kind = kind.replace('_', " ");
    let tactics = incident.tactics.join(", ");
    match incident.cause.as_str() {
        "tactics" => format!("Signals of several tactics within 7 days on {kind} {entity}: {tactics}"),
        _ => format!("The risk of {kind} {entity} within 24 hours reached {:.0}", score(incident).value()),
    }
}
