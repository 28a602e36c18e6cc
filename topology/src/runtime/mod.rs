//! Runtime of a topology: for every stage a thread that polls and decides, and a worker that delivers.
//!
//! ```text
//!  Kafka ─► poll thread ──────────────► slot ─────────► worker ─────► sink
//!           (consume/: rebalances,      (one batch,     (deliver/: retry, bisect,
//!            where each                 bounded)        park, halt; owns the sink)
//!            partition stands)
//!                  ▲ notices: settled, fenced, halted ──────┘
//! ```
//!
//! Everything between the client and the sink is free of both, and simulated with thousands of seeds
//! (`simulation`).

pub mod audit_topic;
pub(crate) mod clock;
pub(crate) mod consume;
pub(crate) mod deliver;
mod fatal;
mod grace;
pub mod keys;
pub(crate) mod member;
pub mod observe;
pub mod offline;
pub mod outlook;
mod quiet;
pub mod replicas;
mod run;
pub mod sign;
pub mod tenants;
pub mod trail;
pub mod waivers;

#[cfg(test)]
mod simulation;

pub use deliver::batching::BatchLimits;
pub use fatal::Fatal;
pub use observe::{health::Health, metrics::Tracing};
pub(crate) use run::run_member;
pub use run::{RunConfig, RunError, StageContext, run};
