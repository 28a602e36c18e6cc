//! Cost: what charges make of each day, at every instant, in whatever order they come.

mod accrual;
mod allocation;
mod api;
mod budget;
mod corpus;
mod findings;
mod fixture;
mod hard_budget;
mod ledger;
mod month;
mod outlook;
mod recommendations;
mod stage;
mod workloads;
