//! Inclusion and consistency proofs (RFC 9162, sections 2.1.3 and 2.1.4).

use std::ops::Range;

use crate::hash::Hash;

/// Reason that a proof is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf's index lies outside the tree.
    #[error("index {index} lies outside a tree of {size} entries")]
    OutsideTree {
        /// The index asked for.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// Consistency goes from a tree with entries to one that is as large or larger.
    #[error("a log of {from} entries cannot shrink to {to}")]
    NotGrown {
        /// The earlier size.
        from: u64,
        /// The later size.
        to: u64,
    },
    /// The proof has another number of hashes than it needs.
    #[error("the proof has {0} hashes, which is not what it needs")]
    WrongLength(usize),
    /// A root or a hash of the proof is not 32 bytes long.
    #[error("a hash is not 32 bytes long")]
    NoHash,
    /// The proof's hashes lead to another root.
    #[error("the proof leads to another root")]
    OtherRoot,
}

/// The ranges of leaves whose subtrees' roots make up a proof, in the proof's order.
pub type Subtrees = Vec<Range<u64>>;

/// The subtrees of the proof that the leaf is part of a tree of that size.
pub fn inclusion(index: u64, size: u64) -> Result<Subtrees, ProofError> {
    if index >= size {
        return Err(ProofError::OutsideTree { index, size });
    }
    let mut path = Vec::new();
    let mut within = 0..size;
    while within.end - within.start > 1 {
        let split = within.start + split_of(within.end - within.start);
        if index < split {
            path.push(split..within.end);
            within.end = split;
        } else {
            path.push(within.start..split);
            within.start = split;
        }
    }
    path.reverse();
    Ok(path)
}

/// The subtrees of the proof that a tree of `from` leaves is the beginning of one of `to`.
pub fn consistency(from: u64, to: u64) -> Result<Subtrees, ProofError> {
    if from == 0 || from > to {
        return Err(ProofError::NotGrown { from, to });
    }
    let mut path = Vec::new();
    let mut within = 0..to;
    // The earlier tree as a whole is known to whoever checks; a part of it is not.
    let mut known = true;
    while within.end > from {
        let split = within.start + split_of(within.end - within.start);
        if from <= split {
            path.push(split..within.end);
            within.end = split;
        } else {
            path.push(within.start..split);
            within.start = split;
            known = false;
        }
    }
    if !known {
        path.push(within);
    }
    path.reverse();
    Ok(path)
}

/// The largest power of two below `length`, which is 2 or more.
fn split_of(length: u64) -> u64 {
    1 << (u64::BITS - 1 - (length - 1).leading_zeros())
}

/// The complete subtrees that a range of leaves falls into, as (level of the tree, number of the node), left to right.
/// The range begins where a subtree at least as large begins.
pub fn complete_subtrees(range: &Range<u64>) -> Vec<(u8, u64)> {
    let (mut start, mut nodes) = (range.start, Vec::new());
    while start < range.end {
        let level = (u64::BITS - 1 - (range.end - start).leading_zeros()).min(start.trailing_zeros());
        let level = u8::try_from(level).expect("a tree has at most 64 levels");
        nodes.push((level, start >> level));
        start += 1 << level;
    }
    nodes
}

/// The root of a range of leaves out of those of its [`complete_subtrees`].
pub fn join(roots: &[Hash]) -> Hash {
    let mut roots = roots.iter().rev();
    let Some(last) = roots.next() else { return Hash::of_empty_tree() };
    roots.fold(*last, |right, left| Hash::node(left, &right))
}

/// Checks that a leaf is part of the tree of that size and root.
pub fn check_inclusion(
    (index, leaf): (u64, &Hash),
    (size, root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    let path = inclusion(index, size)?;
    if path.len() != proof.len() {
        return Err(ProofError::WrongLength(proof.len()));
    }
    let joined = path.iter().zip(proof).fold(*leaf, |hash, (range, other)| {
        if range.start > index { Hash::node(&hash, other) } else { Hash::node(other, &hash) }
    });
    if joined == *root { Ok(()) } else { Err(ProofError::OtherRoot) }
}

/// Checks that the tree of size and root `from` is the beginning of the tree `to`.
pub fn check_consistency(from: (u64, &Hash), to: (u64, &Hash), proof: &[Hash]) -> Result<(), ProofError> {
    let path = consistency(from.0, to.0)?;
    if path.len() != proof.len() {
        return Err(ProofError::WrongLength(proof.len()));
    }
    let mut steps = path.into_iter().zip(proof);
    // The first hash is the last whole subtree that both trees have: the earlier tree itself, if it is one.
    let is_whole = from.0 == to.0 || from.0.is_power_of_two();
    let (mut earlier, mut later) = if is_whole {
        (*from.1, *from.1)
    } else {
        let (_, first) = steps.next().ok_or(ProofError::WrongLength(0))?;
        (*first, *first)
    };
    for (range, hash) in steps {
        if range.start >= from.0 {
            later = Hash::node(&later, hash);
        } else {
            earlier = Hash::node(hash, &earlier);
            later = Hash::node(hash, &later);
        }
    }
    if earlier == *from.1 && later == *to.1 { Ok(()) } else { Err(ProofError::OtherRoot) }
}

/// [`check_consistency`] of hashes as others wrote them down. A tree is consistent with itself, however its
/// root is written.
pub fn check_consistency_of(
    (from, earlier): (u64, &[u8]),
    (to, later): (u64, &[u8]),
    proof: &[Vec<u8>],
) -> Result<(), ProofError> {
    if from == to && from > 0 && proof.is_empty() {
        return if earlier == later { Ok(()) } else { Err(ProofError::OtherRoot) };
    }
    let hash = |bytes: &[u8]| Hash::from_slice(bytes).ok_or(ProofError::NoHash);
    let proof = proof.iter().map(|bytes| hash(bytes)).collect::<Result<Vec<_>, _>>()?;
    check_consistency((from, &hash(earlier)?), (to, &hash(later)?), &proof)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| Hash::of(&n.to_be_bytes())).collect()
    }

    fn root_of(leaves: &[Hash], range: &Range<u64>) -> Hash {
        let at = |n: u64| usize::try_from(n).expect("small");
        let nodes = complete_subtrees(range);
        let roots: Vec<Hash> = nodes
            .iter()
            .map(|(level, number)| {
                let first = at(number << level);
                crate::tree::subtree(&leaves[first..first + (1 << level)])
            })
            .collect();
        join(&roots)
    }

    fn hashes(leaves: &[Hash], path: &Subtrees) -> Vec<Hash> {
        path.iter().map(|range| root_of(leaves, range)).collect()
    }

    #[test]
    fn every_leaf_of_small_trees_is_proven() {
        for size in 1..70 {
            let leaves = leaves(size);
            let root = root_of(&leaves, &(0..size));
            for (index, leaf) in (0..).zip(&leaves) {
                let proof = hashes(&leaves, &inclusion(index, size).expect("inside"));
                assert_eq!(
                    check_inclusion((index, leaf), (size, &root), &proof),
                    Ok(()),
                    "{index} of {size}"
                );
                for other in (0..size + 2).filter(|other| *other != index) {
                    assert!(check_inclusion((other, leaf), (size, &root), &proof).is_err());
                }
            }
        }
    }

    #[test]
    fn every_growth_of_small_trees_is_proven() {
        for to in 1..50 {
            let leaves = leaves(to);
            let root = root_of(&leaves, &(0..to));
            for from in 1..=to {
                let earlier = root_of(&leaves, &(0..from));
                let proof = hashes(&leaves, &consistency(from, to).expect("grown"));
                let check = |from: (u64, &Hash), proof: &[Hash]| check_consistency(from, (to, &root), proof);
                assert_eq!(check((from, &earlier), &proof), Ok(()), "{from} to {to}");
                assert!(check((from, &Hash([9; 32])), &proof).is_err(), "{from} to {to}");
                let longer = [proof.as_slice(), &[root]].concat();
                assert_eq!(check((from, &earlier), &longer), Err(ProofError::WrongLength(longer.len())));
            }
        }
    }

    #[test]
    fn odd_questions_are_refused_whatever_their_size() {
        let hash = Hash([1; 32]);
        for (index, size) in [(0, 0), (u64::MAX, u64::MAX), (u64::MAX, 3), (3, 3)] {
            let refused = check_inclusion((index, &hash), (size, &hash), &[]);
            assert_eq!(refused, Err(ProofError::OutsideTree { index, size }));
        }
        for (from, to) in [(0, 0), (0, 5), (5, 4), (u64::MAX, 1)] {
            assert_eq!(
                check_consistency((from, &hash), (to, &hash), &[]),
                Err(ProofError::NotGrown { from, to })
            );
        }
        assert!(check_inclusion((u64::MAX - 1, &hash), (u64::MAX, &hash), &[]).is_err());
        assert!(check_consistency((u64::MAX - 1, &hash), (u64::MAX, &hash), &[]).is_err());
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_found(size in 2_u64..600, at in any::<prop::sample::Index>(), bit in 0_usize..256) {
            let leaves = leaves(size);
            let root = root_of(&leaves, &(0..size));
            let index = at.index(leaves.len());
            let mut proof = hashes(&leaves, &inclusion(index as u64, size).expect("inside"));
            let which = at.index(proof.len());
            proof[which].0[bit / 8] ^= 1 << (bit % 8);
            let checked = check_inclusion((index as u64, &leaves[index]), (size, &root), &proof);
            prop_assert_eq!(checked, Err(ProofError::OtherRoot));
        }

        #[test]
        fn subtrees_of_a_path_cover_the_tree(size in 1_u64..u64::MAX, at in any::<u64>()) {
            let index = at % size;
            let covered: u128 = inclusion(index, size).expect("inside").iter()
                .map(|range| u128::from(range.end - range.start)).sum();
            prop_assert_eq!(covered + 1, u128::from(size));
        }
    }
}
