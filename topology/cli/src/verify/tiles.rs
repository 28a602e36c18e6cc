//! A folder of checkpoints and tiles, by itself and against checkpoints from elsewhere.

use std::path::Path;

use anyhow::{Context, bail};
use audit_log::{
    checkpoint::Checkpoint,
    verify::{Fault, Kind, Past, Report, SomeEntries, Trust},
};

use super::tile_folder::TileFolder;

/// Verifies the folder: each log's leaves have the roots of its checkpoint and of those from elsewhere, and its upper tiles are
/// those of the leaves.
pub(super) fn verify(dir: &Path, trust: &Trust, notes: &[String]) -> anyhow::Result<Report> {
    let folders = TileFolder::all(dir)?;
    if folders.is_empty() {
        bail!("{} holds no <topic>/<partition> with a checkpoint or tiles", dir.display());
    }
    let kept = trust.kept(notes).context("a checkpoint from elsewhere cannot be compared")?;
    if let Some(log) = kept.keys().find(|log| folders.iter().all(|folder| folder.log != **log)) {
        bail!("{} holds nothing of {log}, and a checkpoint of it was given", dir.display());
    }
    let (mut found, mut rewritten) = (Vec::new(), Vec::new());
    for folder in folders {
        let checked = check(&folder, trust, kept.get(&folder.log).map(Vec::as_slice).unwrap_or_default())?;
        found.push((checked.entries, checked.fault));
        rewritten.extend(checked.rewritten);
    }
    Ok(Report { rewritten, ..Report::of(found) })
}

/// Result of verifying one log.
struct Checked {
    entries: u64,
    fault: Option<Fault>,
    rewritten: Option<SomeEntries>,
}

fn check(folder: &TileFolder, trust: &Trust, kept: &[Checkpoint]) -> anyhow::Result<Checked> {
    let log = &folder.log;
    let fault = |index, kind| Fault { log: log.clone(), index, kind };
    let Some(own) = folder.note()?.and_then(|note| trust.open(log, &note).ok()) else {
        return Ok(Checked { entries: 0, fault: Some(fault(0, Kind::Checkpoint)), rewritten: None });
    };
    let mut checkpoints = [kept, &[own]].concat();
    checkpoints.sort_by_key(|checkpoint| checkpoint.size);
    let leaves = folder.leaves()?;
    let entries = leaves.len() as u64;
    let range = Past::of(&leaves, &checkpoints).rewritten;
    let is_cut = checkpoints.last().is_some_and(|newest| newest.size > entries);
    // The tiles above say where leaves were edited, unless they were rewritten too.
    let edited = folder.edited_above(&leaves)?.map(|index| fault(index, Kind::Edited));
    let fault = edited
        .or_else(|| range.as_ref().map(|range| fault(range.start, Kind::Rewritten)))
        .or_else(|| is_cut.then(|| fault(entries, Kind::Cut)));
    let rewritten = range.map(|range| SomeEntries {
        log: log.clone(),
        entries: range.end - range.start,
        first: range.start,
    });
    Ok(Checked { entries, fault, rewritten })
}
