//! Proofs, signatures and canonical JSON against published vectors.

use std::fs;

use audit_log::{
    Hash,
    keys::{PublicKey, Purpose},
    proof::{check_consistency_of, check_inclusion},
    record::canonical,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value;

use crate::support::corpus::{corpus, files};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inclusion {
    leaf_idx: u64,
    tree_size: u64,
    root: String,
    leaf_hash: String,
    proof: Option<Vec<String>>,
    #[serde(default)]
    want_err: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Consistency {
    size1: u64,
    size2: u64,
    root1: String,
    root2: String,
    proof: Option<Vec<String>>,
    #[serde(default)]
    want_err: bool,
}

/// A hash of exactly 32 bytes.
fn hash(text: &str) -> Option<Hash> {
    Hash::from_slice(&STANDARD.decode(text).ok()?)
}

fn hashes(texts: Option<Vec<String>>) -> Option<Vec<Hash>> {
    texts.unwrap_or_default().iter().map(|text| hash(text)).collect()
}

fn is_included(vector: Inclusion) -> Option<bool> {
    let (leaf, root) = (hash(&vector.leaf_hash)?, hash(&vector.root)?);
    let proof = hashes(vector.proof)?;
    Some(check_inclusion((vector.leaf_idx, &leaf), (vector.tree_size, &root), &proof).is_ok())
}

fn is_consistent(vector: Consistency) -> Option<bool> {
    let bytes = |text: &String| STANDARD.decode(text).ok();
    let (earlier, later) = (bytes(&vector.root1)?, bytes(&vector.root2)?);
    let proof = vector.proof.unwrap_or_default().iter().map(bytes).collect::<Option<Vec<_>>>()?;
    Some(check_consistency_of((vector.size1, &earlier), (vector.size2, &later), &proof).is_ok())
}

#[test]
fn merkle_proofs_are_accepted_and_refused_as_published() {
    let Some(corpus) = corpus("merkle") else { return };
    let folder = corpus.path().join("merkle/testdata");
    let (mut accepted, mut refused) = (0, 0);
    let mut count = |path: &std::path::Path, want_err: bool, is_proven: bool| {
        assert_eq!(is_proven, !want_err, "{}", path.display());
        if is_proven { accepted += 1 } else { refused += 1 }
    };
    for path in files(&folder.join("inclusion"), "json") {
        let vector: Inclusion =
            serde_json::from_str(&fs::read_to_string(&path).expect("readable")).expect("JSON");
        count(&path, vector.want_err, is_included(vector).unwrap_or(false));
    }
    for path in files(&folder.join("consistency"), "json") {
        let vector: Consistency =
            serde_json::from_str(&fs::read_to_string(&path).expect("readable")).expect("JSON");
        count(&path, vector.want_err, is_consistent(vector).unwrap_or(false));
    }
    assert_eq!((accepted, refused), (12, 184));
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("text").as_bytes();
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).expect("a digit")).expect("small");
    text.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[test]
fn ed25519_signatures_are_accepted_and_refused_as_published() {
    let Some(corpus) = corpus("wycheproof") else { return };
    let path = corpus.path().join("wycheproof/testvectors_v1/ed25519_test.json");
    let vectors: Value = serde_json::from_str(&fs::read_to_string(path).expect("readable")).expect("JSON");
    let (mut valid, mut all) = (0, 0);
    for group in vectors["testGroups"].as_array().expect("groups") {
        let bytes = [&[1], unhex(&group["publicKey"]["pk"]).as_slice()].concat();
        let id = Hash::of(&[b"vector\n", bytes.as_slice()].concat());
        let text = format!("vector+{}+{}", &id.to_string()[..8], STANDARD.encode(&bytes));
        let key = PublicKey::parse(&text, Purpose::Log);
        for test in group["tests"].as_array().expect("tests") {
            let is_valid =
                key.as_ref().is_ok_and(|key| key.verify(&unhex(&test["msg"]), &unhex(&test["sig"])));
            assert_eq!(is_valid, test["result"] == "valid", "{test}");
            valid += usize::from(is_valid);
            all += 1;
        }
    }
    assert_eq!((valid, all), (88, 151));
}

#[test]
fn canonical_json_is_that_of_the_scheme() {
    let Some(corpus) = corpus("jcs") else { return };
    let folder = corpus.path().join("jcs/testdata");
    let pairs = files(&folder.join("input"), "json");
    assert_eq!(pairs.len(), 6);
    for path in pairs {
        let input: Value = serde_json::from_str(&fs::read_to_string(&path).expect("readable")).expect("JSON");
        let output = folder.join("output").join(path.file_name().expect("a name"));
        let expected = fs::read_to_string(output).expect("readable");
        let canonical = String::from_utf8(canonical(&input).expect("canonical")).expect("text");
        assert_eq!(canonical, expected, "{}", path.display());
    }
    let numbers = fs::read_to_string(folder.join("es6numbers10000.txt")).expect("readable");
    let mut count = 0;
    for line in numbers.lines() {
        let (bits, expected) = line.split_once(',').expect("two columns");
        let number = f64::from_bits(u64::from_str_radix(bits, 16).expect("hexadecimal"));
        let text = String::from_utf8(canonical(&Value::from(number)).expect("canonical")).expect("text");
        assert_eq!(text, expected, "{bits}");
        count += 1;
    }
    assert_eq!(count, 10_000);
}
