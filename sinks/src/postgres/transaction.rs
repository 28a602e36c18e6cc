//! One batch, one transaction.

use sqlx::PgConnection;

use super::{
    PostgresSink, Unanswered, Writer,
    classify::{Failure, FailureKind},
    plan::Plan,
    statements::{self, Correction, SingleStatement},
};
use crate::{
    batch::Batch,
    delivery::{RangeCounts, Settled},
    outbox::{self, Outgoing},
    parking,
    positions::Verdict,
    read_models::ReadModel,
};

/// How often a batch is tried again because an id appeared while it was being written. Each time another writer has
/// committed that id, so the next look sees it.
const MAX_SURPRISES: usize = 5;

impl<M: ReadModel> PostgresSink<M> {
    /// Writes the batch, or finds that it was written before.
    ///
    /// Begins optimistically: COPY knows no ON CONFLICT, and asking which ids are there would cost every batch what
    /// only the dirty ones need. On 23505 everything is rolled back and the batch is run again, this time asking first.
    pub(super) async fn transact(
        &mut self,
        writer: &mut Writer,
        batch: &Batch<M::Change>,
    ) -> Result<Settled, Failure> {
        let plan = Plan::optimistic::<M>(batch);
        self.model.prepare(&mut writer.connection, &plan.facts).await?;
        for _ in 0..MAX_SURPRISES {
            let outcome = match &self.single {
                Some(single) if plan.is_small_and_plain() && !self.expect_duplicates => {
                    let single = single.clone();
                    self.attempt_single(&single, writer, batch, &plan).await
                }
                _ => self.attempt(writer, batch, &plan).await,
            };
            match outcome {
                Ok(settled) => {
                    self.model.committed();
                    return Ok(settled);
                }
                Err(failure) if failure.kind == FailureKind::Outdated => {
                    writer.roll_back().await?;
                    self.model.forget();
                    self.model.prepare(&mut writer.connection, &plan.facts).await?;
                }
                Err(failure) if failure.kind == FailureKind::Duplicate => {
                    writer.roll_back().await?;
                    // Asked already, and another writer's id came in between: ask again. A second table of the model
                    // may have a unique key of its own, which asking does not help: so not for ever.
                    self.expect_duplicates = true;
                }
                Err(failure) => {
                    self.model.forget();
                    return Err(failure);
                }
            }
        }
        self.model.forget();
        Err(Failure {
            kind: FailureKind::Duplicate,
            message: format!(
                "a key of {} or of what follows from it is taken, by nothing that can be seen",
                M::TABLE
            ),
            connection_usable: true,
        })
    }

    /// The batch in one statement, which commits by itself.
    async fn attempt_single(
        &mut self,
        single: &SingleStatement,
        writer: &mut Writer,
        batch: &Batch<M::Change>,
        plan: &Plan<'_, M::Change>,
    ) -> Result<Settled, Failure> {
        let connection = &mut writer.connection;
        let settled = self.await_answer(batch, plan);
        let place = (self.config.stage.as_str(), batch.ranges.as_slice());
        match single.run(connection, place, (&mut self.model, plan)).await {
            Ok(()) => Ok(settled),
            Err(failure) if failure.kind == FailureKind::NotMoved => {
                self.was_applied(connection, batch, &plan.counts).await
            }
            Err(failure) => Err(failure),
        }
    }

    /// Keeps what the batch settles for the case that its commit goes through and the answer does not.
    fn await_answer(&mut self, batch: &Batch<M::Change>, plan: &Plan<'_, M::Change>) -> Settled {
        let settled = Settled { ranges: plan.counts.clone(), conflicts: plan.conflicts.clone() };
        self.unanswered = Some(Unanswered { ranges: batch.ranges.clone(), settled: settled.clone() });
        settled
    }

    async fn attempt(
        &mut self,
        writer: &mut Writer,
        batch: &Batch<M::Change>,
        assumed: &Plan<'_, M::Change>,
    ) -> Result<Settled, Failure> {
        let path = writer.path;
        let tx = &mut writer.connection;
        writer.in_transaction = true;
        statements::begin(tx).await?;
        if !statements::advance(tx, &self.config.stage, &batch.ranges, &assumed.counts).await? {
            writer.roll_back().await?;
            return self.was_applied(&mut writer.connection, batch, &assumed.counts).await;
        }
        let careful;
        let plan = if self.expect_duplicates {
            let stored = self.model.stored_content(tx, &assumed.facts).await?;
            careful = Plan::careful::<M>(batch, &assumed.facts, &stored);
            &careful
        } else {
            assumed
        };
        let mut outgoing = Vec::new();
        if !plan.facts.is_empty() {
            self.model.write(tx, &plan.facts, path).await?;
            outgoing = self.model.fold(tx, &plan.facts).await?;
        }
        parking::write(tx, &self.config, &plan.parked).await?;
        outgoing.extend(plan.parked.iter().filter_map(|parked| parked.dead_letter(&self.config.stage)));
        let corrections = assumed.counts.iter().zip(&plan.counts);
        let corrections = corrections.map(|(was, is)| Correction::between(was, is)).collect();
        self.write_outbox(tx, batch, corrections, outgoing).await?;
        let settled = self.await_answer(batch, plan);
        statements::commit(tx).await?;
        writer.in_transaction = false;
        self.expect_duplicates = settled.ranges.iter().any(|counts| counts.duplicate > 0);
        Ok(settled)
    }

    /// Corrects the counts and writes what must leave again; costs nothing where neither is needed.
    async fn write_outbox(
        &mut self,
        tx: &mut PgConnection,
        batch: &Batch<M::Change>,
        mut corrections: Vec<Correction>,
        outgoing: Vec<Outgoing>,
    ) -> Result<(), Failure> {
        let range_of =
            |record: &Outgoing| batch.ranges.iter().position(|range| range.partition == record.from);
        for record in &outgoing {
            let range = range_of(record).expect("what leaves comes from a partition of the batch");
            corrections[range].outgoing += 1;
        }
        if corrections.iter().all(|correction| *correction == Correction::default()) {
            return Ok(());
        }
        let mut next = statements::correct(tx, &self.config.stage, &batch.ranges, &corrections).await?;
        let numbered: Vec<(i64, Outgoing)> = outgoing
            .into_iter()
            .map(|record| {
                let range = range_of(&record).expect("looked up above");
                next[range] += 1;
                (next[range] - 1, record)
            })
            .collect();
        outbox::write(tx, &self.config.stage, &numbered).await?;
        Ok(())
    }

    /// The positions did not move as the batch asks: either they did before, and the answer was lost, or somebody else
    /// owns them.
    async fn was_applied(
        &mut self,
        connection: &mut PgConnection,
        batch: &Batch<M::Change>,
        assumed: &[RangeCounts],
    ) -> Result<Settled, Failure> {
        match statements::judge(connection, &self.config.stage, &batch.ranges).await? {
            Verdict::Applied => {
                let kept = self.unanswered.take().filter(|kept| kept.ranges == batch.ranges);
                let settled = kept.map(|kept| kept.settled);
                Ok(settled.unwrap_or_else(|| Settled { ranges: assumed.to_vec(), ..Settled::default() }))
            }
            Verdict::Apply => Err(Failure::interrupted("the positions changed under the transaction")),
            Verdict::Fenced => Err(Failure::fenced()),
        }
    }
}
