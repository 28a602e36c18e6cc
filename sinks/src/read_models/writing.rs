//! Writing of a read model: by a stage's sink, inside the transaction that moves the positions.

use std::future::Future;

use sqlx::{PgConnection, postgres::PgArguments};

use crate::{batch::TopicPartition, outbox::Outgoing};

/// Tables that a stage's changes are written to.
///
/// Changes are *facts*: each has a key under which it is stored once. The sink asks which facts are new, has them
/// written, and then has folded what follows from the new ones only: so a fact seen twice changes nothing twice. A
/// second table in the stage's transaction is one more statement in [`fold`](Self::fold), which also answers the records
/// that must leave for other topics.
///
/// Methods that take a connection but [`prepare`](Self::prepare) run inside the transaction. They write whatever they
/// write sorted by primary key, so that two writers cannot deadlock, and must be repeatable: a transaction that was
/// rolled back is run again.
pub trait ReadModel: Send + 'static {
    /// Change that the stage's processor emits.
    type Change: Send + Sync + 'static;
    /// Primary key of a fact: two facts with one key are the same.
    type Key<'a>: Ord + std::hash::Hash + Copy + Send;

    /// The table that holds the facts.
    const TABLE: &'static str;
    /// Tables that statements of [`fold`](Self::fold) look through: the planner's statistics of these are taken as they grow.
    const JOINED: &'static [&'static str] = &[];

    /// The fact's key.
    fn key(change: &Self::Change) -> Self::Key<'_>;

    /// The fact's content. Two facts with one key and one content are a duplicate, with two contents a conflict.
    fn content_sha256(change: &Self::Change) -> [u8; 32];

    /// Makes room for the facts, before their transaction: partitions, for example. What fails here must not
    /// fail the batch unless the connection itself is lost, or rows without it would be read wrongly.
    fn prepare(
        &mut self,
        connection: &mut PgConnection,
        facts: &[Fact<'_, Self::Change>],
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// The content of what is stored under each fact's key, if anything is.
    fn stored_content(
        &mut self,
        tx: &mut PgConnection,
        facts: &[Fact<'_, Self::Change>],
    ) -> impl Future<Output = sqlx::Result<Vec<Option<[u8; 32]>>>> + Send;

    /// Writes facts, sorted by key. A key that is there already is SQLSTATE 23505: the sink then asks
    /// [`stored_content`](Self::stored_content) and tries again with the new ones.
    fn write(
        &mut self,
        tx: &mut PgConnection,
        facts: &[Fact<'_, Self::Change>],
        path: WritePath,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// The parts of a `WITH` that write facts, each with a name of its own, their parameters numbered from `first` on:
    /// then a small batch is one statement, positions and all. `None`: this model has a [`fold`](Self::fold) besides, or
    /// does not care to be quick.
    fn insert_parts(_first: usize) -> Option<String> {
        None
    }

    /// Adds the parameters of [`insert_parts`](Self::insert_parts).
    fn insert_arguments(
        &mut self,
        _facts: &[Fact<'_, Self::Change>],
        _arguments: &mut PgArguments,
    ) -> sqlx::Result<()> {
        Ok(())
    }

    /// Writes what follows from new facts, already summed up: one statement per table. Folds must commute, so that a
    /// rebuild gives the same rows in whatever order the partitions come.
    ///
    /// Returns the records for other topics that the new facts cause, in the order in which they are to leave. They are
    /// written to the outbox in the same transaction.
    fn fold(
        &mut self,
        _tx: &mut PgConnection,
        _new: &[Fact<'_, Self::Change>],
    ) -> impl Future<Output = sqlx::Result<Vec<Outgoing>>> + Send {
        async { Ok(Vec::new()) }
    }

    /// The transaction of the last write is committed: what the model keeps of the tables between batches may follow.
    fn committed(&mut self) {}

    /// The transaction of the last write is rolled back, since a key was there already. It is run again with the new facts,
    /// and without a write if there is none: what the model kept of the last write holds no more.
    fn undone(&mut self) {}

    /// The transaction of the last write is not committed, or nobody knows: the model keeps nothing of the tables, and
    /// [`prepare`](Self::prepare) looks again. Comes also where a statement failed with WE002: what the model kept was
    /// no longer so.
    fn forget(&mut self) {}
}

/// Statements that may write rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritePath {
    /// COPY, or INSERT where that is quicker.
    Any,
    /// Row-level security applies to the role, for which Postgres refuses COPY FROM.
    InsertOnly,
}

/// A change, and the record it came from.
#[derive(Debug)]
pub struct Fact<'a, C> {
    /// The change.
    pub change: &'a C,
    /// The record's partition.
    pub partition: TopicPartition,
    /// The record's offset.
    pub offset: i64,
}

impl<C> Clone for Fact<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Fact<'_, C> {}
