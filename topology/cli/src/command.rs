//! Commands to the gateway: one request each, answered once Kafka has the decision.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use http::Method;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Outcome,
    output::{self, Format},
    place::Place,
    settings::Trust,
    status::client,
};

/// Time limit of a request, longer than the gateway's for Kafka.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Options that every command to the gateway takes.
#[derive(Debug, Args)]
pub(super) struct Said {
    /// Reason of the decision.
    #[arg(long)]
    pub(super) reason: Option<String>,
    /// The person who decides, where the API key speaks for one; else the key itself decides.
    #[arg(long = "as", value_name = "PERSON")]
    on_behalf_of: Option<String>,
    /// A repeat with the same key is the same decision; a new one is made where none is given.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(super) output: Format,
    #[command(flatten)]
    pub(super) trust: Trust,
}

/// A command to send: the path's segments, and the body's fields.
#[derive(Debug)]
pub(super) struct Command<'a> {
    pub(super) path: &'a [&'a str],
    pub(super) body: Vec<(&'static str, Value)>,
}

impl Command<'_> {
    /// Posts it and prints the place of the decision.
    pub(super) async fn send(self, place: &Place, said: &Said) -> anyhow::Result<Outcome> {
        self.send_as(Method::POST, place, said).await
    }

    /// Sends it by this method and prints the place of the decision.
    pub(super) async fn send_as(self, method: Method, place: &Place, said: &Said) -> anyhow::Result<Outcome> {
        let (url, token) = place.gateway()?;
        let key = said.idempotency_key.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
        let answer = client(&said.trust.over(place.settings.client.clone()))?
            .request(method, self.url(&url)?)
            .timeout(ANSWER_WITHIN)
            .bearer_auth(token)
            .header("idempotency-key", &key)
            .json(&self.document(said))
            .send()
            .await
            .with_context(|| format!("the gateway at {url} does not answer; {}", again(&key)))?;
        let status = answer.status();
        let body: Value = answer.json().await.context("the gateway's answer is not JSON")?;
        if status.as_u16() == 503 {
            bail!("{}; {}", told(&body), again(&key));
        }
        if !status.is_success() {
            bail!("{}", told(&body));
        }
        match said.output {
            Format::Json | Format::Ndjson => output::json(&body)?,
            Format::Table => output::line(&format!(
                "stored as event {} at {}/{}:{}",
                body["event_id"].as_str().unwrap_or_default(),
                body["topic"].as_str().unwrap_or_default(),
                body["partition"],
                body["offset"],
            )),
        }
        Ok(Outcome::Done)
    }

    /// Ids may hold anything, a slash for example.
    fn url(&self, gateway: &str) -> anyhow::Result<reqwest::Url> {
        let mut url = reqwest::Url::parse(gateway).with_context(|| format!("{gateway} is no URL"))?;
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().extend(["api", "v1"]).extend(self.path);
            }
            Err(()) => bail!("{gateway} is no URL of a gateway"),
        }
        Ok(url)
    }

    fn document(&self, said: &Said) -> Value {
        let common = [("reason", &said.reason), ("on_behalf_of", &said.on_behalf_of)];
        let common = common.into_iter().filter_map(|(name, value)| Some((name, value.clone()?.into())));
        let body: Map<String, Value> = self
            .body
            .iter()
            .filter(|(_, value)| !value.is_null())
            .cloned()
            .chain(common)
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        Value::Object(body)
    }
}

fn told(body: &Value) -> &str {
    body["detail"].as_str().or(body["title"].as_str()).unwrap_or("the gateway refused it without a reason")
}

fn again(key: &str) -> String {
    format!("it may be sent again with --idempotency-key {key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_any_kind_stay_one_segment() {
        let command =
            Command { path: &["risk", "entities", "role", "arn:aws:iam::1:role/a b?"], body: Vec::new() };
        for gateway in ["http://localhost:8640", "http://localhost:8640/"] {
            let url = command.url(gateway).expect("a URL");
            assert_eq!(url.path(), "/api/v1/risk/entities/role/arn:aws:iam::1:role%2Fa%20b%3F");
        }
        assert!(command.url("mailto:a@b").is_err() && command.url("localhost").is_err());
    }

    #[test]
    fn what_is_not_said_is_not_sent() {
        let said = Said {
            reason: Some("because".into()),
            on_behalf_of: None,
            idempotency_key: None,
            output: Format::Json,
            trust: Trust::default(),
        };
        let body = vec![("decision", "approved".into()), ("expires_at", Value::Null)];
        let document = Command { path: &[], body }.document(&said);
        assert_eq!(document, serde_json::json!({"decision": "approved", "reason": "because"}));
    }
}
