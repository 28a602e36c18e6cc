//! Metrics of a sink.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use metrics::{Counter, Gauge, counter, gauge};
use siem::Fate;
use tokio::task::JoinHandle;

/// Interval at which the age of the oldest undelivered record is reported.
const EVERY: Duration = Duration::from_secs(5);
/// Nothing waits.
const NOTHING: i64 = i64::MAX;

/// Counters and gauges of one sink.
pub(super) struct Gauges {
    forwarded: Counter,
    failed: Counter,
    parked: Counter,
    paused: Gauge,
    open: Gauge,
    /// Kafka's timestamp of the oldest record in flight, in milliseconds.
    oldest: Arc<AtomicI64>,
    teller: JoinHandle<()>,
}

impl Gauges {
    /// Gauges of the sink; reports its oldest record's age until dropped.
    pub(super) fn new(sink: &'static str) -> Self {
        let oldest = Arc::new(AtomicI64::new(NOTHING));
        let (told, seen) = (gauge!("siem_oldest_undelivered_seconds", "siem" => sink), Arc::clone(&oldest));
        let teller = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                told.set(age(seen.load(Ordering::Relaxed)));
            }
        });
        Self {
            forwarded: counter!("siem_events_forwarded_total", "siem" => sink),
            failed: counter!("siem_events_failed_total", "siem" => sink),
            parked: counter!("siem_events_parked_total", "siem" => sink),
            paused: gauge!("siem_paused", "siem" => sink),
            open: gauge!("siem_breaker_open", "siem" => sink),
            oldest,
            teller,
        }
    }

    pub(super) fn settled(&self, fate: &Fate) {
        if *fate == Fate::Delivered {
            self.forwarded.increment(1);
        }
    }

    pub(super) fn delivered(&self, messages: u64) {
        self.forwarded.increment(messages);
    }

    pub(super) fn parked(&self, records: i64) {
        self.parked.increment(u64::try_from(records).unwrap_or(0));
    }

    /// Counts a failed request with so many messages, and whether the breaker is open now.
    pub(super) fn failed(&self, messages: usize, is_open: bool) {
        self.failed.increment(messages as u64);
        self.open.set(f64::from(u8::from(is_open)));
    }

    pub(super) fn paused(&self, is: bool) {
        self.paused.set(f64::from(u8::from(is)));
    }

    pub(super) fn well(&self) {
        self.paused(false);
        self.open.set(0.0);
    }

    /// Sets the time of the oldest record in flight.
    pub(super) fn waits_since(&self, timestamp_ms: Option<i64>) {
        self.oldest.store(timestamp_ms.unwrap_or(NOTHING), Ordering::Relaxed);
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        self.teller.abort();
    }
}

fn age(timestamp_ms: i64) -> f64 {
    if timestamp_ms == NOTHING {
        return 0.0;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds between two instants of our time")]
    let age = (now - timestamp_ms).max(0) as f64 / 1e3;
    age
}
