//! `weir auth login`: a person signs in at their issuer, with the device flow (RFC 8628).

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use clap::Args;
use edge::{identity::Identities, peer::is_this_machine};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, RequestBuilder, Response, Url};
use schemas::{Timestamp, access::MAX_CREDENTIAL_BYTES};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use tokio::time::Instant;

use crate::{Outcome, credential::ServiceUrl, deployment::write_private, output::note, place::Place, status};

/// The file of the token that a sign-in gave.
pub(crate) const LOGIN_FILE: &str = "login.json";
/// Longest answer of an issuer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Maximum time for a person's approval, whatever the issuer says.
const LONGEST_WAIT: Duration = Duration::from_mins(30);
/// Interval of asking the issuer unless it names another (RFC 8628, section 3.2), and by how much slower
/// it may ask for.
const INTERVAL: Duration = Duration::from_secs(5);

/// Arguments of `weir auth login`.
#[derive(Debug, Args)]
pub(super) struct LoginArgs {
    /// The issuer's URL; may be left out where one is configured.
    #[arg(long)]
    issuer: Option<String>,
    /// The client that the issuer knows this command as.
    #[arg(long, default_value = "weir-cli")]
    client_id: String,
    /// Scope to ask the issuer for.
    #[arg(long, default_value = "openid profile")]
    scope: String,
}

/// Metadata of an issuer.
#[derive(Debug, Deserialize)]
struct Configuration {
    issuer: String,
    token_endpoint: String,
    device_authorization_endpoint: Option<String>,
}

/// A device that waits for its approval.
#[derive(Debug, Deserialize)]
struct Waiting {
    device_code: String,
    user_code: String,
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: Option<String>,
    expires_in: u64,
    #[serde(default)]
    interval: Option<u64>,
}

/// Answer of the token endpoint.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Granted {
    access_token: Option<String>,
    id_token: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Signs in and keeps the token for this place's services.
pub(super) async fn login(args: &LoginArgs) -> anyhow::Result<Outcome> {
    let place = Place::here()?;
    let services = place.service_urls()?;
    let urls: Vec<&str> = services.iter().map(ServiceUrl::trusted).collect::<anyhow::Result<_>>()?;
    if urls.is_empty() {
        bail!(
            "no service is known here to sign in for: `weir up` starts one, WEIR_QUERY_API__URL names another"
        );
    }
    let client = status::client(&place.settings.client)?;
    let issuer = match &args.issuer {
        Some(issuer) => issuer.clone(),
        None => only(place.issuer_urls()?)?,
    };
    let token = sign_in(&client, &issuer, args).await?;
    let until = expiry(&token);
    write_private(&file(&place.home), &json!({"token": token, "urls": urls}).to_string())?;
    let until = until.map(|end| format!(" until {}", end.format("%F %T UTC"))).unwrap_or_default();
    note(&format!("signed in{until}; the token is for {} only", urls.join(" and ")));
    Ok(Outcome::Done)
}

/// Forgets the token.
pub(super) fn logout() -> anyhow::Result<Outcome> {
    let file = file(&Place::here()?.home);
    match std::fs::remove_file(&file) {
        Ok(()) => note("signed out: the token is forgotten; at the issuer it goes on until it ends"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => note("nobody was signed in"),
        Err(error) => return Err(error).with_context(|| format!("deleting {}", file.display())),
    }
    Ok(Outcome::Done)
}

/// Token file of the last sign-in, if there was one.
pub(crate) fn kept(home: &Path, now: Timestamp) -> anyhow::Result<Option<String>> {
    let file = file(home);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    };
    let token = serde_json::from_str::<serde_json::Value>(&text).ok();
    let token = token.as_ref().and_then(|kept| kept["token"].as_str()).unwrap_or_default();
    if let Some(end) = expiry(token).filter(|end| *end <= now) {
        bail!(
            "the sign-in ended at {}: `weir auth login` again, or `weir auth logout`",
            end.format("%F %T UTC")
        );
    }
    Ok(Some(text))
}

fn file(home: &Path) -> PathBuf {
    home.join(LOGIN_FILE)
}

fn only(mut issuers: Vec<String>) -> anyhow::Result<String> {
    match issuers.len() {
        1 => Ok(issuers.remove(0)),
        0 => bail!("no issuer is configured: name one with --issuer, or start one with `weir up --issuer`"),
        _ => bail!("name one of the issuers with --issuer: {}", issuers.join(", ")),
    }
}

async fn sign_in(client: &Client, issuer: &str, args: &LoginArgs) -> anyhow::Result<String> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let asked =
        client.get(safe(&url)?).send().await.with_context(|| format!("asking {issuer} about itself"))?;
    let about: Configuration = read(asked).await.with_context(|| format!("{issuer} is no issuer"))?;
    if about.issuer != issuer {
        bail!("{issuer} calls itself {}: name it so", about.issuer);
    }
    let devices = about.device_authorization_endpoint.context("the issuer has no device flow")?;
    let asked = [("client_id", args.client_id.as_str()), ("scope", args.scope.as_str())];
    let answer = form(client, &safe(&devices)?, &asked).send().await.context("asking for a device code")?;
    let waiting: Waiting = read(answer).await.context("the issuer gives no device code")?;
    safe(&waiting.verification_uri)?;
    let page = waiting.verification_uri_complete.as_ref().unwrap_or(&waiting.verification_uri);
    note(&format!("open  {page}\nand confirm the code  {}", waiting.user_code));
    await_approval(client, &safe(&about.token_endpoint)?, &waiting, &args.client_id).await
}

/// Asks until somebody has approved, or refused, or the time is over.
async fn await_approval(
    client: &Client,
    endpoint: &Url,
    waiting: &Waiting,
    client_id: &str,
) -> anyhow::Result<String> {
    let asked = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", waiting.device_code.as_str()),
        ("client_id", client_id),
    ];
    let deadline = Instant::now() + Duration::from_secs(waiting.expires_in).min(LONGEST_WAIT);
    let mut interval = waiting.interval.map_or(INTERVAL, Duration::from_secs).max(Duration::from_millis(200));
    while Instant::now() < deadline {
        tokio::time::sleep(interval).await;
        let answer = form(client, endpoint, &asked).send().await.context("asking for the token")?;
        let granted: Granted = read(answer).await.context("the issuer's answer about the token")?;
        match granted.error.as_deref() {
            Some("authorization_pending") => {}
            Some("slow_down") => interval += INTERVAL,
            Some("access_denied") => bail!("whoever was asked refused"),
            Some("expired_token") => break,
            Some(error) => {
                let why = granted.error_description.unwrap_or_default();
                bail!("the issuer refuses: {}", schemas::text::one_line(&format!("{error} {why}"), 300));
            }
            None => return token_of(granted),
        }
    }
    bail!("nobody approved in time: `weir auth login` again")
}

/// The token that the services can check: an access token that is a JWT, else the id token.
fn token_of(granted: Granted) -> anyhow::Result<String> {
    let tokens = [granted.access_token, granted.id_token];
    let usable = tokens.into_iter().flatten().find(|token| Identities::is_token(token));
    let token =
        usable.context("the issuer gave no token that is a JWT: have it issue access tokens for Weir")?;
    if token.len() > MAX_CREDENTIAL_BYTES {
        bail!(
            "the issuer's token has more than {MAX_CREDENTIAL_BYTES} bytes: the services take none so long"
        );
    }
    Ok(token)
}

/// A POST of a form (`application/x-www-form-urlencoded`).
fn form(client: &Client, url: &Url, fields: &[(&str, &str)]) -> RequestBuilder {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    client
        .post(url.clone())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(fields.join("&"))
}

/// A URL that may be given a secret: https, or on this machine.
fn safe(url: &str) -> anyhow::Result<Url> {
    let parsed: Url = url.parse().with_context(|| format!("{url} is no URL"))?;
    if parsed.scheme() != "https" && !parsed.host_str().is_some_and(is_this_machine) {
        bail!("{url} is asked in clear text: an issuer is asked over https, or on this machine");
    }
    Ok(parsed)
}

/// An answer, whatever its status: errors are JSON too. Longer ones are refused.
async fn read<T: DeserializeOwned>(mut answer: Response) -> anyhow::Result<T> {
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.context("reading the answer")? {
        if body.len() + piece.len() > MAX_ANSWER_BYTES {
            bail!("the answer has more than {MAX_ANSWER_BYTES} bytes");
        }
        body.extend_from_slice(&piece);
    }
    // The parser's own words might quote a token.
    serde_json::from_slice(&body)
        .ok()
        .with_context(|| format!("{status}, and not the JSON that was expected"))
}

/// When a token says that it ends. Unverified: to tell a person, and not to decide by.
fn expiry(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "checked by the calendar's range")]
    DateTime::<Utc>::from_timestamp(claims.exp as i64, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(exp: i64) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(json!({ "exp": exp }).to_string()))
    }

    #[test]
    fn a_sign_in_that_ended_is_told_and_not_gone_around() {
        let home = tempfile::tempdir().expect("a folder");
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("an instant");
        assert_eq!(kept(home.path(), now).expect("nothing there"), None);
        for (exp, holds) in [(now.timestamp() + 1, true), (now.timestamp(), false)] {
            let text = json!({"token": token(exp), "urls": ["http://127.0.0.1:1"]}).to_string();
            write_private(&file(home.path()), &text).expect("written");
            let outcome = kept(home.path(), now);
            assert_eq!(outcome.is_ok(), holds, "{outcome:?}");
            if let Err(error) = outcome {
                assert!(error.to_string().contains("weir auth login"), "{error}");
                assert!(!error.to_string().contains("e30."), "no token in an error");
            }
        }
    }

    #[test]
    fn a_token_is_a_jwt_and_issuers_are_asked_safely() {
        let granted = |access: &str, id: Option<&str>| Granted {
            access_token: Some(access.to_owned()),
            id_token: id.map(str::to_owned),
            ..Granted::default()
        };
        assert_eq!(token_of(granted("a.b.c", Some("d.e.f"))).expect("the access token"), "a.b.c");
        assert_eq!(token_of(granted("opaque", Some("d.e.f"))).expect("the id token"), "d.e.f");
        assert!(token_of(granted("opaque", None)).is_err());
        assert!(token_of(granted(&format!("a.{}.c", "b".repeat(9_000)), None)).is_err());
        assert!(safe("https://login.example.com/x").is_ok() && safe("http://127.0.0.1:1/x").is_ok());
        assert!(safe("http://login.example.com").is_err() && safe("nonsense").is_err());
        assert_eq!(only(vec!["a".into()]).expect("one"), "a");
        assert!(only(Vec::new()).is_err() && only(vec!["a".into(), "b".into()]).is_err());
    }
}
