//! Whether a data folder is whole. Folders are filled under another name and renamed when they are complete, so a folder
//! under its own name that is not whole was damaged later, and may hold data.

use super::StackError;
use nix::unistd::Uid;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A server's data folder and how to tell that it is whole.
pub(super) struct DataFolder {
    pub(super) server: &'static str,
    pub(super) path: PathBuf,
    /// A file that a whole folder has.
    pub(super) mark: &'static str,
}

/// Prefix of a folder's name while it is filled; a process id follows. A starter that is killed may leave a
/// program behind that still fills its draft; it must not meet the next one.
const DRAFT: &str = "new-";

/// State of a server's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing: it is to be made.
    Absent,
    /// It is whole.
    Whole,
}

impl DataFolder {
    /// The name under which it is filled.
    pub(super) fn draft(&self) -> PathBuf {
        self.path.with_extension(format!("{DRAFT}{}", std::process::id()))
    }

    /// Examines the folder. `judge` gets the text of the mark and says what is wrong with it, as a clause.
    ///
    /// # Errors
    /// [`StackError::BrokenFolder`] for a folder that is there and not whole: it is left as it is.
    pub(super) fn inspect(&self, judge: impl FnOnce(&str) -> Option<String>) -> Result<Found, StackError> {
        let broken = |reason: String| {
            Err(StackError::BrokenFolder { server: self.server, path: self.path.clone(), reason })
        };
        let is_empty = match fs::read_dir(&self.path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Absent),
            Err(error) => return Err(StackError::io("read", &self.path)(error)),
        };
        if is_empty {
            fs::remove_dir(&self.path).map_err(StackError::io("delete the empty", &self.path))?;
            return Ok(Found::Absent);
        }
        match fs::read_to_string(self.path.join(self.mark)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                broken(format!("is not whole: it has files, but no {}", self.mark))
            }
            Err(error) => Err(StackError::io("read", &self.path.join(self.mark))(error)),
            Ok(text) => judge(&text).map_or(Ok(Found::Whole), broken),
        }
    }

    /// Deletes what an interrupted start left under the draft's name; it never held data. True if there was any.
    pub(super) fn clear_draft(&self) -> Result<bool, StackError> {
        let parent = self.path.parent().unwrap_or(&self.path);
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        clear(parent, &format!("{name}.{DRAFT}"))
    }

    /// The filled draft becomes the folder.
    pub(super) fn adopt_draft(&self) -> Result<(), StackError> {
        fs::rename(self.draft(), &self.path).map_err(StackError::io("rename", &self.draft()))
    }
}

/// Makes `place` for a server. `mark` is what the server puts there first: a folder with other content and without it is
/// somebody else's, whom `--purge` must not rob.
pub(super) fn claim(server: &'static str, place: &Path, mark: &str) -> Result<(), StackError> {
    create_closed(place)?;
    let is_empty = fs::read_dir(place).map_err(StackError::io("read", place))?.next().is_none();
    if is_empty || place.join(mark).exists() {
        return Ok(());
    }
    Err(StackError::Unusable {
        what: server,
        path: place.to_owned(),
        reason: "the folder has other content; set WEIR_HOME to a folder of its own".to_owned(),
    })
}

/// Makes the folder, and those above it, for its owner alone. One that is there keeps its mode.
pub(super) fn create_closed(dir: &Path) -> Result<(), StackError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(StackError::io("create", dir))
}

/// The same for a home: where root starts PostgreSQL as somebody else, that user may pass through.
pub fn create_home(dir: &Path) -> Result<(), StackError> {
    let mode = if Uid::effective().is_root() { 0o711 } else { 0o700 };
    fs::DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(StackError::io("create", dir))
}

/// A new or emptied file that only its owner reads.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // One that was there before may have been open to all.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Deletes the folders in `parent` whose names begin so. True if there was any.
pub(super) fn clear(parent: &Path, beginning: &str) -> Result<bool, StackError> {
    let mut any = false;
    for entry in fs::read_dir(parent).map_err(StackError::io("read", parent))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(beginning) {
            any = true;
            if let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::debug!(folder = %entry.path().display(), %error, "an old draft stays until the next start");
            }
        }
    }
    Ok(any)
}

/// Deletes a folder with its content; false if there was none.
pub(super) fn remove(dir: &Path) -> Result<bool, StackError> {
    match fs::remove_dir_all(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StackError::io("delete", dir)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fill: impl FnOnce(&Path), expected: Result<Found, &str>) {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("data");
        fill(&path);
        let folder = DataFolder { server: "PostgreSQL", path: path.clone(), mark: "PG_VERSION" };
        let judge = |text: &str| (text.trim() != "18").then(|| format!("is of version {}", text.trim()));
        let kept = path.join("base").exists();
        match (folder.inspect(judge), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err(words)) => {
                let error = error.to_string();
                assert!(error.contains(words) && error.contains("weir down --purge"), "{error}");
            }
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
        assert_eq!(path.join("base").exists(), kept, "nothing that may be data is deleted");
    }

    fn with_data(path: &Path, version: Option<&str>) {
        fs::create_dir_all(path.join("base")).expect("made");
        if let Some(version) = version {
            fs::write(path.join("PG_VERSION"), version).expect("written");
        }
    }

    #[test]
    fn a_folder_is_absent_whole_or_said_to_be_broken() {
        check(|_| {}, Ok(Found::Absent));
        check(|path| fs::create_dir(path).expect("made"), Ok(Found::Absent));
        check(|path| with_data(path, Some("18\n")), Ok(Found::Whole));
        check(|path| with_data(path, Some("15\n")), Err("is of version 15"));
        check(|path| with_data(path, None), Err("no PG_VERSION"));
        check(|path| with_data(path, Some("")), Err("is of version"));
    }

    #[test]
    fn somebody_elses_folder_is_not_claimed() {
        let home = tempfile::tempdir().expect("a folder");
        let place = home.path().join("kafka");
        claim("Kafka", &place, "cluster-id").expect("made");
        claim("Kafka", &place, "cluster-id").expect("empty");
        fs::write(place.join("thesis.tex"), "x").expect("written");
        let error = claim("Kafka", &place, "cluster-id").expect_err("not ours").to_string();
        assert!(error.contains("other content") && error.contains("WEIR_HOME"), "{error}");
        fs::write(place.join("cluster-id"), "x").expect("written");
        claim("Kafka", &place, "cluster-id").expect("ours");
    }

    #[test]
    fn a_draft_is_replaced_without_asking() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = DataFolder { server: "Kafka", path: home.path().join("data"), mark: "meta.properties" };
        assert!(!folder.clear_draft().expect("nothing there"));
        fs::create_dir_all(home.path().join("data.new-1/half")).expect("made by another process");
        fs::create_dir_all(folder.draft().join("half")).expect("made");
        assert!(folder.clear_draft().expect("cleared"));
        assert_eq!(fs::read_dir(home.path()).expect("read").count(), 0);
        assert_eq!(folder.inspect(|_| None).expect("looked"), Found::Absent);
    }
}
