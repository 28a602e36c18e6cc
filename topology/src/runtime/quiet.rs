//! A Kafka client whose errors are reported by its user: the client itself would repeat each of them for
//! every broker and every attempt to reach it.

use rdkafka::{ClientContext, consumer::ConsumerContext, error::KafkaError};
use tracing::debug;

/// Tells what the client says about itself only to those who ask for everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "Kafka client");
    }
}

impl ConsumerContext for Quiet {}
