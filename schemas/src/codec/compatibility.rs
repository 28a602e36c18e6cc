//! The gate for new schema versions: each must read data of every earlier version (BACKWARD_TRANSITIVE).

use apache_avro::{
    Schema,
    schema_compatibility::{Compatibility, SchemaCompatibility},
};

use super::own_schemas;

/// The reason why values written with `older` cannot be read with `newer`; `None` if all can.
fn incompatibility(older: &str, newer: &str) -> Option<String> {
    let parse = |json| Schema::parse_str(json).map_err(|error| error.to_string());
    let (older, newer) = match (parse(older), parse(newer)) {
        (Ok(older), Ok(newer)) => (older, newer),
        (Err(error), _) | (_, Err(error)) => return Some(error),
    };
    match SchemaCompatibility::can_read(&older, &newer) {
        Ok(Compatibility::Full) => None,
        Ok(Compatibility::Partial) => Some("only some values can be read".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn every_version_reads_all_earlier_ones() {
    for newer in own_schemas() {
        let earlier =
            own_schemas().iter().filter(|own| own.topic == newer.topic && own.version < newer.version);
        for older in earlier {
            if let Some(why) = incompatibility(older.json, newer.json) {
                panic!(
                    "{} version {} cannot read version {}: {why}",
                    newer.topic, newer.version, older.version
                );
            }
        }
    }
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

#[test]
fn the_gate_lets_pass_what_old_records_survive() {
    let id = r#"{"name":"id","type":"string"}"#;
    let kind = |symbols: &str| {
        format!(r#"{{"name":"kind","type":{{"type":"enum","name":"K","symbols":[{symbols}]}}}}"#)
    };
    for (older, newer) in [
        (record(id), record(id)),
        (record(id), record(&format!(r#"{id},{{"name":"note","type":["null","string"],"default":null}}"#))),
        (record(&format!(r#"{id},{{"name":"note","type":"string"}}"#)), record(id)),
        (record(r#"{"name":"n","type":"int"}"#), record(r#"{"name":"n","type":"long"}"#)),
        (record(id), record(r#"{"name":"id","type":["null","string"]}"#)),
        (record(&kind(r#""A""#)), record(&kind(r#""A","B""#))),
    ] {
        assert_eq!(incompatibility(&older, &newer), None, "{older} → {newer}");
    }
}

#[test]
fn the_gate_refuses_what_old_records_do_not_survive() {
    let id = r#"{"name":"id","type":"string"}"#;
    let kind = |symbols: &str| {
        format!(r#"{{"name":"kind","type":{{"type":"enum","name":"K","symbols":[{symbols}]}}}}"#)
    };
    for (older, newer) in [
        (record(id), record(&format!(r#"{id},{{"name":"note","type":"string"}}"#))),
        (record(id), record(r#"{"name":"identity","type":"string"}"#)),
        (record(id), record(r#"{"name":"id","type":"boolean"}"#)),
        (record(r#"{"name":"n","type":"long"}"#), record(r#"{"name":"n","type":"int"}"#)),
        (record(r#"{"name":"id","type":["null","string"]}"#), record(id)),
        (record(&kind(r#""A","B""#)), record(&kind(r#""A""#))),
        (record(id), record(id).replace(r#""name":"R""#, r#""name":"S""#)),
        (record(id), "{".to_owned()),
    ] {
        assert!(incompatibility(&older, &newer).is_some(), "{older} → {newer}");
    }
}
