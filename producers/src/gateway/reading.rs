//! Decoding and parsing of bodies: on a thread beside the event loop if it may take long.

use std::sync::Arc;

use bytes::Bytes;
use edge::api_error::ApiError;
use schemas::problem::ProblemKind;
use tokio::time::{Instant, timeout_at};

use super::{
    App,
    body::{Budget, Sent},
    encoding::{self, ContentEncoding},
    shares::{Charge, Holder},
};

/// Maximum size of bodies that are read on the event loop; larger ones, and all that must be decompressed,
/// are read beside it.
const LIGHT_BYTES: usize = 32 * 1024;

/// Decodes and parses a body. The returned charge covers all of its bytes, and must be kept as long as the
/// result.
pub(super) async fn decoded<T: Send + 'static>(
    app: &Arc<App>,
    encoding: ContentEncoding,
    sent: Sent,
    deadline: Instant,
    parse: impl FnOnce(&Bytes) -> Result<T, ApiError> + Send + 'static,
) -> Result<(T, Charge), ApiError> {
    unpacked(app, encoding, sent, deadline, move |body: &Bytes, _: &mut Charge| parse(body)).await
}

/// The same for a body that unpacks to more bytes: `parse` charges them.
pub(super) async fn unpacked<T: Send + 'static>(
    app: &Arc<App>,
    encoding: ContentEncoding,
    sent: Sent,
    deadline: Instant,
    parse: impl FnOnce(&Bytes, &mut Charge) -> Result<T, ApiError> + Send + 'static,
) -> Result<(T, Charge), ApiError> {
    let weight = Weight::of(encoding, &sent.bytes);
    let worker = Arc::clone(app);
    let Sent { bytes, mut charge } = sent;
    let holder = charge.holder().clone();
    let work = move || {
        let decoded =
            encoding::decode(encoding, bytes, &worker.config.limits, &mut |more| charge.grow(more))?;
        let parsed = parse(&decoded, &mut charge)?;
        Ok((parsed, charge))
    };
    run(&app.budget, &holder, weight, deadline, work).await
}

/// Whether reading a body may block the event loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Light,
    Heavy,
}

impl Weight {
    pub(super) fn of(encoding: ContentEncoding, body: &Bytes) -> Self {
        let light = encoding == ContentEncoding::Identity && body.len() <= LIGHT_BYTES;
        if light { Self::Light } else { Self::Heavy }
    }
}

/// Runs the work here, or on a thread beside the event loop once it is the holder's turn.
pub(super) async fn run<T: Send + 'static>(
    budget: &Budget,
    holder: &Holder,
    weight: Weight,
    deadline: Instant,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if weight == Weight::Light {
        return work();
    }
    let overloaded = |_| ApiError::new(ProblemKind::Overloaded, "too many large bodies are being read");
    let turn = timeout_at(deadline, budget.turn(holder)).await.map_err(overloaded)?;
    let working = tokio::task::spawn_blocking(move || {
        // Here, not with the request: work goes on when the client is gone.
        let _turn = turn;
        work()
    });
    working.await.unwrap_or_else(|_| Err(ApiError::new(ProblemKind::Internal, "the body could not be read")))
}
