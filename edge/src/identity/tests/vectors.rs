//! Project Wycheproof's test vectors of signatures and keys, if `WEIR_CORPUS` names the folder of data sets.

use std::{io::Read, path::Path};

use serde_json::Value;

use crate::identity::{
    jwk::KeySet,
    jws::{InvalidToken, Unverified},
};

/// The file of that name in the archive; nothing without the data sets.
fn corpus(name: &str) -> Option<Value> {
    let folder = std::env::var_os("WEIR_CORPUS")?;
    let archive = std::fs::File::open(Path::new(&folder).join("wycheproof.tar.gz")).ok()?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        if entry.path().expect("a path").ends_with(name) {
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("text");
            return Some(serde_json::from_str(&text).expect("JSON"));
        }
    }
    panic!("{name} is not in the archive")
}

fn holds(keys: &KeySet, token: &str) -> Result<(), InvalidToken> {
    let token = Unverified::parse(token)?;
    let key = keys.find(token.header.kid.as_deref()).ok_or(InvalidToken::UnknownKey(String::new()))?;
    token.verify(key).map(drop)
}

/// The numbers of the cases that are answered otherwise than they are labelled, and how many there are.
fn check(vectors: &Value) -> (Vec<u64>, usize) {
    let (mut otherwise, mut count) = (Vec::new(), 0);
    for group in vectors["testGroups"].as_array().expect("groups") {
        let keys = group.get("public").or_else(|| group.get("private")).expect("a key");
        let set =
            if keys.get("keys").is_some() { keys.to_string() } else { format!("{{\"keys\": [{keys}]}}") };
        let set = KeySet::parse(set.as_bytes());
        for case in group["tests"].as_array().expect("cases") {
            count += 1;
            let token = case["jws"].as_str().expect("a token");
            let valid = set.as_ref().is_ok_and(|set| holds(set, token).is_ok());
            if valid != (case["result"] == "valid") {
                otherwise.push(case["tcId"].as_u64().expect("a number"));
            }
        }
    }
    otherwise.sort_unstable();
    (otherwise, count)
}

#[test]
fn signatures_are_judged_as_labelled() {
    let Some(vectors) = corpus("json_web_signature_test.json") else { return };
    // 346, 347, 350, 351: the key names another algorithm than the header. 367, 370: the token is well formed and its
    // MAC right. 372, 373: a `?` stands within the encoding.
    assert_eq!(check(&vectors), (vec![346, 347, 350, 351, 367, 370, 372, 373], 401));
}

#[test]
fn keys_are_judged_as_labelled() {
    let Some(vectors) = corpus("json_web_key_test.json") else { return };
    // 7: the modulus was made by a generator with a known flaw (ROCA), which is not looked for.
    assert_eq!(check(&vectors), (vec![7], 26));
}
