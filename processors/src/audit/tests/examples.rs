//! The stored examples: complete over the kinds, and what each becomes, for people to read.
#![expect(clippy::disallowed_methods, reason = "tests read the stored examples; processors read no files")]

use std::{collections::BTreeMap, fs, path::Path};

use schemas::{
    Envelope, Event, EventId, Native, Source, TenantId, TraceContext,
    changes::AuditEntry,
    events::{ActivityKind, DeliveryKind, GovernanceKind, InfrastructureKind, MonitoringKind, UsageKind},
};
use serde_json::{Value, json};

use super::check;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/examples");

/// Every stored example, by topic and name.
fn stored() -> BTreeMap<String, Envelope> {
    let mut stored = BTreeMap::new();
    for topic in fs::read_dir(EXAMPLES).expect("the folder of examples") {
        let topic = topic.expect("readable").path();
        for file in fs::read_dir(&topic).expect("a topic's folder") {
            let file = file.expect("readable").path();
            let name = file.strip_prefix(EXAMPLES).expect("inside").display().to_string();
            stored.insert(name, parse(&file));
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

fn parse(file: &Path) -> Envelope {
    let text = fs::read_to_string(file).expect("readable");
    #[derive(serde::Deserialize)]
    struct RawNative {
        format: String,
        record: Box<serde_json::value::RawValue>,
    }
    #[derive(serde::Deserialize)]
    struct RawData {
        native: Option<RawNative>,
    }
    #[derive(serde::Deserialize)]
    struct Raw {
        data: Box<serde_json::value::RawValue>,
    }
    let v: Value = serde_json::from_str(&text).expect("json");
    let raw: Raw = serde_json::from_str(&text).expect("raw");
    let s = |k: &str| v[k].as_str().map(ToOwned::to_owned);
    let tenant = TenantId::new(&s("tenantid").expect("t")).expect("t");
    let source = Source::new(s("source").expect("s")).expect("s");
    let ty = s("type").expect("ty");
    let mut native = serde_json::from_str::<RawData>(raw.data.get())
        .expect("native")
        .native
        .map(|n| Native { format: n.format, record: n.record.get().to_owned() });
    let mut d = v["data"].clone();
    macro_rules! fam {
        ($($k:ident => $f:ident),*) => { $(if let Some(k) = $k::from_ce_type(&ty) {
            d["kind"] = json!(k.name());
            Some(Event::$f(serde_json::from_value(d.clone()).expect("fits")))
        } else)* { None } };
    }
    let event = fam!(ActivityKind => Activity, InfrastructureKind => Infrastructure, DeliveryKind => Delivery, UsageKind => Usage, MonitoringKind => Monitoring, GovernanceKind => Governance);
    let event = event.unwrap_or_else(|| {
        native = Some(Native { format: "cloudevents".to_owned(), record: raw.data.get().to_owned() });
        Event::Activity(
            serde_json::from_value(json!({"kind":"ApiCalled","action":ty,"actor":{"id":""}})).expect("fits"),
        )
    });
    Envelope {
        id: EventId::from_source(&tenant, &source, &s("id").expect("id")).expect("id"),
        tenant,
        source,
        subject: s("subject"),
        occurred_at: s("time").expect("time").parse().expect("time"),
        correlation_id: s("correlationid"),
        causation_id: s("causationid"),
        trace: s("traceparent").map(|traceparent| TraceContext { traceparent, tracestate: s("tracestate") }),
        event,
        native,
    }
}
