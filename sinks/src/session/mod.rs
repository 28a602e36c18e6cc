//! A stage's session on the database: who writes, under which limits, and what an error means.

mod classify;
mod connection;
pub(crate) mod nodelay;

use std::fmt;

pub(crate) use classify::{Failure, FailureKind};
pub(crate) use connection::{connect, connect_admin, connect_writer, decisions_pool};
pub use connection::{operator_pool, service_pool};

/// Connection of a writer: database, stage and owner.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkConfig {
    /// The stage's name, as in `stage_position`.
    pub stage: String,
    /// `postgres://..`; its role must be a member of `weir_writer`.
    pub url: String,
    /// Owner that claims partitions, for people: host, process, instance.
    pub owner: String,
    /// The Kafka cluster whose offsets are stored.
    pub cluster_id: String,
    /// Weir's version, kept with parked records.
    pub version: String,
}

/// Without the URL, which may hold a password.
impl fmt::Debug for SinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkConfig")
            .field("stage", &self.stage)
            .field("owner", &self.owner)
            .field("cluster_id", &self.cluster_id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
