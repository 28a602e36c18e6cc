//! Published policies, cases and plans.

mod compiled;
mod conformance;
mod corpus;
mod frameworks;
mod gatekeeper;
mod hostile;
mod own;
mod plans;
