//! Transport to a receiver, for every protocol.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use metrics::histogram;
use secrecy::{ExposeSecret as _, SecretString};
use siem::{
    Destination, Message, Verdict,
    dispatch::Group,
    http::HttpRequest,
    settings::{SecretSource, Sink as SinkSetup},
    webhook::Webhook,
};
use tokio::task::JoinHandle;

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

/// Level of libdeflate for bodies: 642 bytes for an audit record of 4,600 in 8 µs, where zlib's fastest leaves 920 in the same
/// time. Level 6 would leave 520 in 15 µs.
const GZIP_LEVEL: i32 = 1;

enum Way {
    Http(HttpClient, Arc<Destination>),
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
            http => HttpClient::new(setup).map(|client| Way::Http(client, Arc::new(http.clone()))),
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

    /// Begins to compose the request of a group of messages, beside what is sent meanwhile.
    pub(super) fn compose(&self, group: Group, messages: &Arc<Vec<Message>>, compress: bool) -> Composing {
        let Way::Http(_, destination) = &self.way else { return Composing { group, body: Body::Direct } };
        let body = match self.secret() {
            Ok(secret) => {
                let (destination, messages, chosen) =
                    (Arc::clone(destination), Arc::clone(messages), group.clone());
                let work = move || {
                    let chosen: Vec<&Message> = chosen.iter().map(|index| &messages[*index]).collect();
                    composed(&destination, &chosen, secret.0.expose_secret(), compress)
                };
                Body::Composing(tokio::task::spawn_blocking(work))
            }
            Err(why) => Body::Refused(why),
        };
        Composing { group, body }
    }

    /// Sends messages in the one request that was composed of them, and returns the verdict on them.
    pub(super) async fn send(&mut self, body: Body, messages: &[&Message]) -> Verdict {
        let began = Instant::now();
        let verdict = match body {
            Body::Refused(why) => Verdict::Pause { why },
            Body::Direct => self.write(messages).await,
            Body::Composing(composing) => match composing.await {
                Ok(Ok(composed)) => self.exchange(composed, messages).await,
                Ok(Err(verdict)) => verdict,
                Err(error) => Verdict::retry(format!("a request could not be composed: {error}")),
            },
        };
        histogram!("siem_forward_duration_seconds", "siem" => self.name.clone()).record(began.elapsed());
        verdict
    }

    async fn write(&mut self, messages: &[&Message]) -> Verdict {
        match &mut self.way {
            Way::Syslog(connection) => connection.send(messages).await,
            Way::File(file) => file.write(messages).await,
            Way::Http(..) => unreachable!("its requests are composed before they are sent"),
        }
    }

    async fn exchange(&mut self, composed: Composed, messages: &[&Message]) -> Verdict {
        let Way::Http(client, destination) = &mut self.way else {
            unreachable!("requests are composed for receivers over HTTP alone")
        };
        histogram!("siem_batch_size_bytes", "siem" => self.name.clone()).record(composed.plain_bytes);
        let judge = |answer: &siem::http::HttpAnswer<'_>| judge(destination, answer, messages);
        client.send(composed.request, composed.encoding, judge).await
    }

    /// Asks which of these requests are acknowledged.
    pub(super) async fn acknowledged(&mut self, numbers: &[u64]) -> Result<BTreeMap<u64, bool>, Verdict> {
        let secret = self.secret().map_err(|why| Verdict::Pause { why })?;
        let Way::Http(client, destination) = &mut self.way else { return Ok(BTreeMap::new()) };
        let Destination::SplunkHec(hec) = destination.as_ref() else { return Ok(BTreeMap::new()) };
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
    let composing = transport.compose(vec![0], &Arc::new(vec![message.clone()]), setup.gzip);
    Ok(transport.send(composing.body, &[message]).await)
}

/// A group of messages whose request is being composed.
pub(super) struct Composing {
    /// The messages, by their places in the batch.
    pub(super) group: Group,
    /// Their request.
    pub(super) body: Body,
}

/// The request of a group of messages.
pub(super) enum Body {
    /// Composed on another thread; an error is the verdict on a request that cannot be made.
    Composing(JoinHandle<Result<Composed, Verdict>>),
    /// The destination takes the messages themselves.
    Direct,
    /// There is no secret to send it with.
    Refused(String),
}

/// A request that is ready to be sent.
pub(super) struct Composed {
    request: HttpRequest,
    encoding: Option<&'static str>,
    /// Bytes of its body before compression.
    plain_bytes: f64,
}

fn composed(
    destination: &Destination,
    messages: &[&Message],
    secret: &str,
    compress: bool,
) -> Result<Composed, Verdict> {
    let request = request(destination, messages, secret).map_err(|why| Verdict::Pause { why })?;
    #[expect(clippy::cast_precision_loss, reason = "a request has some megabytes at most")]
    let plain_bytes = request.body.len() as f64;
    let (request, encoding) = compressed(request, compress)
        .map_err(|error| Verdict::retry(format!("the body cannot be compressed: {error}")))?;
    Ok(Composed { request, encoding, plain_bytes })
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
fn compressed(
    request: HttpRequest,
    compress: bool,
) -> Result<(HttpRequest, Option<&'static str>), libdeflater::CompressionError> {
    if !compress {
        return Ok((request, None));
    }
    let level = libdeflater::CompressionLvl::new(GZIP_LEVEL).unwrap_or_default();
    let mut compressor = libdeflater::Compressor::new(level);
    let mut body = vec![0; compressor.gzip_compress_bound(request.body.len())];
    let length = compressor.gzip_compress(&request.body, &mut body)?;
    body.truncate(length);
    Ok((HttpRequest { body, ..request }, Some("gzip")))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_compressed_body_is_gzip_that_others_read() {
        for text in ["", "x", &"{\"event\":{\"a\":1}}\n".repeat(5_000)] {
            let request = |body: &str| HttpRequest {
                url: "https://siem.example.com".to_owned(),
                headers: Vec::new(),
                body: body.as_bytes().to_vec(),
            };
            let (sent, encoding) = compressed(request(text), true).expect("it is compressed");
            let mut read = String::new();
            flate2::read::GzDecoder::new(sent.body.as_slice()).read_to_string(&mut read).expect("gzip");
            assert_eq!((read.as_str(), encoding), (text, Some("gzip")));
            assert_eq!(compressed(request(text), false).expect("as it is"), (request(text), None));
        }
    }
}
