//! The files below a folder that a person names.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// Deepest folder that is looked into.
const MAX_DEPTH: usize = 32;

/// The files whose extension is wanted, in the order of names. Hidden files and folders are passed over; links to folders are
/// not followed, so that no loop is walked.
pub(crate) fn files_below(folder: &Path, is_wanted: impl Fn(&OsStr) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let unreadable = || format!("the folder {} cannot be read", folder.display());
        for entry in fs::read_dir(&folder).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if entry.file_type().with_context(unreadable)?.is_dir() {
                if depth < MAX_DEPTH {
                    folders.push((path, depth + 1));
                }
            } else if path.extension().is_some_and(&is_wanted) {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}
