//! Published policies, cases and plans, and policies of every form.

mod compiled;
mod conformance;
mod corpus;
mod forms;
mod frameworks;
mod gatekeeper;
mod hostile;
mod own;
mod plans;
