//! Compliance policies in Rego: the engine with its limits, and the documents that policies evaluate.
//!
//! [`plan`]s and [`kubernetes`] objects become [`Subject`]s; a [`RegoEngine`] evaluates Rego v1 and v0.
//! Nothing here reads files or the clock. A timer cuts off long evaluations; recursive functions and calls of
//! unknown functions are rejected on loading; built-ins with unbounded memory are bounded.

mod answer;
mod builtins;
mod calls;
mod catalogue;
mod compiled;
mod declared;
mod document;
mod engine;
mod evaluate;
mod fault;
mod framework;
pub mod gatekeeper;
mod in_force;
pub mod kubernetes;
mod machine_form;
mod metadata;
mod nesting;
mod others;
mod own;
mod paths;
pub mod plan;
mod planned_objects;
mod policy;
mod rego_value;
mod rewrite;
mod set;
mod subject;
mod suite;
#[cfg(test)]
mod tests;
mod verdict;

pub use catalogue::catalogue;
pub use document::{Document, DocumentKind, MAX_DOCUMENT_BYTES};
pub use engine::{BuiltinErrors, EngineError, Limits, RegoEngine};
pub use evaluate::{Evaluation, Evaluator, Surroundings};
pub use fault::Fault;
pub use framework::{Framework, Requirement};
pub use in_force::{Held, InForce};
pub use metadata::{Metadata, Severity, annotations};
pub use own::own;
pub use policy::Policy;
pub use set::{Config, Execution, PolicySet};
pub use subject::Subject;
pub use suite::{CASES_SUFFIXES, TestOutcome, is_table};
pub use verdict::{Decision, Enforcement, Status, Verdict};

/// Reason for rejecting a document as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);
