//! Compliance: `compliance_observation`, every resource as events show it with verdicts about it, and what follows from
//! the *set* of facts alone ([`projections::compliance`]): states, findings, waivers. Order, repetitions and restarts
//! change nothing.

mod findings;
pub mod read;
mod states;
mod table;
mod waivers;
mod write;

pub use write::Observations;
