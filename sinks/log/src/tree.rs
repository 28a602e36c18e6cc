//! A log that grows: its frontier, and the tiles that appending fills.
//!
//! Tiles hold 256 hashes (C2SP tlog-tiles, <https://c2sp.org/tlog-tiles>): tile *n* of level *l* holds the hashes of the
//! complete subtrees of 256^l leaves from number 256·n on.

use crate::hash::Hash;

/// Hashes of a full tile.
pub const TILE_WIDTH: usize = 256;
/// Levels of the tree that one level of tiles spans.
pub const TILE_HEIGHT: u8 = 8;
/// Levels of tiles in the tallest tree, of 2^64 leaves.
const LEVELS: usize = 8;

/// Inconsistency found when a stored log is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokenLog {
    /// The frontier has another number of hashes than a tree of that size.
    #[error("the frontier does not belong to a tree of {0} entries")]
    Frontier(u64),
    /// An open tile has another number of hashes than a tree of that size leaves in it.
    #[error("the open tile of level {level} does not belong to a tree of {size} entries")]
    OpenTile {
        /// The tile's level.
        level: usize,
        /// The log's size.
        size: u64,
    },
    /// Tiles and frontier give different roots.
    #[error("the tiles of {0} entries have another root than the frontier")]
    Roots(u64),
}

/// The roots of the complete subtrees of a log, largest first: what must be known of it to append to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// The frontier of a log of that size: it has a root for each one among the size's binary digits.
    pub fn new(size: u64, roots: Vec<Hash>) -> Result<Self, BrokenLog> {
        if roots.len() == size.count_ones() as usize {
            Ok(Self { size, roots })
        } else {
            Err(BrokenLog::Frontier(size))
        }
    }

    /// Entries of the log.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the complete subtrees, largest first.
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_and_see(leaf, |_, _| {});
    }

    /// Appends a leaf, and shows the root of each subtree that it completes, with its level in the tree.
    fn push_and_see(&mut self, leaf: Hash, mut see: impl FnMut(u32, Hash)) {
        let mut node = leaf;
        // As many complete subtrees grow together as the size has ones at its end.
        for level in 1..=self.size.trailing_ones() {
            let left = self.roots.pop().expect("a subtree for each one of the size");
            node = Hash::node(&left, &node);
            see(level, node);
        }
        self.roots.push(node);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else { return Hash::of_empty_tree() };
        roots.fold(*last, |right, left| Hash::node(left, &right))
    }
}

/// A full tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullTile {
    /// 0 for leaves.
    pub level: u8,
    /// Number of the tile within its level.
    pub index: u64,
    /// 256 hashes.
    pub hashes: Vec<Hash>,
    /// The root of the subtree over them: a hash of the tile above.
    pub root: Hash,
}

/// A log as its writer knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenLog {
    frontier: Frontier,
    last_leaf: Option<Hash>,
    /// By level, the hashes of the tile that is not full yet.
    open: [Vec<Hash>; LEVELS],
}

impl OpenLog {
    /// A log out of what is stored of it: frontier, last leaf, and by level the hashes of the open tiles.
    ///
    /// Refused where they do not belong together: then tiles, frontier or both were tampered with.
    pub fn new(
        frontier: Frontier,
        last_leaf: Option<Hash>,
        open_tiles: impl IntoIterator<Item = Vec<Hash>>,
    ) -> Result<Self, BrokenLog> {
        let size = frontier.size();
        let mut open: [Vec<Hash>; LEVELS] = Default::default();
        for (place, hashes) in open.iter_mut().zip(open_tiles) {
            *place = hashes;
        }
        for (level, hashes) in open.iter().enumerate() {
            if hashes.len() != open_width(size, level) {
                return Err(BrokenLog::OpenTile { level, size });
            }
        }
        if root_of_open_tiles(&open) != frontier.root() {
            return Err(BrokenLog::Roots(size));
        }
        if last_leaf.is_some() != (size > 0) {
            return Err(BrokenLog::Frontier(size));
        }
        Ok(Self { frontier, last_leaf, open })
    }

    /// A log that continues from its stored state, also if that is damaged: missing hashes are taken for
    /// zeros. The answer says besides what is wrong.
    pub fn restore(
        size: u64,
        mut roots: Vec<Hash>,
        last_leaf: Option<Hash>,
        open_tiles: &[Vec<Hash>],
    ) -> (Self, Option<BrokenLog>) {
        let whole = Frontier::new(size, roots.clone())
            .and_then(|frontier| Self::new(frontier, last_leaf, open_tiles.iter().cloned()));
        let broken = match whole {
            Ok(whole) => return (whole, None),
            Err(broken) => broken,
        };
        roots.resize(size.count_ones() as usize, Hash::default());
        let mut open: [Vec<Hash>; LEVELS] = Default::default();
        for (level, hashes) in open.iter_mut().enumerate() {
            *hashes = open_tiles.get(level).cloned().unwrap_or_default();
            hashes.resize(open_width(size, level), Hash::default());
        }
        let last_leaf = last_leaf.or((size > 0).then(Hash::default));
        (Self { frontier: Frontier { size, roots }, last_leaf, open }, Some(broken))
    }

    /// The log's frontier.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Entries of the log.
    pub fn size(&self) -> u64 {
        self.frontier.size
    }

    /// The leaf that was appended last.
    pub fn last_leaf(&self) -> Option<Hash> {
        self.last_leaf
    }

    /// The hashes of the tile of leaves that is not full yet.
    pub fn open_leaves(&self) -> &[Hash] {
        &self.open[0]
    }

    /// Appends a leaf; answers the tiles that it filled, the lowest first.
    pub fn push(&mut self, leaf: Hash) -> Vec<FullTile> {
        let mut filled = Vec::new();
        // A full tile is a complete subtree: the frontier has just computed its root.
        let mut roots = [Hash::default(); LEVELS];
        self.frontier.push_and_see(leaf, |level, root| {
            if level.is_multiple_of(u32::from(TILE_HEIGHT)) {
                roots[(level / u32::from(TILE_HEIGHT)) as usize - 1] = root;
            }
        });
        self.last_leaf = Some(leaf);
        let mut hash = leaf;
        for (level, (open, root)) in (0_u8..).zip(self.open.iter_mut().zip(roots)) {
            open.push(hash);
            if open.len() < TILE_WIDTH {
                break;
            }
            let hashes = std::mem::take(open);
            hash = root;
            let index = (self.frontier.size >> (u32::from(level + 1) * u32::from(TILE_HEIGHT))) - 1;
            filled.push(FullTile { level, index, hashes, root });
        }
        filled
    }
}

/// Number of hashes in the open tile of a level, for a tree of that size.
pub fn open_width(size: u64, level: usize) -> usize {
    let shift = u32::try_from(level).unwrap_or(u32::MAX).saturating_mul(u32::from(TILE_HEIGHT));
    let within = size.checked_shr(shift).unwrap_or(0) % TILE_WIDTH as u64;
    usize::try_from(within).unwrap_or(0)
}

/// The root of a complete subtree: of a number of hashes that is a power of two.
pub fn subtree(hashes: &[Hash]) -> Hash {
    assert!(hashes.len().is_power_of_two(), "a complete subtree has a power of two of leaves");
    if let [only] = hashes {
        return *only;
    }
    let mut level: Vec<Hash> = hashes.to_vec();
    while level.len() > 1 {
        level = level.chunks_exact(2).map(|pair| Hash::node(&pair[0], &pair[1])).collect();
    }
    level[0]
}

/// The root out of the open tiles alone, which hold all complete subtrees that are not part of a larger one.
fn root_of_open_tiles(open: &[Vec<Hash>; LEVELS]) -> Hash {
    let mut root: Option<Hash> = None;
    for hashes in open {
        let mut end = hashes.len();
        while end > 0 {
            let width = 1 << end.trailing_zeros();
            let left = subtree(&hashes[end - width..end]);
            root = Some(root.map_or(left, |right| Hash::node(&left, &right)));
            end -= width;
        }
    }
    root.unwrap_or_else(Hash::of_empty_tree)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn leaf(n: u64) -> Hash {
        Hash::of(&n.to_be_bytes())
    }

    /// RFC 9162, 2.1.1, word for word.
    fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of_empty_tree(),
            [one] => *one,
            more => {
                let split = more.len().next_power_of_two() / 2;
                Hash::node(&root(&more[..split]), &root(&more[split..]))
            }
        }
    }

    #[test]
    fn frontier_and_tiles_have_the_root_of_the_definition() {
        let leaves: Vec<Hash> = (0..700).map(leaf).collect();
        let mut log = OpenLog::default();
        for size in 0..leaves.len() {
            assert_eq!(log.frontier().root(), root(&leaves[..size]), "{size}");
            assert_eq!(root_of_open_tiles(&log.open), root(&leaves[..size]), "{size}");
            let filled = log.push(leaves[size]);
            assert_eq!(filled.len(), usize::from((size + 1) % TILE_WIDTH == 0));
            for tile in filled {
                let first = usize::try_from(tile.index).expect("small") * TILE_WIDTH;
                assert_eq!((tile.level, tile.hashes.as_slice()), (0, &leaves[first..first + TILE_WIDTH]));
            }
        }
    }

    #[test]
    fn the_second_level_fills_after_65_536_leaves() {
        let mut log = OpenLog::default();
        let filled: Vec<FullTile> = (0..65_537).flat_map(|n| log.push(leaf(n))).collect();
        let places: Vec<(u8, u64)> = filled.iter().map(|tile| (tile.level, tile.index)).collect();
        let expected: Vec<(u8, u64)> = (0..256).map(|n| (0, n)).chain([(1, 0)]).collect();
        assert_eq!(places, expected);
        for (nth, tile) in (0..).zip(&filled[..256]) {
            assert_eq!(subtree(&tile.hashes), filled[256].hashes[nth]);
        }
        assert_eq!((log.open[0].len(), log.open[1].len(), log.open[2].len()), (1, 0, 1));
    }

    proptest! {
        #[test]
        fn a_log_goes_on_from_what_is_stored_of_it(size in 0_u64..2000, more in 0_u64..600) {
            let mut log = OpenLog::default();
            (0..size).for_each(|n| drop(log.push(leaf(n))));
            let frontier = Frontier::new(size, log.frontier().roots().to_vec()).expect("its own");
            let mut stored = OpenLog::new(frontier, log.last_leaf(), log.open.clone()).expect("its own");
            prop_assert_eq!(&stored, &log);
            for n in size..size + more {
                prop_assert_eq!(stored.push(leaf(n)), log.push(leaf(n)));
            }
            prop_assert_eq!(stored, log);
        }

        #[test]
        fn a_log_that_was_tampered_with_is_refused(size in 1_u64..2000, at in any::<prop::sample::Index>()) {
            let mut log = OpenLog::default();
            (0..size).for_each(|n| drop(log.push(leaf(n))));
            let mut roots = log.frontier().roots().to_vec();
            let which = at.index(roots.len());
            roots[which].0[0] ^= 1;
            let frontier = Frontier::new(size, roots).expect("as many");
            let refused = OpenLog::new(frontier, log.last_leaf(), log.open.clone());
            prop_assert_eq!(refused, Err(BrokenLog::Roots(size)));
        }
    }
}
