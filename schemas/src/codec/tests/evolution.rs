//! Schemas of other versions and of other parties: readable, undecodable, or rejected unread.

use serde_json::{Value, json};

use super::*;

fn schema(own: usize) -> Value {
    serde_json::from_str(own_schemas()[own].json).expect("JSON")
}

/// The fields of a family's record.
fn fields(schema: &mut Value) -> &mut Vec<Value> {
    schema["fields"][0]["type"]["fields"].as_array_mut().expect("fields")
}

fn field<'a>(schema: &'a mut Value, name: &str) -> &'a mut Value {
    fields(schema).iter_mut().find(|field| field["name"] == name).expect("a field of that name")
}

fn parse(schema: &Value) -> WriterSchema {
    WriterSchema::parse(&schema.to_string()).unwrap_or_else(|why| panic!("{why}: {schema}"))
}

/// Decodes an API call written with another schema.
fn read_api_call(schema: &Value, avro: &apache_avro::types::Value) -> Result<Decoded, DecodeError> {
    read_api_call_by(parse(schema), schema, avro)
}

fn read_api_call_by(
    reader: WriterSchema,
    schema: &Value,
    avro: &apache_avro::types::Value,
) -> Result<Decoded, DecodeError> {
    let written = apache_avro::Schema::parse_str(&schema.to_string()).expect("a schema");
    let resolved = avro.clone().resolve(&written).expect("the value fits");
    let datum = apache_avro::writer::datum::GenericDatumWriter::builder(&written)
        .build()
        .and_then(|writer| writer.write_value_to_vec(resolved))
        .expect("written");
    let value = [&[0, 0, 0, 0, 9][..], &datum].concat();
    decode_value(&value, &Only(SchemaAnswer::Known(Arc::new(reader))))
}

/// The API call as an Avro value of Weir's own schema.
fn api_call_value() -> apache_avro::types::Value {
    let own = apache_avro::Schema::parse_str(own_schemas()[0].json).expect("a schema");
    let encoded = encode(&api_call(), &Framing::SingleObject);
    apache_avro::reader::datum::GenericDatumReader::builder(&own)
        .build()
        .and_then(|reader| reader.read_value(&mut &encoded.value[10..]))
        .expect("our own value")
}

/// The event's fields of that value.
fn event_fields(value: &mut apache_avro::types::Value) -> &mut Vec<(String, apache_avro::types::Value)> {
    let apache_avro::types::Value::Record(record) = value else { panic!("a record") };
    let apache_avro::types::Value::Record(event) = &mut record[0].1 else { panic!("a record") };
    event
}

fn expect_api_call(answer: &Result<Decoded, DecodeError>, change: impl FnOnce(&mut Activity)) {
    let mut expected = api_call();
    let Event::Activity(activity) = &mut expected.event else { panic!("an activity") };
    change(activity);
    assert_eq!(*answer, Ok(Decoded::Event(Box::new(expected))));
}

#[test]
fn our_older_versions_are_read_directly() {
    for own in own_schemas() {
        assert!(
            parse(&serde_json::from_str(own.json).expect("JSON")).is_direct(),
            "{} {}",
            own.topic,
            own.version
        );
    }
}

#[test]
fn a_field_that_we_do_not_know_is_skipped() {
    let mut newer = schema(0);
    let skippable =
        json!({ "name": "note", "type": ["null", { "type": "map", "values": "bytes" }], "default": null });
    fields(&mut newer).insert(2, skippable);
    assert!(parse(&newer).is_direct());
    expect_api_call(&read_api_call(&newer, &api_call_value()), |_| {});

    let with_enum = json!({ "name": "mood", "type": { "type": "enum", "name": "Mood", "symbols": ["Calm"] }, "default": "Calm" });
    fields(&mut newer).insert(0, with_enum);
    assert!(parse(&newer).is_direct());
    expect_api_call(&read_api_call(&newer, &api_call_value()), |_| {});
}

#[test]
fn fields_with_defaults_may_be_missing_and_both_ways_give_the_same() {
    let mut older = schema(0);
    fields(&mut older).retain(|field| field.get("default").is_none());
    let actor = field(&mut older, "actor")["type"]["fields"].as_array_mut().expect("fields");
    actor.retain(|field| field.get("default").is_none());
    let forget = |activity: &mut Activity| {
        *activity = Activity {
            service: None,
            actor: Actor { id: activity.actor.id.clone(), ..Actor::default() },
            resources: Vec::new(),
            outcome: Outcome::default(),
            read_only: None,
            request_id: None,
            ..activity.clone()
        };
    };
    assert!(parse(&older).is_direct());
    expect_api_call(&read_api_call(&older, &api_call_value()), forget);

    let resolved = read_api_call_by(parse(&older).resolved(), &older, &api_call_value());
    expect_api_call(&resolved, forget);
}

#[test]
fn every_default_of_a_schema_is_the_structs() {
    for (at, own) in own_schemas().iter().enumerate() {
        let mut bare = schema(at);
        strip_defaulted(&mut bare);
        let (direct, resolved) = (parse(&bare), parse(&bare).resolved());
        assert!(direct.is_direct());
        // Empty texts, the first symbol of every enum, the epoch: zeros. A decimal is the text `0`.
        let zeros = if own.topic == Topic::Usage { usage_zeros() } else { vec![0; 64] };
        let shortest = |schema: &WriterSchema| {
            (0..=zeros.len())
                .find_map(|length| schema.read(&zeros[..length], None).ok())
                .expect("a value of zeros")
        };
        assert_eq!(shortest(&direct), shortest(&resolved), "{}", own.topic);
    }
}

/// Kind, account, provider, service, category, start, end, currency, then the cost `0` and a spare byte.
fn usage_zeros() -> Vec<u8> {
    [&[0; 8][..], &[2, b'0', 0]].concat()
}

fn strip_defaulted(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Array(fields)) = members.get_mut("fields") {
                fields.retain(|field| field.get("default").is_none());
            }
            members.values_mut().for_each(strip_defaulted);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_defaulted),
        _ => {}
    }
}

#[test]
fn types_that_avro_promotes_are_promoted() {
    let mut narrow = schema(2);
    field(&mut narrow, "project")["type"] = json!("bytes");
    let duration = field(&mut narrow, "duration_ms").as_object_mut().expect("a field");
    duration.insert("type".into(), json!("int"));
    duration.remove("default");
    let schema = parse(&narrow);
    assert!(!schema.is_direct());
    let zeros = [0; 64];
    let read = (0..zeros.len()).find_map(|length| schema.read(&zeros[..length], None).ok());
    let Some((Event::Delivery(delivery), None)) = read else { panic!("a delivery without a native record") };
    assert_eq!((delivery.duration_ms, delivery.project.as_str()), (Some(0), ""));
}

#[test]
fn a_union_may_stand_in_any_order() {
    let mut swapped = schema(0);
    let service = field(&mut swapped, "service");
    service["type"] = json!(["string", "null"]);
    service.as_object_mut().expect("a field").remove("default");
    assert!(parse(&swapped).is_direct());
    expect_api_call(&read_api_call(&swapped, &api_call_value()), |_| {});
}

#[test]
fn an_unknown_symbol_is_undecodable_unless_the_schema_says_what_it_becomes() {
    let mut newer = schema(0);
    field(&mut newer, "kind")["type"]["symbols"].as_array_mut().expect("symbols").push(json!("Teleported"));
    expect_api_call(&read_api_call(&newer, &api_call_value()), |_| {});
    let mut value = api_call_value();
    event_fields(&mut value)[0].1 = apache_avro::types::Value::Enum(7, "Teleported".into());
    assert_eq!(reason(read_api_call(&newer, &value)), ParkReason::Undecodable);

    let mut newer = schema(0);
    let actor_kind = &mut field(&mut newer, "actor")["type"]["fields"][0]["type"]["symbols"];
    actor_kind.as_array_mut().expect("symbols").insert(0, json!("Robot"));
    let mut value = api_call_value();
    let apache_avro::types::Value::Record(actor) = &mut event_fields(&mut value)[3].1 else {
        panic!("a record")
    };
    actor[0].1 = apache_avro::types::Value::Enum(0, "Robot".into());
    expect_api_call(&read_api_call(&newer, &value), |activity| activity.actor.kind = ActorKind::Unknown);
}

#[test]
fn a_lost_field_and_a_changed_type_are_undecodable() {
    let mut lost = schema(0);
    fields(&mut lost).retain(|field| field["name"] != "action");
    assert_eq!(reason(read_api_call(&lost, &api_call_value())), ParkReason::Undecodable);

    let mut changed = schema(0);
    field(&mut changed, "action")["type"] = json!("boolean");
    let mut value = api_call_value();
    event_fields(&mut value)[1].1 = apache_avro::types::Value::Boolean(true);
    assert_eq!(reason(read_api_call(&changed, &value)), ParkReason::Undecodable);
}

#[test]
fn names_that_are_used_twice_are_understood() {
    let mut shared = schema(0);
    let second =
        json!({ "name": "second_actor", "type": ["null", "io.weir.activity.Actor"], "default": null });
    fields(&mut shared).push(second);
    let resources =
        json!({ "name": "more", "type": { "type": "array", "items": "Resource" }, "default": [] });
    fields(&mut shared).push(resources);
    expect_api_call(&read_api_call(&shared, &api_call_value()), |_| {});
}

#[test]
fn dangerous_schemas_are_refused_unread() {
    let with = |extra: Value| {
        let mut schema = schema(0);
        fields(&mut schema).push(json!({ "name": "extra", "type": extra }));
        schema.to_string()
    };
    // Twenty records, each holding the next one twice: a million parts.
    let mut doubling = json!({ "type": "record", "name": "R0", "fields": [] });
    for n in 1..20 {
        let name = format!("R{n}");
        let twice =
            json!([{ "name": "a", "type": doubling }, { "name": "b", "type": format!("R{}", n - 1) }]);
        doubling = json!({ "type": "record", "name": name, "fields": twice });
    }
    let nested =
        |levels| (0..levels).fold(json!("int"), |inner, _| json!({ "type": "array", "items": inner }));
    let list =
        json!({ "type": "record", "name": "List", "fields": [{ "name": "next", "type": ["null", "List"] }] });
    for (schema, said) in [
        (with(json!({ "type": "array", "items": "null" })), "no width"),
        (
            with(json!({ "type": "array", "items": { "type": "record", "name": "E", "fields": [] } })),
            "no width",
        ),
        (with(json!({ "type": "array", "items": { "type": "fixed", "name": "F", "size": 0 } })), "no width"),
        (with(json!({ "type": "fixed", "name": "F", "size": 2_147_483_647 })), "larger than 65536"),
        (with(list), "contains itself"),
        (with(json!("Record")), "contains itself"),
        (with(doubling), "unfolds"),
        (with(nested(200)), ""),
        (schema(1).to_string().replace("io.weir.infrastructure", "com.example"), "none of our topics"),
        (r#"{"type":"record","name":"Record","fields":[]}"#.to_owned(), "none of our topics"),
        (r#"{"type":"enum","name":"io.weir.activity.Record","symbols":["A"]}"#.to_owned(), "not a record"),
        (r#""string""#.to_owned(), "not a record"),
        ("{".to_owned(), ""),
        (String::new(), ""),
        (" ".repeat(300_000), "longer than"),
    ] {
        let why = WriterSchema::parse(&schema).expect_err(&schema);
        assert!(!why.is_empty() && why.len() < 200 && why.contains(said), "{why} / {said}");
    }
}

#[test]
fn a_schema_of_another_topic_is_refused_here() {
    let infrastructure = Only(SchemaAnswer::Known(Arc::new(parse(&schema(1)))));
    assert_eq!(reason(decode_value(&[0, 0, 0, 0, 9, 0], &infrastructure)), ParkReason::SchemaRefused);
    let foreign = [&[0xC3, 0x01][..], &own_schemas()[1].fingerprint, &[0; 20]].concat();
    assert_eq!(reason(decode_value(&foreign, &NoRegistry)), ParkReason::SchemaRefused);
}
