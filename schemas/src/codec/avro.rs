//! Weir's Avro schemas: `avro/<topic>/<n>.avsc`, every version that was ever written.
//!
//! To change a family, add the next version beside the last and list it in `SOURCES`; a released version is
//! never edited. Records are written with the oldest version that has their kind, where versions differ in kinds alone. New fields are nullable with null as default, in the struct as in the schema; the tests of
//! this module check both, and the compatibility gate rejects a version that could not read older records.

use std::sync::LazyLock;

use apache_avro::{Schema, rabin::Rabin, util::max_allocation_bytes};
use serde_json::Value;

use super::WriterSchema;
use crate::Topic;

/// Maximum allocation of the Avro library for one length or count.
const MAX_ALLOCATION_BYTES: usize = 8 * 1024 * 1024;

macro_rules! versions {
    ($($topic:ident: $($path:literal),+;)+) => {
        [$($((Topic::$topic, include_str!(concat!("../../avro/", $path)))),+),+]
    };
}

/// Every version of every family, oldest first within a family.
const SOURCES: [(Topic, &str); 7] = versions! {
    Activity: "weir.activity.v1/1.avsc";
    Infrastructure: "weir.infrastructure.v1/1.avsc";
    Delivery: "weir.delivery.v1/1.avsc";
    Usage: "weir.usage.v1/1.avsc";
    Monitoring: "weir.monitoring.v1/1.avsc";
    Governance: "weir.governance.v1/1.avsc", "weir.governance.v1/2.avsc";
};

/// One version of one family's schema.
#[derive(Debug)]
pub struct OwnSchema {
    /// Topic whose values it describes.
    pub topic: Topic,
    /// Version: 1, 2, …
    pub version: u32,
    /// Schema text, JSON.
    pub json: &'static str,
    /// CRC-64-AVRO fingerprint of its canonical form, as used in single-object encoding.
    pub fingerprint: [u8; 8],
    pub(super) schema: WriterSchema,
    /// The kinds of events that it can express.
    kinds: Vec<String>,
    /// The schema without them.
    apart_from_kinds: Value,
}

/// Every schema that Weir's own records were ever written with, families in the order of [`Topic::FAMILIES`],
/// versions ascending.
pub fn own_schemas() -> &'static [OwnSchema] {
    static OWN: LazyLock<Vec<OwnSchema>> = LazyLock::new(|| {
        // The library's bound is global and is fixed by its first use; every decoder comes through here first.
        let bound = max_allocation_bytes(MAX_ALLOCATION_BYTES);
        assert_eq!(bound, MAX_ALLOCATION_BYTES, "nothing decodes Avro before this");
        let mut own: Vec<OwnSchema> = Vec::with_capacity(SOURCES.len());
        for (topic, json) in SOURCES {
            let version = own.iter().filter(|earlier| earlier.topic == topic).count() + 1;
            own.push(read(topic, u32::try_from(version).expect("few versions"), json));
        }
        own
    });
    &OWN
}

/// The schema that new records of a family are written with.
pub(super) fn newest(topic: Topic) -> &'static OwnSchema {
    let newest = own_schemas().iter().rev().find(|own| own.topic == topic);
    newest.expect("every family has a schema")
}

/// The schema that new records of a kind are written with: the first version that differs from the newest in kinds
/// alone and has this one. So readers of an earlier release read every kind that they know.
pub(super) fn writing(topic: Topic, kind: &str) -> &'static OwnSchema {
    let newest = newest(topic);
    let mut versions = own_schemas().iter().filter(|own| own.topic == topic);
    let serves = |own: &&OwnSchema| {
        own.version == newest.version
            || (own.kinds.iter().any(|own| own == kind) && own.apart_from_kinds == newest.apart_from_kinds)
    };
    versions.find(serves).unwrap_or(newest)
}

/// The version with that fingerprint.
pub(super) fn by_fingerprint(fingerprint: &[u8]) -> Option<&'static OwnSchema> {
    own_schemas().iter().find(|own| own.fingerprint == fingerprint)
}

fn read(topic: Topic, version: u32, json: &'static str) -> OwnSchema {
    let schema = Schema::parse_str(json).expect("our schemas are checked by tests");
    let plain = plain(json).expect("our schemas are checked by tests");
    let fingerprint = plain.fingerprint::<Rabin>().bytes;
    let (kinds, apart_from_kinds) = kinds_apart(json);
    OwnSchema {
        topic,
        version,
        json,
        fingerprint: fingerprint.try_into().expect("CRC-64 has 8 bytes"),
        schema: WriterSchema::own(topic, &schema),
        kinds,
        apart_from_kinds,
    }
}

/// The symbols of the event's field `kind`, and the schema without them.
fn kinds_apart(json: &str) -> (Vec<String>, Value) {
    let mut schema: Value = serde_json::from_str(json).unwrap_or_default();
    let symbols = schema.pointer_mut("/fields/0/type/fields/0/type/symbols").map(Value::take);
    let kinds = symbols.and_then(|symbols| serde_json::from_value(symbols).ok());
    (kinds.expect("a family's first field is its event's kind"), schema)
}

/// The schema without the attributes that its canonical form drops (Avro specification, "Transforming into
/// Parsing Canonical Form"). The library's own canonical form keeps `order` and the braces around a logical
/// type, so that its fingerprints differ from those of other implementations.
pub(super) fn plain(json: &str) -> Result<Schema, Box<apache_avro::Error>> {
    const KEPT: [&str; 8] = ["type", "name", "namespace", "fields", "symbols", "items", "values", "size"];
    fn strip(schema: &mut Value) {
        match schema {
            Value::Object(attributes) => {
                attributes.retain(|name, _| KEPT.contains(&name.as_str()));
                attributes.values_mut().for_each(strip);
            }
            Value::Array(parts) => parts.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut schema = serde_json::from_str(json).unwrap_or_default();
    strip(&mut schema);
    Schema::parse(&schema).map_err(Box::new)
}
