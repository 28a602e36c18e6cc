//! Metrics, traces, logs and health of a process.

pub(crate) mod health;
mod log_lines;
pub(crate) mod metrics;
pub mod telemetry;
mod traces;
