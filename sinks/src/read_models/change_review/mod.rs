//! `change_review`: the state of every proposed change, derived from the facts about it in `change_fact`.
//!
//! A row is a pure function (`assessment`) of the *set* of facts of its change, so neither the order of arrival nor
//! restarts and replays change it.

mod assessment;
mod facts;
pub mod read;
mod states;
#[cfg(test)]
mod tests;
mod write;

pub use states::{ApprovalState, Decision, ProvisioningState};
pub use write::ChangeReviews;
