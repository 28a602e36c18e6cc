//! Weir's own policies, from `processors/policies/rego`; compiled into the program.

use include_dir::{Dir, DirEntry, include_dir};

static OWN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/rego");

/// Every file of the set, policies and their cases, as path within the set and text, in the order of paths.
pub fn own() -> Vec<(&'static str, &'static str)> {
    let mut files = Vec::new();
    let mut folders = vec![&OWN];
    while let Some(folder) = folders.pop() {
        for entry in folder.entries() {
            match entry {
                DirEntry::Dir(inner) => folders.push(inner),
                DirEntry::File(file) => {
                    let path = file.path().to_str().expect("our files have plain names");
                    files.push((path, file.contents_utf8().expect("our files are text")));
                }
            }
        }
    }
    files.sort_unstable();
    files
}
