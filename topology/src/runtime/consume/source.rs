//! Interfaces of a driver to the outside: a consumer, and a fetcher of schemas.

use std::collections::BTreeMap;

use schemas::{Topic, codec::SchemaRef};
use sinks::TopicPartition;

use crate::runtime::consume::continuity::Watermarks;

/// The part of a Kafka consumer that a driver uses.
pub(crate) trait Source {
    /// The ends of a partition's log. Blocks for a moment.
    fn watermarks(&self, partition: TopicPartition) -> Result<Watermarks, String>;
    /// Number of partitions of a topic. Blocks for a moment.
    fn partitions(&self, topic: Topic) -> Result<i32, String>;
    /// Seeks to these offsets; records fetched before are dropped.
    fn seek(&self, places: &[(TopicPartition, i64)]) -> Result<(), String>;
    /// Pauses fetching from these.
    fn pause(&self, partitions: &[TopicPartition]);
    /// Resumes fetching from these.
    fn resume(&self, partitions: &[TopicPartition]);
    /// Offset behind the last record handed out, per assigned partition: every record before it was handed
    /// out or is hidden from readers (transaction markers, aborted records). `None` while no record was
    /// handed out since the last seek.
    fn handed_out(&self) -> Vec<(TopicPartition, Option<i64>)>;
    /// Commits the stage's positions to the group's coordinator.
    fn commit(&self, positions: &BTreeMap<TopicPartition, i64>);
}

/// Fetches schemas in the background.
pub(crate) trait Schemas: Send {
    /// Asks for a schema; asking again changes nothing.
    fn want(&self, schema: SchemaRef);
    /// Whether the registry has answered.
    fn is_answered(&self, schema: SchemaRef) -> bool;
}
