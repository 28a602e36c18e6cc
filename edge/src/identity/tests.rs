//! Tokens of scripted issuers, good and bad; public test vectors; claims as common providers write them.

mod hostile;
mod providers;
mod vectors;

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use schemas::{
    TenantId,
    access::{Role, Scope},
};
use serde_json::json;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use super::*;

/// A key of a scripted issuer.
struct Signer {
    kid: String,
    pair: EcdsaKeyPair,
}

impl Signer {
    fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("random bytes");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key of our own");
        Self { kid: kid.to_owned(), pair }
    }

    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
               "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..])})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("random bytes");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "ES256", "kid": self.kid, "typ": "JWT"}), claims)
    }
}

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("a time")
}

fn rule(claim: &str, matches: &str, role: Role) -> RoleRule {
    let tenant = TenantOf::Fixed(TenantId::new("acme").expect("a tenant"));
    RoleRule { claim: claim.into(), matches: matches.into(), role, tenant }
}

fn config(issuer: &str, keys: KeySource) -> IssuerConfig {
    IssuerConfig {
        issuer: issuer.to_owned(),
        audiences: vec!["weir".into()],
        authorized_parties: Vec::new(),
        keys,
        principal_claim: "sub".into(),
        kind: SubjectKind::Detected,
        rules: vec![rule("groups", "sec", Role::Approver), rule("groups", "dev*", Role::Developer)],
    }
}

/// An issuer that publishes these keys by discovery.
async fn publish(server: &MockServer, keys: &[&Signer]) {
    server.reset().await;
    let uri = server.uri();
    let document = json!({"issuer": uri, "jwks_uri": format!("{uri}/keys")});
    let keys: Vec<Value> = keys.iter().map(|signer| signer.jwk()).collect();
    for (at, body) in [("/.well-known/openid-configuration", document), ("/keys", json!({"keys": keys}))] {
        Mock::given(path(at))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .mount(server)
            .await;
    }
}

fn claims(issuer: &str) -> Value {
    json!({"iss": issuer, "sub": "00u1", "aud": "weir", "exp": now().timestamp() + 300, "name": "Mara",
           "groups": ["sec", "everybody"]})
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    if value.is_null() {
        claims.as_object_mut().expect("claims").remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

/// An issuer with its keys in a file, and the file.
fn from_file(signer: &Signer) -> (Identities, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), json!({"keys": [signer.jwk()]}).to_string()).expect("written");
    let source = KeySource::File(file.path().to_owned());
    (Identities::new(vec![config("https://issuer.test", source)]).expect("an issuer"), file)
}

#[tokio::test]
async fn a_person_is_known_by_an_issuers_token() {
    let (server, signer) = (MockServer::start().await, Signer::new("k1"));
    publish(&server, &[&signer]).await;
    let issuer = server.uri();
    let identities = Identities::new(vec![config(&issuer, KeySource::Discovery)]).expect("an issuer");
    let token = signer.token(&claims(&issuer));
    assert!(Identities::is_token(&token) && !Identities::is_token("weir_key"));
    let principal = identities.verify(&token, now()).await.expect("it holds");
    let Principal::Person(person) = &principal else { panic!("a person: {principal:?}") };
    assert_eq!(
        (person.id.as_str(), person.tenant.as_str(), person.name.as_deref()),
        ("00u1", "acme", Some("Mara"))
    );
    assert_eq!(person.roles, [Role::Approver]);
    assert!(principal.may(Scope::ChangesDecide) && !principal.may(Scope::EventsWrite));
    assert_eq!(principal.actor().account.as_deref(), Some(issuer.as_str()));
}

#[tokio::test]
async fn claims_must_be_this_issuers_for_us_and_in_time() {
    let signer = Signer::new("k1");
    let (identities, _file) = from_file(&signer);
    let good = || claims("https://issuer.test");
    let at = now().timestamp();
    let ask = async |claims: Value| identities.verify(&signer.token(&claims), now()).await;
    for fine in [
        good(),
        with(good(), "aud", json!(["weir"])),
        with(with(good(), "aud", json!(["weir", "other"])), "azp", json!("weir")),
        with(good(), "exp", json!(at - 29)),
        with(good(), "exp", json!(f64::from(i32::try_from(at).expect("now")) + 0.5)),
        with(good(), "nbf", json!(at + 29)),
    ] {
        assert!(ask(fine.clone()).await.is_ok(), "{fine}");
    }
    for (claim, value) in [
        ("iss", json!("https://other.test")),
        ("iss", json!(7)),
        ("iss", Value::Null),
        ("sub", Value::Null),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", json!("x".repeat(256))),
        ("aud", Value::Null),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", json!(["other"])),
        ("aud", json!(7)),
        ("aud", json!(["weir", 7])),
        ("aud", json!(["weir", "other"])),
        ("aud", json!({"weir": true})),
        ("exp", Value::Null),
        ("exp", json!(at - 30)),
        ("exp", json!((at + 300).to_string())),
        ("exp", json!(true)),
        ("exp", json!(1e300)),
        ("nbf", json!(at + 31)),
        ("nbf", json!("soon")),
    ] {
        let bad = with(good(), claim, value);
        assert!(matches!(ask(bad.clone()).await, Err(Denial::Invalid(_))), "{bad}");
    }
    let foreign = with(with(good(), "aud", json!(["weir", "other"])), "azp", json!("other"));
    assert!(ask(foreign).await.is_err(), "another party's");
    assert_eq!(ask(with(good(), "groups", json!(["nobody"]))).await, Err(Denial::NoRole));
}

/// The cure is the same wherever it is looked for: the answer to a request, and `weir auth explain`.
#[tokio::test]
async fn a_token_without_the_claim_that_names_its_subject_is_refused_with_the_claims_name() {
    let signer = Signer::new("k1");
    let (identities, file) = from_file(&signer);
    let source = KeySource::File(file.path().to_owned());
    let by_email = IssuerConfig { principal_claim: "email".into(), ..config("https://issuer.test", source) };
    identities.replace(vec![by_email]).expect("an issuer");
    let ask = async |claims: Value| identities.verify(&signer.token(&claims), now()).await;
    let good = || claims("https://issuer.test");
    let denial = ask(good()).await.expect_err("no email");
    assert_eq!(denial, Denial::NoSubject { claim: "email".into(), why: "is missing" });
    let explained = identities.explain(&signer.token(&good()), now()).await.expect("it is valid");
    assert_eq!(explained.principal, Err(denial));
    assert!(explained.rules.iter().any(|rule| rule.matched), "{:?}", explained.rules);
    assert!(ask(with(good(), "email", json!("mara@acme.example"))).await.is_ok());
    let past = with(with(good(), "exp", json!(0)), "email", json!("a\u{0}b"));
    let refused = identities.admit(&signer.token(&past), now()).await.expect_err("it has passed");
    assert_eq!(refused.subject, None, "nobody is written down under such a name");
}

#[tokio::test]
async fn headers_are_believed_in_nothing() {
    let signer = Signer::new("k1");
    let (identities, _file) = from_file(&signer);
    let claims = claims("https://issuer.test");
    let ask = async |header: Value| identities.verify(&signer.sign(&header, &claims), now()).await;
    let foreign = Signer::new("k1");
    for fine in [
        json!({"alg": "ES256", "kid": "k1"}),
        json!({"alg": "ES256"}),
        json!({"alg": "ES256", "kid": "k1", "typ": "at+JWT"}),
        // Whatever it brings along is not looked at: the key is the issuer's.
        json!({"alg": "ES256", "kid": "k1", "jku": "https://evil.test", "jwk": foreign.jwk(), "x5u": "https://evil.test"}),
    ] {
        assert!(ask(fine.clone()).await.is_ok(), "{fine}");
    }
    for bad in [
        json!({"alg": "none", "kid": "k1"}),
        json!({"alg": "NONE"}),
        json!({"alg": "HS256", "kid": "k1"}),
        json!({"alg": "RS256", "kid": "k1"}),
        json!({"alg": "ES384", "kid": "k1"}),
        json!({"kid": "k1"}),
        json!({"alg": "ES256", "kid": "k".repeat(129)}),
        json!({"alg": "ES256", "kid": 7}),
        json!({"alg": "ES256", "kid": "k1", "crit": ["exp"]}),
        json!({"alg": "ES256", "kid": "k1", "crit": []}),
        json!({"alg": "ES256", "kid": "k1", "typ": "logout+jwt"}),
        json!([]),
        json!("ES256"),
    ] {
        assert!(matches!(ask(bad.clone()).await, Err(Denial::Invalid(_))), "{bad}");
    }
    // The keys may be asked for again in a second: whether these are among them is not known before.
    for unknown in ["k2", "../../k1"] {
        assert!(ask(json!({"alg": "ES256", "kid": unknown})).await.is_err(), "{unknown}");
    }
    let header = json!({"alg": "ES256", "kid": "k1", "jwk": foreign.jwk()});
    let forged = identities.verify(&foreign.sign(&header, &claims), now()).await;
    assert_eq!(forged, Err(Denial::Invalid(InvalidToken::Signature)), "signed with a key of its own");
    for text in ["", ".", "..", "a.b", "a.b.c.d", "weir_a_b", "e30.e30.", "e30.e30.e30"] {
        assert!(identities.verify(text, now()).await.is_err(), "{text:?}");
    }
}

#[tokio::test]
async fn keys_that_rotate_are_found_and_old_ones_end() {
    let (server, old, new) = (MockServer::start().await, Signer::new("old"), Signer::new("new"));
    publish(&server, &[&old]).await;
    let identities = Identities::new(vec![config(&server.uri(), KeySource::Discovery)]).expect("an issuer");
    let ask = async |signer: &Signer| identities.verify(&signer.token(&claims(&server.uri())), now()).await;
    assert!(ask(&old).await.is_ok());
    publish(&server, &[&new]).await;
    // An issuer is asked once a second at most.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let together = futures_util::future::join_all((0..50).map(|_| ask(&new))).await;
    assert!(together.iter().all(Result::is_ok), "whoever comes first fetches, and the others wait for it");
    let asked = server.received_requests().await.expect("recorded");
    assert_eq!(asked.iter().filter(|request| request.url.path() == "/keys").count(), 1);
    assert_eq!(ask(&old).await, Err(Denial::Invalid(InvalidToken::UnknownKey("old".into()))));
    assert!(ask(&new).await.is_ok());
}

/// Keys rotate as issuers document it: the new one is published, used, and the old one is taken away once its tokens have
/// ended. Tokens of both are checked all the while, a thousand at each step.
#[tokio::test]
async fn no_token_is_refused_while_keys_rotate() {
    let server = MockServer::start().await;
    let signers: Vec<Signer> = (0..4).map(|n| Signer::new(&format!("k{n}"))).collect();
    publish(&server, &[&signers[0]]).await;
    let identities = Identities::new(vec![config(&server.uri(), KeySource::Discovery)]).expect("an issuer");
    let token = |signer: &Signer| signer.token(&claims(&server.uri()));
    identities.verify(&token(&signers[0]), now()).await.expect("it holds");
    for pair in signers.windows(2) {
        let [old, new] = pair else { panic!("two") };
        publish(&server, &[old, new]).await;
        // An issuer is asked for an unknown key every 30 s at most: until then the answer is "later", never "false".
        let tokens = [token(old), token(new)];
        let asked = (0..1_000).map(|n| identities.verify(&tokens[n % 2], now()));
        for (n, outcome) in futures_util::future::join_all(asked).await.into_iter().enumerate() {
            let later = matches!(outcome, Err(Denial::KeysUnavailable(_)));
            assert!(outcome.is_ok() || later, "{n}: {outcome:?}");
        }
    }
    identities.verify(&token(&signers[0]), now()).await.expect("its keys were fetched before");
}

/// Made-up ids have the issuer asked, which is done every 30 s at most: tokens of a key that comes in between
/// are not false.
#[tokio::test]
async fn nobody_has_the_tokens_of_a_new_key_refused() {
    let (server, old, new) = (MockServer::start().await, Signer::new("old"), Signer::new("new"));
    publish(&server, &[&old]).await;
    let identities = Identities::new(vec![config(&server.uri(), KeySource::Discovery)]).expect("an issuer");
    let ask = async |signer: &Signer| identities.verify(&signer.token(&claims(&server.uri())), now()).await;
    assert!(ask(&old).await.is_ok());
    let unknown = |kid: &str| Err(Denial::Invalid(InvalidToken::UnknownKey(kid.into())));
    let unavailable = Err(Denial::KeysUnavailable(server.uri()));
    let made_up = Signer::new("made-up");
    // An issuer is asked once a second at most.
    while ask(&made_up).await == unavailable {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&made_up).await, unknown("made-up"));
    publish(&server, &[&old, &new]).await;
    for round in 0..500 {
        let other = Signer { kid: format!("made-up-{round}"), pair: Signer::new("").pair };
        assert!(ask(&old).await.is_ok());
        assert_eq!(ask(&new).await, unavailable, "neither let in nor called false");
        assert_eq!(ask(&other).await, unavailable);
    }
    assert_eq!(ask(&made_up).await, unknown("made-up"), "for which the issuer was asked");
    let asked = server.received_requests().await.expect("recorded");
    assert_eq!(asked.len(), 0, "nobody has the issuer asked more often");
}

#[tokio::test]
async fn an_issuer_that_is_down_lies_or_sends_secrets_lets_nobody_in() {
    let (server, signer) = (MockServer::start().await, Signer::new("k1"));
    let uri = server.uri();
    let keys = json!({"keys": [signer.jwk()]});
    let document = |issuer: &str, jwks: &str| json!({"issuer": issuer, "jwks_uri": jwks}).to_string();
    let own_keys = format!("{uri}/keys");
    let symmetric = json!({"keys": [{"kty": "oct", "alg": "HS256", "k": "A".repeat(43), "kid": "k1"}]});
    let large = format!("{{\"keys\": [], \"x\": \"{}\"}}", "x".repeat(65 * 1024));
    for (name, document, keys) in [
        ("another issuer", document("https://evil.test", &own_keys), keys.to_string()),
        ("in clear text elsewhere", document(&uri, "http://192.0.2.1/keys"), keys.to_string()),
        ("from a file", document(&uri, "file:///etc/passwd"), keys.to_string()),
        ("no document", "[]".to_owned(), keys.to_string()),
        ("no keys", document(&uri, &own_keys), json!({"keys": []}).to_string()),
        ("secrets", document(&uri, &own_keys), symmetric.to_string()),
        ("too much", document(&uri, &own_keys), large),
        ("nonsense", document(&uri, &own_keys), "nonsense".to_owned()),
    ] {
        server.reset().await;
        for (at, body) in [("/.well-known/openid-configuration", document), ("/keys", keys)] {
            let answer = ResponseTemplate::new(200).set_body_string(body);
            Mock::given(path(at)).respond_with(answer).mount(&server).await;
        }
        let identities = Identities::new(vec![config(&uri, KeySource::Discovery)]).expect("an issuer");
        let outcome = identities.verify(&signer.token(&claims(&uri)), now()).await;
        assert_eq!(outcome, Err(Denial::KeysUnavailable(uri.clone())), "{name}");
    }
}

#[tokio::test]
async fn rules_that_are_replaced_hold_for_the_next_token_and_keys_are_kept() {
    let (server, signer) = (MockServer::start().await, Signer::new("k1"));
    publish(&server, &[&signer]).await;
    let issuer = server.uri();
    let of = |rules| IssuerConfig { rules, ..config(&issuer, KeySource::Discovery) };
    let identities = Identities::new(vec![config(&issuer, KeySource::Discovery)]).expect("an issuer");
    let token = signer.token(&claims(&issuer));
    let ask = async || {
        let Principal::Person(person) = identities.verify(&token, now()).await? else { panic!("a person") };
        Ok(person.roles)
    };
    assert_eq!(ask().await.expect("it holds"), [Role::Approver]);
    let replace = |configs| identities.replace(configs);
    replace(vec![of(vec![rule("groups", "sec", Role::Viewer)])]).expect("good");
    assert_eq!(ask().await.expect("it holds"), [Role::Viewer]);
    let twice = replace(vec![of(Vec::new()), of(Vec::new())]);
    assert!(matches!(twice, Err(InvalidIssuers::Twice(_))));
    assert_eq!(ask().await.expect("nothing was replaced"), [Role::Viewer]);
    replace(vec![of(Vec::new())]).expect("good");
    assert_eq!(ask().await, Err(Denial::NoRole));
    let asked = server.received_requests().await.expect("recorded");
    assert_eq!(asked.iter().filter(|request| request.url.path() == "/keys").count(), 1);
    replace(Vec::new()).expect("good");
    assert_eq!(ask().await, Err(Denial::Invalid(InvalidToken::UnknownIssuer(issuer.clone()))));
    let elsewhere = KeySource::Url(format!("{issuer}/keys"));
    replace(vec![config(&issuer, elsewhere)]).expect("good");
    assert!(ask().await.is_ok(), "keys of another place are fetched");
}

#[test]
fn issuers_are_told_apart_and_have_audiences() {
    let file = || KeySource::File("keys.json".into());
    let twice = Identities::new(vec![config("https://a.test", file()), config("https://a.test", file())]);
    assert!(matches!(twice, Err(InvalidIssuers::Twice(_))));
    let all = IssuerConfig { audiences: Vec::new(), ..config("https://a.test", file()) };
    assert!(matches!(Identities::new(vec![all]), Err(InvalidIssuers::NoAudience(_))));
}
