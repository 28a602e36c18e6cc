//! Transport to a receiver, for every protocol.

use std::{collections::BTreeMap, io::Write as _, time::Instant};

use metrics::histogram;
use secrecy::{ExposeSecret as _, SecretString};
use siem::{
    Destination, Message, Verdict,
    http::HttpRequest,
    settings::{SecretSource, Sink as SinkSetup},
    webhook::Webhook,
};

use super::{file::FileWriter, http::HttpClient, syslog::SyslogConnection};

/// Error of opening a sink.
#[derive(Debug, thiserror::Error)]
#[error("the sink {name} cannot be opened: {why}")]
pub struct OpenError {
    /// The sink.
    pub name: String,
    /// Description of the fault.
    pub why: String,
}

/// A secret as it was read; compared, never shown.
#[derive(Clone)]
pub(super) struct Secret(SecretString);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq as _;
        self.0.expose_secret().as_bytes().ct_eq(other.0.expose_secret().as_bytes()).into()
    }
}

pub(super) struct Transport {
    name: String,
    source: SecretSource,
    way: Way,
}

enum Way {
    Http(HttpClient, Destination),
    Syslog(Box<SyslogConnection>),
    File(FileWriter),
}

impl Transport {
    pub(super) fn new(setup: &SinkSetup) -> Result<Self, OpenError> {
        let opened = match &setup.destination {
            Destination::Syslog(syslog) => {
                SyslogConnection::new(syslog.clone(), setup).map(Box::new).map(Way::Syslog)
            }
            Destination::File(file) => Ok(Way::File(FileWriter::new(file.clone()))),
            http => HttpClient::new(setup).map(|client| Way::Http(client, http.clone())),
        };
        let way = opened.map_err(|why| OpenError { name: setup.name.clone(), why })?;
        Ok(Self { name: setup.name.clone(), source: setup.secret.clone(), way })
    }

    /// Reads the current secret.
    pub(super) fn secret(&self) -> Result<Secret, String> {
        let text = match &self.source {
            SecretSource::None => String::new(),
            SecretSource::Given(text) => text.clone(),
            SecretSource::File(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("its secret cannot be read from {}: {error}", path.display()))?,
            SecretSource::Environment(name) => std::env::var(name)
                .map_err(|_| format!("its secret is not in the environment: {name} is not set"))?,
        };
        let text = text.trim().to_owned();
        if text.is_empty() && self.source != SecretSource::None {
            return Err("its secret is empty".to_owned());
        }
        Ok(Secret(text.into()))
    }

    /// Sends messages in one request, and returns the verdict on them.
    pub(super) async fn send(&mut self, messages: &[&Message], compress: bool) -> Verdict {
        let began = Instant::now();
        let verdict = match self.secret() {
            Ok(secret) => self.exchange(messages, secret.0.expose_secret(), compress).await,
            Err(why) => Verdict::Pause { why },
        };
        histogram!("siem_forward_duration_seconds", "siem" => self.name.clone()).record(began.elapsed());
        verdict
    }

    async fn exchange(&mut self, messages: &[&Message], secret: &str, compress: bool) -> Verdict {
        match &mut self.way {
            Way::Syslog(connection) => connection.send(messages).await,
            Way::File(file) => file.write(messages).await,
            Way::Http(client, destination) => {
                let request = match request(destination, messages, secret) {
                    Ok(request) => request,
                    Err(why) => return Verdict::Pause { why },
                };
                #[expect(clippy::cast_precision_loss, reason = "a request has some megabytes at most")]
                histogram!("siem_batch_size_bytes", "siem" => self.name.clone())
                    .record(request.body.len() as f64);
                match compressed(request, compress) {
                    Ok((request, encoding)) => {
                        let judge =
                            |answer: &siem::http::HttpAnswer<'_>| judge(destination, answer, messages);
                        client.send(request, encoding, judge).await
                    }
                    Err(error) => Verdict::retry(format!("the body cannot be compressed: {error}")),
                }
            }
        }
    }

    /// Asks which of these requests are acknowledged.
    pub(super) async fn acknowledged(&mut self, numbers: &[u64]) -> Result<BTreeMap<u64, bool>, Verdict> {
        let secret = self.secret().map_err(|why| Verdict::Pause { why })?;
        let Way::Http(client, Destination::SplunkHec(hec)) = &mut self.way else {
            return Ok(BTreeMap::new());
        };
        let request = hec.ask(numbers, secret.0.expose_secret());
        let mut told = Ok(BTreeMap::new());
        let verdict = client
            .send(request, None, |answer| {
                told = hec.acknowledged(answer);
                told.as_ref().err().cloned().unwrap_or(Verdict::Delivered)
            })
            .await;
        if verdict == Verdict::Delivered { told } else { Err(verdict) }
    }
}

/// Sends one test message; an error describes the failure in a sentence.
pub async fn probe(setup: &SinkSetup, message: &Message) -> Result<Verdict, OpenError> {
    let mut transport = Transport::new(setup)?;
    Ok(transport.send(&[message], setup.gzip).await)
}

fn request(destination: &Destination, messages: &[&Message], secret: &str) -> Result<HttpRequest, String> {
    Ok(match destination {
        Destination::SplunkHec(hec) => hec.request(messages, secret),
        Destination::Datadog(datadog) => datadog.request(messages, secret),
        Destination::Elasticsearch(elastic) => elastic.request(messages, secret),
        Destination::Webhook(hook) => signed(hook, messages, secret)?,
        Destination::Slack(slack) => slack.request(messages, secret),
        Destination::Syslog(_) | Destination::File(_) => unreachable!("they are no receivers over HTTP"),
    })
}

fn signed(hook: &Webhook, messages: &[&Message], secret: &str) -> Result<HttpRequest, String> {
    hook.request(messages, secret, chrono::Utc::now()).map_err(|bad| bad.to_string())
}

fn judge(destination: &Destination, answer: &siem::http::HttpAnswer<'_>, sent: &[&Message]) -> Verdict {
    match destination {
        Destination::SplunkHec(hec) => hec.judge(answer),
        Destination::Datadog(datadog) => datadog.judge(answer),
        Destination::Elasticsearch(elastic) => elastic.judge(answer, sent),
        Destination::Webhook(hook) => hook.judge(answer),
        Destination::Slack(slack) => slack.judge(answer),
        Destination::Syslog(_) | Destination::File(_) => unreachable!("they are no receivers over HTTP"),
    }
}

/// The request with its body compressed, and how.
fn compressed(request: HttpRequest, compress: bool) -> std::io::Result<(HttpRequest, Option<&'static str>)> {
    if !compress {
        return Ok((request, None));
    }
    let room = Vec::with_capacity(request.body.len() / 4);
    let mut encoder = flate2::write::GzEncoder::new(room, flate2::Compression::fast());
    encoder.write_all(&request.body)?;
    Ok((HttpRequest { body: encoder.finish()?, ..request }, Some("gzip")))
}
