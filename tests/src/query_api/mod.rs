//! The query API over HTTP, on a real database.

mod changes;
mod completeness;
mod described;
mod entries;
mod export;
mod faults;
pub(crate) mod fixture;
mod histogram;
mod positions;
mod rare_terms;
mod risk;
mod searches;
mod shares;
mod tenants;
mod walk;
