//! PostgreSQL refuses root: the user that it runs as then, and folders which that user can reach.

use super::StackError;
use nix::unistd::{Uid, User, chown};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The user to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunAs {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) name: String,
}

impl RunAs {
    /// None for anyone but root, who stays who they are.
    pub(super) fn for_postgres() -> Result<Option<Self>, StackError> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .filter(|user| !user.uid.is_root())
            .map(|user| Some(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name }))
            .ok_or(StackError::NoUser)
    }

    /// Makes `dir`, only for this user.
    pub(super) fn own_folder(&self, dir: &Path) -> Result<(), StackError> {
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(StackError::io("create", dir)(error));
            }
            _ => {}
        }
        chown(dir, Some(self.uid.into()), Some(self.gid.into()))
            .map_err(|error| StackError::io("hand over", dir)(error.into()))
    }
}

/// Whether anyone may pass through every folder down to `dir`.
pub(super) fn is_passable(dir: &Path) -> bool {
    const OTHERS_MAY_PASS: u32 = 0o001;
    dir.ancestors()
        .filter(|part| !part.as_os_str().is_empty())
        .filter_map(|part| fs::metadata(part).ok())
        .all(|part| part.mode() & OTHERS_MAY_PASS != 0)
}

/// A place for `purpose` of `home` which every user can reach: under `home` where that is so, else in /var/tmp, which
/// lasts over a restart of the machine.
pub(super) fn reachable(home: &Path, purpose: &str) -> Result<PathBuf, StackError> {
    let inside = home.join(purpose);
    if is_passable(&inside) {
        fs::create_dir_all(&inside).map_err(StackError::io("create", &inside))?;
        open(&inside)?;
        // Folders above it that were made just now may be closed by a strict umask.
        if is_passable(&inside) {
            return Ok(inside);
        }
    }
    let outside = elsewhere(home, purpose);
    match DirBuilder::new().mode(0o755).create(&outside) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(StackError::io("create", &outside)(error));
        }
        _ => {}
    }
    // /var/tmp belongs to everyone: somebody else's folder or link of that name must not be used.
    let found = fs::symlink_metadata(&outside).map_err(StackError::io("read", &outside))?;
    if found.is_dir() && found.uid() == Uid::effective().as_raw() && found.mode() & 0o022 == 0 {
        open(&outside)?;
        Ok(outside)
    } else {
        Err(StackError::Unusable {
            what: "the folder for PostgreSQL",
            path: outside,
            reason: "it is not a folder that only this user can write to; delete it or set WEIR_HOME"
                .to_owned(),
        })
    }
}

/// Lets every user pass and only its owner write, independent of the umask.
fn open(dir: &Path) -> Result<(), StackError> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).map_err(StackError::io("open", dir))
}

/// The same for `dir` and every folder below it. Links are left alone.
pub(super) fn open_tree(dir: &Path) -> Result<(), StackError> {
    open(dir)?;
    for entry in fs::read_dir(dir).map_err(StackError::io("read", dir))? {
        let entry = entry.map_err(StackError::io("read", dir))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_tree(&entry.path())?;
        }
    }
    Ok(())
}

/// Every place that [`reachable`] may have chosen.
pub(super) fn places(home: &Path, purpose: &str) -> [PathBuf; 2] {
    [home.join(purpose), elsewhere(home, purpose)]
}

fn elsewhere(home: &Path, purpose: &str) -> PathBuf {
    let lasting = Path::new("/var/tmp");
    let base = if lasting.is_dir() { lasting.to_owned() } else { std::env::temp_dir() };
    base.join(format!("weir-{purpose}-{}", short_hash(home.as_os_str().as_encoded_bytes())))
}

/// Enough of a SHA-256 to name a folder.
pub(super) fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(6).fold(String::new(), |name, byte| name + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_folder_is_not_passable_and_another_place_is_found() {
        let open = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/var/tmp")
            .expect("a folder");
        let home = open.path().join("home");
        assert_eq!(reachable(&home, "postgres").expect("inside"), home.join("postgres"));

        fs::set_permissions(open.path(), fs::Permissions::from_mode(0o700)).expect("closed");
        assert!(!is_passable(&home));
        let outside = reachable(&home, "postgres").expect("outside");
        assert!(!outside.starts_with(open.path()) && is_passable(&outside));
        assert_eq!(reachable(&home, "postgres").expect("again"), outside);

        fs::set_permissions(&outside, fs::Permissions::from_mode(0o777)).expect("opened to all");
        let error = reachable(&home, "postgres").expect_err("anyone may write there").to_string();
        fs::remove_dir(&outside).expect("deleted");
        assert!(error.contains("only this user"), "{error}");
    }
}
