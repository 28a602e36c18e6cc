//! A request's body: counted as it arrives, and charged to what the gateway may hold at once.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use schemas::problem::ProblemKind;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::refusal::Refusal;

/// Bodies that are decoded or parsed at once, beside the event loop. Bounds what decoders hold (a zstd
/// window is up to 8 MiB) and leaves the event loop its processor time.
const HEAVY_AT_ONCE: usize = 4;

/// The bytes that requests together may hold.
pub(super) struct Budget {
    bytes: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        let bytes = Arc::new(Semaphore::new(bytes));
        Self { bytes, heavy: Arc::new(Semaphore::new(HEAVY_AT_ONCE)) }
    }

    /// Bytes that are free.
    pub(super) fn free(&self) -> usize {
        self.bytes.available_permits()
    }

    /// A turn to decode or parse a large body; given back when dropped.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.heavy).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// A charge of nothing yet.
    pub(super) fn charge(&self) -> Charge {
        Charge { budget: Arc::clone(&self.bytes), held: None }
    }
}

/// What one request holds of the budget; given back when dropped.
pub(super) struct Charge {
    budget: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Charge {
    /// Takes more, or refuses.
    pub(super) fn grow(&mut self, by: usize) -> Result<(), Refusal> {
        let more = u32::try_from(by)
            .ok()
            .and_then(|by| Arc::clone(&self.budget).try_acquire_many_owned(by).ok())
            .ok_or_else(overloaded)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

fn overloaded() -> Refusal {
    Refusal::new(ProblemKind::Overloaded, "too many bytes are in hand; send it again in a moment").closing()
}

/// A body as it was sent.
pub(super) struct Sent {
    pub(super) bytes: Bytes,
    pub(super) charge: Charge,
}

/// How much of a body is read, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

/// Reads the whole body, or refuses as soon as that is clear: before the first byte by `Content-Length`.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    budget: &Budget,
    patience: Patience,
) -> Result<Sent, Refusal> {
    let declared = declared_length(headers);
    if declared.is_some_and(|length| length > patience.bytes as u64) {
        return Err(too_large(patience.bytes));
    }
    if declared.is_some_and(|length| length > budget.free() as u64) {
        return Err(overloaded());
    }
    match timeout(patience.time, collect(body, budget.charge(), patience.bytes)).await {
        Ok(sent) => sent,
        Err(_) => Err(Refusal::new(
            ProblemKind::RequestTimeout,
            format!("the body did not arrive within {} s", patience.time.as_secs_f32()),
        )
        .closing()),
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

async fn collect(mut body: Body, mut charge: Charge, at_most: usize) -> Result<Sent, Refusal> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Refusal::new(ProblemKind::InvalidRequest, "the body broke off or is framed wrongly").closing()
        })?;
        // Trailers say nothing that matters here.
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > at_most {
            return Err(too_large(at_most));
        }
        charge.grow(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Sent { bytes: bytes.freeze(), charge })
}

fn too_large(at_most: usize) -> Refusal {
    let detail = format!("the body is larger than {at_most} bytes; send fewer events at once");
    Refusal::new(ProblemKind::BodyTooLarge, detail).closing()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug(refusal: &Refusal) -> &str {
        refusal.answer.problem.slug()
    }

    #[tokio::test]
    async fn what_is_held_is_bounded_and_given_back() {
        let patience = Patience { bytes: 1_000, time: Duration::from_secs(5) };
        let budget = Budget::new(100);
        let headers = HeaderMap::new();
        let read = |length: usize| read(&headers, Body::from(vec![b' '; length]), &budget, patience);
        let first = read(70).await.map_err(|refusal| slug(&refusal).to_owned()).expect("room");
        let refused = read(40).await.err().expect("no room");
        assert_eq!(slug(&refused), "overloaded");
        assert_eq!(budget.free(), 30);
        drop(first);
        assert_eq!(budget.free(), 100);
    }

    #[tokio::test]
    async fn a_declared_length_is_judged_before_the_body() {
        let patience = Patience { bytes: 1_000, time: Duration::from_mins(1) };
        let budget = Budget::new(100);
        for (length, expected) in [("101", "overloaded"), ("1001", "body-too-large")] {
            let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, length.parse().expect("a value"))]);
            // A body that never comes: the answer does not wait for it.
            let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
            let refused = read(&headers, never, &budget, patience).await;
            assert_eq!(slug(&refused.err().expect("refused")), expected);
        }
    }
}
