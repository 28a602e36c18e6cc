//! Where data leaves: rows and positions in one transaction, read models, the query API.

pub mod batch;
pub mod delivery;

pub use batch::{Batch, LastRecord, OffsetRange, RawRecord, RecordChanges, Settlement, TopicPartition};
pub use delivery::{Claim, ClaimRequest, DeliveryError, RangeCounts, Settled, Sink};
