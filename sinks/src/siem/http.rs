//! The client of HTTP receivers: bounded in time and size, follows no redirect, connects only to allowed
//! addresses.

use std::{
    collections::BTreeMap,
    error::Error as _,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, RETRY_AFTER, SET_COOKIE},
};
use siem::{
    Verdict,
    http::{HttpAnswer, HttpRequest},
    reach::Reach,
    settings::Sink as SinkSetup,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the first byte sent to the last byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes that are read of an answer: a bulk answer has some hundred bytes for each record.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// Cookies that are kept: by one of them a balancer finds the indexer that has the acknowledgements.
const MAX_COOKIES: usize = 16;

pub(super) struct HttpClient {
    client: reqwest::Client,
    reach: Reach,
    cookies: BTreeMap<String, String>,
}

impl HttpClient {
    pub(super) fn new(setup: &SinkSetup) -> Result<Self, String> {
        // Whoever came first has installed the same provider.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(Resolver(setup.reach.clone())));
        if let Some(file) = &setup.ca_certificate {
            let pem =
                std::fs::read(file).map_err(|error| format!("ca_certificate {}: {error}", file.display()))?;
            let authorities = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
            if authorities.is_empty() {
                return Err(format!("ca_certificate {} holds no certificate in PEM form", file.display()));
            }
            client = client.tls_certs_only(authorities);
        }
        let client = client.build().map_err(|error| error.to_string())?;
        Ok(Self { client, reach: setup.reach.clone(), cookies: BTreeMap::new() })
    }

    /// Sends a request, and reads the whole answer.
    pub(super) async fn send(
        &mut self,
        request: HttpRequest,
        encoding: Option<&'static str>,
        judge: impl FnOnce(&HttpAnswer<'_>) -> Verdict,
    ) -> Verdict {
        let url = match self.checked(&request.url) {
            Ok(url) => url,
            Err(why) => return Verdict::Pause { why },
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let Ok(mut value) = HeaderValue::from_str(value) else {
                return Verdict::pause(format!("its secret cannot stand in the header {name}"));
            };
            value.set_sensitive(true);
            headers.insert(*name, value);
        }
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if let (false, Ok(value)) = (cookies.is_empty(), HeaderValue::from_str(&cookies.join("; "))) {
            headers.insert(COOKIE, value);
        }
        match self.client.post(url).headers(headers).body(request.body).send().await {
            Ok(answer) => self.read(answer, encoding.is_some(), judge).await,
            Err(error) => failed(&error),
        }
    }

    async fn read(
        &mut self,
        mut answer: reqwest::Response,
        compressed: bool,
        judge: impl FnOnce(&HttpAnswer<'_>) -> Verdict,
    ) -> Verdict {
        self.keep_cookies(answer.headers());
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER_BYTES => {
                    body.extend_from_slice(&chunk);
                }
                Ok(Some(_)) => {
                    return Verdict::unreadable(format!(
                        "its answer is longer than {MAX_ANSWER_BYTES} bytes"
                    ));
                }
                Ok(None) => break,
                Err(error) => return failed(&error),
            }
        }
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        judge(&HttpAnswer {
            status: answer.status().as_u16(),
            retry_after: header(RETRY_AFTER.as_str()),
            rate_limit_reset: header("x-ratelimit-reset"),
            content_type: header(CONTENT_TYPE.as_str()),
            body: &body,
            compressed,
            at: chrono::Utc::now(),
        })
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE) {
            let pair = cookie.to_str().ok().and_then(|text| text.split(';').next()?.split_once('='));
            if let Some((name, value)) = pair
                && (self.cookies.len() < MAX_COOKIES || self.cookies.contains_key(name.trim()))
            {
                self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }

    /// The URL, unless it names an address that may not be called. Names are checked when they are resolved.
    fn checked(&self, url: &str) -> Result<Url, String> {
        // A URL may be a secret: it is not repeated.
        let url: Url = url.parse().map_err(|_| "its URL cannot be read".to_owned())?;
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse::<IpAddr>()
            && let Some(why) = self.reach.refusal(address)
        {
            return Err(format!("{address} is {why}: add it to allow_networks if that is meant"));
        }
        Ok(url)
    }
}

/// Verdict on a transport error. Its text leaves out the URL, which may be a secret.
fn failed(error: &reqwest::Error) -> Verdict {
    let mut cause = error.source();
    let mut why = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "no answer in time".to_owned(),
        (_, true) => "cannot connect".to_owned(),
        _ => "the connection broke".to_owned(),
    };
    while let Some(next) = cause {
        if next.downcast_ref::<Refused>().is_some() {
            return Verdict::pause(next.to_string());
        }
        if next.source().is_none() {
            why = format!("{why}: {next}");
        }
        cause = next.source();
    }
    Verdict::retry(why)
}

/// Resolves names to the addresses that may be called.
struct Resolver(Reach);

/// A name that resolves to no address that may be called.
#[derive(Debug, thiserror::Error)]
#[error("{name} resolves to {address}, {why}: add it to allow_networks if that is meant")]
struct Refused {
    name: String,
    address: IpAddr,
    why: &'static str,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            let addresses = resolved(&reach, name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The addresses of a name that may be called.
pub(super) async fn resolved(
    reach: &Reach,
    name: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    let (mut allowed, mut refused) = (Vec::new(), None);
    for address in tokio::net::lookup_host((name, port)).await? {
        match reach.refusal(address.ip()) {
            None => allowed.push(address),
            Some(why) => refused = Some(Refused { name: name.to_owned(), address: address.ip(), why }),
        }
    }
    match refused {
        Some(refused) if allowed.is_empty() => Err(Box::new(refused)),
        _ => Ok(allowed),
    }
}
