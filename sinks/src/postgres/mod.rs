//! Rows and positions in one transaction.
//!
//! Each batch is one transaction on the [`ledger`]'s connection: the positions are compared and moved first,
//! so that a fenced writer does no work, then the rows follow.

pub(crate) mod copy;
mod logins;
mod migrate;
mod plan;
mod single;
mod standing;
mod statistics;
mod transaction;

use std::time::Duration;

pub use logins::{Login, login_url, make_logins};
pub use migrate::{MigrateError, create_database, drop_database, ensure_database, migrate};
pub use sqlx::{Error as DatabaseError, PgPool};
pub use standing::{Gap, Migrations, Standing, Work, standing};

pub use crate::session::{SinkConfig, operator_pool, service_pool};
pub(crate) use crate::{row_type, session::nodelay};

use crate::{
    batch::{Batch, TopicPartition},
    delivery::{Claim, ClaimRequest, DeliveryError, Guarantee, Settled, Sink},
    halt::HaltReason,
    ledger::{self, Ledger},
    read_models::ReadModel,
};
use single::SingleStatement;
use statistics::Statistics;

/// Time limit for taking statistics.
const MAX_STATISTICS_TIME: Duration = Duration::from_secs(10);

/// Delivers a stage's batches to Postgres, each exactly once.
pub struct PostgresSink<M> {
    ledger: Ledger,
    model: M,
    /// For small batches, where the model allows it.
    single: Option<SingleStatement>,
    /// The last batch held duplicates: so may the next, and asking first is cheaper than writing in vain.
    expect_duplicates: bool,
    /// A batch was begun and has no outcome: its call was dropped half-way.
    in_doubt: bool,
    statistics: Statistics,
}

impl<M: ReadModel> PostgresSink<M> {
    /// A sink for the stage; connects when it is first used.
    pub fn new(config: SinkConfig, model: M) -> Self {
        let single = SingleStatement::of::<M>();
        let statistics = Statistics::of(M::JOINED);
        let ledger = Ledger::new(config);
        Self { ledger, model, single, expect_duplicates: false, in_doubt: false, statistics }
    }
}

impl<M: ReadModel> Sink for PostgresSink<M> {
    type Change = M::Change;

    const GUARANTEE: Guarantee = Guarantee::ExactlyOnce;

    fn name(&self) -> &'static str {
        M::TABLE
    }

    async fn claim(&mut self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> {
        self.ledger.claim(requests).await
    }

    async fn deliver(&mut self, batch: &Batch<Self::Change>) -> Result<Settled, DeliveryError> {
        if batch.ranges.is_empty() {
            return Ok(Settled::default());
        }
        let mut writer = self.ledger.take_writer().await?;
        if std::mem::replace(&mut self.in_doubt, true) {
            self.model.forget();
        }
        let outcome = ledger::within_a_transaction(self.transact(&mut writer, batch)).await;
        self.in_doubt = false;
        if outcome.is_err() {
            // The cause may be what the model keeps, and nobody knows whether the batch was committed.
            self.model.forget();
        }
        if let Ok(settled) = &outcome {
            self.ledger.answered();
            let applied = settled.ranges.iter().map(|counts| counts.applied.unsigned_abs()).sum();
            let taking = self.statistics.wrote(&mut writer.connection, applied);
            if tokio::time::timeout(MAX_STATISTICS_TIME, taking).await.is_err() {
                // The connection goes with the statement that it still runs.
                return Ok(outcome?);
            }
        }
        self.ledger.finish(writer, outcome).await
    }

    async fn set_halted(
        &mut self,
        partition: TopicPartition,
        owner_epoch: i64,
        reason: Option<&HaltReason>,
    ) -> Result<(), DeliveryError> {
        self.ledger.set_halted(partition, owner_epoch, reason).await
    }
}
