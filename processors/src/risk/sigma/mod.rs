//! Sigma rules (specification 2.1) over native records.
//!
//! A rule's `logsource` says which native format it reads. Field names keep their case and may go through dots;
//! a list matches if any of its elements does; values compare without case; an object is its JSON text.

mod correlation;
mod engine;
mod indexed;
mod native;
mod offsets;
mod own_keys;
mod required;
mod rule;
#[cfg(test)]
mod tests;

pub use correlation::{Correlation, Part};
pub(in crate::risk) use engine::read;
pub use engine::{Hit, MatchedField, SigmaEngine, UnreadableRecord};
pub use own_keys::{Template, Touched};
pub use rule::{Rule, RuleProblem};
pub use schemas::changes::risk::SignalLevel as Level;
