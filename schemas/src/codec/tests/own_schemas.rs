//! Weir's schemas match its structs, and are in the expected files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use chrono::TimeDelta;
use rust_decimal::Decimal;
use serde_json::Value;

use super::*;

#[expect(clippy::unnecessary_wraps, reason = "every optional field is given one")]
fn text() -> Option<String> {
    Some("text".to_owned())
}

fn tags() -> BTreeMap<String, String> {
    [("key".to_owned(), "value".to_owned())].into()
}

fn resource() -> Resource {
    Resource {
        cloud: text(),
        account: text(),
        region: text(),
        kind: text(),
        id: "id".into(),
        name: text(),
        project: text(),
        environment: text(),
        tags: tags(),
    }
}

fn charge() -> Usage {
    let money = || Some(Decimal::new(15, 1));
    Usage {
        kind: UsageKind::ChargeRecorded,
        billing_account_id: "1".into(),
        sub_account_id: text(),
        provider_name: "AWS".into(),
        service_name: "EC2".into(),
        service_category: text(),
        region_id: text(),
        resource_id: text(),
        charge_category: "Usage".into(),
        charge_description: text(),
        charge_period_start: noon(),
        charge_period_end: noon() + TimeDelta::hours(1),
        billing_currency: "USD".into(),
        billed_cost: Decimal::new(-1, 0),
        effective_cost: money(),
        list_cost: money(),
        contracted_cost: money(),
        consumed_quantity: money(),
        consumed_unit: text(),
        tags: tags(),
        other_columns: tags(),
        corrects: text(),
    }
}

/// One event of every family, with every field filled.
fn filled() -> [Event; 6] {
    let Event::Activity(activity) = api_call().event else { unreachable!("an activity") };
    let actor = activity.actor.clone();
    let outcome = Outcome { status: OutcomeStatus::Failure, code: text(), message: text() };
    [
        Event::Activity(Activity { resources: vec![resource()], outcome: outcome.clone(), ..activity }),
        Event::Infrastructure(Infrastructure {
            kind: InfrastructureKind::Provisioned,
            resource: resource(),
            actor: Some(actor.clone()),
            outcome: outcome.clone(),
            change_id: text(),
            quantity: Some("3".into()),
            unit: text(),
            configuration: text(),
        }),
        Event::Delivery(Delivery {
            kind: DeliveryKind::DeploymentFinished,
            project: "shop".into(),
            environment: text(),
            run_id: text(),
            name: text(),
            version: text(),
            status: text(),
            actor: Some(actor.clone()),
            outcome,
            duration_ms: Some(1),
        }),
        Event::Usage(charge()),
        Event::Monitoring(Monitoring {
            kind: MonitoringKind::ThresholdCrossed,
            subject: resource(),
            name: "cpu".into(),
            severity: text(),
            status: text(),
            value: Some("0.97".into()),
            threshold: Some("0.9".into()),
            unit: text(),
            message: text(),
        }),
        Event::Governance(Governance {
            kind: GovernanceKind::WaiverGranted,
            subject_kind: "control".into(),
            subject_id: "7".into(),
            actor,
            decision: text(),
            reason: text(),
            expires_at: Some(noon()),
            attributes: tags(),
        }),
    ]
}

#[test]
fn every_field_is_in_both_the_struct_and_the_schema_in_one_order() {
    for (event, own) in filled().iter().zip(own_schemas()) {
        let schema: Value = serde_json::from_str(own.json).expect("JSON");
        let value = serde_json::to_vec(event).expect("JSON");
        compare(
            &serde_json::from_slice(&value).expect("JSON"),
            &schema["fields"][0]["type"],
            own.topic.name(),
        );
        // Serde writes the fields in the struct's order; out of order, encoding would have to buffer.
        let names: Vec<_> = fields(&schema["fields"][0]["type"]).map(|field| field["name"].clone()).collect();
        let text = String::from_utf8(value).expect("UTF-8");
        let at =
            |name: &Value| text.find(&format!("{name}:")).unwrap_or_else(|| panic!("{name} is not written"));
        let places: Vec<_> = names.iter().map(at).collect();
        assert!(places.is_sorted_by(|a, b| a < b), "{}: {places:?}", own.topic);
    }
}

fn fields(record: &Value) -> impl Iterator<Item = &Value> {
    record["fields"].as_array().expect("a record has fields").iter()
}

fn compare(value: &Value, schema: &Value, at: &str) {
    let schema = match schema {
        Value::Array(union) => union.last().expect("null and another"),
        other => other,
    };
    match (value, schema["type"].as_str()) {
        (Value::Object(members), Some("record")) => {
            let ours: BTreeSet<_> = members.keys().map(String::as_str).collect();
            let theirs: BTreeSet<_> =
                fields(schema).map(|field| field["name"].as_str().expect("a name")).collect();
            assert_eq!(ours, theirs, "{at}");
            for field in fields(schema) {
                let name = field["name"].as_str().expect("a name");
                assert!(field["doc"].as_str().is_some_and(|doc| !doc.is_empty()), "{at}.{name} has no doc");
                let nullable = field["type"].is_array();
                assert_eq!(
                    nullable,
                    field.get("default") == Some(&Value::Null),
                    "{at}.{name}: null by default"
                );
                compare(&members[name], &field["type"], &format!("{at}.{name}"));
            }
        }
        (Value::Array(items), Some("array")) => compare(&items[0], &schema["items"], at),
        _ => {}
    }
}

#[test]
fn every_filled_event_comes_back() {
    for event in filled() {
        let envelope = Envelope { event, ..api_call() };
        let encoded = encode(&envelope, &Framing::SingleObject);
        let answer = decode_encoded(envelope.event.topic(), &encoded, noon().timestamp_millis(), &NoRegistry);
        assert_eq!(answer, Ok(Decoded::Event(Box::new(envelope))));
    }
}

#[test]
fn the_folder_holds_exactly_the_versions_that_are_known() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("avro");
    let mut found = BTreeSet::new();
    for topic in fs::read_dir(&folder).expect("the schemas' folder") {
        let topic = topic.expect("a folder").path();
        for version in fs::read_dir(&topic).expect("a topic's folder") {
            let version = version.expect("a file").path();
            found.insert(version.strip_prefix(&folder).expect("below").to_string_lossy().into_owned());
        }
    }
    let known = own_schemas().iter().map(|own| format!("{}/{}.avsc", own.topic, own.version));
    assert_eq!(found, known.collect());
}

#[test]
fn families_stand_in_the_order_that_ids_are_given_in() {
    let families: Vec<_> = own_schemas().iter().filter(|own| own.version == 1).map(|own| own.topic).collect();
    assert_eq!(families, Topic::FAMILIES);
    for (topic, id) in ids().iter() {
        let mut envelope = api_call();
        envelope.event = filled().into_iter().find(|event| event.topic() == topic).expect("every family");
        assert_eq!(
            encode(&envelope, &Framing::Confluent(ids())).value[..5],
            [&[0][..], &id.to_be_bytes()].concat()
        );
    }
}

#[test]
fn fingerprints_never_change() {
    let prints: Vec<_> = own_schemas()
        .iter()
        .map(|own| format!("{} {} {:016x}", own.topic, own.version, u64::from_le_bytes(own.fingerprint)))
        .collect();
    // As fastavro gives them, read as little-endian numbers.
    insta::assert_snapshot!(prints.join("\n"), @r"
    weir.activity.v1 1 bb980b148e9127a1
    weir.infrastructure.v1 1 01a78abe983c8747
    weir.delivery.v1 1 19c9e53dbee4569e
    weir.usage.v1 1 e98af797a07ccb3d
    weir.monitoring.v1 1 10d964074ad56f69
    weir.governance.v1 1 2ebde1022fe6d0eb
    weir.governance.v1 2 a046fe74f11823ee
    ");
}

#[test]
fn a_kind_is_written_with_the_oldest_version_that_has_it() {
    for kind in GovernanceKind::ALL {
        let Some(Event::Governance(decision)) =
            filled().into_iter().find(|event| event.topic() == Topic::Governance)
        else {
            unreachable!("every family is filled")
        };
        let envelope =
            Envelope { event: Event::Governance(Governance { kind: *kind, ..decision }), ..api_call() };
        let encoded = encode(&envelope, &Framing::SingleObject);
        let is_new = matches!(kind, GovernanceKind::SearchSaved | GovernanceKind::SearchRemoved);
        let version = if is_new { 2 } else { 1 };
        let own = own_schemas().iter().find(|own| own.fingerprint == encoded.value[2..10]).expect("ours");
        assert_eq!((own.topic, own.version), (Topic::Governance, version), "{kind:?}");
        let answer = decode_encoded(Topic::Governance, &encoded, noon().timestamp_millis(), &NoRegistry);
        assert_eq!(answer, Ok(Decoded::Event(Box::new(envelope))));
    }
}
