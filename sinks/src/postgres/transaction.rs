//! One batch, one transaction.

use super::{PostgresSink, plan::Plan, single::SingleStatement};
use crate::{
    batch::Batch,
    delivery::Settled,
    ledger::{Writer, statements::Correction},
    read_models::ReadModel,
    session::{Failure, FailureKind},
};

/// Most repetitions of a batch because another writer inserted one of its ids meanwhile, and most because the tables are
/// not as the model knew them. That writer has committed, so the next look sees what it wrote.
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
        self.prepare(writer, &plan).await?;
        let (mut outdated, mut duplicates) = (0, 0);
        loop {
            let outcome = match &self.single {
                Some(single) if plan.is_small_and_plain() && !self.expect_duplicates => {
                    let single = single.clone();
                    self.attempt_single(&single, writer, batch, &plan).await
                }
                _ => self.attempt(writer, batch, &plan).await,
            };
            let failure = match outcome {
                Ok(settled) => {
                    self.model.committed();
                    return Ok(settled);
                }
                Err(failure) => failure,
            };
            match failure.kind {
                FailureKind::Outdated if outdated < MAX_SURPRISES => {
                    outdated += 1;
                    writer.roll_back().await?;
                    self.model.forget();
                    self.prepare(writer, &plan).await?;
                }
                FailureKind::Duplicate if duplicates < MAX_SURPRISES => {
                    duplicates += 1;
                    writer.roll_back().await?;
                    self.model.undone();
                    // Asked already, and another writer's id came in between: ask again. A second table of the model
                    // may have a unique key of its own, which asking does not help: so not for ever.
                    self.expect_duplicates = true;
                }
                FailureKind::Duplicate => {
                    let table = M::TABLE;
                    return Err(Failure {
                        message: format!(
                            "a key of {table} or of what follows from it is taken, by nothing that can be seen"
                        ),
                        ..failure
                    });
                }
                _ => return Err(failure),
            }
        }
    }

    /// Prepares the model for the batch.
    async fn prepare(&mut self, writer: &mut Writer, plan: &Plan<'_, M::Change>) -> Result<(), Failure> {
        self.model.prepare(&mut writer.connection, &plan.facts).await?;
        Ok(())
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
        let settled = Settled { ranges: plan.counts.clone(), conflicts: plan.conflicts.clone() };
        self.ledger.await_answer(&batch.ranges, &settled);
        let stage = self.ledger.config().stage.as_str();
        match single.run(connection, (stage, batch), (&mut self.model, plan)).await {
            Ok(()) => Ok(settled),
            Err(failure) if failure.kind == FailureKind::NotMoved => {
                // Whatever the tables hold of the batch, this statement wrote nothing of it.
                self.model.forget();
                self.ledger.was_applied(connection, &batch.ranges, &plan.counts).await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn attempt(
        &mut self,
        writer: &mut Writer,
        batch: &Batch<M::Change>,
        assumed: &Plan<'_, M::Change>,
    ) -> Result<Settled, Failure> {
        if !self.ledger.begin(writer, batch, &assumed.counts).await? {
            return self.ledger.was_applied(&mut writer.connection, &batch.ranges, &assumed.counts).await;
        }
        let (path, tx) = (writer.path, &mut writer.connection);
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
        let corrections = assumed.counts.iter().zip(&plan.counts);
        let corrections = corrections.map(|(was, is)| Correction::between(was, is)).collect();
        self.ledger.write_parked(tx, &batch.ranges, corrections, (&plan.parked, outgoing)).await?;
        let settled = Settled { ranges: plan.counts.clone(), conflicts: plan.conflicts.clone() };
        let settled = self.ledger.commit(writer, &batch.ranges, settled).await?;
        self.expect_duplicates = settled.ranges.iter().any(|counts| counts.duplicate > 0);
        Ok(settled)
    }
}
