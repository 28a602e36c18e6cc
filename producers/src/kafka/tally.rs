//! Acknowledgements of many records, counted instead of awaited one by one.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::sync::Notify;

use super::{Acknowledged, DeliveryFailure};

/// Counts the outcomes of a set of records: one atomic operation per record, no channel, no task.
#[derive(Debug, Default)]
pub struct Tally {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    first_failure: OnceLock<DeliveryFailure>,
    changed: Notify,
}

impl Tally {
    /// Records handed to the producer.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Records that the brokers acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Relaxed)
    }

    /// Records that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Reason of the first failure.
    pub fn first_failure(&self) -> Option<&DeliveryFailure> {
        self.first_failure.get()
    }

    /// Whether every record sent so far is acknowledged or has failed.
    pub fn is_settled(&self) -> bool {
        self.acknowledged() + self.failed() == self.sent()
    }

    /// Waits until [`Tally::is_settled`]. Call it after the last record is sent.
    pub async fn settled(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_settled() {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn count_sent(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    pub(super) fn uncount_sent(&self) {
        self.sent.fetch_sub(1, Relaxed);
    }

    pub(super) fn count(&self, answer: Result<Acknowledged, DeliveryFailure>) {
        match answer {
            Ok(_) => self.acknowledged.fetch_add(1, Relaxed),
            Err(failure) => {
                self.first_failure.get_or_init(|| failure);
                self.failed.fetch_add(1, Relaxed)
            }
        };
        if self.is_settled() {
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::Topic;

    use super::*;

    #[tokio::test]
    async fn settled_waits_for_the_last_answer() {
        let tally = Arc::new(Tally::default());
        tally.count_sent();
        tally.count_sent();
        tally.count(Err(DeliveryFailure::TimedOut));
        assert!(!tally.is_settled());
        let late = Arc::clone(&tally);
        let answer = tokio::spawn(async move {
            late.count(Ok(Acknowledged { topic: Topic::Activity, partition: 0, offset: 7 }));
        });
        tally.settled().await;
        answer.await.expect("the answering task does not panic");
        assert_eq!((tally.acknowledged(), tally.failed()), (1, 1));
        assert_eq!(tally.first_failure(), Some(&DeliveryFailure::TimedOut));
    }
}
