//! Claims of copies about a log's leaves, and the leaves that fit them.

use super::{CopyEntry, Evidence};
use crate::{checkpoint::Checkpoint, hash::Hash, verify::is_of};

/// Most disputed leaves that are tried in all their combinations.
const MAX_DISPUTED: usize = 6;

/// For each index, the leaves that copies state for it, the likeliest first.
pub(super) struct Claims<'k> {
    leaves: Vec<Vec<Hash>>,
    /// Leaves that others have kept, from the first index on.
    kept: &'k [Hash],
    /// Predecessor that the first entry states although it has none.
    before_all: Option<Hash>,
    /// Index of an entry that states no predecessor although it follows others.
    begins_again: Option<usize>,
}

impl<'k> Claims<'k> {
    /// The claims of copies, in the order of their indices, on the leaves from index `base` on; `kept` are these leaves as others
    /// have them. `None` if nobody states a leaf for some index.
    pub(super) fn of(entries: &[CopyEntry], base: u64, kept: &'k [Hash]) -> Option<Self> {
        let held = base + kept.len() as u64;
        let end = entries.last().map_or(base, |last| last.index.saturating_add(1)).max(base);
        // Every index behind the kept ones is stated by its own copy or by the next one.
        if end.saturating_sub(held) > (entries.len() as u64).saturating_mul(2) {
            return None;
        }
        let length = usize::try_from(end - base).ok()?;
        let mut claims: Vec<Vec<Hash>> = vec![Vec::new(); length];
        let place = |index: u64| index.checked_sub(base).and_then(|index| usize::try_from(index).ok());
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
        for (index, hash) in (base..end).zip(kept) {
            claim(index, *hash);
        }
        let first = entries.first().filter(|first| first.index == 0);
        let before_all = first.and_then(|first| first.previous);
        let begins_again = entries.iter().find(|entry| entry.index > base && entry.previous.is_none());
        let begins_again = begins_again.and_then(|entry| place(entry.index));
        let is_whole = !claims.iter().any(Vec::is_empty);
        is_whole.then_some(Self { leaves: claims, kept, before_all, begins_again })
    }

    /// Of each index the leaf that is stated first: by its own copy, or else by the next one.
    pub(super) fn likeliest(&self) -> Vec<Hash> {
        self.leaves.iter().map(|claims| claims[0]).collect()
    }

    /// The leaves that the newest checkpoints cover, if they can be determined from the claims; else the likeliest ones.
    /// Entries that a trusted checkpoint covers go before those that others do.
    pub(super) fn resolve(&self, evidence: &Evidence<'_>) -> Vec<Hash> {
        let likeliest = self.likeliest();
        let length = likeliest.len() as u64;
        let own = Anchors::within(evidence, length);
        if own.hold(&likeliest) {
            return likeliest;
        }
        let kept = self.as_kept(&likeliest);
        let by_kept = |anchors: Anchors<'_>| kept.clone().filter(|kept| anchors.hold(kept));
        if let Some(kept) = by_kept(own) {
            return kept;
        }
        // Where an entry was removed and the rest renumbered, the log was longer by one.
        let longer = Anchors::within(evidence, length + 1);
        let tried = [(longer != own).then_some(longer), own.are_any().then_some(own)];
        let of_history =
            |anchors: Anchors<'_>| self.hypotheses(&likeliest).find(|leaves| anchors.hold(leaves));
        if let Some(history) = tried.into_iter().flatten().find_map(of_history) {
            return history;
        }
        let trusted = Anchors { signed: None, ..own };
        if trusted == own || !trusted.are_any() || trusted.hold(&likeliest) {
            return likeliest;
        }
        by_kept(trusted).or_else(|| of_history(trusted)).unwrap_or(likeliest)
    }

    /// The likeliest leaves, and in their places those that others have kept, if there are any.
    fn as_kept(&self, likeliest: &[Hash]) -> Option<Vec<Hash>> {
        let kept = self.kept.iter().take(likeliest.len());
        let rest = likeliest.iter().skip(self.kept.len());
        (!self.kept.is_empty()).then(|| kept.chain(rest).copied().collect())
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

/// The newest checkpoints that cover no more than so many entries.
#[derive(Clone, Copy, PartialEq)]
struct Anchors<'a> {
    trusted: Option<&'a Checkpoint>,
    signed: Option<&'a Checkpoint>,
}

impl<'a> Anchors<'a> {
    fn within(evidence: &Evidence<'a>, entries: u64) -> Self {
        let newest = |checkpoints: &'a [Checkpoint]| {
            checkpoints.iter().filter(|own| own.size <= entries).max_by_key(|own| own.size)
        };
        Self { trusted: newest(evidence.trusted), signed: newest(evidence.signed) }
    }

    fn are_any(&self) -> bool {
        self.trusted.is_some() || self.signed.is_some()
    }

    /// Whether there are any, and leaves have the root of each.
    fn hold(&self, leaves: &[Hash]) -> bool {
        let mut anchors = [self.trusted, self.signed].into_iter().flatten();
        self.are_any() && anchors.all(|anchor| is_of(leaves, anchor))
    }
}
