//! Leaves, held against checkpoints of several sizes in one pass.

use std::ops::Range;

use crate::{checkpoint::Checkpoint, hash::Hash, tree::Frontier};

/// The past that some leaves make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Entries of which a checkpoint says otherwise: from the size of the last checkpoint that holds to that of the first
    /// that does not.
    pub rewritten: Option<Range<u64>>,
    /// The root over all of the leaves.
    pub root: Hash,
}

impl Past {
    /// The past of a log, held against its checkpoints, the smallest first. Those of more entries than there are leaves are
    /// not looked at.
    pub fn of(leaves: &[Hash], checkpoints: &[Checkpoint]) -> Self {
        let mut frontier = Frontier::default();
        let mut rest = leaves.iter();
        let mut rewritten = None;
        for (place, checkpoint) in checkpoints.iter().enumerate() {
            if checkpoint.size > leaves.len() as u64 || rewritten.is_some() {
                break;
            }
            let missing = checkpoint.size.saturating_sub(frontier.size());
            let missing = usize::try_from(missing).unwrap_or(usize::MAX);
            rest.by_ref().take(missing).for_each(|leaf| frontier.push(*leaf));
            if frontier.root() != checkpoint.root {
                let smaller = checkpoints[..place].iter().rev().find(|own| own.size < checkpoint.size);
                rewritten = Some(smaller.map_or(0, |own| own.size)..checkpoint.size);
            }
        }
        rest.for_each(|leaf| frontier.push(*leaf));
        Self { rewritten, root: frontier.root() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::root_of;

    fn leaf(n: u64) -> Hash {
        Hash::of(&n.to_be_bytes())
    }

    fn checkpoint(leaves: &[Hash], size: u64) -> Checkpoint {
        let root = root_of(leaves, size).expect("as many");
        Checkpoint { origin: "audit.example.com/t/0".into(), size, root, extensions: Vec::new() }
    }

    #[test]
    fn the_entries_between_two_checkpoints_are_named() {
        let leaves: Vec<Hash> = (0..300).map(leaf).collect();
        let mut forged = leaves.clone();
        forged.swap(120, 121);
        let sizes = [40, 100, 100, 256, 290];
        let checkpoints = sizes.map(|size| checkpoint(&leaves, size));
        let check = |leaves: &[Hash], checkpoints: &[Checkpoint], expected: Option<Range<u64>>| {
            let past = Past::of(leaves, checkpoints);
            assert_eq!((past.rewritten, Some(past.root)), (expected, root_of(leaves, leaves.len() as u64)));
        };
        check(&leaves, &checkpoints, None);
        check(&leaves, &[], None);
        check(&[], &checkpoints, None);
        check(&forged, &checkpoints, Some(100..256));
        check(&forged, &checkpoints[3..], Some(0..256));
        check(&forged[..122], &checkpoints, None);
        // Two pasts of one size: the one that does not hold is told, from the size below.
        check(
            &leaves,
            &[checkpoint(&leaves, 100), checkpoint(&leaves, 256), checkpoint(&forged, 256)],
            Some(100..256),
        );
    }
}
