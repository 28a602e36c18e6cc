//! `weir audit tiles`: checkpoints and tiles of all logs in a folder, for others to keep.
//!
//! What the folder holds is evidence. Nothing of a log is written that is not the continuation of it, and every file is whole
//! or not there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use audit_log::{
    Hash,
    checkpoint::{Checkpoint, SignedCheckpoint},
    hash::HASH_BYTES,
    tile::Tile,
    tree::{Frontier, TILE_WIDTH},
};
use sinks::log_store::{Mirror, MirroredLog};

use crate::{Outcome, output::note, place::Place, verify::TileFolder};

/// Writes what is new of every log.
pub(super) async fn tiles(dir: &Path) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    let mut mirror = Mirror::connect(&place.endpoints.database_url).await?;
    let logs = mirror.logs().await?;
    let (mut written, mut broken) = (0_u64, 0_u64);
    for log in &logs {
        match write(&mut mirror, log, dir).await? {
            Ok(new) => written += new,
            Err(why) => {
                note(&format!("{} is left as {} holds it: {why}", log.log, dir.display()));
                broken += 1;
            }
        }
    }
    let held = if dir.is_dir() { TileFolder::all(dir)? } else { Vec::new() };
    for folder in held.iter().filter(|folder| logs.iter().all(|log| log.log != folder.log)) {
        note(&format!("{} is gone from the database, and {} still holds it", folder.log, dir.display()));
        broken += 1;
    }
    note(&format!("{written} tiles are new in {}; `weir verify --tiles {0}` checks them", dir.display()));
    if broken == 0 {
        return Ok(Outcome::Done);
    }
    note(&format!("`weir verify --kept {}` compares the database with the folder", dir.display()));
    Ok(Outcome::No)
}

/// Reason for which the database's log is not the continuation of what a folder holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Broken {
    #[error("the database has {size} entries of it, and the folder {held}")]
    Shorter { held: u64, size: u64 },
    #[error("entry {0} is another one in the database")]
    Edited(u64),
    #[error("the checkpoint of {0} entries has another root than the entries")]
    Rewritten(u64),
    #[error("its newest checkpoint in the database has {newest} entries, and the folder's {held}")]
    OlderCheckpoint { held: u64, newest: u64 },
    #[error("its newest checkpoint in the database cannot be read")]
    Unreadable,
}

/// Writes what is new of one log, once it is known to continue what the folder holds; answers the number of tiles.
async fn write(mirror: &mut Mirror, log: &MirroredLog, dir: &Path) -> anyhow::Result<Result<u64, Broken>> {
    let folder = TileFolder::of(dir, &log.log);
    let held = folder.note()?;
    let newest = match newest(held.as_deref(), log.checkpoint.as_deref()) {
        Ok(newest) => newest,
        Err(broken) => return Ok(Err(broken)),
    };
    if let Err(broken) = compared(mirror, log, &folder, &newest.checkpoints).await? {
        return Ok(Err(broken));
    }
    let mut written = 0;
    for level in 0..8_u8 {
        let hashes = log.size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        for index in 0..hashes.div_ceil(TILE_WIDTH as u64) {
            let Some(tile) = Tile::of(level, index, log.size) else { continue };
            let path = folder.tile(tile);
            let length = u64::from(tile.width) * HASH_BYTES as u64;
            if fs::metadata(&path).is_ok_and(|found| found.len() == length) {
                continue;
            }
            write_tile(&path, &bytes_of(mirror, log, tile).await?)?;
            written += 1;
        }
    }
    if let Some(note) = newest.note {
        write_checkpoint(&folder.checkpoint(), note)?;
    }
    Ok(Ok(written))
}

/// Compares the folder's leaves with the database's, as far as both reach, and all of them with the checkpoints.
async fn compared(
    mirror: &mut Mirror,
    log: &MirroredLog,
    folder: &TileFolder,
    checkpoints: &[Checkpoint],
) -> anyhow::Result<Result<(), Broken>> {
    let kept = folder.whole_leaves();
    let held = kept.len() as u64;
    if log.size < held {
        return Ok(Err(Broken::Shorter { held, size: log.size }));
    }
    let mut continuation = Continuation::new(checkpoints);
    let (full, open) = kept.split_at(kept.len() - kept.len() % TILE_WIDTH);
    for leaf in full {
        continuation.push(*leaf);
    }
    let next = (full.len() / TILE_WIDTH) as u64;
    for index in next.. {
        let Some(tile) = Tile::of(0, index, log.size) else { break };
        let bytes = bytes_of(mirror, log, tile).await?;
        let leaves = Hash::list(&bytes).with_context(|| format!("{tile} of {} is no tile", log.log))?;
        let first = index * TILE_WIDTH as u64;
        let open = if index == next { open } else { &[] };
        if let Some(place) = open.iter().zip(&leaves).position(|(kept, own)| kept != own) {
            return Ok(Err(Broken::Edited(first + place as u64)));
        }
        for leaf in &leaves {
            continuation.push(*leaf);
        }
    }
    Ok(continuation.finish())
}

async fn bytes_of(mirror: &mut Mirror, log: &MirroredLog, tile: Tile) -> anyhow::Result<Vec<u8>> {
    let bytes = mirror.tile(&log.log, tile).await?;
    bytes.with_context(|| {
        format!("the log {} lacks its tile {tile}: `weir verify` names the first entry that is gone", log.log)
    })
}

/// Leaves as they come, held against checkpoints.
struct Continuation<'a> {
    frontier: Frontier,
    checkpoints: &'a [Checkpoint],
    broken: Option<u64>,
}

impl<'a> Continuation<'a> {
    fn new(checkpoints: &'a [Checkpoint]) -> Self {
        Self { frontier: Frontier::default(), checkpoints, broken: None }
    }

    fn push(&mut self, leaf: Hash) {
        self.frontier.push(leaf);
        let size = self.frontier.size();
        let is_other = |own: &Checkpoint| own.size == size && own.root != self.frontier.root();
        if self.broken.is_none() && self.checkpoints.iter().any(is_other) {
            self.broken = Some(size);
        }
    }

    fn finish(self) -> Result<(), Broken> {
        let beyond = self.checkpoints.iter().map(|own| own.size).find(|size| *size > self.frontier.size());
        self.broken.or(beyond).map_or(Ok(()), |size| Err(Broken::Rewritten(size)))
    }
}

/// The checkpoints that the leaves must have, and the note that takes the place of the folder's, if one does.
#[derive(Debug, PartialEq, Eq)]
struct Newest<'a> {
    checkpoints: Vec<Checkpoint>,
    note: Option<&'a str>,
}

/// Compares the folder's checkpoint with the database's newest. Of two of one size, the one with more signatures stays.
fn newest<'a>(held: Option<&str>, newest: Option<&'a str>) -> Result<Newest<'a>, Broken> {
    // What cannot be read is no evidence, and is replaced.
    let held = held.and_then(|note| SignedCheckpoint::parse(note).ok());
    let read = newest.map(SignedCheckpoint::parse).transpose().map_err(|_| Broken::Unreadable)?;
    let rank = |signed: Option<&SignedCheckpoint>| {
        signed.map_or((0, 0), |signed| (signed.checkpoint.size, signed.signature_count()))
    };
    let (ours, theirs) = (rank(held.as_ref()), rank(read.as_ref()));
    if theirs.0 < ours.0 {
        return Err(Broken::OlderCheckpoint { held: ours.0, newest: theirs.0 });
    }
    let checkpoints = held.into_iter().chain(read).map(|signed| signed.checkpoint).collect();
    Ok(Newest { checkpoints, note: newest.filter(|_| theirs > ours) })
}

/// Writes a file beside, so that there is a whole one at any moment; answers its path.
fn write_beside(path: &Path, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let Some(folder) = path.parent() else { bail!("{} is no path of a file", path.display()) };
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let new = path.with_extension("new");
    fs::write(&new, bytes).with_context(|| format!("writing {}", new.display()))?;
    Ok(new)
}

/// A machine that fails may leave a short tile: the next run writes it again.
fn write_tile(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = write_beside(path, bytes)?;
    fs::rename(&new, path).with_context(|| format!("writing {}", path.display()))
}

/// The new checkpoint is on disk before the one that it replaces is gone.
fn write_checkpoint(path: &Path, note: &str) -> anyhow::Result<()> {
    let new = write_beside(path, note.as_bytes())?;
    let stored = fs::File::open(&new).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&new, path));
    stored.with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use audit_log::keys::{PrivateKey, Purpose};

    use super::*;

    fn leaves(count: u8) -> Vec<Hash> {
        (0..count).map(|n| Hash([n; 32])).collect()
    }

    fn checkpoint(leaves: &[Hash]) -> Checkpoint {
        let mut frontier = Frontier::default();
        for leaf in leaves {
            frontier.push(*leaf);
        }
        let (size, root) = (frontier.size(), frontier.root());
        Checkpoint { origin: "audit.example.com/t/0".into(), size, root, extensions: Vec::new() }
    }

    #[test]
    fn leaves_have_the_roots_of_all_checkpoints() {
        let own = leaves(9);
        let check = |leaves: &[Hash], sizes: &[usize], expected: Result<(), Broken>| {
            let checkpoints: Vec<Checkpoint> = sizes.iter().map(|size| checkpoint(&own[..*size])).collect();
            let mut continuation = Continuation::new(&checkpoints);
            for leaf in leaves {
                continuation.push(*leaf);
            }
            assert_eq!(continuation.finish(), expected, "{sizes:?}");
        };
        check(&own, &[], Ok(()));
        check(&own, &[4, 9], Ok(()));
        check(&own[..8], &[4, 9], Err(Broken::Rewritten(9)));
        let mut forged = own.clone();
        forged.swap(5, 6);
        check(&forged, &[4, 9], Err(Broken::Rewritten(9)));
        check(&forged, &[4, 5], Ok(()));
        check(&forged, &[6, 9], Err(Broken::Rewritten(6)));
    }

    #[test]
    fn a_checkpoint_gives_way_to_one_of_more_entries_or_more_signatures() {
        let key = PrivateKey::new("audit.example.com", &[1; 32]).expect("a name");
        let witness = PrivateKey::new("witness.example.org", &[2; 32]).expect("a name");
        let note = |size: u8| checkpoint(&leaves(size)).sign(std::slice::from_ref(&key)).expect("signed");
        let signed = SignedCheckpoint::parse(&note(4)).expect("a note");
        let line = signed.cosign(&witness, 1).expect("cosigned");
        let cosigned = signed.with_lines(&[line]).expect("a note");
        assert!(
            SignedCheckpoint::parse(&cosigned)
                .is_ok_and(|own| own.cosigned(&witness.public(Purpose::Witness)).is_ok())
        );
        let check = |held: Option<&str>, new: Option<&str>, expected: Result<bool, Broken>| {
            let found = newest(held, new).map(|newest| newest.note.is_some());
            assert_eq!(found, expected, "{held:?} {new:?}");
        };
        check(None, None, Ok(false));
        check(None, Some(&note(4)), Ok(true));
        check(Some(&note(4)), Some(&note(5)), Ok(true));
        check(Some(&note(4)), Some(&cosigned), Ok(true));
        check(Some(&cosigned), Some(&note(4)), Ok(false));
        check(Some(&cosigned), Some(&note(3)), Err(Broken::OlderCheckpoint { held: 4, newest: 3 }));
        check(Some(&cosigned), None, Err(Broken::OlderCheckpoint { held: 4, newest: 0 }));
        check(Some("cut"), Some(&note(3)), Ok(true));
        check(Some(&note(3)), Some("forged"), Err(Broken::Unreadable));
    }
}
