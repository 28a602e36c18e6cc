//! The codec as its callers see it.

pub(super) mod arbitrary;
mod cloudevents_corpus;
mod corpus;
mod evolution;
mod hostile;
mod identity;
mod own_schemas;
mod round_trip;
mod senders;
mod skew;

use std::sync::Arc;

use super::{avro::newest, *};
use crate::{EventId, Native, Source, TenantId, Timestamp, events::*};

/// 2024-05-06 07:08:09.123456 UTC.
fn noon() -> Timestamp {
    Timestamp::from_timestamp_micros(1_714_979_289_123_456).expect("valid")
}

/// An API call as a CloudTrail source would publish it, with a native record of about 2 KB.
fn api_call() -> Envelope {
    let parameters: Vec<_> =
        (0..60).map(|n| format!(r#","parameter{n}":"value {n} of the request""#)).collect();
    let parameters = parameters.concat();
    let tenant = TenantId::new("acme").expect("valid");
    Envelope {
        id: EventId::derived(&tenant, "test", b"1"),
        tenant,
        source: Source::new("aws:cloudtrail/eu-west-1").expect("valid"),
        subject: Some("arn:aws:iam::123456789012:user/alice".into()),
        occurred_at: noon(),
        skewed: false,
        time_assumed: false,
        original_id: None,
        correlation_id: Some("change-17".into()),
        causation_id: None,
        trace: None,
        event: Event::Activity(Activity {
            kind: ActivityKind::PermissionChanged,
            action: "AttachUserPolicy".into(),
            service: Some("iam.amazonaws.com".into()),
            actor: Actor {
                kind: ActorKind::User,
                id: "arn:aws:iam::123456789012:user/alice".into(),
                name: Some("alice".into()),
                account: Some("123456789012".into()),
                ip: Some("203.0.113.07".into()),
                user_agent: Some("aws-cli/2.15".into()),
                mfa: Some(true),
                roles: vec!["admin".into()],
                session: Some("AKIAEXAMPLE".into()),
            },
            resources: vec![Resource { id: "arn:aws:iam::aws:policy/Admin".into(), ..Resource::default() }],
            outcome: Outcome { status: OutcomeStatus::Success, code: None, message: None },
            read_only: Some(false),
            request_id: Some("7f0c".into()),
        }),
        native: Some(Native {
            format: "aws.cloudtrail".into(),
            record: format!(r#"{{"eventVersion":"1.11","big":9007199254740993{parameters}}}"#).into(),
        }),
    }
}

/// A registry that has Weir's newest schemas under the ids of [`ids`].
struct OwnRegistry;

fn ids() -> SchemaIds {
    SchemaIds::new([101, 102, 103, 104, 105, 106])
}

impl SchemaLookup for OwnRegistry {
    fn look_up(&self, schema: SchemaRef) -> SchemaAnswer {
        let SchemaRef::Id(id) = schema else { return SchemaAnswer::Unknown };
        let topic = ids().iter().find(|(_, own)| *own == id).map(|(topic, _)| topic);
        match topic.map(newest) {
            Some(own) => WriterSchema::parse(own.json)
                .map_or_else(SchemaAnswer::Refused, |schema| SchemaAnswer::Known(Arc::new(schema))),
            None => SchemaAnswer::Unknown,
        }
    }
}

/// One schema under every id.
struct Only(SchemaAnswer);

impl SchemaLookup for Only {
    fn look_up(&self, _schema: SchemaRef) -> SchemaAnswer {
        self.0.clone()
    }
}

/// Decodes a record whose timestamp is the event's own time.
fn decode_encoded(
    topic: Topic,
    encoded: &Encoded,
    timestamp_ms: i64,
    schemas: &impl SchemaLookup,
) -> Result<Decoded, DecodeError> {
    let headers: Vec<_> =
        encoded.headers.iter().map(|(name, value)| (*name, Some(value.as_slice()))).collect();
    let incoming = Incoming {
        topic,
        key: Some(&encoded.key),
        value: Some(&encoded.value),
        headers: &headers,
        timestamp_ms,
    };
    decode(&incoming, schemas)
}

/// Decodes a value under the headers of an ordinary API call.
fn decode_value(value: &[u8], schemas: &impl SchemaLookup) -> Result<Decoded, DecodeError> {
    let encoded = Encoded { value: value.to_vec(), ..encode(&api_call(), &Framing::SingleObject) };
    decode_encoded(Topic::Activity, &encoded, noon().timestamp_millis(), schemas)
}

fn reason(answer: Result<Decoded, DecodeError>) -> ParkReason {
    match answer {
        Err(DecodeError::Refused { reason, detail }) => {
            assert!(!detail.is_empty() && detail.len() <= 2048, "{detail}");
            reason
        }
        other => panic!("{other:?} is not a refusal"),
    }
}
