//! Sinks: rows and positions in one transaction, read models, the query API.

pub mod access_trail;
pub mod api_keys;
pub mod batch;
pub mod budget_standing;
pub mod compress;
pub mod cost_outlook;
pub mod delivery;
pub mod event_outbox;
mod halt;
mod headers;
pub mod ledger;
pub mod log_store;
pub mod made_up_log;
pub mod outbox;
pub mod parking;
pub mod positions;
pub mod postgres;
pub mod query_api;
pub mod raw_charges;
pub mod raw_copy;
mod raw_headers;
pub mod read_models;
pub mod replicas;
pub mod retention;
mod row_type;
mod session;
pub mod siem;
pub mod tenants;
pub mod waivers;

pub use batch::{
    Batch, KeptBytes, LastRecord, OffsetRange, RawRecord, RecordChanges, Settlement, TopicPartition,
};
pub use delivery::{
    Claim, ClaimRequest, DeliveryError, Guarantee, RangeCounts, RefusedRecord, Settled, Sink,
};
pub use halt::{HaltKind, HaltReason};
pub use headers::Headers;
pub use raw_headers::RawHeaders;
pub use read_models::{Fact, ReadModel};
