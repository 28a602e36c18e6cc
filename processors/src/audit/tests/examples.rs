//! The stored examples cover all kinds; their records are snapshots for people to read.
#![expect(clippy::disallowed_methods, reason = "tests read the stored examples; processors read no files")]

use std::{collections::BTreeMap, fs, path::Path};

use schemas::{
    Envelope, Event, Topic,
    changes::AuditEntry,
    codec::{self, Decoded, Framing, Incoming, NoRegistry},
    events::{
        ActivityKind, DeliveryKind, GovernanceKind, InfrastructureKind, MonitoringKind, Outcome,
        OutcomeStatus, UsageKind,
    },
};
use serde_json::{Value, json};

use super::check;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/examples");

const STRUCTURED: &[u8] = b"application/cloudevents+json";

/// Every stored example, by topic and name.
fn stored() -> BTreeMap<String, Envelope> {
    let mut stored = BTreeMap::new();
    for topic in fs::read_dir(EXAMPLES).expect("the folder of examples") {
        let topic = topic.expect("readable").path();
        for file in fs::read_dir(&topic).expect("a topic's folder") {
            let file = file.expect("readable").path();
            let name = file.strip_prefix(EXAMPLES).expect("inside").display().to_string();
            let text = fs::read(&file).expect("readable");
            let topic = file.parent().and_then(Path::file_name).and_then(|name| name.to_str());
            let topic = topic.and_then(Topic::from_name).expect("folders are named after topics");
            stored.insert(name, decode(topic, &text, &[("content-type", Some(STRUCTURED))]));
        }
    }
    stored
}

#[test]
fn every_kind_has_two_examples_on_its_own_topic() {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, envelope) in stored() {
        assert!(
            name.starts_with(envelope.event.topic().name()),
            "{name} lies in the folder of another topic"
        );
        *count.entry(envelope.event.ce_type()).or_default() += 1;
    }
    let mut kinds: Vec<&str> = Vec::new();
    kinds.extend(ActivityKind::ALL.iter().map(|kind| kind.ce_type()));
    kinds.extend(InfrastructureKind::ALL.iter().map(|kind| kind.ce_type()));
    kinds.extend(DeliveryKind::ALL.iter().map(|kind| kind.ce_type()));
    kinds.extend(UsageKind::ALL.iter().map(|kind| kind.ce_type()));
    kinds.extend(MonitoringKind::ALL.iter().map(|kind| kind.ce_type()));
    kinds.extend(GovernanceKind::ALL.iter().map(|kind| kind.ce_type()));
    for kind in kinds {
        assert!(count.get(kind).is_some_and(|n| *n >= 2), "{kind} has fewer than two examples");
    }
}

#[test]
fn every_example_becomes_the_record_that_was_reviewed() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (name, envelope) in stored() {
        let (entry, mut record) = check(&envelope);
        if let Some(raw) = record.get_mut("raw_data") {
            *raw = json!("(the native record)");
        }
        let seen = json!({ "columns": columns(&entry), "record": record });
        let seen = serde_json::to_string_pretty(&seen).expect("JSON");
        let name = Path::new(&name).file_stem().expect("a file").to_string_lossy().into_owned();
        settings.bind(|| insta::assert_snapshot!(name, seen));
    }
}

fn columns(entry: &AuditEntry) -> Value {
    json!({
        "kind": entry.kind, "actor_kind": entry.actor_kind.name(), "actor": entry.actor,
        "actor_name": entry.actor_name, "actor_ip": entry.actor_ip, "action": entry.action,
        "resource_type": entry.resource_type, "resource": entry.resource, "project": entry.project,
        "outcome": entry.outcome.name(), "outcome_code": entry.outcome_code, "source": entry.source,
        "correlation_id": entry.correlation_id,
    })
}

/// Decodes an example as a record of its topic.
fn decode(topic: Topic, value: &[u8], headers: &[(&str, Option<&[u8]>)]) -> Envelope {
    // Examples are from 2026, and no record comes from the future.
    let timestamp_ms = 1_800_000_000_000;
    let record = Incoming { topic, key: None, value: Some(value), headers, timestamp_ms };
    match codec::decode(&record, &NoRegistry) {
        Ok(Decoded::Event(envelope)) => *envelope,
        other => panic!("not an event: {other:?}"),
    }
}

#[test]
fn every_example_survives_its_way_through_avro() {
    for (name, envelope) in stored() {
        let encoded = codec::encode(&envelope, &Framing::SingleObject);
        let headers: Vec<_> =
            encoded.headers.iter().map(|(name, value)| (*name, Some(value.as_slice()))).collect();
        assert_eq!(decode(envelope.event.topic(), &encoded.value, &headers), envelope, "{name}");
    }
}

#[test]
fn a_sign_in_that_entra_interrupts_is_a_step_of_a_sign_in() {
    let is_call = |envelope: &Envelope| envelope.event.ce_type() == ActivityKind::ApiCalled.ce_type();
    let mut envelope = stored().into_values().find(is_call).expect("an example");
    let Event::Activity(activity) = &mut envelope.event else { panic!("an activity") };
    activity.action = "Sign-in activity".to_owned();
    activity.outcome =
        Outcome { status: OutcomeStatus::Unknown, code: Some("50140".to_owned()), message: None };
    let (entry, _) = check(&envelope);
    assert_eq!((entry.class_uid, entry.activity_id, entry.outcome), (3002, 99, OutcomeStatus::Unknown));
}
