//! What others have kept of the logs: leaves and checkpoints in a folder as `weir audit tiles` writes it, checkpoints in a
//! witness's folder.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use audit_log::{checkpoint::SignedCheckpoint, keys::PublicKey, verify::is_of};
use sinks::log_store::Kept;

use super::tile_folder::TileFolder;
use crate::place;

/// Extension of the files in which a witness keeps checkpoints.
const WITNESSED: &str = "checkpoint";

/// What a folder holds of the logs of these keys' deployment; an error if that is nothing.
pub(super) fn kept(dir: &Path, keys: &[PublicKey]) -> anyhow::Result<Kept> {
    let mut kept = Kept { notes: witnessed(dir, keys)?, ..Kept::default() };
    for folder in TileFolder::all(dir)? {
        let leaves = folder.leaves()?;
        if let Some(note) = folder.note()? {
            let signed = parse(&folder.checkpoint(), &note)?;
            if !is_of(&leaves, &signed.checkpoint) {
                bail!(
                    "{} is not of the tiles beside it, so nothing can be compared with them: `weir verify --tiles` says \
                     where they differ",
                    folder.checkpoint().display()
                );
            }
            kept.notes.push(note);
        }
        kept.leaves.insert(folder.log, leaves);
    }
    if kept.leaves.is_empty() && kept.notes.is_empty() {
        bail!(
            "{} holds nothing of this deployment's logs: neither <topic>/<partition> as `weir audit tiles` writes it, nor \
             checkpoints of a witness that bear the name of a key given",
            dir.display()
        );
    }
    Ok(kept)
}

/// The checkpoints in a witness's folder that are of the keys' deployment: a witness may know several.
fn witnessed(dir: &Path, keys: &[PublicKey]) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("opening {}", dir.display()))?;
    let mut notes = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("reading {}", dir.display()))?.path();
        if !path.is_file() || path.extension().is_none_or(|extension| extension != WITNESSED) {
            continue;
        }
        let note = place::read(&path)?;
        if parse(&path, &note)?.checkpoint.log_of(keys).is_some() {
            notes.push(note);
        }
    }
    Ok(notes)
}

fn parse(path: &Path, note: &str) -> anyhow::Result<SignedCheckpoint> {
    SignedCheckpoint::parse(note).with_context(|| format!("{} cannot be read", path.display()))
}
