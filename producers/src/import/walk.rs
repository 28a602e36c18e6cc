//! Expands paths to the files to import.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fmt::Write as _,
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

/// Walks paths depth first, in the order of names. Holds one list of names for each open folder, and the targets of
/// links.
#[derive(Debug)]
pub(super) struct Walk {
    named: vec::IntoIter<PathBuf>,
    open: Vec<OpenFolder>,
    /// The named folder that is being walked.
    root: Option<PathBuf>,
    /// Folders that only links lead to, without links in their paths.
    linked_folders: HashSet<PathBuf>,
    /// Files that links led to, outside these folders.
    linked_files: HashSet<PathBuf>,
}

#[derive(Debug)]
struct OpenFolder {
    entries: vec::IntoIter<PathBuf>,
    /// Its path without links, if only links lead to it.
    target: Option<PathBuf>,
}

impl Walk {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            named: paths.into_iter(),
            open: Vec::new(),
            root: None,
            linked_folders: HashSet::new(),
            linked_files: HashSet::new(),
        }
    }

    fn visit(&mut self, path: PathBuf, found: Found) -> Result<Option<FoundFile>, Unseen> {
        match self.look_at(&path, found) {
            Ok(file) => Ok(file),
            Err(error) => Err(Unseen { path, error }),
        }
    }

    fn look_at(&mut self, path: &Path, found: Found) -> io::Result<Option<FoundFile>> {
        let is_link = found == Found::InFolder && fs::symlink_metadata(path)?.is_symlink();
        let target = if is_link { Some(fs::canonicalize(path)?) } else { self.below_link(path) };
        let metadata = fs::metadata(path)?;
        if let Some(target) = &target {
            let is_visited_here = if self.is_visited_anyway(target) {
                false
            } else if metadata.is_dir() {
                self.linked_folders.insert(target.clone())
            } else if is_link {
                !self.is_in_linked_folder(target) && self.linked_files.insert(target.clone())
            } else {
                !self.linked_files.contains(target)
            };
            if !is_visited_here {
                return Ok(None);
            }
        }
        if metadata.is_dir() {
            if found == Found::Named {
                self.root = Some(fs::canonicalize(path)?);
                self.linked_folders.clear();
                self.linked_files.clear();
            }
            self.open.push(OpenFolder { entries: entries_of(path)?.into_iter(), target });
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

    /// The path without links of an entry of a folder that only links lead to.
    fn below_link(&self, entry: &Path) -> Option<PathBuf> {
        let folder = self.open.last()?.target.as_ref()?;
        Some(folder.join(entry.file_name()?))
    }

    /// Whether the walk comes to a target without links: from the root, through no hidden name.
    fn is_visited_anyway(&self, target: &Path) -> bool {
        let below_root = self.root.as_ref().and_then(|root| target.strip_prefix(root).ok());
        below_root.is_some_and(|names| !names.iter().any(is_hidden))
    }

    /// Whether the folder of a link's target is walked, and its files with it.
    fn is_in_linked_folder(&self, target: &Path) -> bool {
        let is_walked = target.parent().is_some_and(|folder| self.linked_folders.contains(folder));
        is_walked && !target.file_name().is_some_and(is_hidden)
    }
}

/// A folder's entries by name, without hidden ones.
fn entries_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_hidden(&entry.file_name()) {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// A path as text, different for different paths: a byte that is not UTF-8 becomes `\xNN`, a backslash `\\`.
pub(super) fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            write!(text, r"\x{byte:02X}").expect("a String takes everything");
        }
    }
    text
}

impl Iterator for Walk {
    type Item = Result<FoundFile, Unseen>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (path, found) = if let Some(folder) = self.open.last_mut() {
                let Some(path) = folder.entries.next() else {
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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::{ffi::OsStrExt as _, fs::symlink};

    use super::*;

    /// The files that a walk finds, and the paths that it cannot read.
    fn walked(paths: Vec<PathBuf>) -> (Vec<(PathBuf, Found)>, Vec<PathBuf>) {
        let (mut seen, mut unseen) = (Vec::new(), Vec::new());
        for found in Walk::new(paths) {
            match found {
                Ok(file) => seen.push((file.path, file.found)),
                Err(missed) => unseen.push(missed.path),
            }
        }
        (seen, unseen)
    }

    /// Checks which files a walk of a folder finds, by their names below it.
    #[track_caller]
    fn check(root: &Path, expected: &[&str]) {
        let expected: Vec<_> = expected.iter().map(|name| (root.join(name), Found::InFolder)).collect();
        let (seen, unseen) = walked(vec![root.into()]);
        assert_eq!(seen, expected);
        assert!(unseen.is_empty(), "{unseen:?}");
    }

    #[test]
    fn folders_are_walked_in_order_and_link_loops_once() {
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

        let (seen, unseen) = walked(vec![root.path().into(), at("a.json")]);
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

    #[test]
    fn a_link_to_the_folder_above_the_root_finds_the_others_there() {
        let above = tempfile::tempdir().expect("a temporary folder");
        let root = above.path().join("root");
        fs::create_dir(&root).expect("made");
        fs::write(root.join("a.json"), "[]").expect("written");
        fs::write(above.path().join("other.json"), "[]").expect("written");
        symlink(above.path(), root.join("up")).expect("linked");
        check(&root, &["a.json", "up/other.json"]);
    }

    /// As Kubernetes mounts a ConfigMap: each name is a link through `..data`, which is a link to a hidden folder.
    #[test]
    fn a_hidden_folder_is_walked_where_links_lead_into_it() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("..2026_01/sub")).expect("made");
        for name in ["plan.json", "c.json", ".key", "sub/b.json", "sub/.key"] {
            fs::write(at("..2026_01").join(name), "[]").expect("written");
        }
        symlink("..2026_01", at("..data")).expect("linked");
        for (link, target) in
            [("again.json", "plan.json"), ("plan.json", "plan.json"), ("sub", "sub"), ("z.json", "c.json")]
        {
            symlink(format!("..data/{target}"), at(link)).expect("linked");
        }
        check(root.path(), &["again.json", "sub/b.json", "z.json"]);

        symlink("../../..2026_01", at("..2026_01/sub/loop")).expect("linked");
        check(root.path(), &["again.json", "sub/b.json", "sub/loop/c.json"]);
        symlink("..data/.key", at("zz.json")).expect("linked");
        check(root.path(), &["again.json", "sub/b.json", "sub/loop/c.json", "zz.json"]);
    }

    #[test]
    fn different_paths_have_different_texts() {
        let text = |bytes: &[u8]| path_text(Path::new(OsStr::from_bytes(bytes)));
        assert_eq!(text("a/é.json".as_bytes()), "a/é.json");
        assert_eq!(text(b"a/\xE9.json"), r"a/\xE9.json");
        assert_eq!(text(br"a/\xE9.json"), r"a/\\xE9.json");
    }
}
