//! Sigma rules (specification 2.1) over native records.
//!
//! A rule's `logsource` decides which native format it reads. Field names are case-sensitive and may be paths
//! with dots; a list matches if any of its elements does; values compare ignoring case; an object is its JSON
//! text. Unsupported parts of the specification are rejected when a rule is loaded:
//! `processors/rules/README.md` lists them.

mod condition;
#[cfg(test)]
mod conformance;
mod correlation;
mod derived;
mod detection;
mod documents;
mod engine;
mod fields;
mod filter;
#[cfg(test)]
mod hostile;
mod indexed;
mod json;
mod known_fields;
mod lint;
mod load;
mod matcher;
mod modifier;
mod own_keys;
mod partition;
mod path;
mod placeholders;
mod record;
mod required;
mod rule;
mod terms;
#[cfg(test)]
mod tests;
mod text;
mod values;
#[cfg(test)]
mod world;

pub(in crate::risk) use correlation::PartPlace;
pub use correlation::{Correlation, Moment, Part};
pub use engine::{Hit, MatchedField, SigmaEngine, UnreadableRecord};
pub use json::Json;
pub use lint::{Finding, FindingKind};
pub use own_keys::{Template, Touched};
pub use placeholders::Placeholders;
pub use rule::{Rule, RuleProblem};
pub use schemas::changes::risk::SignalLevel as Level;
