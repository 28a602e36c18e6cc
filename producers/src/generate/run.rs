//! Publishes generated events at a rate, or as fast as Kafka accepts them.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use schemas::Envelope;
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::kafka::{DeliveryFailure, Producer, SendError, Tally};

/// Number of events after which the task yields.
const STRETCH: u64 = 256;
/// Interval of progress reports.
const REPORT: Duration = Duration::from_millis(100);
/// Time that a stopped run waits for records in flight.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// Publishing rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// As fast as Kafka accepts them.
    Unlimited,
    /// Events per second, evenly spaced. Delays are caught up.
    PerSecond(NonZeroU32),
}

/// Progress of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunProgress {
    /// Events handed to the producer.
    pub sent: u64,
    /// Events that the brokers acknowledged.
    pub acknowledged: u64,
}

/// Summary of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSummary {
    /// Number of events, all acknowledged.
    pub published: u64,
    /// Time from the first event to the last acknowledgement.
    pub took: Duration,
    /// Whether the run was stopped before the last event.
    pub stopped: bool,
}

/// Error of a run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The brokers did not acknowledge every event.
    #[error("{failed} of {sent} events were not acknowledged")]
    Unacknowledged {
        /// Number of failed events.
        failed: u64,
        /// Number of events sent.
        sent: u64,
        /// Failure of the first of them.
        #[source]
        source: DeliveryFailure,
    },
    /// The producer accepts no more events.
    #[error("Kafka takes no more events")]
    Producer(#[from] SendError),
}

/// Publishes the events, waits for every acknowledgement, and reports progress.
pub async fn run(
    events: impl IntoIterator<Item = Envelope>,
    rate: Rate,
    producer: &Producer,
    stop: &CancellationToken,
    mut progress: impl FnMut(RunProgress),
) -> Result<RunSummary, RunError> {
    let (began, tally) = (Instant::now(), Arc::new(Tally::default()));
    let told = |tally: &Tally| RunProgress { sent: tally.sent(), acknowledged: tally.acknowledged() };
    let (mut stopped, mut reported) = (false, began);
    for (at, envelope) in (0_u64..).zip(events) {
        if let Rate::PerSecond(rate) = rate {
            wait_until(began + due_after(at, rate), stop).await;
        }
        if at % STRETCH == 0 {
            tokio::task::yield_now().await;
        }
        if reported.elapsed() >= REPORT {
            reported = Instant::now();
            progress(told(&tally));
        }
        if tally.first_failure().is_some() {
            break;
        }
        let sent = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            sent = producer.send_tallied(&envelope, &tally) => Some(sent),
        };
        match sent {
            Some(sent) => sent?,
            None => stopped = true,
        }
        if stopped {
            break;
        }
    }
    // A run that nobody stops waits as long as the producer does.
    let settled = tokio::select! {
        () = tally.settled() => true,
        () = async { stop.cancelled().await; sleep(LAST_WAIT).await } => false,
    };
    progress(told(&tally));
    let failure = tally.first_failure().cloned().or((!settled).then_some(DeliveryFailure::Stopped));
    let (sent, acknowledged) = (tally.sent(), tally.acknowledged());
    match failure {
        Some(source) => Err(RunError::Unacknowledged { failed: sent - acknowledged, sent, source }),
        None => Ok(RunSummary { published: acknowledged, took: began.elapsed(), stopped }),
    }
}

async fn wait_until(due: Instant, stop: &CancellationToken) {
    if due > Instant::now() {
        tokio::select! {
            () = sleep_until(due) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Time at which an event is due, relative to the first.
fn due_after(at: u64, rate: NonZeroU32) -> Duration {
    let rate = u64::from(rate.get());
    Duration::from_secs(at / rate) + Duration::from_nanos(at % rate * 1_000_000_000 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_due_evenly() {
        let rate = NonZeroU32::new(400).expect("not zero");
        assert_eq!(due_after(0, rate), Duration::ZERO);
        assert_eq!(due_after(1, rate), Duration::from_micros(2_500));
        assert_eq!(due_after(1_000_001, rate), Duration::from_micros(2_500_002_500));
    }
}
