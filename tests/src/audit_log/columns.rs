//! The columns that a verification makes of a record are those that the audit processor gave beside it.

use audit_log::columns::Columns;
use processors::{Processor as _, audit::Audit};
use producers::{
    generate::{Generator, GeneratorConfig},
    sources::cloudtrail,
};
use schemas::{
    Envelope, Event, EventId, Source, TenantId, Timestamp,
    changes::AuditEntry,
    events::{Activity, ActivityKind, Actor, Outcome, Resource},
};
use uuid::Uuid;

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
        other_resources: entry.other_resources.clone(),
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

/// Checks events of every kind with these resources; those behind the first are `others`.
#[track_caller]
fn check_resources(ids: &[&str], others: &[&str]) {
    let named = |id: &&str| {
        let (kind, id) = (Some("AWS::S3::Bucket".to_owned()), (*id).to_owned());
        Resource { kind, id, ..Resource::default() }
    };
    for kind in ActivityKind::ALL {
        let event = Activity {
            kind: *kind,
            action: "CopyObject".into(),
            service: None,
            actor: Actor { id: "ada".into(), ..Actor::default() },
            resources: ids.iter().map(named).collect(),
            outcome: Outcome::default(),
            read_only: None,
            request_id: None,
        };
        let envelope = Envelope {
            id: EventId::new(Uuid::from_u128(1)).expect("not nil"),
            tenant: TenantId::new("acme").expect("valid"),
            source: Source::new("/test").expect("valid"),
            subject: None,
            occurred_at: Timestamp::UNIX_EPOCH,
            skewed: false,
            time_assumed: false,
            original_id: None,
            correlation_id: None,
            causation_id: None,
            trace: None,
            event: Event::Activity(event),
            native: None,
        };
        check(&envelope);
        assert_eq!(Audit.process(&envelope)[0].other_resources, others, "{kind:?} {ids:?}");
    }
}

#[test]
fn every_resource_is_made_again_whatever_the_class_of_the_record() {
    check_resources(&["object", "bucket", "", "key", "bucket", "object"], &["bucket", "key"]);
    check_resources(&["", "bucket"], &["bucket"]);
    check_resources(&["bucket", "bucket"], &[]);
    check_resources(&[], &[]);
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
