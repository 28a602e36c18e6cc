//! Where data leaves: rows and positions in one transaction, read models, the query API.

pub mod batch;
pub mod compress;
pub mod delivery;
pub mod query_api;
pub mod read_models;

pub use batch::{Batch, LastRecord, OffsetRange, RawRecord, RecordChanges, Settlement, TopicPartition};
pub use delivery::{Claim, ClaimRequest, DeliveryError, RangeCounts, Settled, Sink};
