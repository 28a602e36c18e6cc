//! The time that the gateway itself measures, exactly: histograms that are exported have buckets.

use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tokio::runtime::{Builder, Runtime};

/// Histogram of the time from the parsed head of a request to its response.
const MEASURED: &str = "http_server_request_duration_seconds";

/// Times of requests within the gateway, in seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnTime(Arc<Mutex<Vec<f64>>>);

impl OwnTime {
    /// A runtime whose threads record here, in place of the metrics of the process.
    pub(super) fn runtime() -> anyhow::Result<(Self, Runtime)> {
        let own = Self::default();
        // Threads of a runtime may outlive every owner of it.
        let recorder: &'static Self = Box::leak(Box::new(own.clone()));
        let mut runtime = Builder::new_multi_thread();
        // For as long as the thread lives.
        runtime.on_thread_start(move || std::mem::forget(metrics::set_default_local_recorder(recorder)));
        Ok((own, runtime.enable_all().build()?))
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
