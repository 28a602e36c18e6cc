//! Key sets of one issuer: fetching and caching.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use reqwest::Url;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::jwk::{InvalidKeys, Key, KeySet};
use crate::peer::is_this_machine;

/// Time limit for one request to an issuer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of an issuer's response, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Age at which keys are refreshed, while tokens go on being checked with them.
const RENEW_AFTER: Duration = Duration::from_mins(10);
/// Time since the last attempt to fetch keys after which tokens wait for the next one: the issuer may have taken
/// a key away since, and nobody has looked.
const UNATTENDED_AFTER: Duration = Duration::from_mins(20);
/// Minimum interval between refreshes for tokens that name an unknown key.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(30);
/// Minimum time from the end of a fetch to the next one.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Maximum number of key ids that are remembered as the issuer's former ones, and as nobody's.
const MAX_REFUSED_IDS: usize = 1_000;
/// Maximum age of keys that stay in use while their issuer does not answer.
const MAX_AGE: Duration = Duration::from_hours(24);

/// Location of an issuer's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The address in the issuer's `/.well-known/openid-configuration`.
    Discovery,
    /// This address.
    Url(String),
    /// This file.
    File(PathBuf),
}

/// Error of fetching keys.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    /// The address is neither https nor on this machine.
    #[error("{0} is not https; clear text is only allowed for an issuer on this machine")]
    Insecure(String),
    /// No response, a late one, or an error status.
    #[error("{url} does not answer")]
    Unavailable {
        /// Requested address.
        url: String,
        /// Error of the HTTP client.
        #[source]
        source: reqwest::Error,
    },
    /// The response exceeds the size limit.
    #[error("the answer of {0} has more than {MAX_BYTES} bytes")]
    TooLarge(String),
    /// The discovery document is invalid, or another issuer's.
    #[error("{0} is not the discovery document of this issuer")]
    Discovery(String),
    /// The key set is invalid.
    #[error("the keys at {place} cannot be used")]
    Keys {
        /// Address or file.
        place: String,
        /// The cause.
        #[source]
        source: InvalidKeys,
    },
    /// The keys are symmetric secrets.
    #[error("the keys at {0} are symmetric: anybody who can verify with them can also sign")]
    Symmetric(String),
    /// No key of the set verifies signatures.
    #[error("no key at {0} can verify signatures")]
    Empty(String),
    /// The file cannot be read.
    #[error("the file {file} cannot be read")]
    File {
        /// Path of the file.
        file: PathBuf,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    issuer: String,
    source: KeySource,
    client: reqwest::Client,
    fetched: ArcSwapOption<Fetched>,
    /// Locked while fetching; whoever needs the result waits for it.
    attempts: Arc<Mutex<Attempts>>,
}

#[derive(Debug)]
struct Fetched {
    keys: KeySet,
    at: Instant,
    /// End of the last attempt to fetch them, whether or not it failed.
    tried_at: Instant,
}

#[derive(Debug, Default)]
struct Attempts {
    /// End of the last one; its beginning while it runs, and where it was given up.
    last: Option<Instant>,
    last_for_unknown: Option<Instant>,
    /// Ids that the issuer's keys had once, and have no more.
    former: BTreeSet<String>,
    /// Ids for which the issuer was asked when it was last asked, and which it does not know.
    nobodys: BTreeSet<String>,
}

impl Attempts {
    /// Notes which ids ended with new keys.
    fn replaced(&mut self, old: Option<&KeySet>, new: &KeySet) {
        self.nobodys.clear();
        self.former.retain(|kid| new.find(Some(kid)).is_none());
        for kid in old.into_iter().flat_map(KeySet::ids).filter(|kid| new.find(Some(kid)).is_none()) {
            if self.former.len() < MAX_REFUSED_IDS {
                self.former.insert(kid.to_owned());
            }
        }
    }

    /// Notes an id that the keys were just asked for. One that they have is found before anybody looks here.
    fn note_absent(&mut self, kid: Option<&str>) {
        if let Some(kid) = kid.filter(|_| self.nobodys.len() < MAX_REFUSED_IDS) {
            self.nobodys.insert(kid.to_owned());
        }
    }

    fn knows_as_absent(&self, kid: &str) -> bool {
        self.former.contains(kid) || self.nobodys.contains(kid)
    }

    /// Whether it is too early to ask again, for an unknown id or in general.
    fn are_recent(&self, asked: Instant, unknown: Option<&str>) -> bool {
        let within = |last: Option<Instant>, interval| last.is_some_and(|last| asked < last + interval);
        within(self.last, RETRY_AFTER)
            || (unknown.is_some() && within(self.last_for_unknown, UNKNOWN_KEY_INTERVAL))
    }

    fn note(&mut self, at: Instant, unknown: Option<&str>) {
        self.last = Some(at);
        if unknown.is_some() {
            self.last_for_unknown = Some(at);
        }
    }
}

/// Result of a key lookup.
#[derive(Debug)]
pub(super) enum Found {
    Key(Key),
    /// The issuer has no key with this id.
    Unknown,
    /// The issuer's keys cannot be fetched at present.
    Unavailable,
}

impl IssuerKeys {
    pub(super) fn new(issuer: String, source: KeySource) -> Result<Self, reqwest::Error> {
        // Whoever came first has installed the same provider.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = crate::outbound::client_builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let fetched = ArcSwapOption::empty();
        Ok(Self { issuer, source, client, fetched, attempts: Arc::default() })
    }

    /// The key with that id; fetches keys if necessary. A key that is known and lately looked after is returned at
    /// once, and renewed aside when it is old: an issuer that hangs delays nobody.
    ///
    /// An id that nobody asked for before is not called unknown by keys that are older than the question:
    /// where the issuer cannot be asked now, whoever made up other ids would else have the tokens of a new
    /// key refused.
    pub(super) async fn find(self: &Arc<Self>, kid: Option<&str>) -> Found {
        let asked = Instant::now();
        let current = self.usable(asked);
        let key = current.as_ref().and_then(|fetched| fetched.keys.find(kid).cloned());
        if let (Some(fetched), Some(key)) = (&current, &key)
            && asked.saturating_duration_since(fetched.tried_at) < UNATTENDED_AFTER
        {
            if asked.saturating_duration_since(fetched.at) >= RENEW_AFTER {
                self.renew_aside(asked);
            }
            return Found::Key(key.clone());
        }
        let unknown = (current.is_some() && key.is_none()).then(|| kid.unwrap_or_default());
        let is_certain = self.renew(asked, unknown).await;
        let found = self.usable(asked).map(|fetched| fetched.keys.find(kid).cloned());
        match found {
            Some(Some(key)) => Found::Key(key),
            Some(None) if is_certain => Found::Unknown,
            Some(None) | None => Found::Unavailable,
        }
    }

    /// Whether they are the keys of that issuer at that place.
    pub(super) fn are_of(&self, issuer: &str, source: &KeySource) -> bool {
        self.issuer == issuer && self.source == *source
    }

    /// Fetches the keys unless there are some, to report errors early.
    pub(super) async fn prime(&self) {
        let now = Instant::now();
        if self.usable(now).is_none() {
            let _: bool = self.renew(now, None).await;
        }
    }

    fn usable(&self, now: Instant) -> Option<Arc<Fetched>> {
        self.fetched.load_full().filter(|fetched| now.saturating_duration_since(fetched.at) < MAX_AGE)
    }

    /// Has another task renew the keys, unless one is fetching them or has just tried.
    fn renew_aside(self: &Arc<Self>, asked: Instant) {
        let Ok(mut attempts) = Arc::clone(&self.attempts).try_lock_owned() else { return };
        if attempts.are_recent(asked, None) {
            return;
        }
        let keys = Arc::clone(self);
        tokio::spawn(async move {
            let _: bool = keys.renew_with(&mut attempts, asked, None).await;
        });
    }

    /// Fetches the keys, unless another caller has just fetched or tried. Whether an id that is not among the
    /// keys, such as `unknown`, is certainly none of the issuer's.
    async fn renew(&self, asked: Instant, unknown: Option<&str>) -> bool {
        let mut attempts = self.attempts.lock().await;
        self.renew_with(&mut attempts, asked, unknown).await
    }

    async fn renew_with(&self, attempts: &mut Attempts, asked: Instant, unknown: Option<&str>) -> bool {
        let done_since = self.fetched.load().as_ref().is_some_and(|fetched| fetched.at >= asked);
        if done_since {
            attempts.note_absent(unknown);
            return true;
        }
        if attempts.are_recent(asked, unknown) {
            return unknown.is_some_and(|kid| attempts.knows_as_absent(kid));
        }
        // Noted before, too: whoever gives up waiting must not have the issuer asked more often.
        attempts.note(Instant::now(), unknown);
        let fetched = self.fetch().await;
        let now = Instant::now();
        attempts.note(now, unknown);
        let before = self.fetched.load_full();
        match fetched {
            Ok(keys) => {
                info!(issuer = self.issuer, "the issuer's keys were fetched");
                attempts.replaced(before.as_ref().map(|before| &before.keys), &keys);
                self.fetched.store(Some(Arc::new(Fetched { keys, at: now, tried_at: now })));
                metrics::counter!("weir_issuer_fetches_total", "outcome" => "fetched").increment(1);
                attempts.note_absent(unknown);
                true
            }
            Err(error) => {
                if let Some(before) = before {
                    let (keys, at) = (before.keys.clone(), before.at);
                    self.fetched.store(Some(Arc::new(Fetched { keys, at, tried_at: now })));
                }
                let error = &error as &dyn std::error::Error;
                warn!(issuer = self.issuer, error, "cannot fetch the issuer's keys; will retry");
                metrics::counter!("weir_issuer_fetches_total", "outcome" => "failed").increment(1);
                unknown.is_some_and(|kid| attempts.knows_as_absent(kid))
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let (place, json) = match &self.source {
            KeySource::File(file) => {
                let source_of = |source| FetchError::File { file: file.clone(), source };
                (file.display().to_string(), tokio::fs::read(file).await.map_err(source_of)?)
            }
            KeySource::Url(url) => (url.clone(), self.get(url).await?),
            KeySource::Discovery => {
                let url = self.discovered().await?;
                let json = self.get(&url).await?;
                (url, json)
            }
        };
        if json.len() > MAX_BYTES {
            return Err(FetchError::TooLarge(place));
        }
        let keys =
            KeySet::parse(&json).map_err(|source| FetchError::Keys { place: place.clone(), source })?;
        if keys.is_symmetric() {
            return Err(FetchError::Symmetric(place));
        }
        if keys.is_empty() {
            return Err(FetchError::Empty(place));
        }
        Ok(keys)
    }

    /// Address of the keys in the issuer's discovery document (OpenID Connect Discovery 1.0, section 4).
    async fn discovered(&self) -> Result<String, FetchError> {
        #[derive(Deserialize)]
        struct Document {
            issuer: String,
            jwks_uri: String,
        }
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let json = self.get(&url).await?;
        let document: Option<Document> = serde_json::from_slice(&json).ok();
        let document = document.filter(|document| document.issuer == self.issuer);
        document.map(|document| document.jwks_uri).ok_or(FetchError::Discovery(url))
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let parsed =
            Url::parse(url).ok().filter(is_safe).ok_or_else(|| FetchError::Insecure(url.to_owned()))?;
        let unavailable = |source| FetchError::Unavailable { url: url.to_owned(), source };
        let answer = self.client.get(parsed).send().await.and_then(reqwest::Response::error_for_status);
        let mut answer = answer.map_err(unavailable)?;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(unavailable)? {
            if body.len() + piece.len() > MAX_BYTES {
                return Err(FetchError::TooLarge(url.to_owned()));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// Whether the address is https, or on this machine.
fn is_safe(url: &Url) -> bool {
    let is_local = is_this_machine(url.host_str().unwrap_or_default());
    url.scheme() == "https" || (url.scheme() == "http" && is_local)
}
