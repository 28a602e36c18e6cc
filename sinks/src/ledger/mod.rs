//! The ledger: a stage's positions, parked records and outbox, in Postgres.
//!
//! A sink that writes rows puts them into the ledger's transaction ([`crate::postgres`]): each record counts *exactly
//! once*. A sink whose destination takes no part in that transaction uses the [`Ledger`] alone: it sends, then settles.
//! What it sent and could not settle is sent again, so each record arrives *at least once* ([`AtLeastOnce`]).
//!
//! A [`Ledger`] owns one connection. It keeps no state that a batch needs, so it may be dropped, and a call
//! to it cancelled, at any point.
//!
//! *Cancelling*: the connection is taken out of the ledger for the length of a call and put back once it is known to be
//! outside a transaction. A call that is dropped half-way, or that fails in a way that leaves doubt, takes its
//! connection along; the server rolls back what had not been committed.
//!
//! *A COMMIT without an answer* is no special case: the same batch is settled again, its comparison fails, and the
//! row tells whether it was applied ([`crate::positions`]).

mod at_least_once;
pub(crate) mod statements;

use std::{borrow::Cow, time::Duration};

use sqlx::PgConnection;

pub use at_least_once::{AtLeastOnce, Transport};

use crate::{
    batch::{Batch, OffsetRange, Settlement, TopicPartition},
    delivery::{Claim, ClaimRequest, DeliveryError, RangeCounts, Settled},
    halt::HaltReason,
    outbox::{self, Outgoing},
    parking::{self, Parking},
    positions::Verdict,
    read_models::WritePath,
    session::{Failure, SinkConfig, connect},
};
use statements::Correction;

/// Time limit of a transaction; after it, the connection is closed, never reused.
const MAX_TRANSACTION: Duration = Duration::from_secs(30);
/// Time limit of a single statement outside a transaction; the server's limit is shorter.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The positions of one stage, for one member of its consumer group.
pub struct Ledger {
    config: SinkConfig,
    writer: Option<Writer>,
    /// Counts of the last transaction while the response to its COMMIT is outstanding.
    unanswered: Option<Unanswered>,
}

/// A connection, which the ledger keeps only outside any transaction.
pub(crate) struct Writer {
    pub(crate) connection: PgConnection,
    pub(crate) path: WritePath,
    pub(crate) in_transaction: bool,
}

impl Writer {
    pub(crate) async fn roll_back(&mut self) -> Result<(), Failure> {
        if self.in_transaction {
            statements::rollback(&mut self.connection).await?;
            self.in_transaction = false;
        }
        Ok(())
    }
}

/// Rows that a sink writes in the transaction that moves its positions.
pub(crate) trait OwnRows: Sync {
    /// Writes them.
    fn write(&self, tx: &mut PgConnection) -> impl Future<Output = sqlx::Result<()>> + Send;
}

impl OwnRows for () {
    async fn write(&self, _: &mut PgConnection) -> sqlx::Result<()> {
        Ok(())
    }
}

struct Unanswered {
    ranges: Vec<OffsetRange>,
    settled: Settled,
}

impl Ledger {
    /// The ledger of the stage; connects when it is first used.
    pub fn new(config: SinkConfig) -> Self {
        Self { config, writer: None, unanswered: None }
    }

    /// Takes ownership of partitions ([`crate::Sink::claim`]).
    pub async fn claim(&mut self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> {
        // Whatever was under way is decided by what the rows say now.
        self.unanswered = None;
        let mut writer = self.take_writer().await?;
        let claiming = statements::claim(&mut writer.connection, &self.config, requests);
        let outcome = within(ANSWER_TIMEOUT, claiming).await;
        self.finish(writer, outcome).await
    }

    /// Stores the reason for which a partition is halted ([`crate::Sink::set_halted`]).
    pub async fn set_halted(
        &mut self,
        partition: TopicPartition,
        owner_epoch: i64,
        reason: Option<&HaltReason>,
    ) -> Result<(), DeliveryError> {
        let mut writer = self.take_writer().await?;
        let (connection, stage) = (&mut writer.connection, self.config.stage.as_str());
        let halting = statements::set_halted(connection, stage, (partition, owner_epoch), reason);
        let outcome = within(ANSWER_TIMEOUT, halting).await;
        self.finish(writer, outcome).await
    }

    /// Whether a batch is next, was settled before, or belongs to another owner. For a sink that sends before
    /// it settles: what is not next must not be sent.
    pub async fn judge(&mut self, ranges: &[OffsetRange]) -> Result<Verdict, DeliveryError> {
        let mut writer = self.take_writer().await?;
        let judging = statements::judge(&mut writer.connection, &self.config.stage, ranges);
        let outcome = within(ANSWER_TIMEOUT, judging).await;
        self.finish(writer, outcome).await
    }

    /// Those of the partitions held under these owner epochs that another owner has claimed or an operator
    /// has moved since.
    pub async fn lost(
        &mut self,
        held: &[(TopicPartition, i64)],
    ) -> Result<Vec<(TopicPartition, i64)>, DeliveryError> {
        let mut writer = self.take_writer().await?;
        let asking = statements::lost(&mut writer.connection, &self.config.stage, held);
        let outcome = within(ANSWER_TIMEOUT, asking).await;
        self.finish(writer, outcome).await
    }

    /// Moves the positions past a batch and parks what is to be parked, in one transaction; or finds that this was done
    /// before. Records to apply count as applied: the caller has applied them.
    pub async fn settle<C: Sync>(&mut self, batch: &Batch<C>) -> Result<Settled, DeliveryError> {
        self.settle_with(batch, &()).await
    }

    /// [`Ledger::settle`], with rows of the sink's own in the same transaction.
    pub(crate) async fn settle_with<C: Sync>(
        &mut self,
        batch: &Batch<C>,
        own: &impl OwnRows,
    ) -> Result<Settled, DeliveryError> {
        if batch.ranges.is_empty() {
            return Ok(Settled::default());
        }
        let mut writer = self.take_writer().await?;
        let outcome = within(MAX_TRANSACTION, self.transact(&mut writer, batch, own)).await;
        if outcome.is_ok() {
            self.unanswered = None;
        }
        self.finish(writer, outcome).await
    }

    async fn transact<C: Sync>(
        &mut self,
        writer: &mut Writer,
        batch: &Batch<C>,
        own: &impl OwnRows,
    ) -> Result<Settled, Failure> {
        let (counts, parked) = entries(batch);
        if !self.begin(writer, batch, &counts).await? {
            return self.was_applied(&mut writer.connection, &batch.ranges, &counts).await;
        }
        let tx = &mut writer.connection;
        let corrections = vec![Correction::default(); counts.len()];
        self.write_parked(tx, &batch.ranges, corrections, (&parked, Vec::new())).await?;
        own.write(tx).await?;
        self.commit(writer, &batch.ranges, Settled { ranges: counts, conflicts: Vec::new() }).await
    }

    pub(crate) fn config(&self) -> &SinkConfig {
        &self.config
    }

    pub(crate) async fn take_writer(&mut self) -> Result<Writer, Failure> {
        if let Some(writer) = self.writer.take() {
            return Ok(writer);
        }
        let session = connect(&self.config).await.map_err(|error| Failure::connecting(&error))?;
        let path = if session.may_copy { WritePath::Any } else { WritePath::InsertOnly };
        Ok(Writer { connection: session.connection, path, in_transaction: false })
    }

    /// Ends a call: the connection is kept if it is known to be in order and outside a transaction.
    pub(crate) async fn finish<T>(
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

    /// Begins a transaction and moves the positions in it. False: they are at other offsets, and no
    /// transaction is open.
    pub(crate) async fn begin<C>(
        &self,
        writer: &mut Writer,
        batch: &Batch<C>,
        counts: &[RangeCounts],
    ) -> Result<bool, Failure> {
        writer.in_transaction = true;
        statements::begin(&mut writer.connection).await?;
        let moves = (batch.ranges.as_slice(), batch.rule_set.as_deref());
        if statements::advance(&mut writer.connection, &self.config.stage, moves, counts).await? {
            return Ok(true);
        }
        writer.roll_back().await?;
        Ok(false)
    }

    /// Parks records, corrects the counts and writes outbox rows; costs nothing where none of it is needed.
    pub(crate) async fn write_parked(
        &self,
        tx: &mut PgConnection,
        ranges: &[OffsetRange],
        mut corrections: Vec<Correction>,
        (parked, mut outgoing): (&[Parking<'_>], Vec<Outgoing>),
    ) -> Result<(), Failure> {
        let stage = self.config.stage.as_str();
        parking::write(tx, stage, &self.config.version, parked).await?;
        outgoing.extend(parked.iter().filter_map(|parked| parked.dead_letter(stage)));
        let range_of = |record: &Outgoing| ranges.iter().position(|range| range.partition == record.from);
        for record in &outgoing {
            let range = range_of(record).expect("what leaves comes from a partition of the batch");
            corrections[range].outgoing += 1;
        }
        if corrections.iter().all(|correction| *correction == Correction::default()) {
            return Ok(());
        }
        let mut next = statements::correct(tx, stage, ranges, &corrections).await?;
        let numbered: Vec<(i64, Outgoing)> = outgoing
            .into_iter()
            .map(|record| {
                let range = range_of(&record).expect("looked up above");
                next[range] += 1;
                (next[range] - 1, record)
            })
            .collect();
        outbox::write(tx, stage, &numbered).await?;
        Ok(())
    }

    /// Commits the transaction; its counts are kept for the case that the answer is lost.
    pub(crate) async fn commit(
        &mut self,
        writer: &mut Writer,
        ranges: &[OffsetRange],
        settled: Settled,
    ) -> Result<Settled, Failure> {
        self.await_answer(ranges, &settled);
        statements::commit(&mut writer.connection).await?;
        writer.in_transaction = false;
        Ok(settled)
    }

    /// Keeps the counts of a batch for the case that its commit succeeds and the answer is lost.
    pub(crate) fn await_answer(&mut self, ranges: &[OffsetRange], settled: &Settled) {
        self.unanswered = Some(Unanswered { ranges: ranges.to_vec(), settled: settled.clone() });
    }

    /// Drops the kept counts: the answer to the last commit has arrived.
    pub(crate) fn answered(&mut self) {
        self.unanswered = None;
    }

    /// The positions did not move as the batch asks: either they did before, and the answer was lost, or
    /// another owner owns them.
    pub(crate) async fn was_applied(
        &mut self,
        connection: &mut PgConnection,
        ranges: &[OffsetRange],
        assumed: &[RangeCounts],
    ) -> Result<Settled, Failure> {
        match statements::judge(connection, &self.config.stage, ranges).await? {
            Verdict::Applied => {
                let kept = self.unanswered.take().filter(|kept| kept.ranges == ranges);
                let settled = kept.map(|kept| kept.settled);
                Ok(settled.unwrap_or_else(|| Settled { ranges: assumed.to_vec(), ..Settled::default() }))
            }
            Verdict::Apply => Err(Failure::interrupted("the positions changed under the transaction")),
            Verdict::Fenced => Err(Failure::fenced()),
        }
    }
}

/// Counts and parked records of a batch whose settlements are all accepted unchanged.
fn entries<C>(batch: &Batch<C>) -> (Vec<RangeCounts>, Vec<Parking<'_>>) {
    let mut counts = vec![RangeCounts::default(); batch.ranges.len()];
    let mut parked = Vec::new();
    for record in &batch.records {
        let counts = &mut counts[record.range];
        match &record.settlement {
            Settlement::Apply(_) => counts.applied += 1,
            Settlement::Ignore(_) => counts.ignored += 1,
            Settlement::Park { reason, detail } => {
                counts.parked += 1;
                let partition = batch.ranges[record.range].partition;
                parked.push(Parking::of(record, partition, *reason, Cow::Borrowed(detail.as_str())));
            }
        }
    }
    (counts, parked)
}

/// The outcome of work on the server, which may have stopped answering without closing the connection.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(Failure::timed_out(format!("no end within {} s", limit.as_secs()))))
}

/// As [`within`], for a transaction.
pub(crate) async fn within_a_transaction<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    within(MAX_TRANSACTION, work).await
}
