//! Grace period of a transaction in flight while a member stops.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// One period for all that waits for the transaction: it begins when the member is told to stop.
#[derive(Debug, Clone)]
pub(crate) struct Grace {
    over: CancellationToken,
}

impl Grace {
    /// A period of that length from the cancellation of `stop` on. Called within a runtime.
    pub(crate) fn after(stop: CancellationToken, length: Duration) -> Self {
        let over = CancellationToken::new();
        let ended = over.clone();
        tokio::spawn(async move {
            stop.cancelled().await;
            tokio::time::sleep(length).await;
            ended.cancel();
        });
        Self { over }
    }

    /// Waits for work to end; `None` if the period was over first.
    pub(crate) async fn wait<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.over.cancelled() => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn whoever_waits_after_its_end_waits_no_more() {
        let stop = CancellationToken::new();
        let grace = Grace::after(stop.clone(), Duration::ZERO);
        assert_eq!(grace.wait(ready(1)).await, Some(1), "it has not begun");
        stop.cancel();
        for _ in 0..3 {
            assert_eq!(grace.clone().wait(pending::<()>()).await, None);
        }
        assert_eq!(grace.wait(ready(2)).await, Some(2), "what is done counts");
    }
}
