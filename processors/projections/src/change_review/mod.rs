//! Change review: the state of a proposed change, derived from the facts about it.

mod facts;
mod review;
mod states;
#[cfg(test)]
mod tests;

pub use facts::{Assessed, MAX_OF_KIND, StoredFact};
pub use review::{Review, Standing, Step};
pub use states::{ApprovalState, Decision, ProvisioningState};
