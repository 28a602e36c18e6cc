//! Published policies, cases and plans.

mod conformance;
mod corpus;
mod gatekeeper;
mod own;
mod plans;
