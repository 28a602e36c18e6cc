//! Computation away from the threads that serve connections.

use std::time::Duration;

/// The longest that one computation is waited for. A stage's session may idle in its transaction for 10 s and a
/// question may take 5 s: this is less than both.
const LIMIT: Duration = Duration::from_secs(4);

/// A computation that took too long, or panicked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotComputed {
    /// It continues in the background and its result is dropped.
    #[error("computing the derived rows took longer than {} s", LIMIT.as_secs())]
    TooSlow,
    /// An internal error.
    #[error("computing the derived rows panicked")]
    Panicked,
}

impl From<NotComputed> for sqlx::Error {
    fn from(error: NotComputed) -> Self {
        Self::Io(std::io::Error::other(error))
    }
}

/// Runs `work` on a thread that may block, for at most [`LIMIT`].
///
/// Work cannot be stopped half-way: hand over no more than [`EntityFacts`](projections::risk::EntityFacts) of a bounded
/// number of entities.
pub(crate) async fn computed<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotComputed> {
    within(LIMIT, work).await
}

async fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotComputed> {
    match tokio::time::timeout(limit, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(NotComputed::Panicked),
        Err(_) => Err(NotComputed::TooSlow),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_does_not_end_is_not_waited_for() {
        let (end, ended) = mpsc::channel::<()>();
        let stuck = within(Duration::ZERO, move || ended.recv().is_err());
        assert!(matches!(stuck.await, Err(NotComputed::TooSlow)));
        drop(end);
        assert!(matches!(computed(|| panic!("a fault")).await, Err::<(), _>(NotComputed::Panicked)));
        assert!(matches!(computed(|| 7).await, Ok(7)));
    }
}
