//! The CloudEvents project's conformance messages. Needs `WEIR_CORPUS`.

use std::fs;

use serde_json::{Value, json};

use super::{corpus::unpack, *};

/// The texts between `"""` in a scenario.
fn blocks(scenario: &str) -> Vec<&str> {
    scenario.split("\"\"\"").skip(1).step_by(2).collect()
}

/// The rows of the table that follows a line, two cells each, without its head.
fn table<'a>(scenario: &'a str, after: &str) -> Vec<(&'a str, &'a str)> {
    let lines = scenario.lines().skip_while(|line| !line.contains(after)).skip(1);
    let rows = lines.take_while(|line| line.trim_start().starts_with('|')).skip(1);
    rows.map(|row| {
        let mut cells = row.trim().trim_matches('|').split('|').map(str::trim);
        (cells.next().expect("a cell"), cells.next().unwrap_or_default())
    })
    .collect()
}

/// The content types that a scenario is run with.
fn content_types(scenario: &str) -> Vec<&str> {
    match table(scenario, "Examples:").as_slice() {
        [] => vec!["application/json"],
        rows => rows.iter().map(|(content_type, _)| *content_type).collect(),
    }
}

fn expect_hello(envelope: &Envelope) {
    assert_eq!(envelope.id, EventId::derived(&envelope.tenant, "/mycontext/subcontext", b"1234-1234-1234"));
    assert_eq!(envelope.source.as_str(), "/mycontext/subcontext");
    assert_eq!(envelope.occurred_at.to_rfc3339(), "2018-04-05T03:56:24+00:00");
    let Event::Activity(activity) = &envelope.event else { panic!("an activity") };
    assert_eq!(activity.action, "com.example.someevent");
    let record: Value = serde_json::from_str(&envelope.native.as_ref().expect("data").record).expect("JSON");
    assert_eq!(record, json!({ "message": "Hello World!" }));
}

#[test]
fn three_messages_on_kafka() {
    let Some((_folder, path)) = unpack("cloudevents") else { return };
    let text = fs::read_to_string(path.join("features/kafka-protocol-binding.feature")).expect("the feature");
    let mut messages = 0;
    for scenario in text.split("Scenario").skip(1) {
        for content_type in content_types(scenario) {
            let value = blocks(scenario)[0].trim();
            let mut headers: Vec<_> = table(scenario, "Kafka headers:")
                .into_iter()
                .map(|(key, value)| {
                    (key, Some(value.strip_prefix('<').map_or(value, |_| content_type).as_bytes()))
                })
                .collect();
            let (topic, timestamp_ms) = (Topic::Activity, noon().timestamp_millis());
            let record = |headers: &[_]| {
                let value = Some(value.as_bytes());
                decode(&Incoming { topic, key: None, value, headers, timestamp_ms }, &NoRegistry)
            };
            assert_eq!(reason(record(&headers)), ParkReason::TenantMissing);
            headers.push(("ce_tenantid", Some(b"acme")));
            let Ok(Decoded::Event(envelope)) = record(&headers) else { panic!("{scenario}") };
            expect_hello(&envelope);
            messages += 1;
        }
    }
    assert_eq!(messages, 3);
}

#[test]
fn four_messages_over_http() {
    let Some((_folder, path)) = unpack("cloudevents") else { return };
    let text = fs::read_to_string(path.join("features/http-protocol-binding.feature")).expect("the feature");
    let tenant = TenantId::new("acme").expect("valid");
    let mut messages = 0;
    for scenario in text.split("Scenario Outline").skip(1) {
        for content_type in content_types(scenario) {
            let (head, body) = blocks(scenario)[0].split_once("\n\n").expect("a head and a body");
            let attributes =
                head.lines().filter_map(|line| line.trim().strip_prefix("ce-")?.split_once(": "));
            let parsed = if content_type.starts_with("application/cloudevents") {
                json::parse_structured(body.trim().as_bytes(), &tenant, noon())
            } else {
                let attributes = attributes.map(|(name, value)| (name, value.as_bytes()));
                json::parse_binary(
                    attributes,
                    Some("application/json"),
                    body.trim().as_bytes(),
                    &tenant,
                    noon(),
                )
            };
            expect_hello(&parsed.expect("accepted"));
            messages += 1;
        }
    }
    assert_eq!(messages, 4);
}

/// An event of a YAML file as the JSON that a publisher would send, and its data as text.
fn structured(document: &str) -> Option<(Value, String)> {
    let attribute = |line: &str| {
        let (name, value) = line.trim().split_once(": ")?;
        Some((name.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
    };
    let (head, data) = document.split_once("Data: |\n")?;
    let data: String = data
        .lines()
        .take_while(|line| line.starts_with(' ') || line.is_empty())
        .collect::<Vec<_>>()
        .join("\n");
    let data = data.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned();
    let mut event = serde_json::Map::new();
    let known = ["specversion", "type", "time", "id", "source", "datacontenttype", "comexampleextension1"];
    for (name, value) in head.lines().filter_map(attribute).filter(|(name, _)| known.contains(&name.as_str()))
    {
        event.insert(name, Value::String(value));
    }
    let is_json = event
        .get("datacontenttype")
        .is_none_or(|kind| kind.as_str().is_some_and(|kind| kind.contains("json")));
    let value =
        if is_json { serde_json::from_str(&data).expect("JSON") } else { Value::String(data.clone()) };
    let data = if let Value::String(text) = &value { text.clone() } else { value.to_string() };
    event.insert("data".into(), value);
    Some((Value::Object(event), data))
}

#[test]
fn events_of_1_0_are_accepted_and_those_of_0_3_refused_by_version() {
    let Some((_folder, path)) = unpack("cloudevents") else { return };
    let tenant = TenantId::new("acme").expect("valid");
    let (mut accepted, mut refused) = (0, 0);
    for file in ["v1.yaml", "v1.0/v1_minimum.yaml", "v03.yaml", "v0.3/v03_minimum.yaml"] {
        let text = fs::read_to_string(path.join("yaml").join(file)).expect("the file");
        for (event, data) in text.split("---\n").filter_map(structured) {
            let parsed = json::parse_structured(event.to_string().as_bytes(), &tenant, noon());
            if event["specversion"] == "1.0" {
                let envelope = parsed.unwrap_or_else(|refusal| panic!("{refusal}: {event}"));
                assert_eq!(envelope.native.expect("data").record, data);
                accepted += 1;
            } else {
                let refusal = parsed.expect_err("an older version");
                assert_eq!(
                    (refusal.why, refusal.detail.as_str()),
                    (Why::InvalidEnvelope, "specversion must be 1.0")
                );
                refused += 1;
            }
        }
    }
    assert_eq!((accepted, refused), (8, 7));
}
