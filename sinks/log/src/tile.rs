//! Tiles by their paths, and the nodes that lie in them (C2SP tlog-tiles, <https://c2sp.org/tlog-tiles>).

use std::{collections::BTreeMap, fmt, ops::Range};

use crate::{
    hash::{HASH_BYTES, Hash},
    proof::{complete_subtrees, join},
    tree::{TILE_HEIGHT, TILE_WIDTH, subtree},
};

/// The highest level of tiles that a path may name.
const MAX_LEVEL: u8 = 7;
/// The width of a full tile.
const FULL: u16 = 256;

/// One tile of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// 0 for leaves.
    pub level: u8,
    /// Number of the tile within its level.
    pub index: u64,
    /// Number of hashes in the tile; 256 if it is full.
    pub width: u16,
}

/// A path that names no tile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no tile: <level>/<number in groups of three digits>[.p/<width>]")]
pub struct NoTile(String);

impl Tile {
    /// The tile as a tree of that size has it: full, or the part that it fills; `None` if it has no hash of it.
    pub fn of(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0);
        let first = index.checked_mul(TILE_WIDTH as u64)?;
        let width = hashes.checked_sub(first)?.min(TILE_WIDTH as u64);
        let width = u16::try_from(width).ok().filter(|width| *width > 0)?;
        Some(Self { level, index, width })
    }

    /// Whether it holds all 256 hashes.
    pub fn is_full(&self) -> bool {
        self.width == FULL
    }

    /// The tile of a path as [`fmt::Display`] writes it: `0/x001/234`, `1/000.p/7`. Only that one spelling is taken.
    pub fn parse(path: &str) -> Result<Self, NoTile> {
        let no_tile = || NoTile(path.to_owned());
        let (level, rest) = path.split_once('/').ok_or_else(no_tile)?;
        let level: u8 = level.parse().map_err(|_| no_tile())?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().map_err(|_| no_tile())?),
            None => (rest, FULL),
        };
        let mut index = 0_u64;
        for group in number.split('/') {
            let digits: u64 = group.strip_prefix('x').unwrap_or(group).parse().map_err(|_| no_tile())?;
            index = index.checked_mul(1000).and_then(|i| i.checked_add(digits)).ok_or_else(no_tile)?;
        }
        let tile = Self { level, index, width };
        let is_tile = level <= MAX_LEVEL && (1..=TILE_WIDTH).contains(&usize::from(width));
        if is_tile && tile.to_string() == path { Ok(tile) } else { Err(no_tile()) }
    }
}

/// The path behind `tile/`.
impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        write!(f, "{}", self.level)?;
        for (left, group) in groups.iter().enumerate().rev() {
            write!(f, "/{}{group:03}", if left == 0 { "" } else { "x" })?;
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// The tile of a tree of `size` leaves in which a node lies, and which of its hashes the node spans.
fn place(level: u8, number: u64, size: u64) -> Option<(Tile, Range<usize>)> {
    let (tile_level, height) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
    let first = number.checked_shl(u32::from(height)).filter(|first| first >> height == number)?;
    let tile = Tile::of(tile_level, first / TILE_WIDTH as u64, size)?;
    let within = usize::try_from(first % TILE_WIDTH as u64).ok()?;
    let range = within..within + (1 << height);
    (range.end <= usize::from(tile.width)).then_some((tile, range))
}

/// The tiles of a tree of `size` leaves that a proof is made of; `None` if it reaches beyond the tree.
pub fn tiles_of(path: &[Range<u64>], size: u64) -> Option<Vec<Tile>> {
    let nodes = path.iter().flat_map(complete_subtrees);
    let mut tiles: Vec<Tile> =
        nodes.map(|(level, number)| Some(place(level, number, size)?.0)).collect::<Option<_>>()?;
    tiles.sort_unstable();
    tiles.dedup();
    Some(tiles)
}

/// Tiles at hand, by place; what a tile holds beyond its width in a smaller tree is not looked at.
#[derive(Debug, Clone, Default)]
pub struct Tiles(BTreeMap<(u8, u64), Vec<Hash>>);

impl Tiles {
    /// Adds the bytes of a tile: false if they are not whole hashes.
    pub fn add(&mut self, level: u8, index: u64, bytes: &[u8]) -> bool {
        if bytes.len() > TILE_WIDTH * HASH_BYTES {
            return false;
        }
        Hash::list(bytes).map(|hashes| self.0.insert((level, index), hashes)).is_some()
    }

    /// The hashes of a proof over a tree of `size` leaves; `None` where a tile is missing.
    pub fn hashes(&self, path: &[Range<u64>], size: u64) -> Option<Vec<Hash>> {
        path.iter()
            .map(|range| {
                let nodes = complete_subtrees(range);
                let roots: Vec<Hash> = nodes
                    .into_iter()
                    .map(|(level, number)| {
                        let (tile, within) = place(level, number, size)?;
                        Some(subtree(self.0.get(&(tile.level, tile.index))?.get(within)?))
                    })
                    .collect::<Option<_>>()?;
                Some(join(&roots))
            })
            .collect()
    }

    /// The root of a tree of `size` leaves.
    pub fn root(&self, size: u64) -> Option<Hash> {
        if size == 0 {
            return Some(Hash::of_empty_tree());
        }
        self.hashes(std::slice::from_ref(&(0..size)), size)?.pop()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        proof::{check_consistency, check_inclusion, consistency, inclusion},
        tree::OpenLog,
    };

    #[test]
    fn tiles_have_the_paths_of_the_specification() {
        let check = |tile: Tile, path: &str| {
            assert_eq!(tile.to_string(), path);
            assert_eq!(Tile::parse(path), Ok(tile));
        };
        check(Tile { level: 0, index: 1_234_067, width: 256 }, "0/x001/x234/067");
        check(Tile { level: 1, index: 0, width: 7 }, "1/000.p/7");
        check(Tile { level: 7, index: 1000, width: 1 }, "7/x001/000.p/1");
        for odd in [
            "",
            "0",
            "0/",
            "0/1",
            "0/0001",
            "8/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/257",
            "0/000.p/07",
            "00/000",
            "0/x000/001",
            "0/001/x002",
            "0/001/",
            "-1/000",
            "0/+01",
            "0/000.p/",
            "0/x999999999999/000",
        ] {
            assert!(Tile::parse(odd).is_err(), "{odd}");
        }
    }

    /// All tiles of a log, the open ones among them.
    fn grown(size: u64) -> (OpenLog, Tiles, Vec<Hash>) {
        let (mut log, mut tiles) = (OpenLog::default(), Tiles::default());
        let leaves: Vec<Hash> = (0..size).map(|n| Hash::of(&n.to_be_bytes())).collect();
        let mut levels: BTreeMap<u8, Vec<Hash>> = BTreeMap::from([(0, leaves.clone())]);
        for leaf in &leaves {
            for tile in log.push(*leaf) {
                levels.entry(tile.level + 1).or_default().push(subtree(&tile.hashes));
                assert!(tiles.add(tile.level, tile.index, &Hash::concat(&tile.hashes)));
            }
        }
        for (level, hashes) in levels {
            for (index, part) in (0..).zip(hashes.chunks(TILE_WIDTH)) {
                assert!(tiles.add(level, index, &Hash::concat(part)));
            }
        }
        (log, tiles, leaves)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn proofs_come_out_of_tiles(size in 1_u64..3000, a in any::<prop::sample::Index>(), b in any::<u64>()) {
            let (log, tiles, leaves) = grown(size);
            let root = log.frontier().root();
            prop_assert_eq!(tiles.root(size), Some(root));
            let index = a.index(leaves.len());
            let path = inclusion(index as u64, size).expect("inside");
            prop_assert!(tiles_of(&path, size).is_some());
            let proof = tiles.hashes(&path, size).expect("all tiles");
            prop_assert_eq!(check_inclusion((index as u64, &leaves[index]), (size, &root), &proof), Ok(()));
            let from = b % size + 1;
            let earlier = tiles.root(from).expect("all tiles");
            let proof = tiles.hashes(&consistency(from, size).expect("grown"), size).expect("all tiles");
            prop_assert_eq!(check_consistency((from, &earlier), (size, &root), &proof), Ok(()));
        }
    }

    #[test]
    fn whatever_reaches_beyond_the_tree_has_no_tile() {
        assert_eq!(Tile::of(0, 1, 256), None);
        assert_eq!(Tile::of(0, u64::MAX, u64::MAX), None);
        assert_eq!(Tile::of(9, 0, u64::MAX), None);
        assert_eq!(place(63, 1, u64::MAX), None);
        assert!(tiles_of(&inclusion(u64::MAX - 1, u64::MAX).expect("inside"), u64::MAX).is_some());
        assert_eq!(Tiles::default().root(1), None);
        assert!(!Tiles::default().add(0, 0, &[0; 31]));
        assert!(!Tiles::default().add(0, 0, &[0; 257 * 32]));
    }
}
