//! `cost_charge`, every charge as it became known, and `cost_daily`, what follows for each day: a pure function
//! ([`projections::cost`]) of the *set* of charges, so that order, repetitions and restarts change nothing.

mod budget;
pub mod read;
mod table;
mod write;

pub use write::Charges;
