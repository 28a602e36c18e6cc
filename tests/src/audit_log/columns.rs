//! The columns that a verification makes of a record are those that the audit processor gave beside it.

use audit_log::columns::Columns;
use processors::{Processor as _, audit::Audit};
use producers::{
    generate::{Generator, GeneratorConfig},
    sources::cloudtrail,
};
use schemas::{Envelope, TenantId, Timestamp, changes::AuditEntry};

use crate::support::corpus::{corpus, files};

/// Expected columns of an entry's row.
fn of_entry(entry: &AuditEntry, envelope: &Envelope) -> Columns {
    Columns {
        occurred_at: entry.occurred_at.timestamp_micros(),
        event_id: *entry.event_id.as_uuid(),
        class_uid: entry.class_uid,
        activity_id: entry.activity_id,
        severity_id: entry.severity_id,
        topic: envelope.event.topic().name().to_owned(),
        tenant_id: entry.tenant.to_string(),
        kind: entry.kind.to_owned(),
        actor_kind: entry.actor_kind.name().to_owned(),
        actor: entry.actor.clone(),
        actor_name: entry.actor_name.clone(),
        actor_ip: entry.actor_ip.clone(),
        action: entry.action.clone(),
        resource_type: entry.resource_type.clone(),
        resource: entry.resource.clone(),
        project: entry.project.clone(),
        outcome: entry.outcome.name().to_owned(),
        outcome_code: entry.outcome_code.clone(),
        source: entry.source.clone(),
        correlation_id: entry.correlation_id.clone(),
    }
}

#[track_caller]
fn check(envelope: &Envelope) {
    for entry in Audit.process(envelope) {
        let stored = entry.record.to_bytes();
        let made = Columns::of(&stored).expect("a record of ours");
        assert_eq!(made, of_entry(&entry, envelope), "{}", String::from_utf8_lossy(&stored));
    }
}

#[test]
fn columns_of_generated_events_are_made_again() {
    let now: Timestamp = "2026-03-01T00:00:00Z".parse().expect("a time");
    let config = GeneratorConfig::ending_at(now, 20_000, TenantId::new("acme").expect("valid"));
    Generator::new(3, config).take(20_000).for_each(|event| check(&event));
}

#[test]
fn columns_of_real_records_are_made_again() {
    let Some(corpus) = corpus("stratus") else { return };
    let tenant = TenantId::new("corpus").expect("valid");
    let mut count = 0;
    for path in files(&corpus.path().join("stratus/docs/detonation-logs"), "json") {
        let text = std::fs::read_to_string(path).expect("readable");
        let records: Vec<&serde_json::value::RawValue> = serde_json::from_str(&text).expect("an array");
        for record in records {
            check(&cloudtrail::map(&tenant, record.get()).expect("an object").envelope);
            count += 1;
        }
    }
    assert_eq!(count, 310);
}
