//! Monitoring: alerts and crossed thresholds are Detection Findings 2004; mere measurements are base events.

use std::borrow::Cow;

use schemas::{
    Envelope,
    events::{Monitoring, MonitoringKind, OutcomeStatus},
};

use crate::audit::{
    Described,
    class::{Activity, Class},
    object::{FindingInfo, Resources},
    party::{self, UNKNOWN},
    record::Record,
};

pub(in crate::audit) fn describe<'a>(envelope: &'a Envelope, event: &'a Monitoring) -> Described<'a> {
    let subject = &event.subject;
    let resources = Resources(std::slice::from_ref(subject));
    let (class, activity) = classify(event.kind);
    let mut record = Record::new(envelope, class, activity);
    if class == Class::DetectionFinding {
        record.finding_info = Some(FindingInfo { title: Some(&event.name), uid: finding_uid(event) });
        record.resources = resources;
        (record.status_id, record.status) = match event.kind {
            MonitoringKind::AlertResolved => (4, "Resolved"),
            _ => (1, "New"),
        };
    } else {
        record.unmapped.name = Some(&event.name);
        record.unmapped.resources = resources;
    }
    (record.severity_id, record.severity) = severity(event);
    party::set_cloud(&mut record, Some(subject), None);
    record.message.clone_from(&event.message);
    record.unmapped.severity = event.severity.as_deref();
    record.unmapped.status = event.status.as_deref();
    record.unmapped.threshold = event.threshold.as_deref();
    record.unmapped.unit = event.unit.as_deref();
    record.unmapped.value = event.value.as_deref();
    Described {
        record,
        actor: None,
        action: event.kind.name(),
        resource_type: subject.kind.as_deref(),
        resource: party::filled(&subject.id),
        other_resources: Vec::new(),
        project: subject.project.as_deref(),
        outcome: OutcomeStatus::Unknown,
        outcome_code: None,
    }
}

const fn classify(kind: MonitoringKind) -> (Class, Activity<'static>) {
    match kind {
        MonitoringKind::AlertRaised | MonitoringKind::ThresholdCrossed => {
            (Class::DetectionFinding, Activity::new(1, "Create"))
        }
        MonitoringKind::AlertResolved => (Class::DetectionFinding, Activity::new(3, "Close")),
        MonitoringKind::HealthChecked | MonitoringKind::UtilisationMeasured => {
            (Class::BaseEvent, Activity::other(kind.name()))
        }
    }
}

/// Id of a finding: an alert on a subject is one finding, whether raised or resolved.
fn finding_uid(event: &Monitoring) -> Cow<'_, str> {
    if event.subject.id.is_empty() {
        Cow::Borrowed(&event.name)
    } else {
        Cow::Owned(format!("{}/{}", event.subject.id, event.name))
    }
}

/// Names of severities, with `severity_id` and its caption.
const SEVERITIES: [(&str, i32, &str); 17] = [
    ("info", 1, "Informational"),
    ("informational", 1, "Informational"),
    ("notice", 1, "Informational"),
    ("none", 1, "Informational"),
    ("ok", 1, "Informational"),
    ("low", 2, "Low"),
    ("minor", 2, "Low"),
    ("warning", 3, "Medium"),
    ("warn", 3, "Medium"),
    ("medium", 3, "Medium"),
    ("moderate", 3, "Medium"),
    ("error", 4, "High"),
    ("high", 4, "High"),
    ("major", 4, "High"),
    ("critical", 5, "Critical"),
    ("fatal", 6, "Fatal"),
    ("emergency", 6, "Fatal"),
];

/// The source's severity as OCSF's; an unknown one is `Other` with the source's own word.
fn severity(event: &Monitoring) -> (i32, &str) {
    let Some(word) = event.severity.as_deref() else {
        return match classify(event.kind).0 {
            Class::DetectionFinding => (0, UNKNOWN),
            _ => (1, "Informational"),
        };
    };
    let known = SEVERITIES.into_iter().find(|(known, ..)| word.eq_ignore_ascii_case(known));
    known.map_or((99, word), |(_, id, caption)| (id, caption))
}
