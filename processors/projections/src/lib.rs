//! Projections: state that follows from stored facts, as pure functions of their set.
//!
//! A sink loads facts, calls these functions, and stores the results. Nothing here reads a clock, a database
//! or a file, and nothing depends on the order of facts: so replays, partitions and restarts do not change
//! results.

pub mod change_review;
pub mod compliance;
pub mod cost;
pub mod retention;
pub mod risk;
