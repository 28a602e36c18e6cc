//! Apache Avro's own test data: canonical forms, fingerprints, a single-object message. Needs `WEIR_CORPUS`.

use std::{fs, path::PathBuf};

use apache_avro::{Schema, rabin::Rabin, reader::datum::GenericDatumReader, types::Value};
use flate2::read::GzDecoder;
use tempfile::TempDir;

use super::{super::avro::plain, *};

/// Unpacks a set of the corpus; `None` where there is no corpus.
pub(super) fn unpack(set: &str) -> Option<(TempDir, PathBuf)> {
    let Some(corpus) = std::env::var_os("WEIR_CORPUS") else {
        // The harness shows it with --nocapture; a missing corpus is no failure.
        std::io::Write::write_all(&mut std::io::stderr(), b"skipped: WEIR_CORPUS is not set\n")
            .expect("stderr");
        return None;
    };
    let archive =
        fs::File::open(PathBuf::from(corpus).join(format!("{set}.tar.gz"))).expect("the set's archive");
    let folder = tempfile::tempdir().expect("a folder");
    tar::Archive::new(GzDecoder::new(archive)).unpack(folder.path()).expect("unpacked");
    let path = folder.path().join(set);
    Some((folder, path))
}

struct Case {
    input: String,
    canonical: String,
    fingerprint: Option<i64>,
}

/// Reads `<<NAME value` lines and `<<NAME` … `NAME` blocks; a case ends with its canonical form and fingerprint.
fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut input = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("<<INPUT") {
            input = rest.trim().to_owned();
            if input.is_empty() {
                input = lines.by_ref().take_while(|line| *line != "INPUT").collect::<Vec<_>>().join("\n");
            }
        } else if let Some(canonical) = line.strip_prefix("<<canonical ") {
            let (input, canonical) = (std::mem::take(&mut input), canonical.to_owned());
            cases.push(Case { input, canonical, fingerprint: None });
        } else if let Some(print) = line.strip_prefix("<<fingerprint ") {
            let case = cases.last_mut().expect("a fingerprint follows its case");
            case.fingerprint = Some(print.trim().parse().expect("a signed number"));
        }
    }
    cases
}

#[test]
fn canonical_forms_and_fingerprints() {
    let Some((_folder, path)) = unpack("avro") else { return };
    let cases = cases(&fs::read_to_string(path.join("share/test/data/schema-tests.txt")).expect("the cases"));
    assert_eq!(cases.len(), 34);
    assert_eq!(cases.iter().filter(|case| case.fingerprint.is_some()).count(), 26);
    for case in cases {
        let schema = plain(&case.input).unwrap_or_else(|error| panic!("{}: {error}", case.input));
        assert_eq!(schema.canonical_form(), case.canonical);
        if let Some(expected) = case.fingerprint {
            let print: [u8; 8] = schema.fingerprint::<Rabin>().bytes.try_into().expect("8 bytes");
            assert_eq!(i64::from_le_bytes(print), expected, "{}", case.input);
        }
    }
}

#[test]
fn a_single_object_message() {
    let Some((_folder, path)) = unpack("avro") else { return };
    let folder = path.join("share/test/data/messageV1");
    let message = fs::read(folder.join("test_message.bin")).expect("the message");
    let schema = Schema::parse_str(&fs::read_to_string(folder.join("test_schema.avsc")).expect("its schema"));
    let schema = schema.expect("a schema");
    assert_eq!(message.len(), 38);
    assert_eq!(message[2..10], schema.fingerprint::<Rabin>().bytes);
    let mut datum = &message[10..];
    let value = GenericDatumReader::builder(&schema).build().and_then(|reader| reader.read_value(&mut datum));
    let tags = ["dog_lover", "cat_hater"].map(|tag| Value::String(tag.into()));
    let expected = [
        ("id", Value::Long(42)),
        ("name", Value::String("Bill".into())),
        ("tags", Value::Array(tags.into())),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(value.expect("a record"), Value::Record(expected.into()));
    assert!(datum.is_empty());
    // Well framed, and of a schema that is nobody's here.
    assert_eq!(reason(decode_value(&message, &NoRegistry)), ParkReason::SchemaUnknown);
}

#[test]
fn files_are_no_records() {
    let Some((_folder, path)) = unpack("avro") else { return };
    for file in ["test.avro12", "weather.avro", "weather-zstd.avro", "syncInMeta.avro"] {
        let bytes = fs::read(path.join("share/test/data").join(file)).expect("the file");
        assert_eq!(reason(decode_value(&bytes, &OwnRegistry)), ParkReason::Undecodable, "{file}");
    }
    let old = fs::read(path.join("share/test/data/test.avro12")).expect("the file");
    assert!(apache_avro::Reader::new(&old[..]).is_err(), "the format before Avro 1.3");
}
