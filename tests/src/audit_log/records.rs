//! Every record that leaves is one of OCSF 1.8.0, by its published schema.

use audit_log::{
    Hash, Salt,
    integrity::{Personal, Place},
};
use jsonschema::Validator;
use processors::{Processor as _, audit::Audit};
use producers::{
    generate::{Generator, GeneratorConfig},
    sources::cloudtrail,
};
use schemas::{Envelope, TenantId, Timestamp};
use serde_json::Value;

use crate::support::corpus::{corpus, files};

fn schema(folder: &std::path::Path) -> Validator {
    let text = std::fs::read_to_string(folder.join("ocsf_schema/ocsf-1.8.0.schema.json")).expect("readable");
    jsonschema::validator_for(&serde_json::from_str(&text).expect("JSON")).expect("a schema")
}

/// The record as it goes onto the audit topic.
fn leaving(envelope: &Envelope) -> Vec<Value> {
    let place = Place {
        log: "weir.activity.v1/3".into(),
        index: 42,
        leaf: Hash([7; 32]),
        previous: Some(Hash([6; 32])),
        personal: Personal::Salted(Salt([5; 32])),
        checkpoint: Some("a note\n".into()),
    };
    let record = |entry: schemas::changes::AuditEntry| {
        let sent = place.attest(&entry.record.to_bytes()).expect("a record of ours");
        serde_json::from_slice(&sent).expect("JSON")
    };
    Audit.process(envelope).into_iter().map(record).collect()
}

#[track_caller]
fn check(schema: &Validator, envelope: &Envelope) {
    for record in leaving(envelope) {
        let faults: Vec<String> = schema
            .iter_errors(&record)
            .map(|fault| format!("{}: {fault:.300}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{faults:#?}\n{record}");
    }
}

#[test]
fn the_published_checks_come_out_as_they_say() {
    let Some(corpus) = corpus("ocsf_schema") else { return };
    let schema = schema(corpus.path());
    let checks = std::fs::read_to_string(corpus.path().join("ocsf_schema/checks.jsonl")).expect("readable");
    let (mut valid, mut all) = (0, 0);
    for line in checks.lines() {
        let check: Value = serde_json::from_str(line).expect("JSON");
        if check["schema"] != "1.8.0" {
            continue;
        }
        let is_valid = schema.is_valid(&check["record"]);
        assert_eq!(Some(is_valid), check["valid"].as_bool(), "{check}");
        valid += usize::from(is_valid);
        all += 1;
    }
    assert!(valid > 0 && all > valid, "{valid} of {all}");
}

#[test]
fn generated_events_leave_as_valid_records() {
    let Some(corpus) = corpus("ocsf_schema") else { return };
    let schema = schema(corpus.path());
    let now: Timestamp = "2026-03-01T00:00:00Z".parse().expect("a time");
    let config = GeneratorConfig::ending_at(now, 3_000, TenantId::new("acme").expect("valid"));
    Generator::new(3, config).take(3_000).for_each(|event| check(&schema, &event));
}

#[test]
fn real_records_leave_as_valid_records() {
    let (Some(schemas), Some(stratus)) = (corpus("ocsf_schema"), corpus("stratus")) else { return };
    let schema = schema(schemas.path());
    let tenant = TenantId::new("corpus").expect("valid");
    for path in files(&stratus.path().join("stratus/docs/detonation-logs"), "json") {
        let text = std::fs::read_to_string(path).expect("readable");
        let records: Vec<&serde_json::value::RawValue> = serde_json::from_str(&text).expect("an array");
        for record in records {
            check(&schema, &cloudtrail::map(&tenant, record.get()).expect("an object").envelope);
        }
    }
}
