//! The rules: pure functions from an envelope to the changes it causes.

pub mod audit;
pub mod change_review;
pub mod risk;
#[cfg(test)]
mod tests;

use schemas::Envelope;

/// A rule set: the same envelope always gives the same changes. That is what makes replay safe.
pub trait Processor: Send + Sync + 'static {
    /// What the processor asks its sink to write.
    type Change: Send + Sync + 'static;
    /// The processor's name, also its stage's.
    const NAME: &'static str;
    /// Decides what follows from one event.
    fn process(&self, envelope: &Envelope) -> Vec<Self::Change>;
}
