//! Published findings: OCSF 1.8.0 Compliance Findings (2003) on `weir.findings.v1`, in `CloudEvents` binary
//! mode.
//!
//! A record is published when a finding opens, reopens or closes. Its id is derived from its content, so that
//! consumers can recognise duplicates.

use schemas::{EventId, TenantId, Timestamp, Topic, changes::compliance::PolicySeverity};
use serde_json::{Value, json};

use super::finding::{CloseReason, Episode, finding_id};

/// The `CloudEvents` type of a finding about compliance.
pub const CE_TYPE: &str = "io.weir.finding.compliance.v1";
/// The `CloudEvents` source.
pub const CE_SOURCE: &str = "/weir/compliance";
/// `class_uid` Compliance Finding.
const CLASS_UID: i64 = 2003;

/// Transition of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// The policy began to fail.
    Opened,
    /// The policy fails again.
    Reopened,
    /// The finding was closed.
    Closed,
}

impl Transition {
    /// The transition's name in metrics and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reopened => "reopened",
            Self::Closed => "closed",
        }
    }

    /// The transition to publish for an episode, given its previously stored state.
    pub fn between(before: Option<&Episode>, after: &Episode) -> Option<Self> {
        match (before, &after.closed) {
            // One that opened and closed before anybody looked is told of as closed.
            (None, Some(_)) => Some(Self::Closed),
            (None, None) if after.number > 1 => Some(Self::Reopened),
            (None, None) => Some(Self::Opened),
            (Some(before), Some(_)) if before.closed.is_none() => Some(Self::Closed),
            (Some(before), None) if before.closed.is_some() => Some(Self::Reopened),
            _ => None,
        }
    }
}

/// The resource that a finding is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The resource's id.
    pub resource: &'a str,
    /// Its type.
    pub kind: &'a str,
    /// Project of the resource.
    pub project: Option<&'a str>,
    /// The policy's title.
    pub title: &'a str,
    /// The change that makes the resource compliant.
    pub remediation: &'a str,
    /// Controls by framework.
    pub controls: &'a std::collections::BTreeMap<String, Vec<String>>,
}

/// A record to publish about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComplianceFinding {
    /// Id, derived from the content.
    pub id: EventId,
    /// Id of the finding, the same for each of its episodes.
    pub finding_id: EventId,
    /// Time of opening or closing.
    pub time: Timestamp,
    /// The OCSF record, a JSON object.
    pub record: String,
}

impl ComplianceFinding {
    /// The record for a transition of an episode.
    pub fn new(tenant: &TenantId, about: About<'_>, transition: Transition, episode: &Episode) -> Self {
        let finding_id = finding_id(tenant, about.resource, &episode.policy_id);
        let time = match (transition, &episode.closed) {
            (Transition::Closed, Some((at, ..))) => *at,
            _ => episode.opened_at,
        };
        let mut record = record(tenant, about, (transition, episode), (finding_id, time));
        let id = EventId::derived(tenant, "weir.finding.compliance", record.to_string().as_bytes());
        record["metadata"]["uid"] = Value::from(id.to_string());
        Self { id, finding_id, time, record: record.to_string() }
    }
}

fn record(
    tenant: &TenantId,
    about: About<'_>,
    (transition, episode): (Transition, &Episode),
    (finding_id, time): (EventId, Timestamp),
) -> Value {
    let (activity_id, activity) = match transition {
        Transition::Opened => (1, "Create"),
        Transition::Reopened => (2, "Update"),
        Transition::Closed => (3, "Close"),
    };
    let is_closed = transition == Transition::Closed;
    let (status_id, status) = if is_closed { (4, "Resolved") } else { (1, "New") };
    let why = episode.closed.map(|(_, _, why)| why).filter(|_| is_closed);
    let (severity_id, severity) = severity(episode.severity);
    let title = if about.title.is_empty() { &episode.policy_id } else { about.title };
    let message = message(about.resource, title, why);
    let millis = |at: Timestamp| at.timestamp_millis();
    let mut record = json!({
        "activity_id": activity_id,
        "activity_name": activity,
        "category_name": "Findings",
        "category_uid": 2,
        "class_name": "Compliance Finding",
        "class_uid": CLASS_UID,
        "compliance": compliance(about, episode, (is_closed, why)),
        "finding_info": {
            "created_time": millis(episode.opened_at),
            "first_seen_time": millis(episode.opened_at),
            "last_seen_time": millis(time),
            "title": title,
            "types": ["compliance"],
            "uid": finding_id.to_string(),
        },
        "message": message,
        "metadata": {
            "event_code": CE_TYPE,
            "log_name": Topic::Findings.name(),
            "product": { "name": "Weir", "vendor_name": "Weir" },
            "tenant_uid": tenant.as_str(),
            "version": "1.8.0",
        },
        "resources": [{ "name": about.resource, "type": about.kind, "uid": about.resource }],
        "severity": severity,
        "severity_id": severity_id,
        "status": status,
        "status_id": status_id,
        "time": millis(time),
        "type_uid": CLASS_UID * 100 + activity_id,
        "unmapped": {
            "due_time": millis(episode.due_at()),
            "episode": episode.number,
            "event_id": episode.opened_by.to_string(),
            "policy_hash": episode.policy_hash,
            "project": about.project,
            "transition": transition.name(),
        },
    });
    if !about.remediation.is_empty() {
        record["remediation"] = json!({ "desc": about.remediation });
    }
    if let Some(why) = why {
        record["status_detail"] = Value::from(why.name());
    }
    record
}

fn message(resource: &str, title: &str, why: Option<CloseReason>) -> String {
    match why {
        Some(CloseReason::Passed) => format!("{resource} passes: {title}"),
        Some(CloseReason::Gone) => format!("{resource} was deleted: {title}"),
        Some(CloseReason::NotApplicable) => format!("{resource} is not judged any more: {title}"),
        None => format!("{resource} fails: {title}"),
    }
}

/// The object `compliance`: the policy is the control, and the policy's controls are the requirements.
fn compliance(about: About<'_>, episode: &Episode, (is_closed, why): (bool, Option<CloseReason>)) -> Value {
    let (status_id, status) = match why {
        Some(CloseReason::Passed) => (1, "Pass"),
        _ if is_closed => (0, "Unknown"),
        _ => (3, "Fail"),
    };
    let of_framework = |(framework, controls): (&String, &Vec<String>)| {
        controls.iter().map(|control| format!("{framework} {control}")).collect::<Vec<_>>()
    };
    json!({
        "control": episode.policy_id,
        "requirements": about.controls.iter().flat_map(of_framework).collect::<Vec<_>>(),
        "standards": about.controls.keys().collect::<Vec<_>>(),
        "status": status,
        "status_details": if is_closed { &[][..] } else { &episode.reasons },
        "status_id": status_id,
    })
}

const fn severity(severity: PolicySeverity) -> (i64, &'static str) {
    match severity {
        PolicySeverity::Low => (2, "Low"),
        PolicySeverity::Medium => (3, "Medium"),
        PolicySeverity::High => (4, "High"),
        PolicySeverity::Critical => (5, "Critical"),
    }
}
