//! A sink whose destination takes no part in the ledger's transaction.

use std::future::Future;

use super::Ledger;
use crate::{
    batch::{Batch, OffsetRange, Settlement, TopicPartition},
    delivery::{Claim, ClaimRequest, DeliveryError, Guarantee, Settled, Sink},
    halt::HaltReason,
    positions::Verdict,
};

/// Brings changes to a destination outside of Postgres.
pub trait Transport: Send + 'static {
    /// Change that is sent.
    type Change: Send + Sync + 'static;

    /// The destination's name, for logs.
    fn name(&self) -> &'static str;

    /// Sends changes in their order. `Ok`: the destination has taken every one of them. After an error any of them may
    /// have arrived; all of them are sent again.
    fn send(&mut self, changes: &[&Self::Change]) -> impl Future<Output = Result<(), DeliveryError>> + Send;
}

/// Sends each change, then moves the position. Every change arrives *at least once*, in the order of its
/// partition; one arrives again after a crash or a lost answer in between. Receivers recognise them by their
/// ids.
pub struct AtLeastOnce<T> {
    ledger: Ledger,
    transport: T,
    /// The batch whose changes have arrived and whose position has not moved yet.
    arrived: Vec<OffsetRange>,
}

impl<T: Transport> AtLeastOnce<T> {
    /// A sink that sends by the transport and keeps its positions in the ledger.
    pub fn new(ledger: Ledger, transport: T) -> Self {
        Self { ledger, transport, arrived: Vec::new() }
    }
}

impl<T: Transport> Sink for AtLeastOnce<T> {
    type Change = T::Change;

    const GUARANTEE: Guarantee = Guarantee::AtLeastOnce;

    fn name(&self) -> &'static str {
        self.transport.name()
    }

    async fn claim(&mut self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> {
        self.arrived.clear();
        self.ledger.claim(requests).await
    }

    async fn deliver(&mut self, batch: &Batch<Self::Change>) -> Result<Settled, DeliveryError> {
        if self.arrived != batch.ranges {
            let changes: Vec<&T::Change> = batch.records.iter().flat_map(changes_of).collect();
            if !changes.is_empty() {
                // A frozen owner that wakes up sends nothing more; and what was settled before is not sent again.
                match self.ledger.judge(&batch.ranges).await? {
                    Verdict::Apply => self.transport.send(&changes).await?,
                    Verdict::Applied => {}
                    Verdict::Fenced => return Err(DeliveryError::Fenced),
                }
            }
            self.arrived.clone_from(&batch.ranges);
        }
        let settled = self.ledger.settle(batch).await?;
        self.arrived.clear();
        Ok(settled)
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

fn changes_of<C>(record: &crate::batch::RecordChanges<C>) -> &[C] {
    match &record.settlement {
        Settlement::Apply(changes) => changes,
        Settlement::Ignore(_) | Settlement::Park { .. } => &[],
    }
}
