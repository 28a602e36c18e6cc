//! Tokens and key sets that nobody would sign: refused with a reason, whatever they are made of.

use proptest::prelude::*;

use super::*;
use crate::identity::{jwk::KeySet, jws::Unverified};

/// A change of a text at a place.
#[derive(Debug, Clone)]
enum Change {
    Cut(usize),
    Put(usize, char),
    Repeat(usize, usize),
    Drop(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = 0_usize..2_000;
    prop_oneof![
        at.clone().prop_map(Change::Cut),
        (at.clone(), any::<char>()).prop_map(|(at, put)| Change::Put(at, put)),
        (at.clone(), prop::sample::select(vec!['.', '=', '-', '_', 'A', '~']))
            .prop_map(|(at, put)| Change::Put(at, put)),
        (at.clone(), 1_usize..400).prop_map(|(at, length)| Change::Repeat(at, length)),
        at.prop_map(Change::Drop),
    ]
}

fn changed(text: &str, change: &Change) -> String {
    let letters: Vec<char> = text.chars().collect();
    let (Change::Cut(at) | Change::Put(at, _) | Change::Repeat(at, _) | Change::Drop(at)) = change;
    let at = at % letters.len().max(1);
    let (before, after) = letters.split_at(at.min(letters.len()));
    let mut out = before.to_vec();
    match change {
        Change::Cut(_) => {}
        Change::Put(_, put) => {
            out.push(*put);
            out.extend(after.iter().skip(1));
        }
        Change::Repeat(_, length) => {
            out.extend(after.iter().take(*length));
            out.extend(after);
        }
        Change::Drop(_) => out.extend(after.iter().skip(1)),
    }
    out.into_iter().collect()
}

/// A key, its issuer, and a token that holds.
fn scene() -> (Identities, tempfile::NamedTempFile, String) {
    let signer = Signer::new("k1");
    let (identities, file) = from_file(&signer);
    let token = signer.token(&claims("https://issuer.test"));
    (identities, file, token)
}

fn asked(identities: &Identities, token: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(identities.verify(token, now())).is_ok()
}

#[test]
fn a_token_that_was_changed_holds_for_nobody() {
    let (identities, _file, token) = scene();
    assert!(asked(&identities, &token));
    proptest!(|(changes in prop::collection::vec(change(), 1..4))| {
        let other = changes.iter().fold(token.clone(), |text, change| changed(&text, change));
        prop_assume!(other != token);
        prop_assert!(!asked(&identities, &other), "{other}");
    });
}

proptest! {
    #[test]
    fn any_text_is_refused_and_nothing_breaks(text in "\\PC{0,200}", parts in prop::collection::vec("[A-Za-z0-9_-]{0,60}", 0..6)) {
        prop_assert!(Unverified::parse(&text).is_err() || text.matches('.').count() == 2);
        drop(Unverified::parse(&parts.join(".")));
    }

    #[test]
    fn any_header_and_claims_are_read_or_refused(header in json_value(), claims in json_value()) {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        drop(Unverified::parse(&format!("{}.{}.AAAA", encode(&header), encode(&claims))));
        drop(KeySet::parse(json!({"keys": [header, claims]}).to_string().as_bytes()));
    }
}

/// JSON with the names that tokens and keys have.
fn json_value() -> impl Strategy<Value = Value> {
    let names = [
        "alg", "kid", "crit", "typ", "jwk", "kty", "n", "e", "x", "y", "crv", "use", "exp", "iss", "aud",
        "b64",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        prop::sample::select(vec![
            "RS256", "ES256", "none", "HS256", "EC", "RSA", "OKP", "AQAB", "", "P-256"
        ])
        .prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(names.to_vec()), inner), 0..8).prop_map(|members| {
                Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}
