//! The folder of a location's objects, which one import at a time fetches and reads.

use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use audit_log::Hash;

use super::Location;
use crate::output::note;

/// Objects of a location. No other import fetches or removes them while this lives.
#[derive(Debug)]
pub(in crate::import) struct Fetched {
    location: Location,
    folder: PathBuf,
    lock: PathBuf,
    _locked: File,
}

impl Fetched {
    /// Takes the folder of a location, below that of all locations, for one import. Objects that an earlier import left
    /// are still there.
    pub(super) fn begin(location: Location, all: &Path) -> anyhow::Result<Self> {
        let name = format!("{}-{:.8}", location.bucket, Hash::of(location.prefix.as_bytes()).to_string());
        let (folder, lock) = (all.join(&name), all.join(format!("{name}.lock")));
        fs::create_dir_all(all).with_context(|| format!("making {}", all.display()))?;
        let Some(locked) = lock_file(&lock).with_context(|| format!("locking {}", lock.display()))? else {
            bail!("another import of {location} is running; wait until it has ended");
        };
        Ok(Self { location, folder, lock, _locked: locked })
    }

    pub(in crate::import) fn is_of(&self, location: &Location) -> bool {
        self.location == *location
    }

    pub(in crate::import) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes files of objects that are gone.
    pub(super) fn keep_only(&self, files: &[PathBuf]) -> anyhow::Result<()> {
        let kept: HashSet<&Path> = files.iter().map(PathBuf::as_path).collect();
        remove_others(&self.folder, &kept)
            .with_context(|| format!("removing what an earlier import left in {}", self.folder.display()))
    }

    /// Removes the objects, once all of their records are published.
    pub(in crate::import) fn remove(self) {
        let removed = fs::remove_dir_all(&self.folder).and_then(|()| fs::remove_file(&self.lock));
        if let Err(error) = removed {
            note(&format!(
                "{} is imported and cannot be removed ({error}); remove it",
                self.folder.display()
            ));
        }
    }
}

/// Locks a file; `None` if somebody else has it. The system drops the lock when its holder ends.
fn lock_file(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Its holder may have removed it meanwhile, and then others lock the next one of that name.
        let ours = file.metadata()?.ino();
        if fs::metadata(path).is_ok_and(|found| found.ino() == ours) {
            return Ok(Some(file));
        }
    }
}

fn remove_others(folder: &Path, kept: &HashSet<&Path>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            remove_others(&path, kept)?;
        } else if !kept.contains(path.as_path()) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(prefix: &str) -> Location {
        Location { bucket: "logs".to_owned(), prefix: prefix.to_owned() }
    }

    #[test]
    fn one_import_at_a_time_has_the_objects_of_a_location() {
        let all = tempfile::tempdir().expect("a temporary folder");
        let begin = |prefix: &str| Fetched::begin(location(prefix), all.path());
        let first = begin("2026/01/").expect("free");
        let refused = begin("2026/01/").expect_err("taken").to_string();
        assert!(refused.contains("another import of s3://logs/2026/01/ is running"), "{refused}");
        let other = begin("2026/02/").expect("another location");
        for fetched in [&first, &other] {
            fs::create_dir(fetched.folder()).expect("made");
            fs::write(fetched.folder().join("a.json"), "[]").expect("written");
        }
        first.remove();
        assert!(other.folder().join("a.json").exists());
        let again = begin("2026/01/").expect("free again");
        assert!(!again.folder().exists());
        drop(again);
        begin("2026/01/").expect("free once more");
    }

    #[test]
    fn files_of_objects_that_are_gone_are_removed() {
        let all = tempfile::tempdir().expect("a temporary folder");
        let fetched = Fetched::begin(location("x/"), all.path()).expect("free");
        let at = |name: &str| fetched.folder().join(name);
        fetched.keep_only(&[at("x/a.json")]).expect("nothing is there yet");
        fs::create_dir_all(at("x/old")).expect("made");
        for name in ["x/a.json", "x/b.json", "x/.part", "x/old/c.json"] {
            fs::write(at(name), "[]").expect("written");
        }
        fetched.keep_only(&[at("x/a.json"), at("x/old/d.json")]).expect("removed");
        let left = ["x/a.json", "x/b.json", "x/.part", "x/old/c.json"].map(|name| at(name).exists());
        assert_eq!(left, [true, false, false, false]);
    }
}
