//! `change_review`: the state of every proposed change, derived from the facts about it in `change_fact`.
//!
//! A row is a pure function ([`projections::change_review`]) of the *set* of facts of its change, so neither the order of
//! arrival nor restarts and replays change it.

mod budgets;
mod facts;
pub mod read;
mod table;
mod write;

pub use projections::change_review::{ApprovalState, Decision, ProvisioningState};
pub use write::ChangeReviews;
