//! Requests in flight on an HTTP/2 connection, to close connections that are idle or do not read their
//! responses.
//!
//! HTTP/1.1 needs none of this: its parser limits heads in time, and a response that is not read blocks the
//! socket. Over HTTP/2 a client can keep a connection alive and its flow control window closed.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// Size of the pieces of a response, each of which is sent only once the client's window has room.
const PIECE_BYTES: usize = 16 * 1024;

/// The requests of one connection that are in flight.
#[derive(Debug, Clone)]
pub(crate) struct InHand(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// By request, the time since when its response waits for the client; `None` while the response is being
    /// made.
    requests: HashMap<u64, Option<Instant>>,
    next: u64,
    idle_since: Instant,
}

/// Reason for closing a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// No request for too long.
    Idle,
    /// The client does not read a response.
    Stalled,
}

impl InHand {
    pub(crate) fn new() -> Self {
        let state = State { requests: HashMap::new(), next: 0, idle_since: Instant::now() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a request.
    pub(crate) fn begin(&self) -> One {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.requests.insert(id, None);
        One { id, of: self.clone() }
    }

    /// Whether the connection has been idle, or a response stalled, for the given time.
    pub(crate) fn overdue(&self, now: Instant, idle: Duration, stalled: Duration) -> Option<Overdue> {
        let state = self.lock();
        if state.requests.is_empty() {
            return (now >= state.idle_since + idle).then_some(Overdue::Idle);
        }
        let stuck = state.requests.values().flatten().any(|since| now >= *since + stalled);
        stuck.then_some(Overdue::Stalled)
    }
}

/// One request, until its response is handed over.
#[derive(Debug)]
pub(crate) struct One {
    id: u64,
    of: InHand,
}

impl One {
    fn waits(&self) {
        self.of.lock().requests.insert(self.id, Some(Instant::now()));
    }

    /// Wraps the response's body, which is tracked until its end.
    pub(crate) fn answer<B>(self, body: B) -> Counted<B> {
        self.waits();
        Counted { body, rest: Bytes::new(), one: self }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let mut state = self.of.lock();
        state.requests.remove(&self.id);
        if state.requests.is_empty() {
            state.idle_since = Instant::now();
        }
    }
}

/// A body that records when a piece of it was taken.
#[derive(Debug)]
pub(crate) struct Counted<B> {
    body: B,
    rest: Bytes,
    one: One,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.one.waits();
        if self.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let size = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body as AnyBody;

    use super::*;

    // So long that the test itself takes none of it.
    const IDLE: Duration = Duration::from_hours(1);
    const STALLED: Duration = Duration::from_hours(2);

    /// The reason for closing after that much more time.
    fn overdue(in_hand: &InHand, later: Duration) -> Option<Overdue> {
        in_hand.overdue(Instant::now() + later, IDLE, STALLED)
    }

    fn take<B: Body<Data = Bytes> + Unpin>(body: &mut Counted<B>) -> Option<usize> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match Pin::new(body).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().ok().map(|data| data.len()),
            _ => None,
        }
    }

    #[test]
    fn idle_is_the_time_without_any_request() {
        let in_hand = InHand::new();
        assert_eq!(overdue(&in_hand, IDLE / 2), None);
        assert_eq!(overdue(&in_hand, IDLE), Some(Overdue::Idle));
        let (first, second) = (in_hand.begin(), in_hand.begin());
        assert_eq!(overdue(&in_hand, STALLED * 2), None, "handlers have limits of their own");
        drop(first);
        assert_eq!(overdue(&in_hand, STALLED * 2), None);
        drop(second);
        assert_eq!(overdue(&in_hand, IDLE), Some(Overdue::Idle));
    }

    #[test]
    fn an_answer_must_be_taken_piece_by_piece() {
        let in_hand = InHand::new();
        let mut answer = in_hand.begin().answer(AnyBody::from(vec![7; PIECE_BYTES * 2 + 5]));
        assert_eq!(answer.size_hint().exact(), Some(PIECE_BYTES as u64 * 2 + 5));
        let other = in_hand.begin();
        for size in [PIECE_BYTES, PIECE_BYTES, 5] {
            assert!(!answer.is_end_stream());
            let before = in_hand.lock().requests[&0].expect("it waits for its client");
            assert_eq!(take(&mut answer), Some(size));
            let after = in_hand.lock().requests[&0].expect("it still does");
            assert!(before < after, "each piece begins a new wait");
            assert_eq!(overdue(&in_hand, STALLED / 2), None);
            assert_eq!(overdue(&in_hand, STALLED), Some(Overdue::Stalled));
        }
        assert_eq!(take(&mut answer), None);
        assert!(answer.is_end_stream());
        drop(answer);
        assert_eq!(overdue(&in_hand, STALLED), None, "the other is still being made");
        drop(other);
    }
}
