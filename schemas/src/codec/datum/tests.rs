//! Held against the Avro library, on good values and on damaged ones.

use apache_avro::reader::datum::GenericDatumReader;
use proptest::{collection, prelude::*, sample::Index};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::*;
use crate::{
    Event, Native, Topic,
    codec::{Framing, avro::newest, encode, family, tests::arbitrary::envelope},
};

/// The value as `apache_avro` reads it.
struct ByLibrary<'a> {
    topic: Topic,
    bytes: &'a [u8],
}

impl family::Read for ByLibrary<'_> {
    type Error = String;

    fn read<E: DeserializeOwned>(self) -> Result<(E, Option<Native>), String> {
        #[derive(serde::Deserialize)]
        #[serde(rename = "Record", bound = "E: DeserializeOwned")]
        struct Record<E> {
            event: E,
            native: Option<Native>,
        }
        let schema = Schema::parse_str(newest(self.topic).json).expect("our own schema");
        let mut rest = self.bytes;
        let reader = GenericDatumReader::builder(&schema).human_readable(false).build().expect("a reader");
        let record: Record<E> = reader.read_deser(&mut rest).map_err(|error| error.to_string())?;
        if rest.is_empty() { Ok((record.event, record.native)) } else { Err("bytes follow".to_owned()) }
    }
}

fn ours(topic: Topic, bytes: &[u8]) -> Result<(Event, Option<Native>), String> {
    newest(topic).schema.read(bytes, None)
}

fn by_library(topic: Topic, bytes: &[u8]) -> Result<(Event, Option<Native>), String> {
    family::read(topic, ByLibrary { topic, bytes }).expect("a family")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_library_reads_the_same(
        envelope in envelope(),
        damage in collection::vec((any::<Index>(), any::<u8>()), 0..3),
        cut in any::<Option<Index>>(),
    ) {
        let topic = envelope.event.topic();
        let mut datum = encode(&envelope, &Framing::SingleObject).value[10..].to_vec();
        for (at, byte) in damage {
            let at = at.index(datum.len());
            datum[at] = byte;
        }
        if let Some(cut) = cut {
            datum.truncate(cut.index(datum.len() + 1));
        }
        let (ours, library) = (ours(topic, &datum), by_library(topic, &datum));
        if let (Err(why), Ok(read)) = (&ours, &library) {
            // The library drops what of a number is beyond 64 bits.
            prop_assert!(why.contains("longer than 64 bits"), "{}, and {:?}", why, read);
        } else {
            prop_assert_eq!(ours.as_ref().ok(), library.as_ref().ok(), "{:?}, {:?}", ours, library);
        }
    }
}

fn schema(json: &serde_json::Value) -> Schema {
    Schema::parse(json).expect("a schema")
}

#[test]
fn blocks_may_tell_their_length_and_come_in_several() {
    let array = schema(&json!({ "type": "array", "items": "string" }));
    let blocks = [2, 2, b'a', 3, 8, 2, b'b', 2, b'c', 0];
    assert_eq!(
        read::<Vec<String>>(&array, &blocks),
        Ok(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()])
    );
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Kept {
    kept: i64,
}

#[test]
fn every_type_can_be_skipped() {
    let name = |name: &str, kind: serde_json::Value| json!({ "name": name, "type": kind });
    let record = schema(&json!({ "type": "record", "name": "R", "fields": [
        name("null", json!("null")),
        name("boolean", json!("boolean")),
        name("int", json!("int")),
        name("long", json!({ "type": "long", "logicalType": "timestamp-millis" })),
        name("float", json!("float")),
        name("double", json!("double")),
        name("bytes", json!({ "type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2 })),
        name("string", json!({ "type": "string", "logicalType": "uuid" })),
        name("fixed", json!({ "type": "fixed", "name": "F", "size": 3 })),
        name("enum", json!({ "type": "enum", "name": "E", "symbols": ["A", "B"] })),
        name("array", json!({ "type": "array", "items": "long" })),
        name("map", json!({ "type": "map", "values": "long" })),
        name("union", json!(["null", "long"])),
        name("kept", json!("long")),
    ]}));
    let parts: [&[u8]; 14] = [
        &[],
        &[1],
        &[0x80, 1],
        &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1],
        &[0; 4],
        &[0; 8],
        &[4, 1, 2],
        &[2, b'u'],
        &[1, 2, 3],
        &[2],
        &[4, 2, 4, 1, 2, 6, 0],
        &[2, 2, b'k', 8, 1, 6, 2, b'l', 9, 0],
        &[2, 5],
        &[84],
    ];
    let bytes = parts.concat();
    assert_eq!(read(&record, &bytes), Ok(Kept { kept: 42 }));
    for length in 0..bytes.len() {
        assert!(read::<Kept>(&record, &bytes[..length]).is_err(), "cut to {length} bytes");
    }
}

#[test]
fn a_misfit_tells_the_fault_and_not_the_payload() {
    let text = schema(&json!("string"));
    let told = read::<i64>(&text, &[12, b's', b'e', b'c', b'r', b'e', b't']).expect_err("no number");
    assert_eq!(told.to_string(), "it has another type where i64 belongs");
    assert_eq!(
        read::<String>(&text, &[3]).expect_err("no length").to_string(),
        "it has a length or an index below 0"
    );
    assert_eq!(
        read::<String>(&text, &[2, b'a', 0]).expect_err("more").to_string(),
        "1 bytes follow the value"
    );
}
