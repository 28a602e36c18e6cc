//! Time, as an argument: real where records flow, jumping in the simulation.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::future::{Either, select};

/// Tells the time and waits.
pub(crate) trait Clock: Clone + Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Instant;
    /// Resolves after the duration.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// The future's output, unless it takes longer than `patience`.
    fn timeout<F>(&self, patience: Duration, future: F) -> impl Future<Output = Option<F::Output>> + Send
    where
        F: Future + Send,
        F::Output: Send,
    {
        async move {
            match select(pin!(future), pin!(self.sleep(patience))).await {
                Either::Left((output, _)) => Some(output),
                Either::Right(((), _)) => None,
            }
        }
    }
}

/// Real time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RealTime;

impl Clock for RealTime {
    fn now(&self) -> Instant {
        Instant::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
