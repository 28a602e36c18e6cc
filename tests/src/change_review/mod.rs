//! Change review on real servers: plans, requests and decisions in, reviews out, whatever the order.

mod erased;
pub(crate) mod fixture;
mod rebuild;
mod stage;
