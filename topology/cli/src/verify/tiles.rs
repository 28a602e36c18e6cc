//! A folder of checkpoints and tiles: `<topic>/<partition>/checkpoint` and `<topic>/<partition>/tile/…`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use audit_log::{
    Hash,
    hash::HASH_BYTES,
    tile::Tile,
    tree::{TILE_WIDTH, subtree},
    verify::{Fault, Kind, Report, Trust, root_of},
};

/// Verifies the folder: each log's leaves have the root of its checkpoint, and its upper tiles are those of the leaves.
pub(super) fn verify(dir: &Path, trust: &Trust) -> anyhow::Result<Report> {
    let logs = logs(dir)?;
    if logs.is_empty() {
        bail!("{} holds no <topic>/<partition>/checkpoint", dir.display());
    }
    let mut found = Vec::new();
    for (log, folder) in logs {
        let note = fs::read_to_string(folder.join("checkpoint")).context("reading a checkpoint")?;
        let fault = |index, kind| Some(Fault { log: log.clone(), index, kind });
        let Ok(checkpoint) = trust.open(&log, &note) else {
            found.push((0, fault(0, Kind::Checkpoint)));
            continue;
        };
        let leaves = read_leaves(&folder)?;
        let fault = match root_of(&leaves, checkpoint.size) {
            None => fault(leaves.len() as u64, Kind::Cut),
            // The tiles above say where leaves were edited, unless they were rewritten too.
            Some(root) => match edited_above(&folder, &leaves)? {
                Some(index) => fault(index, Kind::Edited),
                None if root != checkpoint.root => fault(0, Kind::Rewritten),
                None => None,
            },
        };
        found.push((leaves.len() as u64, fault));
    }
    Ok(Report::of(found))
}

/// The leaves of all logs of a folder.
pub(super) fn leaves(dir: &Path) -> anyhow::Result<BTreeMap<String, Vec<Hash>>> {
    logs(dir)?.into_iter().map(|(log, folder)| Ok((log, read_leaves(&folder)?))).collect()
}

/// Logs and their folders, by name.
fn logs(dir: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut logs = Vec::new();
    for topic in folders(dir)? {
        for partition in folders(&topic)? {
            let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
            let (Some(topic), Some(number)) = (name(&topic), name(&partition)) else { continue };
            if partition.join("checkpoint").is_file() {
                logs.push((format!("{topic}/{number}"), partition));
            }
        }
    }
    logs.sort();
    Ok(logs)
}

fn folders(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("opening {}", dir.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}

/// The leaves of one log: full tiles, then the widest part.
fn read_leaves(folder: &Path) -> anyhow::Result<Vec<Hash>> {
    let mut leaves = Vec::new();
    for index in 0.. {
        let Some(hashes) = read_tile(folder, 0, index)? else { break };
        let is_full = hashes.len() == TILE_WIDTH;
        leaves.extend(hashes);
        if !is_full {
            break;
        }
    }
    Ok(leaves)
}

/// A tile, or the widest part of it that is there.
fn read_tile(folder: &Path, level: u8, index: u64) -> anyhow::Result<Option<Vec<Hash>>> {
    let full = Tile { level, index, width: 256 };
    let path = folder.join("tile").join(full.to_string());
    let (path, width) = if path.is_file() {
        (path, TILE_WIDTH)
    } else {
        let parts = PathBuf::from(format!("{}.p", path.display()));
        let width = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<usize>().ok();
        let widths = fs::read_dir(&parts).ok().map(|entries| entries.flatten().filter_map(width).max());
        let Some(Some(width)) = widths else { return Ok(None) };
        (parts.join(width.to_string()), width)
    };
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let hashes = Hash::list(&bytes).filter(|_| bytes.len() == width * HASH_BYTES);
    Ok(Some(hashes.with_context(|| format!("{} has another length than its name says", path.display()))?))
}

/// The first leaf below a hash of an upper tile that is not the one of its leaves.
fn edited_above(folder: &Path, leaves: &[Hash]) -> anyhow::Result<Option<u64>> {
    let mut below: Vec<Hash> = leaves.to_vec();
    for level in 1..8_u8 {
        below = below.chunks_exact(TILE_WIDTH).map(subtree).collect();
        if below.is_empty() {
            break;
        }
        for (index, part) in (0_u64..).zip(below.chunks(TILE_WIDTH)) {
            let Some(stored) = read_tile(folder, level, index)? else { continue };
            let differs = stored.iter().zip(part).position(|(stored, own)| stored != own);
            if let Some(position) = differs {
                let node = index * TILE_WIDTH as u64 + position as u64;
                return Ok(Some(node << (8 * u32::from(level))));
            }
        }
    }
    Ok(None)
}
