//! Copies of some entries of a log: each is checked by itself, against its neighbours as far as they are there, and against
//! leaves that others have kept.

use std::borrow::Cow;

use super::{Checked, Copies, CopyEntry, Evidence, Repeats, covered, in_report, rewritten};
use crate::{
    hash::Hash,
    verify::{Fault, Kind, SomeEntries},
};

impl Copies {
    /// Checks copies of some of a log's entries; whether others are missing between them is not asked. The evidence must be of
    /// this log, its signatures already verified.
    ///
    /// A checkpoint can be compared, and is demanded, where others have kept the log's leaves. Without them it is compared where
    /// the copies are those of the first entries, without a gap.
    pub fn check_each(mut self, log: &str, evidence: &Evidence<'_>, repeats: Repeats) -> Checked {
        self.put_in_order(repeats);
        let entries = self.entries.len() as u64;
        let fault = |(index, kind)| Fault { log: log.to_owned(), index, kind };
        let leaves = self.leaves(evidence.kept);
        let rewritten = rewritten(&leaves, evidence);
        // Leaves that checkpoints contradict tell nothing of single entries.
        let known: &[Hash] = if rewritten.is_none() { &leaves } else { &[] };
        let odd = self.first_contradicted(known);
        let covered = covered(evidence.trusted, leaves.len() as u64).filter(|_| !leaves.is_empty());
        let fault = odd
            .or_else(|| rewritten.as_ref().map(|range| (range.start, Kind::Rewritten)))
            .or_else(|| (covered.is_none() && !evidence.kept.is_empty()).then_some((0, Kind::Checkpoint)))
            .map(fault);
        let is_rewritten = fault.as_ref().is_some_and(|fault| fault.kind == Kind::Rewritten);
        Checked {
            entries,
            fault,
            rewritten: rewritten.filter(|_| is_rewritten).map(|range| in_report(log, &range)),
            uncovered: covered.and_then(|covered| self.starting_at(log, covered)),
            unanchored: if covered.is_none() { self.starting_at(log, 0) } else { None },
        }
    }

    /// The log's leaves from its beginning on: those kept, or else those stated if they are the first, without a gap.
    fn leaves<'k>(&self, kept: &'k [Hash]) -> Cow<'k, [Hash]> {
        if !kept.is_empty() {
            return Cow::Borrowed(kept);
        }
        let are_first = self.entries.iter().zip(0..).all(|(entry, index)| entry.index == index);
        let stated = self.entries.iter().filter(|_| are_first);
        stated.map(|entry| entry.stated).collect()
    }

    /// The first entry that its record, another copy, a neighbour or a known leaf contradicts.
    fn first_contradicted(&self, known: &[Hash]) -> Option<(u64, Kind)> {
        let alone = self.entries.iter().find(|entry| !entry.is_as_stated() || !entry.is_among(known));
        let alone = alone.map(|entry| (entry.index, Kind::Edited));
        let pairs = || self.entries.windows(2);
        let doubled = pairs().find(|pair| pair[0].index == pair[1].index);
        let doubled = doubled.map(|pair| (pair[0].index, Kind::Doubled));
        // The later of the two names the leaf that the earlier one had.
        let unlinked = pairs().find(|pair| {
            let is_next = pair[0].index.checked_add(1) == Some(pair[1].index);
            is_next && pair[1].previous != Some(pair[0].stated)
        });
        let unlinked = unlinked.map(|pair| (pair[0].index, Kind::Edited));
        [alone, doubled, unlinked].into_iter().flatten().min()
    }

    /// The entries from an index on, if there are any.
    fn starting_at(&self, log: &str, index: u64) -> Option<SomeEntries> {
        let mut entries = self.entries.iter().filter(|entry| entry.index >= index);
        let first = entries.next()?.index;
        Some(SomeEntries { log: log.to_owned(), entries: 1 + entries.count() as u64, first })
    }
}

impl CopyEntry {
    /// Whether the record has the leaf that it states, and a predecessor unless it is the first.
    fn is_as_stated(&self) -> bool {
        self.leaf == Some(self.stated) && (self.index == 0) == self.previous.is_none()
    }

    /// Whether its leaf and the one before are these, as far as they are known.
    fn is_among(&self, known: &[Hash]) -> bool {
        let at = |index: u64| usize::try_from(index).ok().and_then(|index| known.get(index));
        let is_own = at(self.index).is_none_or(|leaf| *leaf == self.stated);
        let before = self.index.checked_sub(1).and_then(at);
        is_own && before.is_none_or(|leaf| self.previous == Some(*leaf))
    }
}
