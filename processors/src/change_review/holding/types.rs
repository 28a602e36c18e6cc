//! Resource types by kind of loss: whole names, or prefixes that end in `*`.

mod stored;
mod working;

pub(super) use stored::{DATA, STATE};
pub(super) use working::{COMPUTE, IDENTITY, NETWORK, OTHER};
