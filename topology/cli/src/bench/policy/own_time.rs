//! The time that the gateway itself measures, exactly: histograms that are exported have buckets.

use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Histogram of the time from the parsed head of a request to its response.
const MEASURED: &str = "http_server_request_duration_seconds";

/// Times of requests within the gateway, in seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnTime(Arc<Mutex<Vec<f64>>>);

impl OwnTime {
    /// Records from now on; once in a process.
    pub(super) fn install() -> anyhow::Result<Self> {
        let own = Self::default();
        metrics::set_global_recorder(own.clone())
            .map_err(|_| anyhow::anyhow!("metrics are recorded already"))?;
        Ok(own)
    }

    /// The times since the last call.
    pub(super) fn take(&self) -> Vec<f64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HistogramFn for OwnTime {
    fn record(&self, value: f64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(value);
    }
}

impl Recorder for OwnTime {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if key.name() == MEASURED { Histogram::from_arc(Arc::new(self.clone())) } else { Histogram::noop() }
    }
}
