//! Entries in any order, held against leaves that are known.

use std::collections::BTreeMap;

use super::{Fault, Kind};
use crate::hash::Hash;

/// Limit on the odd entries that are kept. The first ones suffice to name the first fault.
const MAX_ODD: usize = 65_536;

/// An entry as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Leaf computed from its record; `None` if the record cannot be read.
    pub leaf: Option<Hash>,
    /// Whether all else that is kept of the entry agrees with the record.
    pub agrees: bool,
}

/// The check of one log's entries. It holds a bit for each entry, and the odd ones.
#[derive(Debug)]
pub struct Entries<'a> {
    log: &'a str,
    known: &'a [Hash],
    seen: Vec<u64>,
    odd: BTreeMap<u64, Vec<Observed>>,
    highest: Option<u64>,
    count: u64,
}

impl<'a> Entries<'a> {
    /// A check against all leaves of the log.
    pub fn new(log: &'a str, known: &'a [Hash]) -> Self {
        let seen = vec![0; known.len().div_ceil(64)];
        Self { log, known, seen, odd: BTreeMap::new(), highest: None, count: 0 }
    }

    /// Number of entries observed.
    pub fn count(&self) -> u64 {
        self.count
    }

    fn known(&self, index: u64) -> Option<Hash> {
        usize::try_from(index).ok().and_then(|index| self.known.get(index)).copied()
    }

    /// Adds an entry; the order does not matter.
    pub fn observe(&mut self, index: u64, observed: Observed) {
        self.count += 1;
        self.highest = self.highest.max(Some(index));
        let known = self.known(index);
        let first = known.is_some() && self.mark(index);
        let as_it_was = observed.agrees && observed.leaf.is_some() && observed.leaf == known;
        if first && as_it_was {
            return;
        }
        let odd = self.odd.entry(index).or_default();
        if !first && known.is_some() && odd.is_empty() {
            // The first of the two was as it ought to be.
            odd.push(Observed { leaf: known, agrees: true });
        }
        odd.push(observed);
        if self.odd.len() > MAX_ODD {
            self.odd.pop_last();
        }
    }

    /// Takes note that retention removed an entry: it is not missing.
    pub fn retire(&mut self, index: u64) {
        self.mark(index);
    }

    /// Marks an index as seen: false if it was.
    fn mark(&mut self, index: u64) -> bool {
        let (word, bit) = (usize::try_from(index / 64).unwrap_or(usize::MAX), 1 << (index % 64));
        let Some(word) = self.seen.get_mut(word) else { return false };
        let first = *word & bit == 0;
        *word |= bit;
        first
    }

    fn first_missing(&self) -> Option<u64> {
        let word = self.seen.iter().position(|word| *word != u64::MAX)?;
        let index = word as u64 * 64 + u64::from(self.seen[word].trailing_ones());
        (index < self.known.len() as u64).then_some(index)
    }

    /// Leaf of an entry, if exactly one was observed.
    fn found(&self, index: u64) -> Option<Hash> {
        match self.odd.get(&index) {
            Some(odd) => match odd.as_slice() {
                [one] => one.leaf,
                _ => None,
            },
            None => self.known(index).filter(|_| self.is_seen(index)),
        }
    }

    fn is_seen(&self, index: u64) -> bool {
        let word = usize::try_from(index / 64).ok().and_then(|word| self.seen.get(word));
        word.is_some_and(|word| word & 1 << (index % 64) != 0)
    }

    /// The first fault, once all entries have been seen.
    pub fn finish(&self) -> Option<Fault> {
        let missing = self.first_missing();
        let odd = self.odd.keys().next().copied();
        let fault = |index, kind| Some(Fault { log: self.log.to_owned(), index, kind });
        match (missing, odd) {
            (None, None) => None,
            (Some(missing), odd) if odd.is_none_or(|odd| missing < odd) => {
                let is_cut = self.highest.is_none_or(|highest| highest < missing);
                fault(missing, if is_cut { Kind::Cut } else { Kind::Missing })
            }
            (_, Some(odd)) => fault(odd, self.kind_of(odd)),
            (Some(_), None) => unreachable!("a missing entry without odd ones before it"),
        }
    }

    fn kind_of(&self, index: u64) -> Kind {
        let Some(own) = self.known(index) else { return Kind::Inserted };
        let Some([one]) = self.odd.get(&index).map(Vec::as_slice) else { return Kind::Doubled };
        let Some(leaf) = one.leaf.filter(|leaf| *leaf != own) else { return Kind::Edited };
        let follower_moved_back = self.found(index + 1) == Some(own) && self.known(index + 1) != Some(own);
        match self.known.iter().position(|known| *known == leaf) {
            Some(other) if self.found(other as u64) == Some(own) => Kind::Swapped,
            // The entry after it has taken its place.
            Some(other) if other as u64 == index + 1 && self.found(index + 1) != Some(leaf) => Kind::Missing,
            Some(_) | None if follower_moved_back => Kind::Inserted,
            // Another entry's record was written over it.
            _ => Kind::Edited,
        }
    }
}
