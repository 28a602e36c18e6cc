//! What runs a topology: for every stage a thread that polls and decides, and a worker that delivers.
//!
//! ```text
//!  Kafka ─► poll thread ──────────────► slot ─────────► worker ─────► sink
//!           (consumer.rs: rebalances,   (one batch,     (worker.rs: retry, bisect,
//!            intake.rs: where each       bounded)        park, halt; owns the sink)
//!            partition stands)
//!                  ▲ notices: settled, fenced, halted ──────┘
//! ```
//!
//! Everything between the client and the sink is free of both, and simulated with thousands of seeds
//! (`simulation`).

pub mod admin;
pub(crate) mod backoff;
pub(crate) mod batching;
pub(crate) mod clock;
pub(crate) mod consumer;
pub(crate) mod continuity;
pub(crate) mod decide;
pub(crate) mod driver;
mod fatal;
pub(crate) mod fingerprint;
mod health;
pub(crate) mod held_back;
pub mod history;
pub(crate) mod intake;
pub mod keys;
pub mod log_ends;
mod log_lines;
pub(crate) mod member;
pub(crate) mod notices;
pub(crate) mod parking_limit;
pub(crate) mod poll;
mod quiet;
mod relay;
pub mod replay;
mod run;
mod schema_fetch;
pub(crate) mod seen;
pub(crate) mod slot;
pub(crate) mod source;
pub(crate) mod stall;
pub mod telemetry;
mod traces;
pub(crate) mod worker;

#[cfg(test)]
mod simulation;

pub use batching::BatchLimits;
pub use fatal::Fatal;
pub use health::Health;
pub(crate) use run::run_member;
pub use run::{RunConfig, RunError, Site, run};
pub use seen::Tracing;
