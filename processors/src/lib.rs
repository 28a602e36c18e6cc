//! Processors: pure functions from an event to the changes it causes.

pub mod audit;
pub mod change_review;
pub mod compliance;
pub mod cost;
pub mod forward;
pub mod retention;
pub mod risk;
#[cfg(test)]
mod tests;

use std::{ops::ControlFlow, sync::Arc};

/// A pure function on events: the same event always gives the same changes, which makes replay safe.
pub trait Processor: Send + Sync + 'static {
    /// Input type: events, or records of other stages.
    type Input: schemas::codec::Readable;
    /// Change that the sink writes.
    type Change: Send + Sync + 'static;
    /// Name of the processor and, by default, of its stage.
    const NAME: &'static str;

    /// Hash of the rules or policies in force. The same event gives the same changes as long as it is the same; a stage
    /// stores under which it decided. `None` where there are none.
    fn rule_set(&self) -> Option<Arc<str>> {
        None
    }

    /// Changes that one event causes.
    fn process(&self, input: &Self::Input) -> Vec<Self::Change>;

    /// [`process`](Self::process) of an input that can be had again: `keep` answers how, without copying it. Only asked
    /// for an input that a change may need later.
    fn process_kept<K>(&self, input: &Self::Input, _keep: impl FnOnce() -> K) -> Vec<Self::Change>
    where
        K: FnOnce() -> Self::Input + Send + 'static,
    {
        self.process(input)
    }

    /// [`process`](Self::process) of an input whose parts the changes take over instead of copying them. Continues with the
    /// input where they do not.
    fn process_taken(&self, input: Self::Input) -> ControlFlow<Vec<Self::Change>, Self::Input> {
        ControlFlow::Continue(input)
    }
}
