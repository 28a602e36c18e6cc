//! Cost: the content of the ledger at an instant, derived from the set of charges alone.
//!
//! A charge counts from when it became known. A delivery that replaces its scope (provider, billing account
//! and billing period) removes everything in it that was known before: from then on the replaced charges no
//! longer count. So each charge has one or two entries, and the ledger's content at an instant is the sum of
//! the entries up to it. Source: the FOCUS specification's appendix on correction handling.

pub mod budget;
pub mod finding;
mod ledger;
mod series;
#[cfg(test)]
mod tests;

pub use budget::{BudgetFinding, Crossing};
pub use ledger::{Entry, Sign, entries, superseded_at};
pub use series::{columns_key, group_of, scope_key, series_key, series_key_in, workload_key};
