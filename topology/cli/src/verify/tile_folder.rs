//! The folder of one log's tiles: `<topic>/<partition>/checkpoint` and `<topic>/<partition>/tile/…`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use audit_log::{
    Hash,
    tile::Tile,
    tree::{TILE_WIDTH, subtree},
};

use crate::place;

/// A log's folder.
#[derive(Debug)]
pub(crate) struct TileFolder {
    /// `<topic>/<partition>`.
    pub(crate) log: String,
    path: PathBuf,
}

impl TileFolder {
    /// The folder of that log below another.
    pub(crate) fn of(dir: &Path, log: &str) -> Self {
        Self { log: log.to_owned(), path: dir.join(log) }
    }

    /// All of them that hold a checkpoint or tiles, by name.
    pub(crate) fn all(dir: &Path) -> anyhow::Result<Vec<Self>> {
        let mut logs = Vec::new();
        for topic in folders(dir)? {
            for partition in folders(&topic)? {
                let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
                let (Some(topic), Some(number)) = (name(&topic), name(&partition)) else { continue };
                let found = Self { log: format!("{topic}/{number}"), path: partition };
                if found.checkpoint().is_file() || found.path.join("tile").is_dir() {
                    logs.push(found);
                }
            }
        }
        logs.sort_by(|a, b| a.log.cmp(&b.log));
        Ok(logs)
    }

    /// The path of its checkpoint.
    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint")
    }

    /// Its checkpoint, if there is one: the signed note.
    pub(crate) fn note(&self) -> anyhow::Result<Option<String>> {
        let path = self.checkpoint();
        path.is_file().then(|| place::read(&path)).transpose()
    }

    /// The path of a tile.
    pub(crate) fn tile(&self, tile: Tile) -> PathBuf {
        self.path.join("tile").join(tile.to_string())
    }

    /// The leaves: full tiles, then the widest part. A tile of another length than its name says is an error.
    pub(crate) fn leaves(&self) -> anyhow::Result<Vec<Hash>> {
        let mut leaves = Vec::new();
        for index in 0.. {
            let Some(hashes) = self.widest(0, index)? else { break };
            let is_full = hashes.len() == TILE_WIDTH;
            leaves.extend(hashes);
            if !is_full {
                break;
            }
        }
        Ok(leaves)
    }

    /// The same as far as tiles are whole: whoever wrote the last one may have been killed.
    pub(crate) fn whole_leaves(&self) -> Vec<Hash> {
        let mut leaves = Vec::new();
        for index in 0.. {
            let whole = |(path, width): (PathBuf, usize)| hashes(&fs::read(path).ok()?, width);
            let Some(hashes) = self.files(0, index).into_iter().find_map(whole) else { break };
            let is_full = hashes.len() == TILE_WIDTH;
            leaves.extend(hashes);
            if !is_full {
                break;
            }
        }
        leaves
    }

    /// The first leaf below a hash of an upper tile that is not the one of these leaves.
    pub(crate) fn edited_above(&self, leaves: &[Hash]) -> anyhow::Result<Option<u64>> {
        let mut below: Vec<Hash> = leaves.to_vec();
        for level in 1..8_u8 {
            below = below.chunks_exact(TILE_WIDTH).map(subtree).collect();
            if below.is_empty() {
                break;
            }
            for (index, part) in (0_u64..).zip(below.chunks(TILE_WIDTH)) {
                let Some(stored) = self.widest(level, index)? else { continue };
                let differs = stored.iter().zip(part).position(|(stored, own)| stored != own);
                if let Some(position) = differs {
                    let node = index * TILE_WIDTH as u64 + position as u64;
                    return Ok(Some(node << (8 * u32::from(level))));
                }
            }
        }
        Ok(None)
    }

    /// A tile, or the widest part of it that is there.
    fn widest(&self, level: u8, index: u64) -> anyhow::Result<Option<Vec<Hash>>> {
        let Some((path, width)) = self.files(level, index).into_iter().next() else { return Ok(None) };
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let hashes = hashes(&bytes, width);
        Ok(Some(hashes.with_context(|| format!("{} has another length than its name says", path.display()))?))
    }

    /// The files of a tile with their widths, the widest first.
    fn files(&self, level: u8, index: u64) -> Vec<(PathBuf, usize)> {
        let full = self.tile(Tile { level, index, width: 256 });
        let parts = PathBuf::from(format!("{}.p", full.display()));
        let width = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<usize>().ok();
        let mut widths: Vec<usize> =
            fs::read_dir(&parts).into_iter().flatten().flatten().filter_map(width).collect();
        widths.sort_unstable();
        let parts = widths.into_iter().rev().map(|width| (parts.join(width.to_string()), width));
        full.is_file().then_some((full, TILE_WIDTH)).into_iter().chain(parts).collect()
    }
}

fn hashes(bytes: &[u8], width: usize) -> Option<Vec<Hash>> {
    Hash::list(bytes).filter(|hashes| hashes.len() == width)
}

fn folders(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("opening {}", dir.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}
