//! Sigma rules (specification 2.1) over native records.
//!
//! A rule's `logsource` says which native format it reads. Field names keep their case and may go through dots;
//! a list matches if any of its elements does; values compare without case; an object is its JSON text.

mod engine;
mod native;
mod offsets;
mod rule;
#[cfg(test)]
mod tests;

pub use engine::{Hit, MatchedField, SigmaEngine, UnreadableRecord};
pub use rule::{Level, Rule, RuleProblem};
