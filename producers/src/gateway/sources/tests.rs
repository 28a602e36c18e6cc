//! Any body is either rejected or becomes events that a stage can read.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::{collection::vec, prelude::*, sample::select};
use schemas::{
    TenantId, Timestamp,
    codec::{Decoded, Framing, Incoming, NoRegistry},
};
use serde_json::{Map, Value, json};

use super::*;

const FORMATS: [SourceFormat; 5] = [
    SourceFormat::KubernetesAudit,
    SourceFormat::CloudTrail,
    SourceFormat::GithubAudit,
    SourceFormat::OktaSystemLog,
    SourceFormat::TerraformPlan,
];

/// Members that one mapping or another reads.
const NAMES: [&str; 48] = [
    "items",
    "Records",
    "auditID",
    "stage",
    "verb",
    "user",
    "username",
    "groups",
    "objectRef",
    "resource",
    "namespace",
    "name",
    "responseStatus",
    "code",
    "sourceIPs",
    "requestReceivedTimestamp",
    "protoPayload",
    "properties",
    "log",
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "userIdentity",
    "arn",
    "accountId",
    "errorCode",
    "detail",
    "resources",
    "recipientAccountId",
    "_document_id",
    "action",
    "actor",
    "@timestamp",
    "org",
    "repo",
    "uuid",
    "eventType",
    "published",
    "outcome",
    "result",
    "target",
    "alternateId",
    "displayName",
    "format_version",
    "resource_changes",
    "change",
    "actions",
];

fn now() -> Timestamp {
    Timestamp::from_timestamp(1_767_323_045, 0).expect("an instant")
}

fn tenant() -> TenantId {
    TenantId::new("acme").expect("a tenant")
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(vec![
            "", " ", "mara@example.com", "2026-01-02T03:04:05Z", "9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z",
            "6f1c2a5e-0000-4000-8000-000000000001", "00000000-0000-0000-0000-000000000000", "io.k8s.core.v1.pods.get",
            "a\0b", "a\r\nb\u{1b}[31m\u{202e}", "create", "DeleteTrail",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,40}",
        1 => (900_usize..9_000).prop_map(|length| "ä".repeat(length)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        6 => text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 60, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((select(&NAMES[..]), inner), 0..8).prop_map(|members| {
                let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
                Value::Object(members.collect::<Map<_, _>>())
            }),
        ]
    })
}

/// Limit on the bytes that compressed data in a body unpack to.
const UNPACKED_BYTES: usize = 8 << 20;

fn read(format: SourceFormat, body: &[u8]) -> Result<Records, ApiError> {
    read_within(format, body, &mut |_| Ok(()))
}

fn read_within(
    format: SourceFormat,
    body: &[u8],
    grow: &mut dyn FnMut(usize) -> Result<(), ApiError>,
) -> Result<Records, ApiError> {
    let source = Source { format, tenant: &tenant(), now: now(), unpacked_bytes: UNPACKED_BYTES };
    source.read(body, grow)
}

/// Firehose's data: gzipped, in base64.
fn packed(text: &str) -> Value {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text.as_bytes()).expect("to memory");
    json!({"data": STANDARD.encode(encoder.finish().expect("to memory"))})
}

/// A body of carriers, each of which holds a carrier, and their unpacked size.
fn nested_carriers(copies: usize) -> (Vec<u8>, usize) {
    let record = json!({"eventName": "StopLogging", "eventID": "x", "pad": "x".repeat(900_000)}).to_string();
    let records = vec![record; 18].join("\n");
    let inner = packed(&records).to_string();
    let outer = vec![inner.as_str(); copies].join("\n");
    let body = json!({"records": [packed(&outer)]}).to_string();
    (body.into_bytes(), outer.len() + copies * records.len())
}

#[test]
fn what_carriers_unpack_to_is_bounded_and_charged() {
    let (bomb, unpacked) = nested_carriers(774);
    assert!(bomb.len() < 200_000 && unpacked > 12_000_000_000, "{} {unpacked}", bomb.len());
    let mut kept = 0;
    let refused = read_within(SourceFormat::CloudTrail, &bomb, &mut |more| {
        kept += more;
        Ok(())
    });
    assert_eq!(refused.expect_err("refused").problem().slug(), "body-too-large");
    assert!(kept <= UNPACKED_BYTES, "{kept} bytes were kept");

    let mut calls = 0;
    let no_memory = read_within(SourceFormat::CloudTrail, &bomb, &mut |_| {
        calls += 1;
        Err(ApiError::new(ProblemKind::QuotaExceeded, "no memory"))
    });
    assert_eq!((no_memory.expect_err("refused").problem().slug(), calls), ("quota-exceeded", 1));
}

#[test]
fn records_in_carriers_are_counted_before_they_are_kept() {
    let line = json!({"eventName": "StopLogging", "eventID": "x"}).to_string();
    let body = |lines: usize| {
        let texts = vec![line.as_str(); lines].join("\n");
        json!({"records": [packed(&texts), packed(&line)]}).to_string().into_bytes()
    };
    let read = |lines| read(SourceFormat::CloudTrail, &body(lines));
    let most = read(MAX_RECORDS - 1).expect("it fits");
    assert_eq!(most.events.len(), MAX_RECORDS);
    assert_eq!(most.unpacked_bytes, MAX_RECORDS * (line.len() + 1) - 2, "they count for the quota");
    assert_eq!(read(MAX_RECORDS).expect_err("one too many").problem().slug(), "batch-too-large");
}

/// The event as a stage reads it after the gateway wrote it.
fn through_kafka(event: &Envelope) -> Envelope {
    let encoded = codec::encode(event, &Framing::SingleObject);
    let headers: Vec<_> =
        encoded.headers.iter().map(|(name, value)| (*name, Some(value.as_slice()))).collect();
    let incoming = Incoming {
        topic: event.event.topic(),
        key: Some(&encoded.key),
        value: Some(&encoded.value),
        headers: &headers,
        timestamp_ms: now().timestamp_millis(),
    };
    match codec::decode(&incoming, &NoRegistry) {
        Ok(Decoded::Event(event)) => *event,
        other => panic!("{other:?} of {event:?}"),
    }
}

proptest! {
    #[test]
    fn what_is_taken_is_what_a_stage_reads(records in vec(value(), 1..4), format in select(&FORMATS[..])) {
        for body in [Value::from(records.as_slice()), json!({"items": records, "Records": records}), records[0].clone()] {
            let Ok(read) = read(format, body.to_string().as_bytes()) else { continue };
            prop_assert_eq!(read.counts.records, read.events.len());
            for event in read.events.into_iter().flatten() {
                prop_assert_eq!(through_kafka(&event), event);
            }
        }
    }

    #[test]
    fn no_bytes_are_too_strange(
        record in value(),
        noise in vec(any::<u8>(), 0..40),
        at in any::<prop::sample::Index>(),
        format in select(&FORMATS[..]),
    ) {
        let mut body = json!([record, record]).to_string().into_bytes();
        let at = at.index(body.len());
        let end = (at + noise.len() / 2).min(body.len());
        body.splice(at..end, noise);
        if let Ok(read) = read(format, &body) {
            for event in read.events.iter().flatten() {
                prop_assert_eq!(&through_kafka(event), event);
            }
        }
    }
}
