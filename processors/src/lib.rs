//! The rules: pure functions from an envelope to the changes it causes.

pub mod audit;
pub mod change_review;
pub mod compliance;
pub mod cost;
pub mod forward;
pub mod retention;
pub mod risk;
#[cfg(test)]
mod tests;

/// A rule set: the same event always gives the same changes. That is what makes replay safe.
pub trait Processor: Send + Sync + 'static {
    /// What the processor decides about: events, or records that other stages have made of them.
    type Input: schemas::codec::Readable;
    /// What the processor asks its sink to write.
    type Change: Send + Sync + 'static;
    /// The processor's name; its stage's too, unless that is given one of its own.
    const NAME: &'static str;
    /// Decides what follows from one event.
    fn process(&self, input: &Self::Input) -> Vec<Self::Change>;
}
