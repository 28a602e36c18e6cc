//! Any bytes on a topic get a result: never a panic, never much memory.

use proptest::{collection, prelude::*};

use super::*;

fn good() -> Encoded {
    encode(&api_call(), &Framing::SingleObject)
}

/// Decodes the record of an API call after a change.
fn decode_changed(change: impl FnOnce(&mut Encoded)) -> Result<Decoded, DecodeError> {
    let mut encoded = good();
    change(&mut encoded);
    decode_encoded(Topic::Activity, &encoded, noon().timestamp_millis(), &NoRegistry)
}

fn header(name: &'static str, value: &[u8]) -> impl FnOnce(&mut Encoded) {
    let value = value.to_vec();
    move |encoded: &mut Encoded| {
        encoded.headers.retain(|(other, _)| *other != name);
        encoded.headers.push((name, value));
    }
}

fn framed(datum: &[u8]) -> Vec<u8> {
    [&[0xC3, 0x01][..], &own_schemas()[0].fingerprint, datum].concat()
}

/// An 11-byte varint, and the zigzag of i64's ends.
const ENDLESS: [u8; 11] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
const I64_MAX: [u8; 10] = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
const I64_MIN: [u8; 10] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];

#[test]
fn a_null_value_is_a_tombstone_unless_headers_tell_of_an_event() {
    let of = |headers: &[(&str, Option<&[u8]>)]| {
        let incoming = Incoming { topic: Topic::Activity, key: None, value: None, headers, timestamp_ms: -1 };
        decode(&incoming, &NoRegistry)
    };
    assert_eq!(of(&[("id", None), ("content-type", Some(&b"\xFF"[..]))]), Ok(Decoded::Tombstone));
    assert_eq!(reason(of(&[("ce_id", None), ("ce_id", Some(&b"\xFF"[..]))])), ParkReason::EnvelopeInvalid);
}

#[test]
fn a_null_key_and_no_timestamp_are_fine() {
    let encoded = good();
    assert!(matches!(decode_encoded(Topic::Activity, &encoded, -1, &NoRegistry), Ok(Decoded::Event(_))));
}

#[test]
fn what_is_not_framed_is_undecodable() {
    for value in [
        &b""[..],
        b"\x00",
        b"\x00\x00\x00\x00",
        b"\xC3",
        b"\xC3\x01",
        b"\xC3\x01\0\0\0\0\0\0\0",
        b"\x01abc",
        b"{}",
        b"Obj\x01",
    ] {
        assert_eq!(reason(decode_value(value, &OwnRegistry)), ParkReason::Undecodable, "{value:?}");
    }
}

#[test]
fn an_unknown_schema_is_told_from_one_that_is_not_here_yet() {
    assert_eq!(reason(decode_value(&[0, 0, 0, 0, 9, 0], &NoRegistry)), ParkReason::SchemaUnknown);
    assert_eq!(
        reason(decode_value(&[0xC3, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0], &NoRegistry)),
        ParkReason::SchemaUnknown
    );
    let missing = decode_value(&[0, 0, 0, 1, 0, 0], &Only(SchemaAnswer::Missing));
    assert_eq!(missing, Err(DecodeError::NeedsSchema(SchemaRef::Id(256))));
    let refused = Only(SchemaAnswer::Refused("recursive".into()));
    assert_eq!(reason(decode_value(&[0, 0, 0, 0, 9, 0], &refused)), ParkReason::SchemaRefused);
}

#[test]
fn a_schema_that_a_header_names_is_looked_up_as_one_that_the_value_names() {
    let guid = [0x11; 16];
    let decode_named = |header: &[u8], value: &[u8], schemas: &dyn Fn() -> SchemaAnswer| {
        let encoded = good();
        let mut headers: Vec<_> =
            encoded.headers.iter().map(|(name, value)| (*name, Some(value.as_slice()))).collect();
        headers.push(("__value_schema_id", Some(header)));
        let incoming = Incoming {
            topic: Topic::Activity,
            key: None,
            value: Some(value),
            headers: &headers,
            timestamp_ms: noon().timestamp_millis(),
        };
        decode(&incoming, &Only(schemas()))
    };
    let header = [&[1][..], &guid].concat();
    let datum = good().value.split_off(10);
    let schema = Arc::new(WriterSchema::parse(own_schemas()[0].json).expect("ours"));
    let known = || SchemaAnswer::Known(Arc::clone(&schema));
    let Ok(Decoded::Event(event)) = decode_named(&header, &datum, &known) else { panic!("an event") };
    assert_eq!(event.event, api_call().event);

    let missing = decode_named(&header, &datum, &|| SchemaAnswer::Missing);
    assert_eq!(missing, Err(DecodeError::NeedsSchema(SchemaRef::Guid(uuid::Uuid::from_bytes(guid)))));
    let unknown = decode_named(&header, &datum, &|| SchemaAnswer::Unknown);
    assert_eq!(reason(unknown), ParkReason::SchemaUnknown);
    let refused = decode_named(&header, &datum, &|| SchemaAnswer::Refused("recursive".into()));
    assert_eq!(reason(refused), ParkReason::SchemaRefused);
    // Nothing that the header says is believed of a value that does not fit the schema.
    for (header, value) in [(&header[..], &good().value[..]), (&header[..16], &datum), (&header, b"")] {
        assert_eq!(reason(decode_named(header, value, &known)), ParkReason::Undecodable, "{header:?}");
    }
}

#[test]
fn broken_values_are_undecodable() {
    let good = good().value;
    for length in 10..good.len() {
        assert_eq!(reason(decode_value(&good[..length], &NoRegistry)), ParkReason::Undecodable, "{length}");
    }
    let trailing = [&good[..], &[0]].concat();
    assert_eq!(reason(decode_value(&trailing, &NoRegistry)), ParkReason::Undecodable);
    // Kind 0, then what should be the length of the action.
    for length in [&ENDLESS[..], &I64_MAX, &I64_MIN, &[0x80, 0x80, 0x80, 0x80, 0x10], &[4, 0xFF, 0xFF]] {
        let value = framed(&[&[0][..], length].concat());
        assert_eq!(reason(decode_value(&value, &NoRegistry)), ParkReason::Undecodable, "{length:?}");
    }
    // A kind beyond the symbols; a service that is neither null nor text.
    for datum in [&[14][..], &[1], &[0, 0, 4], &[0, 0, 1], &[0, 0, 2, 0xFE]] {
        assert_eq!(reason(decode_value(&framed(datum), &NoRegistry)), ParkReason::Undecodable, "{datum:?}");
    }
    // Kind, action, service, an actor up to its roles; then how many roles.
    let before = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0];
    for count in [&ENDLESS[..], &I64_MAX, &I64_MIN, &[&I64_MIN[..], &I64_MAX].concat()] {
        let value = framed(&[&before[..], count, &[2, b'r', 2, b'r']].concat());
        assert_eq!(reason(decode_value(&value, &NoRegistry)), ParkReason::Undecodable, "{count:?}");
    }
}

#[test]
fn a_value_that_unfolds_to_very_much_is_over_the_limit() {
    // Kind, action, service, an actor whose 500,000 roles are empty texts; no session, resources, outcome, rest.
    let before = [8, 0, 0, 8, 0, 0, 0, 0, 0, 0];
    let roles = [&[0xC0, 0x84, 0x3D][..], &vec![0; 500_000], &[0]].concat();
    let datum = [&before[..], &roles, &[0, 0, 4, 0, 0, 0, 0, 0]].concat();
    assert_eq!(reason(decode_value(&framed(&datum), &NoRegistry)), ParkReason::LimitExceeded);
}

#[test]
fn memory_stays_flat_whatever_a_length_claims() {
    let claims = [0x80, 0x80, 0x80, 0x08]; // 8 MiB
    let mut values = vec![framed(&[&[0][..], &I64_MAX].concat()); 200];
    values.extend(vec![framed(&[&[0][..], &claims].concat()); 200]);
    for value in values {
        assert_eq!(reason(decode_value(&value, &NoRegistry)), ParkReason::Undecodable);
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(kib < 512 * 1024, "{kib} KiB");
    }
}

#[test]
fn sizes_and_counts_are_bounded() {
    let large = vec![0; 1024 * 1024 + 1];
    assert_eq!(reason(decode_value(&large, &NoRegistry)), ParkReason::TooLarge);
    let many = |encoded: &mut Encoded| encoded.headers.extend(vec![("x", Vec::new()); 10_000]);
    assert_eq!(reason(decode_changed(many)), ParkReason::LimitExceeded);
    assert_eq!(reason(decode_changed(header("x", &vec![b'x'; 1_000_000]))), ParkReason::LimitExceeded);
    assert!(decode_changed(header("x", &vec![b'x'; 60_000])).is_ok());
}

#[test]
fn attributes_are_checked() {
    let twice = |encoded: &mut Encoded| encoded.headers.push(("ce_id", b"2".to_vec()));
    assert_eq!(reason(decode_changed(twice)), ParkReason::EnvelopeInvalid);
    for (name, value, expected) in [
        ("ce_id", &b"\xFF"[..], ParkReason::EnvelopeInvalid),
        ("ce_unknown", b"\xC3\x28", ParkReason::EnvelopeInvalid),
        ("ce_id", b"", ParkReason::EnvelopeInvalid),
        ("ce_source", b"", ParkReason::EnvelopeInvalid),
        ("ce_source", b"a b", ParkReason::EnvelopeInvalid),
        ("ce_type", b"", ParkReason::EnvelopeInvalid),
        ("ce_type", b"io.weir.activity.signed_in.v1", ParkReason::EnvelopeInvalid),
        ("ce_type", b"com.example.other", ParkReason::EnvelopeInvalid),
        ("ce_specversion", b"0.3", ParkReason::EnvelopeInvalid),
        ("ce_specversion", b"1", ParkReason::EnvelopeInvalid),
        ("ce_subject", &[b'x'; 8193], ParkReason::EnvelopeInvalid),
        ("ce_correlationid", &[b'x'; 1025], ParkReason::EnvelopeInvalid),
        ("ce_subject", b"a\0b", ParkReason::Unstorable),
        ("ce_tenantid", b"", ParkReason::TenantMissing),
        ("ce_tenantid", b"../etc", ParkReason::EnvelopeInvalid),
        ("ce_weirid", b"00000000-0000-0000-0000-000000000000", ParkReason::EnvelopeInvalid),
        ("ce_weirid", b"order-7", ParkReason::EnvelopeInvalid),
        ("ce_time", b"2024-05-06T07:08:09", ParkReason::EventInvalid),
        ("ce_time", b"1714979289", ParkReason::EventInvalid),
        ("ce_time", b"0000-05-06T07:08:09Z", ParkReason::EventInvalid),
        ("ce_time", b"294277-01-10T04:00:54Z", ParkReason::EventInvalid),
        ("ce_time", b"2024-05-06T07:08:60Z", ParkReason::EventInvalid),
        ("ce_time", b"1969-12-31T23:59:59Z", ParkReason::TimeOutOfRange),
        ("ce_time", b"1999-12-31T23:59:59Z", ParkReason::TimeOutOfRange),
        ("ce_time", b"2024-05-07T08:08:09Z", ParkReason::TimeOutOfRange),
        ("ce_time", b"9999-12-31T23:59:59Z", ParkReason::TimeOutOfRange),
        ("content-type", b"text/plain", ParkReason::EventInvalid),
        ("content-type", b"nonsense", ParkReason::EnvelopeInvalid),
        ("content-type", b"application/cloudevents-batch+json", ParkReason::EnvelopeInvalid),
        ("content-type", b"application/cloudevents+avro", ParkReason::EnvelopeInvalid),
        ("content-type", b"\xFF", ParkReason::EnvelopeInvalid),
    ] {
        assert_eq!(reason(decode_changed(header(name, value))), expected, "{name} {value:?}");
    }
    for missing in ["ce_id", "ce_source", "ce_type", "ce_specversion"] {
        let without = |encoded: &mut Encoded| encoded.headers.retain(|(name, _)| *name != missing);
        assert_eq!(reason(decode_changed(without)), ParkReason::EnvelopeInvalid, "{missing}");
    }
    let without = |encoded: &mut Encoded| encoded.headers.retain(|(name, _)| *name != "ce_tenantid");
    assert_eq!(reason(decode_changed(without)), ParkReason::TenantMissing);
}

#[test]
fn what_is_merely_unusual_is_accepted() {
    for (name, value) in [
        ("ce_time", &b"2024-05-06T21:08:09.5+14:00"[..]),
        ("ce_time", b"2000-01-01T00:00:00Z"),
        ("ce_time", b"2024-05-07T07:08:09Z"),
        ("ce_id", b"{0192F0C1-2345-7ABC-8DEF-0123456789AB}"),
        ("ce_id", b"order 7\r\n"),
        ("ce_subject", "\u{202e}\r\n{\"level\":\"error\"}".as_bytes()),
        ("ce_subject", b""),
        ("ce_subject", &[b'x'; 8192]),
        ("ce_traceparent", b"not a trace"),
        ("__weir.errors.topic", b"\xFF"),
        ("content-type", b"Avro/Binary"),
    ] {
        assert!(decode_changed(header(name, value)).is_ok(), "{name} {value:?}");
    }
    let without = |encoded: &mut Encoded| encoded.headers.retain(|(name, _)| *name != "content-type");
    assert!(decode_changed(without).is_ok());
    let untimed = |encoded: &mut Encoded| encoded.headers.retain(|(name, _)| *name != "ce_time");
    let Ok(Decoded::Event(envelope)) = decode_changed(untimed) else { panic!("taken at the record's time") };
    assert_eq!(envelope.occurred_at.timestamp_millis(), noon().timestamp_millis());
}

#[test]
fn texts_that_postgres_cannot_hold_are_unstorable() {
    let mut envelope = api_call();
    let Event::Activity(activity) = &mut envelope.event else { panic!("an activity") };
    activity.actor.name = Some("a\0b".into());
    let in_event = encode(&envelope, &Framing::SingleObject).value;
    let native = Native { format: "x".into(), record: "{\0}".into() };
    let in_native = encode(&Envelope { native: Some(native), ..api_call() }, &Framing::SingleObject).value;
    for value in [in_event, in_native] {
        assert_eq!(reason(decode_value(&value, &NoRegistry)), ParkReason::Unstorable);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_data_under_every_frame(datum in collection::vec(any::<u8>(), 0..300), family in 0_usize..6) {
        let own = &own_schemas()[family];
        let single = [&[0xC3, 0x01][..], &own.fingerprint, &datum].concat();
        let confluent = [&[0, 0, 0, 0, 101 + u8::try_from(family).expect("six")][..], &datum].concat();
        for value in [datum, single, confluent] {
            let encoded = Encoded { value, ..good() };
            // Any answer is good; that there is one is what is tested.
            drop(decode_encoded(own.topic, &encoded, -1, &OwnRegistry));
        }
    }

    #[test]
    fn a_good_value_with_flipped_bytes(flips in collection::vec((10_usize..400, any::<u8>()), 1..4)) {
        let mut encoded = good();
        for (at, byte) in flips {
            encoded.value[at] = byte;
        }
        drop(decode_encoded(Topic::Activity, &encoded, -1, &NoRegistry));
    }

    #[test]
    fn arbitrary_headers(headers in collection::vec(("(ce_)?[a-z]{0,8}|content-type", collection::vec(any::<u8>(), 0..20)), 0..12)) {
        let value = good().value;
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_slice()))).collect();
        let incoming = Incoming { topic: Topic::Usage, key: None, value: Some(&value), headers: &headers, timestamp_ms: 0 };
        drop(decode(&incoming, &NoRegistry));
    }

    #[test]
    fn a_schema_with_a_damaged_text(at in 0_usize..4000, byte in any::<char>(), cut in any::<bool>()) {
        let mut text = own_schemas()[0].json.to_owned();
        let at = text.floor_char_boundary(at.min(text.len() - 1));
        if cut {
            text.remove(at);
        } else {
            text.insert(at, byte);
        }
        drop(WriterSchema::parse(&text));
    }
}
