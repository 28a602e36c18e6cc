//! Entries of the ledger.

use std::collections::BTreeSet;

use schemas::Timestamp;

/// Whether an entry adds a charge or removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// The charge counts from here on.
    Plus,
    /// The charge no longer counts.
    Minus,
}

/// An entry of the ledger: from this instant on a charge counts, or no longer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The instant.
    pub known_at: Timestamp,
    /// Effect on the charge.
    pub sign: Sign,
}

/// The time at which a charge that became known at `known_at` is replaced: by the first later delivery that
/// replaces its scope. Charges that became known at the same instant belong to that delivery and stay.
pub fn superseded_at(known_at: Timestamp, replacements: &BTreeSet<Timestamp>) -> Option<Timestamp> {
    use std::ops::Bound::{Excluded, Unbounded};
    replacements.range((Excluded(known_at), Unbounded)).next().copied()
}

/// The entries of a charge, given the times at which its scope was replaced.
pub fn entries(known_at: Timestamp, replacements: &BTreeSet<Timestamp>) -> impl Iterator<Item = Entry> {
    let out = superseded_at(known_at, replacements).map(|known_at| Entry { known_at, sign: Sign::Minus });
    std::iter::once(Entry { known_at, sign: Sign::Plus }).chain(out)
}
