//! `weir issuer`: a scripted OpenID issuer, for a try and for tests.
//!
//! It vouches for whoever knows its secret, as whatever they call themselves: it belongs on this machine,
//! beside `weir up --issuer`, and nowhere else. What it speaks is what real issuers do: discovery (OpenID
//! Connect Discovery 1.0), a key set (RFC 7517), tokens signed with ES256, client credentials and passwords
//! (RFC 6749), the device flow (RFC 8628).

mod device;
mod tokens;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use anyhow::{Context, bail};
use axum::{
    Form, Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use clap::Args;
use edge::{Listen, Listener};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::{
    device::{Devices, Poll},
    tokens::{Signer, Subject},
};
use super::{Outcome, deployment::write_private, output, output::note, place, shutdown};

/// The audience that its tokens are for.
pub(crate) const AUDIENCE: &str = "weir";
/// The file of its secret, in its folder.
pub(crate) const SECRET_FILE: &str = "secret";
/// The file of its signing key, in its folder.
const KEY_FILE: &str = "signing-key";
/// The longest request that is read.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// RFC 8628, section 3.4.
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Arguments of `weir issuer`.
#[derive(Debug, Args)]
pub(super) struct IssuerArgs {
    /// Where to listen: an address of this machine.
    #[arg(long, default_value = "127.0.0.1:8647")]
    listen: SocketAddr,
    /// Where its key and its secret are kept; both are made where they are missing.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// State that the handlers share.
struct Issuer {
    url: String,
    secret: String,
    signer: Signer,
    devices: Mutex<Devices>,
}

/// Serves until SIGTERM or Ctrl-C.
pub(super) async fn issuer(args: IssuerArgs) -> anyhow::Result<Outcome> {
    if !args.listen.ip().is_loopback() {
        bail!("a scripted issuer vouches for anybody who knows its secret: it listens on this machine only");
    }
    let listener = Listener::bind(Listen::at("issuer", args.listen)).await?;
    let url = format!("http://{}", listener.address());
    let issuer = Issuer {
        secret: secret(&args.dir)?,
        signer: Signer::of(&args.dir.join(KEY_FILE))?,
        devices: Mutex::default(),
        url: url.clone(),
    };
    note(&format!("issuer {url}"));
    listener.serve(router(issuer), shutdown::on_signal()).await;
    Ok(Outcome::Done)
}

/// The secret that its folder holds, made where it is missing.
pub(super) fn secret(dir: &Path) -> anyhow::Result<String> {
    let file = dir.join(SECRET_FILE);
    if !file.exists() {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        write_private(&file, &output::hex(&rand::random::<[u8; 16]>()))?;
    }
    Ok(place::read(&file)?.trim().to_owned())
}

fn router(issuer: Issuer) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(configuration))
        .route("/keys", get(keys))
        .route("/token", post(token))
        .route("/device_authorization", post(device_authorization))
        .route("/device", get(device_page).post(approve))
        .route("/livez", get(|| async { "live" }))
        .route("/readyz", get(|| async { "ready" }))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::new(issuer))
}

async fn configuration(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    let url = &issuer.url;
    Json(json!({
        "issuer": url,
        "jwks_uri": format!("{url}/keys"),
        "token_endpoint": format!("{url}/token"),
        "device_authorization_endpoint": format!("{url}/device_authorization"),
        "grant_types_supported": ["client_credentials", "password", DEVICE_CODE],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "subject_types_supported": ["public"],
        "response_types_supported": ["none"],
    }))
}

async fn keys(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    Json(json!({"keys": [issuer.signer.jwk()]}))
}

/// Parameters of a request for a token. Others are ignored (RFC 6749, section 3.2).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenRequest {
    grant_type: String,
    client_id: String,
    client_secret: String,
    username: String,
    password: String,
    device_code: String,
    /// Roles, separated by spaces; of a scripted issuer, whoever asks says them.
    roles: String,
    tenant: String,
}

/// Answer with a token.
#[derive(Debug, Serialize)]
struct Granted {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
}

/// A refusal as in RFC 6749, section 5.2, and RFC 8628, section 3.5.
struct Refused(&'static str);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status =
            if self.0 == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        (status, Json(json!({"error": self.0}))).into_response()
    }
}

async fn token(
    State(issuer): State<Arc<Issuer>>,
    headers: HeaderMap,
    Form(mut request): Form<TokenRequest>,
) -> Result<Response, Refused> {
    if let Some((client, secret)) = basic(&headers) {
        (request.client_id, request.client_secret) = (client, secret);
    }
    let subject = match request.grant_type.as_str() {
        "client_credentials" => {
            issuer.check(&request.client_secret)?;
            Subject::service(&request.client_id, &request.roles, &request.tenant)?
        }
        "password" => {
            issuer.check(&request.password)?;
            Subject::person(&request.username, &request.roles, &request.tenant)?
        }
        DEVICE_CODE => match issuer.devices().poll(&request.device_code, Utc::now()) {
            Poll::Approved(subject) => subject,
            Poll::Refused(why) => return Err(Refused(why)),
        },
        _ => return Err(Refused("unsupported_grant_type")),
    };
    let access_token = issuer.signer.token(&issuer.url, &subject, Utc::now());
    let granted = Granted { access_token, token_type: "Bearer", expires_in: tokens::LIFETIME.num_seconds() };
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((no_store, Json(granted)).into_response())
}

/// The client and its secret of `Authorization: Basic`.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client, secret) = text.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| (client.to_owned(), secret.to_owned()))
}

async fn device_authorization(State(issuer): State<Arc<Issuer>>) -> Result<Json<Value>, Refused> {
    let mut devices = issuer.devices();
    let begun = devices.begin(Utc::now()).ok_or(Refused("slow_down"))?;
    let page = format!("{}/device", issuer.url);
    Ok(Json(json!({
        "device_code": begun.code,
        "user_code": begun.user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={}", begun.user_code),
        "expires_in": device::LIFETIME.num_seconds(),
        "interval": device::INTERVAL.num_seconds(),
    })))
}

async fn device_page() -> Html<&'static str> {
    Html(include_str!("device.html"))
}

/// Approval of a device: the code that it shows, the person, and the issuer's secret.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Approval {
    user_code: String,
    username: String,
    password: String,
    roles: String,
    tenant: String,
}

async fn approve(
    State(issuer): State<Arc<Issuer>>,
    Form(approval): Form<Approval>,
) -> Result<&'static str, Refused> {
    issuer.check(&approval.password)?;
    let subject = Subject::person(&approval.username, &approval.roles, &approval.tenant)?;
    let approved = issuer.devices().approve(&approval.user_code, subject, Utc::now());
    approved.then_some("approved; the device goes on by itself\n").ok_or(Refused("invalid_grant"))
}

impl Issuer {
    fn check(&self, secret: &str) -> Result<(), Refused> {
        let equal = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()).as_ref()
            == ring::digest::digest(&ring::digest::SHA256, self.secret.as_bytes()).as_ref();
        equal.then_some(()).ok_or(Refused("invalid_client"))
    }

    fn devices(&self) -> std::sync::MutexGuard<'_, Devices> {
        self.devices.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The issuer as `[[issuer]]` of the settings describes it: every role by its name, in the tenant that the
/// token names.
pub(super) fn described(url: &str) -> Value {
    let rules: Vec<Value> = schemas::access::Role::ALL
        .into_iter()
        .map(|role| json!({"claim": "roles", "matches": role.name(), "role": role.name(), "tenant_claim": "tenant"}))
        .collect();
    json!({"issuer": url, "audiences": [AUDIENCE], "rules": rules})
}

#[cfg(test)]
mod tests;
