//! Expands paths to the files to import.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
    vec,
};

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundFile {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Modification time, in nanoseconds since 1970; 0 if the file system has none.
    pub(super) modified_ns: u64,
    pub(super) found: Found,
}

/// Origin of a file in the import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Named explicitly.
    Named,
    /// Found in a folder, where other files may lie as well.
    InFolder,
}

/// A path that could not be read.
#[derive(Debug)]
pub(super) struct Unseen {
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
}

/// Walks paths depth first, in the order of names. Holds one list of names for each open folder.
#[derive(Debug)]
pub(super) struct Walk {
    named: vec::IntoIter<PathBuf>,
    open: Vec<vec::IntoIter<PathBuf>>,
    /// The named folder that is being walked. Links into it are not followed, since their targets are visited
    /// anyway.
    root: Option<PathBuf>,
    /// Folders outside the root, reached by links.
    linked: HashSet<PathBuf>,
}

impl Walk {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        Self { named: paths.into_iter(), open: Vec::new(), root: None, linked: HashSet::new() }
    }

    fn visit(&mut self, path: PathBuf, found: Found) -> Result<Option<FoundFile>, Unseen> {
        match self.look_at(&path, found) {
            Ok(file) => Ok(file),
            Err(error) => Err(Unseen { path, error }),
        }
    }

    fn look_at(&mut self, path: &Path, found: Found) -> io::Result<Option<FoundFile>> {
        if found == Found::InFolder && fs::symlink_metadata(path)?.is_symlink() {
            let target = fs::canonicalize(path)?;
            let visited_anyway = self.root.as_ref().is_some_and(|root| target.starts_with(root));
            if visited_anyway || (target.is_dir() && !self.linked.insert(target)) {
                return Ok(None);
            }
        }
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            if found == Found::Named {
                self.root = Some(fs::canonicalize(path)?);
                self.linked.clear();
            }
            self.open.push(names_in(path)?.into_iter());
            return Ok(None);
        }
        if !metadata.is_file() {
            return match found {
                Found::Named => Err(io::Error::other("it is neither a file nor a folder")),
                Found::InFolder => Ok(None),
            };
        }
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_ns = modified.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0);
        Ok(Some(FoundFile { path: path.into(), bytes: metadata.len(), modified_ns, found }))
    }
}

/// A folder's entries by name, without hidden ones.
fn names_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

impl Iterator for Walk {
    type Item = Result<FoundFile, Unseen>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (path, found) = if let Some(folder) = self.open.last_mut() {
                let Some(path) = folder.next() else {
                    self.open.pop();
                    continue;
                };
                (path, Found::InFolder)
            } else {
                (self.named.next()?, Found::Named)
            };
            if let Some(file) = self.visit(path, found).transpose() {
                return Some(file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn folders_are_walked_in_order_and_link_loops_once() {
        use std::os::unix::fs::symlink;

        let root = tempfile::tempdir().expect("a temporary folder");
        let outside = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("b/c")).expect("made");
        for name in ["b/c/2.json", "a.json", "z.json", ".hidden"] {
            fs::write(at(name), "[]").expect("written");
        }
        fs::write(outside.path().join("3.json"), "[]").expect("written");
        symlink(root.path(), at("b/up")).expect("linked");
        symlink(at("a.json"), at("b/again.json")).expect("linked");
        symlink(outside.path(), at("b/x1")).expect("linked");
        symlink(outside.path(), at("b/x2")).expect("linked");
        symlink(outside.path(), outside.path().join("loop")).expect("linked");
        symlink(root.path(), outside.path().join("back")).expect("linked");
        symlink(at("nowhere"), at("dangling")).expect("linked");

        let (mut seen, mut unseen) = (Vec::new(), Vec::new());
        for found in Walk::new(vec![root.path().into(), at("a.json")]) {
            match found {
                Ok(file) => seen.push((file.path, file.found)),
                Err(missed) => unseen.push(missed.path),
            }
        }
        let expected = [
            (at("a.json"), Found::InFolder),
            (at("b/c/2.json"), Found::InFolder),
            (at("b/x1/3.json"), Found::InFolder),
            (at("z.json"), Found::InFolder),
            (at("a.json"), Found::Named),
        ];
        assert_eq!(seen, expected);
        assert_eq!(unseen, [at("dangling")]);
    }
}
