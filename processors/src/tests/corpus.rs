//! Published data sets, if `WEIR_CORPUS` names a folder with their archives.
#![expect(clippy::disallowed_methods, reason = "tests read the corpus; processors read no files")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A set of the corpus, unpacked; `None` if `WEIR_CORPUS` is not set.
#[expect(clippy::print_stderr, reason = "whoever runs the tests should see what was not run")]
pub(crate) fn corpus(set: &str) -> Option<tempfile::TempDir> {
    let Some(folder) = std::env::var_os("WEIR_CORPUS") else {
        eprintln!("skipped: WEIR_CORPUS names no corpus");
        return None;
    };
    let archive =
        fs::File::open(Path::new(&folder).join(format!("{set}.tar.gz"))).expect("the set's archive");
    let unpacked = tempfile::tempdir().expect("a temporary folder");
    tar::Archive::new(flate2::read::GzDecoder::new(archive)).unpack(unpacked.path()).expect("an archive");
    Some(unpacked)
}

/// The files below a folder with that extension, in order of their paths.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}
