//! Cost: what charges make of each day, at every instant, in whatever order they come.

mod accrual;
mod allocation;
mod api;
mod budget;
mod corpus;
mod findings;
pub(crate) mod fixture;
mod hard_budget;
mod late_bills;
mod ledger;
mod month;
mod native_exports;
mod outlook;
mod recommendations;
mod stage;
pub(crate) mod workloads;
