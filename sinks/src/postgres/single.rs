//! A small batch as one statement.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection};

use super::plan::Plan;
use crate::{
    batch::Batch,
    ledger::statements::{ADVANCE, AFTER_ADVANCE, advance_arguments},
    read_models::ReadModel,
    session::Failure,
};

/// A whole transaction in one statement and one round trip: positions and facts. For the few rows of a quiet
/// stage the round trips of BEGIN, advance, INSERT and COMMIT are most of an event's latency.
#[derive(Debug, Clone)]
pub(super) struct SingleStatement(Arc<str>);

impl SingleStatement {
    /// The statement of a model that writes nothing but its facts.
    pub(super) fn of<M: ReadModel>() -> Option<Self> {
        let parts = M::insert_parts(AFTER_ADVANCE)?;
        // Every part of a WITH runs to its end, and the last part fails all of it unless every position moved.
        let text = format!(
            "WITH moved AS ({ADVANCE} RETURNING 1), {parts}
             SELECT positions_must_move((SELECT count(*) FROM moved), cardinality($2::stage_advance[]))"
        );
        Some(Self(text.into()))
    }

    /// Runs it; `NotMoved` if the positions are at other offsets.
    pub(super) async fn run<M: ReadModel>(
        &self,
        connection: &mut PgConnection,
        (stage, batch): (&str, &Batch<M::Change>),
        (model, plan): (&mut M, &Plan<'_, M::Change>),
    ) -> Result<(), Failure> {
        let moves = (batch.ranges.as_slice(), batch.rule_set.as_deref());
        let mut arguments = advance_arguments(stage, moves, &plan.counts)?;
        model.insert_arguments(&plan.facts, &mut arguments)?;
        // Made of constants: of this module and of the model.
        sqlx::query_with(AssertSqlSafe(Arc::clone(&self.0)), arguments).execute(connection).await?;
        Ok(())
    }
}
