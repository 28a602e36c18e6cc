//! From a decided batch to the sink: batching, retries, bisecting, parking, halting, and the outbox relay.

pub(crate) mod backoff;
pub(crate) mod batching;
pub(crate) mod fingerprint;
pub(crate) mod notices;
pub(crate) mod parking_limit;
pub(crate) mod relay;
pub(crate) mod slot;
pub(crate) mod worker;
