//! Answers on their way out: their memory is counted until it was taken, and it must be taken at a least rate.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use edge::api_error::ApiError;
use http::{HeaderValue, header};
use http_body::{Frame, SizeHint};
use serde::Serialize;
use tokio_util::task::AbortOnDropHandle;

use super::shares::Memory;

/// An answer is handed out in pieces of this size.
const PIECE_BYTES: usize = 16 * 1024;
/// Least rate at which an answer must be taken, in bytes a second.
const LEAST_RATE: u64 = 64 * 1024;
/// Time that every answer gets besides.
const GRACE: Duration = Duration::from_secs(10);

/// An answer, and the memory that it was given.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) value: T,
    pub(super) memory: Memory,
}

impl<T> Answer<T> {
    /// Another form of the same answer.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: change(self.value), memory: self.memory }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let Self { value, memory } = self;
        let json = match serde_json::to_vec(&value) {
            Ok(json) => Bytes::from(json),
            Err(error) => {
                tracing::error!(%error, "cannot serialise an answer to JSON");
                return ApiError::internal().into_response();
            }
        };
        drop(value);
        let mut response = Response::new(taken(json, memory));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

/// A body that holds memory of its tenant's share until it was taken.
pub(super) fn taken(bytes: Bytes, mut memory: Memory) -> Body {
    memory.shrink_to(bytes.len());
    let patience = GRACE + Duration::from_secs(bytes.len() as u64 / LEAST_RATE);
    Body::new(Taken::new(bytes, memory, patience))
}

/// The part of an answer that the client has not read yet; `None` once it is dropped.
type Rest<M> = Arc<Mutex<Option<(Bytes, M)>>>;

/// A body that gives its memory back piece by piece, and all of it when its reader is too slow.
#[derive(Debug)]
struct Taken<M> {
    rest: Rest<M>,
    length: u64,
    _deadline: AbortOnDropHandle<()>,
}

impl<M: Send + 'static> Taken<M> {
    fn new(bytes: Bytes, memory: M, patience: Duration) -> Self {
        let length = bytes.len() as u64;
        let rest: Rest<M> = Arc::new(Mutex::new(Some((bytes, memory))));
        let late = Arc::clone(&rest);
        let deadline = tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            if lock(&late).take().is_some() {
                metrics::counter!("weir_answers_abandoned_total").increment(1);
                tracing::debug!(length, "the client did not read the answer in time; it is cut off");
            }
        });
        Self { rest, length, _deadline: AbortOnDropHandle::new(deadline) }
    }
}

fn lock<M>(rest: &Rest<M>) -> MutexGuard<'_, Option<(Bytes, M)>> {
    rest.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<M> http_body::Body for Taken<M> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.length == 0 {
            return Poll::Ready(None);
        }
        let piece = {
            let mut held = lock(&self.rest);
            let Some((rest, _)) = held.as_mut() else {
                let late = io::Error::new(io::ErrorKind::TimedOut, "the answer was not taken in time");
                return Poll::Ready(Some(Err(late)));
            };
            // A copy: a slice would keep the whole answer's memory for as long as the connection holds the piece.
            let taken = rest.split_to(rest.len().min(PIECE_BYTES));
            let piece = Bytes::copy_from_slice(&taken);
            if rest.is_empty() {
                *held = None;
            }
            piece
        };
        self.length -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.length == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;

    use super::*;

    fn take<M>(body: &mut Taken<M>) -> Option<io::Result<usize>> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match Pin::new(body).poll_frame(&mut cx) {
            Poll::Ready(frame) => {
                frame.map(|frame| frame.map(|frame| frame.into_data().map_or(0, |data| data.len())))
            }
            Poll::Pending => panic!("an answer is there or it is not"),
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_taken_in_time_arrives_whole() {
        let memory = Arc::new(());
        let bytes = Bytes::from(vec![7; PIECE_BYTES + 5]);
        let mut body = Taken::new(bytes, Arc::clone(&memory), Duration::from_hours(1));
        assert_eq!(body.size_hint().exact(), Some(PIECE_BYTES as u64 + 5));
        assert_eq!(take(&mut body).expect("a piece").expect("in time"), PIECE_BYTES);
        assert_eq!(Arc::strong_count(&memory), 2, "the rest is still held");
        assert_eq!(take(&mut body).expect("a piece").expect("in time"), 5);
        assert_eq!(Arc::strong_count(&memory), 1, "given back with the last piece");
        assert!(body.is_end_stream() && take(&mut body).is_none());
        assert!(Taken::new(Bytes::new(), (), Duration::ZERO).is_end_stream());
    }

    #[tokio::test]
    async fn an_answer_that_is_not_taken_gives_its_memory_back() {
        let memory = Arc::new(());
        let bytes = Bytes::from(vec![7; 2 * PIECE_BYTES]);
        let mut body = Taken::new(bytes, Arc::clone(&memory), Duration::from_millis(1));
        while Arc::strong_count(&memory) > 1 {
            tokio::task::yield_now().await;
        }
        assert!(
            take(&mut body).expect("an end").is_err(),
            "the connection is cut off, not ended as if whole"
        );
    }
}
