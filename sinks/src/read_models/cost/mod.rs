//! `cost_charge`, every charge as it became known, and `cost_daily` with its sums, what follows for each day: a pure function
//! ([`projections::cost`]) of the *set* of charges, so that order, repetitions and restarts change nothing. `cost_accrual`
//! follows from the events about each resource in the same way ([`costs::accrual`]).

mod accrual;
mod budget;
mod charges;
pub(crate) mod concerned;
mod days;
pub mod read;
mod remembered;
mod spend;
pub(crate) mod standing;
mod table;
mod utilisation;
mod workload;
mod write;

pub use write::Charges;
