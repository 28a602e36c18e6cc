//! A log out of copies that others have kept: every record states its leaf and the leaf before it, so that the copies are
//! checked against one another and against signed checkpoints, and nothing else is asked.

use std::{collections::BTreeSet, ops::Range};

use super::{Entries, Fault, Kind, Observed, is_of};
use crate::{checkpoint::Checkpoint, hash::Hash};

/// Most disputed leaves that are tried in all their combinations.
const MAX_DISPUTED: usize = 6;

/// One copy of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyEntry {
    /// The index that it states.
    pub index: u64,
    /// Leaf computed from the record; `None` if it cannot be computed.
    pub leaf: Option<Hash>,
    /// The leaf that it states.
    pub stated: Hash,
    /// The previous entry's leaf that it states.
    pub previous: Option<Hash>,
}

/// Whether an entry may be there more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// Deliveries are repeated where an answer was lost: equal copies are one.
    Allowed,
    /// Each entry is there once.
    Refused,
}

/// The copies of one log.
#[derive(Debug, Default)]
pub struct Copies {
    entries: Vec<CopyEntry>,
}

impl Copies {
    /// Adds a copy; the order does not matter.
    pub fn add(&mut self, entry: CopyEntry) {
        self.entries.push(entry);
    }

    /// The highest index that a copy states.
    pub fn highest(&self) -> Option<u64> {
        self.entries.iter().map(|entry| entry.index).max()
    }

    /// The indices that copies state.
    pub fn indices(&self) -> BTreeSet<u64> {
        self.entries.iter().map(|entry| entry.index).collect()
    }

    /// Number of copies of the entries of a range of indices.
    pub fn count_in(&self, indices: &Range<u64>) -> u64 {
        self.entries.iter().filter(|entry| indices.contains(&entry.index)).count() as u64
    }

    /// The copies of entries of any of these ranges of indices.
    #[must_use]
    pub fn within(mut self, ranges: &[Range<u64>]) -> Self {
        self.entries.retain(|entry| ranges.iter().any(|range| range.contains(&entry.index)));
        self
    }

    /// Number of entries, and the first fault, where only some of the log's entries were copied: each is held
    /// against the leaf that it states, and the chain of leaves is not.
    pub fn check_each(mut self, log: &str) -> (u64, Option<Fault>) {
        self.entries.sort_by_key(|entry| entry.index);
        self.entries.dedup();
        let edited = self.entries.iter().find(|entry| entry.leaf != Some(entry.stated));
        let edited = edited.map(|entry| (entry.index, Kind::Edited));
        let twice = self.entries.windows(2).find(|pair| pair[0].index == pair[1].index);
        let twice = twice.map(|pair| (pair[0].index, Kind::Doubled));
        let first = [edited, twice].into_iter().flatten().min();
        let fault = first.map(|(index, kind)| Fault { log: log.to_owned(), index, kind });
        (self.entries.len() as u64, fault)
    }

    /// Number of entries, and the first fault. The checkpoints must be those of this log, with the required
    /// signatures already verified. Entries before `from` are not expected.
    pub fn check(
        mut self,
        log: &str,
        checkpoints: &[Checkpoint],
        (repeats, from): (Repeats, u64),
    ) -> (u64, Option<Fault>) {
        self.entries.sort_by_key(|entry| entry.index);
        if repeats == Repeats::Allowed {
            self.entries.dedup();
        }
        let count = self.entries.len() as u64;
        let fault = |index, kind| Some(Fault { log: log.to_owned(), index, kind });
        let Some(claims) = Claims::of(&self.entries, from) else {
            // A gap of which nothing is known: what stands before it is checked, and the gap is a fault at the latest.
            let (before, gap) = self.before_the_gap(from);
            let earlier = Self { entries: before }.check(log, &[], (repeats, from)).1;
            return (count, earlier.or_else(|| fault(gap, Kind::Missing)));
        };
        let newest = checkpoints.iter().max_by_key(|checkpoint| checkpoint.size);
        let (known, trusted) = claims.resolve(checkpoints, from);
        let mut check = Entries::new(log, &known);
        for entry in &self.entries {
            // Entries before `from` are looked at as far as they are there.
            let Some(index) = entry.index.checked_sub(from) else { continue };
            check.observe(index, Observed { leaf: entry.leaf, agrees: states_truth(entry, &known, from) });
        }
        let found = check.finish().map(|found| Fault { index: found.index + from, ..found });
        let end = from + known.len() as u64;
        let cut = newest.filter(|newest| newest.size > end).and_then(|_| fault(end, Kind::Cut));
        let rewritten = (!trusted && from == 0).then(|| rewritten(&known, checkpoints)).flatten();
        let rewritten = rewritten.and_then(|index| fault(index, Kind::Rewritten));
        (count, found.or(cut).or(rewritten))
    }

    /// The entries before the first index that neither has a copy nor is known to its follower, and that index.
    fn before_the_gap(&self, from: u64) -> (Vec<CopyEntry>, u64) {
        let mut next = from;
        let mut before = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.index >= from) {
            if entry.index > next {
                break;
            }
            before.push(*entry);
            next = entry.index + 1;
        }
        (before, next)
    }
}

/// Whether an entry's own words on its place are those of the known leaves.
fn states_truth(entry: &CopyEntry, known: &[Hash], from: u64) -> bool {
    let at = |index: u64| {
        let index = index.checked_sub(from).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| known.get(index)).copied()
    };
    let previous = entry.index.checked_sub(1);
    let previous_is_true = match (previous, entry.previous) {
        (None, stated) => stated.is_none(),
        // What lies before the copies is not known.
        (Some(before), stated) => stated.is_some() && (before < from || stated == at(before)),
    };
    at(entry.index) == Some(entry.stated) && previous_is_true
}

/// The first index behind the last checkpoint that holds, if one does not.
fn rewritten(known: &[Hash], checkpoints: &[Checkpoint]) -> Option<u64> {
    let within = |checkpoint: &&Checkpoint| checkpoint.size <= known.len() as u64;
    let mut checkpoints: Vec<&Checkpoint> = checkpoints.iter().filter(within).collect();
    checkpoints.sort_by_key(|checkpoint| checkpoint.size);
    let wrong = checkpoints.iter().position(|checkpoint| !is_of(known, checkpoint))?;
    Some(wrong.checked_sub(1).map_or(0, |before| checkpoints[before].size))
}

/// For each index, the leaves that copies state for it, the likeliest first.
struct Claims {
    leaves: Vec<Vec<Hash>>,
    /// Predecessor that the first entry states although it has none.
    before_all: Option<Hash>,
    /// Index of an entry that states no predecessor although it follows others.
    begins_again: Option<usize>,
}

impl Claims {
    /// `None` if no copy states a leaf for some index.
    fn of(entries: &[CopyEntry], from: u64) -> Option<Self> {
        let end = entries.last().map_or(from, |last| last.index + 1).max(from);
        let length = usize::try_from(end - from).ok()?;
        // Every index is stated by its own copy or by the next one.
        if length > entries.len().saturating_mul(2) {
            return None;
        }
        let mut claims: Vec<Vec<Hash>> = vec![Vec::new(); length];
        let place = |index: u64| index.checked_sub(from).and_then(|index| usize::try_from(index).ok());
        let mut claim = |index: u64, hash: Hash| {
            if let Some(claims) = place(index).and_then(|place| claims.get_mut(place))
                && !claims.contains(&hash)
            {
                claims.push(hash);
            }
        };
        for entry in entries {
            claim(entry.index, entry.stated);
        }
        for entry in entries {
            if let (Some(before), Some(hash)) = (entry.index.checked_sub(1), entry.previous) {
                claim(before, hash);
            }
        }
        for entry in entries {
            if let Some(hash) = entry.leaf {
                claim(entry.index, hash);
            }
        }
        let first = entries.first().filter(|first| first.index == 0);
        let before_all = first.and_then(|first| first.previous);
        let begins_again = entries.iter().find(|entry| entry.index > from && entry.previous.is_none());
        let begins_again = begins_again.and_then(|entry| place(entry.index));
        (!claims.iter().any(Vec::is_empty)).then_some(Self { leaves: claims, before_all, begins_again })
    }

    /// The leaves that a checkpoint covers, if they can be determined from the claims; else the likeliest
    /// ones.
    fn resolve(&self, checkpoints: &[Checkpoint], from: u64) -> (Vec<Hash>, bool) {
        let likeliest: Vec<Hash> = self.leaves.iter().map(|claims| claims[0]).collect();
        if from > 0 {
            return (likeliest, false);
        }
        let length = likeliest.len() as u64;
        let newest_of =
            |length: u64| checkpoints.iter().filter(|own| own.size <= length).max_by_key(|own| own.size);
        let newest = newest_of(length);
        if newest.is_some_and(|newest| is_of(&likeliest, newest)) {
            return (likeliest, true);
        }
        // Where an entry was removed and the rest renumbered, the log was longer by one.
        let longer = newest_of(length + 1).filter(|longer| newest.is_none_or(|own| own.size < longer.size));
        let resolved = [longer, newest]
            .into_iter()
            .flatten()
            .find_map(|checkpoint| self.hypotheses(&likeliest).find(|leaves| is_of(leaves, checkpoint)));
        resolved.map_or((likeliest, false), |resolved| (resolved, true))
    }

    /// Histories of the log that fit the copies if one entry was edited, removed or inserted and the rest
    /// renumbered.
    fn hypotheses<'a>(&'a self, likeliest: &'a [Hash]) -> impl Iterator<Item = Vec<Hash>> + 'a {
        let disputed: Vec<usize> = self
            .leaves
            .iter()
            .enumerate()
            .filter(|(_, claims)| claims.len() > 1)
            .map(|(index, _)| index)
            .collect();
        let few = if disputed.len() <= MAX_DISPUTED { disputed.clone() } else { Vec::new() };
        let choices: usize = few.iter().map(|index| self.leaves[*index].len()).product();
        let edited = (1..choices).map(move |mut choice| {
            let mut leaves = likeliest.to_vec();
            for index in &few {
                let claims = &self.leaves[*index];
                leaves[*index] = claims[choice % claims.len()];
                choice /= claims.len();
            }
            leaves
        });
        let first: Vec<usize> = disputed.into_iter().take(MAX_DISPUTED).collect();
        let inserted = first.clone().into_iter().map(move |index| {
            let mut leaves = likeliest.to_vec();
            leaves.remove(index);
            leaves
        });
        // A removed entry is the one that its follower names, which now follows another.
        let removed = first.into_iter().flat_map(move |index| {
            self.leaves[index].iter().skip(1).map(move |claim| {
                let mut leaves = likeliest.to_vec();
                leaves.insert(index + 1, *claim);
                leaves
            })
        });
        let removed_first = self.before_all.into_iter().map(move |first| [&[first], likeliest].concat());
        let inserted_first = self.begins_again.into_iter().map(move |first| likeliest[first..].to_vec());
        edited.chain(inserted).chain(inserted_first).chain(removed).chain(removed_first)
    }
}
