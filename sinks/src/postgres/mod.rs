//! Rows and positions in one transaction.
//!
//! A [`PostgresSink`] owns one connection. Each batch is one transaction on it: the positions are compared and moved
//! first, so that a fenced writer does no work, then the rows follow. Nothing is kept that a batch needs, so a sink may
//! be dropped, and a call to it cancelled, at any point.
//!
//! *Cancelling*: the connection is taken out of the sink for the length of a call and put back once it is known to be
//! outside a transaction. A call that is dropped half-way, or that fails in a way that leaves doubt, takes its
//! connection along; the server rolls back what had not been committed.
//!
//! *A COMMIT without an answer* is no special case: the same batch is delivered again, its comparison fails, and the
//! row tells whether it was applied ([`crate::positions`]).

mod classify;
mod connection;
pub(crate) mod copy;
mod migrate;
pub(crate) mod nodelay;
mod plan;
pub(crate) mod row_type;
mod statements;
mod transaction;

use std::{fmt, time::Duration};

use sqlx::PgConnection;

pub(crate) use connection::connect_writer;
pub use connection::operator_pool;
pub use migrate::{MigrateError, create_database, drop_database, ensure_database, migrate};
pub use sqlx::PgPool;

use crate::{
    batch::{Batch, OffsetRange, TopicPartition},
    delivery::{Claim, ClaimRequest, DeliveryError, Settled, Sink},
    halt::HaltReason,
    read_models::{ReadModel, WritePath},
};
use classify::Failure;
use statements::SingleStatement;

/// The longest a transaction may take; then its connection is closed, never reused.
const MAX_TRANSACTION: Duration = Duration::from_secs(30);
/// The longest a single statement outside a transaction is waited for; the server gives up earlier.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Who writes, and where.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkConfig {
    /// The stage's name, as in `stage_position`.
    pub stage: String,
    /// `postgres://..`; whoever it names must be a member of `weir_writer`.
    pub url: String,
    /// Who claims, for people: host, process, instance.
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

/// Delivers a stage's batches to Postgres, each exactly once.
pub struct PostgresSink<M> {
    config: SinkConfig,
    model: M,
    /// For small batches, where the model allows it.
    single: Option<SingleStatement>,
    writer: Option<Writer>,
    /// What the last transaction settled if its COMMIT went through; kept until the answer is there.
    unanswered: Option<Unanswered>,
    /// The last batch held duplicates: so may the next, and asking first is cheaper than writing in vain.
    expect_duplicates: bool,
}

/// A connection, which the sink keeps only outside any transaction.
struct Writer {
    connection: PgConnection,
    path: WritePath,
    in_transaction: bool,
}

impl Writer {
    async fn roll_back(&mut self) -> Result<(), Failure> {
        if self.in_transaction {
            statements::rollback(&mut self.connection).await?;
            self.in_transaction = false;
        }
        Ok(())
    }
}

struct Unanswered {
    ranges: Vec<OffsetRange>,
    settled: Settled,
}

impl<M: ReadModel> PostgresSink<M> {
    /// A sink for the stage; connects when it is first used.
    pub fn new(config: SinkConfig, model: M) -> Self {
        let single = SingleStatement::of::<M>();
        Self { config, model, single, writer: None, unanswered: None, expect_duplicates: false }
    }

    async fn take_writer(&mut self) -> Result<Writer, Failure> {
        if let Some(writer) = self.writer.take() {
            return Ok(writer);
        }
        let session = connection::connect(&self.config).await.map_err(|error| Failure::connecting(&error))?;
        let path = if session.may_copy { WritePath::Any } else { WritePath::InsertOnly };
        Ok(Writer { connection: session.connection, path, in_transaction: false })
    }

    /// Ends a call: the connection is kept if it is known to be in order and outside a transaction.
    async fn finish<T>(
        &mut self,
        mut writer: Writer,
        outcome: Result<T, Failure>,
    ) -> Result<T, DeliveryError> {
        let in_order = match &outcome {
            Ok(_) => true,
            Err(failure) if failure.connection_usable => {
                matches!(tokio::time::timeout(ANSWER_TIMEOUT, writer.roll_back()).await, Ok(Ok(())))
            }
            Err(_) => false,
        };
        self.writer = in_order.then_some(writer);
        Ok(outcome?)
    }
}

/// The outcome of work on the server, which may have stopped answering without closing the connection.
async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(Failure::timed_out(format!("no end within {} s", limit.as_secs()))))
}

impl<M: ReadModel> Sink for PostgresSink<M> {
    type Change = M::Change;

    fn name(&self) -> &'static str {
        M::TABLE
    }

    async fn claim(&mut self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> {
        // Whatever was under way is decided by what the rows say now.
        self.unanswered = None;
        let mut writer = self.take_writer().await?;
        let claiming = statements::claim(&mut writer.connection, &self.config, requests);
        let outcome = within(ANSWER_TIMEOUT, claiming).await;
        self.finish(writer, outcome).await
    }

    async fn deliver(&mut self, batch: &Batch<Self::Change>) -> Result<Settled, DeliveryError> {
        if batch.ranges.is_empty() {
            return Ok(Settled::default());
        }
        let mut writer = self.take_writer().await?;
        let outcome = within(MAX_TRANSACTION, self.transact(&mut writer, batch)).await;
        if outcome.is_ok() {
            self.unanswered = None;
        }
        self.finish(writer, outcome).await
    }

    async fn set_halted(
        &mut self,
        partition: TopicPartition,
        owner_epoch: i64,
        reason: Option<&HaltReason>,
    ) -> Result<(), DeliveryError> {
        let mut writer = self.take_writer().await?;
        let halting =
            statements::set_halted(&mut writer.connection, &self.config, (partition, owner_epoch), reason);
        let outcome = within(ANSWER_TIMEOUT, halting).await;
        self.finish(writer, outcome).await
    }
}
