use axum::body::Body;
use edge::identity::Identities;
use http::Request;
use schemas::access::{Principal, Role};
use tower::ServiceExt as _;

use super::*;
use crate::settings::identities;

fn form(path: &str, body: &str) -> Request<Body> {
    Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body.to_owned()))
        .expect("a request")
}

async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let answer = router.clone().oneshot(request).await.expect("an answer");
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), 100_000).await.expect("a body");
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

struct Place {
    router: Router,
    identities: Identities,
    secret: String,
    _dir: tempfile::TempDir,
}

/// An issuer, and what a service makes of its tokens: by the keys that it publishes.
async fn place() -> Place {
    let dir = tempfile::tempdir().expect("a folder");
    let url = "http://127.0.0.1:8647".to_owned();
    let secret = secret(dir.path()).expect("a secret");
    let signer = Signer::of(&dir.path().join(KEY_FILE)).expect("a key");
    let router =
        router(Issuer { url: url.clone(), secret: secret.clone(), signer, devices: Mutex::default() });
    let (_, keys) = ask(&router, Request::get("/keys").body(Body::empty()).expect("a request")).await;
    let file = dir.path().join("keys.json");
    fs::write(&file, keys.to_string()).expect("written");
    let mut settings = described(&url);
    settings["jwks_file"] = file.display().to_string().into();
    let issuers = vec![serde_json::from_value(settings).expect("settings")];
    Place { router, identities: identities(issuers).expect("an issuer"), secret, _dir: dir }
}

async fn principal(place: &Place, granted: &Value) -> Principal {
    let token = granted["access_token"].as_str().expect("a token");
    place.identities.verify(token, Utc::now()).await.expect("it holds")
}

#[tokio::test]
async fn whoever_knows_the_secret_gets_a_token_that_the_services_take() {
    let place = place().await;
    let secret = &place.secret;
    let body =
        format!("grant_type=password&username=mara&password={secret}&roles=auditor+approver&tenant=acme");
    let (status, granted) = ask(&place.router, form("/token", &body)).await;
    assert_eq!(status, StatusCode::OK, "{granted}");
    let Principal::Person(mara) = principal(&place, &granted).await else { panic!("a person") };
    assert_eq!((mara.id.as_str(), mara.tenant.as_str()), ("mara", "acme"));
    assert_eq!(mara.roles, [Role::Auditor, Role::Approver]);

    let mut request = form("/token", "grant_type=client_credentials&roles=developer");
    let basic = format!("Basic {}", STANDARD.encode(format!("ci:{secret}")));
    request.headers_mut().insert(header::AUTHORIZATION, basic.parse().expect("a header"));
    let (_, granted) = ask(&place.router, request).await;
    let Principal::Service(ci) = principal(&place, &granted).await else { panic!("a service") };
    assert_eq!((ci.id.as_str(), ci.tenant.as_str()), ("ci", "demo"));
}

#[tokio::test]
async fn others_get_none() {
    let place = place().await;
    let secret = &place.secret;
    for (body, status, error) in [
        ("grant_type=password&username=mara&password=wrong".to_owned(), 401, "invalid_client"),
        ("grant_type=client_credentials&client_id=ci".to_owned(), 401, "invalid_client"),
        (format!("grant_type=password&username=&password={secret}"), 400, "invalid_request"),
        (format!("grant_type=password&username=m&tenant=a+b&password={secret}"), 400, "invalid_request"),
        ("grant_type=implicit".to_owned(), 400, "unsupported_grant_type"),
        (format!("grant_type={DEVICE_CODE}&device_code=none"), 400, "invalid_grant"),
    ] {
        let (found, answer) = ask(&place.router, form("/token", &body)).await;
        assert_eq!((found.as_u16(), answer["error"].as_str()), (status, Some(error)), "{body}");
    }
}

#[tokio::test]
async fn a_device_is_approved_by_a_person() {
    let place = place().await;
    let (_, begun) = ask(&place.router, form("/device_authorization", "client_id=weir-cli")).await;
    let poll =
        format!("grant_type={DEVICE_CODE}&device_code={}", begun["device_code"].as_str().expect("a code"));
    let (_, waiting) = ask(&place.router, form("/token", &poll)).await;
    assert_eq!(waiting["error"], "authorization_pending");
    let code = begun["user_code"].as_str().expect("a code");
    let approval = |secret: &str| format!("user_code={code}&username=mara&roles=viewer&password={secret}");
    let (refused, _) = ask(&place.router, form("/device", &approval("wrong"))).await;
    assert_eq!(refused, StatusCode::UNAUTHORIZED);
    let (approved, _) = ask(&place.router, form("/device", &approval(&place.secret))).await;
    assert_eq!(approved, StatusCode::OK);
    let (_, granted) = ask(&place.router, form("/token", &poll)).await;
    let Principal::Person(mara) = principal(&place, &granted).await else { panic!("a person") };
    assert_eq!(mara.roles, [Role::Viewer]);
}

#[test]
fn its_key_and_secret_are_kept_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a folder");
    let first = secret(dir.path()).expect("made");
    assert_eq!(secret(dir.path()).expect("kept"), first);
    let key = dir.path().join(KEY_FILE);
    let signer = Signer::of(&key).expect("made").jwk();
    assert_eq!(Signer::of(&key).expect("kept").jwk(), signer);
    for file in [key, dir.path().join(SECRET_FILE)] {
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    }
}
