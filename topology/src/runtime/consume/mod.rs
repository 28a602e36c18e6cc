//! From the consumer to a decided batch: rebalances, polling, the state of each partition.

pub(crate) mod consumer;
pub(crate) mod continuity;
pub(crate) mod decide;
pub(crate) mod driver;
pub(crate) mod held_back;
pub(crate) mod intake;
pub(crate) mod poll;
pub(crate) mod schema_fetch;
pub(crate) mod source;
pub(crate) mod stall;
