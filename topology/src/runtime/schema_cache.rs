//! Schemas of Confluent-framed records, fetched in the background: the poll thread never waits for a registry.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use schemas::codec::{SchemaAnswer, SchemaLookup, WriterSchema};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::driver::Schemas;

/// Ids that may wait to be asked for. One that finds no place is asked for when its record comes again.
const WAITING: usize = 256;
/// Answers kept. Ids beyond it evict those that nobody knows: an attacker can invent ids, not schemas.
const MAX_ANSWERS: usize = 10_000;
/// How long nobody's id stays nobody's; it may be registered later.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// How long to wait when the registry does not answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a registry says about an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The schema's text, references resolved.
    Schema(String),
    /// There is none.
    Unknown,
    /// There is one that may not be used, and why.
    Refused(String),
}

/// The answer to a fetch, some time.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Fetched, String>> + Send + 'a>>;

/// Where schemas come from.
pub trait SchemaSource: Send + Sync + 'static {
    /// Fetches the schema of an id. An error is an outage: it is asked again.
    fn fetch(&self, id: u32) -> Fetching<'_>;
}

/// What is known about schema ids; clones share it.
#[derive(Clone, Default)]
pub(crate) struct SchemaCache {
    answers: Arc<RwLock<HashMap<u32, (SchemaAnswer, Instant)>>>,
    /// None: no registry is configured.
    wanted: Option<mpsc::Sender<u32>>,
}

impl SchemaCache {
    /// A cache in front of a source. Its fetching ends with the last clone.
    pub(crate) fn new(source: Option<Arc<dyn SchemaSource>>) -> Self {
        let Some(source) = source else { return Self::default() };
        let (wanted, waiting) = mpsc::channel(WAITING);
        let cache = Self { answers: Arc::default(), wanted: Some(wanted) };
        tokio::spawn(fetch_all(Arc::clone(&cache.answers), waiting, source));
        cache
    }

    fn answer(&self, id: u32) -> Option<SchemaAnswer> {
        let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        let (answer, at) = answers.get(&id)?;
        let stale = matches!(answer, SchemaAnswer::Unknown) && at.elapsed() >= UNKNOWN_FOR;
        (!stale).then(|| answer.clone())
    }
}

impl SchemaLookup for SchemaCache {
    fn by_id(&self, id: u32) -> SchemaAnswer {
        let nothing = if self.wanted.is_some() { SchemaAnswer::Missing } else { SchemaAnswer::Unknown };
        self.answer(id).unwrap_or(nothing)
    }
}

impl Schemas for SchemaCache {
    fn want(&self, id: u32) {
        let refused = self.wanted.as_ref().and_then(|wanted| wanted.try_send(id).err());
        if refused.is_some() {
            // It is asked for again when there is room, see `is_answered`.
            debug!(id, "too many schemas are wanted at once");
        }
    }

    fn is_answered(&self, id: u32) -> bool {
        let answered = self.wanted.is_none() || self.answer(id).is_some();
        let lost = || self.wanted.as_ref().is_some_and(|wanted| wanted.capacity() == WAITING);
        if !answered && lost() {
            self.want(id);
        }
        answered
    }
}

async fn fetch_all(
    answers: Arc<RwLock<HashMap<u32, (SchemaAnswer, Instant)>>>,
    mut waiting: mpsc::Receiver<u32>,
    source: Arc<dyn SchemaSource>,
) {
    while let Some(id) = waiting.recv().await {
        let known = |answers: &HashMap<u32, (SchemaAnswer, Instant)>| {
            answers.get(&id).is_some_and(|(answer, _)| !matches!(answer, SchemaAnswer::Unknown))
        };
        if known(&answers.read().unwrap_or_else(PoisonError::into_inner)) {
            continue;
        }
        let answer = loop {
            match source.fetch(id).await {
                Ok(Fetched::Schema(text)) => match WriterSchema::parse(&text) {
                    Ok(schema) => break SchemaAnswer::Known(Arc::new(schema)),
                    Err(why) => break SchemaAnswer::Refused(why),
                },
                Ok(Fetched::Unknown) => break SchemaAnswer::Unknown,
                Ok(Fetched::Refused(why)) => break SchemaAnswer::Refused(why),
                Err(error) => {
                    warn!(id, error, "the schema registry does not answer; partitions that need it wait");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        };
        let mut answers = answers.write().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MAX_ANSWERS {
            answers.retain(|_, (answer, _)| matches!(answer, SchemaAnswer::Known(_)));
        }
        answers.insert(id, (answer, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Fails twice, then knows nothing but id 7, which it refuses.
    #[derive(Default)]
    struct Scripted {
        calls: AtomicU32,
    }

    impl SchemaSource for Scripted {
        fn fetch(&self, id: u32) -> Fetching<'_> {
            let call = self.calls.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                match (call, id) {
                    (0..2, _) => Err("connection refused".into()),
                    (_, 7) => Ok(Fetched::Refused("recursive".into())),
                    _ => Ok(Fetched::Unknown),
                }
            })
        }
    }

    async fn answered(cache: &SchemaCache, id: u32) -> SchemaAnswer {
        assert!(matches!(cache.by_id(id), SchemaAnswer::Missing));
        cache.want(id);
        while !cache.is_answered(id) {
            tokio::task::yield_now().await;
        }
        cache.by_id(id)
    }

    #[tokio::test]
    async fn an_outage_is_waited_out_and_answers_are_kept() {
        let source = Arc::new(Scripted::default());
        let cache = SchemaCache::new(Some(Arc::clone(&source) as Arc<dyn SchemaSource>));
        assert!(matches!(answered(&cache, 7).await, SchemaAnswer::Refused(why) if why == "recursive"));
        assert!(matches!(answered(&cache, 8).await, SchemaAnswer::Unknown));
        assert_eq!(source.calls.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn without_a_registry_every_id_is_unknown() {
        let cache = SchemaCache::new(None);
        assert!(matches!(cache.by_id(1), SchemaAnswer::Unknown) && cache.is_answered(1));
    }
}
