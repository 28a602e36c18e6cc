//! Entries of the ledger.

use std::collections::BTreeSet;

use schemas::Timestamp;

/// Whether an entry puts a charge in or takes it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// It counts from here on.
    Plus,
    /// It counts no more.
    Minus,
}

/// A line of the ledger: from this instant on a charge counts, or counts no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The instant.
    pub known_at: Timestamp,
    /// What happens to the charge.
    pub sign: Sign,
}

/// When a charge that became known then was replaced: by the first delivery after it that replaces its scope. What
/// became known at the same instant belongs to the same delivery and stays.
pub fn superseded_at(known_at: Timestamp, replacements: &BTreeSet<Timestamp>) -> Option<Timestamp> {
    use std::ops::Bound::{Excluded, Unbounded};
    replacements.range((Excluded(known_at), Unbounded)).next().copied()
}

/// The entries of a charge, given when its scope was replaced.
pub fn entries(known_at: Timestamp, replacements: &BTreeSet<Timestamp>) -> impl Iterator<Item = Entry> {
    let out = superseded_at(known_at, replacements).map(|known_at| Entry { known_at, sign: Sign::Minus });
    std::iter::once(Entry { known_at, sign: Sign::Plus }).chain(out)
}
