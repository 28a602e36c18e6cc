//! Cost: what a ledger of charges holds at an instant, from the set of charges alone.
//!
//! A charge counts from when it became known. A delivery that replaces its scope (provider, billing account and billing
//! period) takes everything out again that was known before it: from then on what it replaced counts no more. So each
//! charge is one entry, or two, and what the ledger held at any instant is the sum of the entries up to it. Source: the
//! FOCUS specification's appendix on correction handling.

pub mod budget;
mod ledger;
mod series;
#[cfg(test)]
mod tests;

pub use budget::{BudgetFinding, Crossing};
pub use ledger::{Entry, Sign, entries, superseded_at};
pub use series::{scope_key, series_key};
