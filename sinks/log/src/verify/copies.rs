//! A log out of copies that others have kept: every record states its leaf and the leaf before it, so that the copies are
//! checked against one another and against signed checkpoints, and nothing else is asked.

mod claims;
mod single;

use std::{collections::BTreeSet, ops::Range};

use self::claims::Claims;
use super::{Entries, Fault, Kind, Observed, Past, SomeEntries};
use crate::{checkpoint::Checkpoint, hash::Hash};

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

/// Evidence about a log besides its copies.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// Checkpoints with every signature that is demanded.
    pub trusted: &'a [Checkpoint],
    /// Checkpoints that the log has signed and a witness that is demanded has not: the copies must be as these say too, but
    /// the log's key is all that vouches for them.
    pub signed: &'a [Checkpoint],
    /// The log's leaves from its beginning on, as many as others have kept.
    pub kept: &'a [Hash],
}

/// Result of checking one log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// Number of entries that were looked at.
    pub entries: u64,
    /// The first fault.
    pub fault: Option<Fault>,
    /// The entries that a checkpoint says otherwise, if that is the fault.
    pub rewritten: Option<SomeEntries>,
    /// The entries behind the newest trusted checkpoint.
    pub uncovered: Option<SomeEntries>,
    /// The entries that no checkpoint could be compared with, because leaves before or between them are not known.
    pub unanchored: Option<SomeEntries>,
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

    /// The lowest index that a copy states.
    pub fn lowest(&self) -> Option<u64> {
        self.entries.iter().map(|entry| entry.index).min()
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

    /// Checks copies of all entries from index `from` on; those before are not looked at. The evidence must be of this log,
    /// its signatures already verified.
    ///
    /// A log of which no checkpoint is trusted is at fault, whatever its copies say: whoever edits one copy can edit those that
    /// follow. Where the leaves before `from` are not among those kept, no checkpoint can be compared, and none is demanded.
    pub fn check(mut self, log: &str, evidence: &Evidence<'_>, repeats: Repeats, from: u64) -> Checked {
        self.entries.retain(|entry| entry.index >= from);
        self.put_in_order(repeats);
        let is_anchored = evidence.kept.len() as u64 >= from;
        // The leaves are known from here on.
        let base = if is_anchored { 0 } else { from };
        let kept = if is_anchored { evidence.kept } else { &[] };
        let fault = |index, kind| Some(Fault { log: log.to_owned(), index, kind });
        let checked = Checked { entries: self.entries.len() as u64, ..Checked::default() };
        let Some(claims) = Claims::of(&self.entries, base, kept) else {
            // A gap of which nothing is known: what stands before it is checked, and the gap is a fault at the latest.
            let (before, gap) = self.before_the_gap(from);
            let unsigned = Evidence { kept, ..Evidence::default() };
            let earlier = Self { entries: before }.check(log, &unsigned, repeats, from).fault;
            let earlier = earlier.filter(|earlier| earlier.kind != Kind::Checkpoint);
            return Checked { fault: earlier.or_else(|| fault(gap, Kind::Missing)), ..checked };
        };
        let known = if is_anchored { claims.resolve(evidence) } else { claims.likeliest() };
        let found = self.first_odd(log, &known, base, from);
        let end = base + known.len() as u64;
        let newest = evidence.trusted.iter().chain(evidence.signed).map(|own| own.size).max();
        let cut = newest.filter(|size| *size > end).and_then(|_| fault(end, Kind::Cut));
        let some = |first: u64| {
            let entries = self.entries.iter().filter(|entry| entry.index >= first).count() as u64;
            (entries > 0).then(|| SomeEntries { log: log.to_owned(), entries, first })
        };
        if !is_anchored {
            return Checked { fault: found.or(cut), unanchored: some(from), ..checked };
        }
        let rewritten = rewritten(&known, evidence);
        let otherwise = rewritten.as_ref().and_then(|range| fault(range.start, Kind::Rewritten));
        let unsigned = evidence.trusted.is_empty().then(|| fault(0, Kind::Checkpoint)).flatten();
        let fault = found.or(cut).or(otherwise).or(unsigned);
        let is_rewritten = fault.as_ref().is_some_and(|fault| fault.kind == Kind::Rewritten);
        Checked {
            rewritten: rewritten.filter(|_| is_rewritten).map(|range| in_report(log, &range)),
            uncovered: covered(evidence.trusted, end).and_then(|covered| some(covered.max(from))),
            fault,
            ..checked
        }
    }

    /// Orders the copies by index, and makes those that are equal one.
    fn put_in_order(&mut self, repeats: Repeats) {
        self.entries.sort_by_key(|entry| entry.index);
        if repeats == Repeats::Allowed {
            self.entries.dedup();
        }
    }

    /// The first entry that is not as the leaves from `base` on say, or not there although it follows `from`.
    fn first_odd(&self, log: &str, known: &[Hash], base: u64, from: u64) -> Option<Fault> {
        let mut check = Entries::new(log, known);
        (base..from).for_each(|index| check.retire(index - base));
        for entry in &self.entries {
            let agrees = states_truth(entry, known, base);
            check.observe(entry.index - base, Observed { leaf: entry.leaf, agrees });
        }
        check.finish().map(|found| Fault { index: found.index + base, ..found })
    }

    /// The entries before the first index that neither has a copy nor is known to its follower, and that index.
    fn before_the_gap(&self, from: u64) -> (Vec<CopyEntry>, u64) {
        let mut next = from;
        let mut before = Vec::new();
        for entry in &self.entries {
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
fn states_truth(entry: &CopyEntry, known: &[Hash], base: u64) -> bool {
    let at = |index: u64| {
        let index = index.checked_sub(base).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| known.get(index)).copied()
    };
    let previous = entry.index.checked_sub(1);
    let previous_is_true = match (previous, entry.previous) {
        (None, stated) => stated.is_none(),
        // What lies before the copies is not known.
        (Some(before), stated) => stated.is_some() && (before < base || stated == at(before)),
    };
    at(entry.index) == Some(entry.stated) && previous_is_true
}

/// Size of the largest of some checkpoints that cover no more than so many entries.
fn covered(checkpoints: &[Checkpoint], entries: u64) -> Option<u64> {
    checkpoints.iter().map(|own| own.size).filter(|size| *size <= entries).max()
}

/// Entries of which a checkpoint says otherwise: a trusted one, or else one that the log has signed.
fn rewritten(known: &[Hash], evidence: &Evidence<'_>) -> Option<Range<u64>> {
    let past_of = |mut checkpoints: Vec<Checkpoint>| {
        checkpoints.sort_by_key(|own| own.size);
        Past::of(known, &checkpoints).rewritten
    };
    past_of(evidence.trusted.to_vec()).or_else(|| {
        (!evidence.signed.is_empty()).then(|| past_of([evidence.trusted, evidence.signed].concat())).flatten()
    })
}

fn in_report(log: &str, range: &Range<u64>) -> SomeEntries {
    SomeEntries { log: log.to_owned(), entries: range.end - range.start, first: range.start }
}
