//! One starter or stopper at a time, across processes. The system drops the lock when its holder dies.

use super::{Stack, StackConfig, StackError, folder::create_home};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _};
use std::path::Path;

/// The right to start and stop what a lock file stands for. Held while it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock file at `path`, and reports the wait when another process holds it.
    ///
    /// # Errors
    /// [`StackError::Io`] where the file cannot be made or locked.
    pub fn acquire(config: &StackConfig, path: &Path) -> Result<Self, StackError> {
        if let Some(dir) = path.parent() {
            create_home(dir)?;
        }
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(path)
                .map_err(StackError::io("open", path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    config.say("another process is starting or stopping the local stack, waiting for it");
                    file.lock().map_err(StackError::io("lock", path))?;
                }
                Err(TryLockError::Error(error)) => return Err(StackError::io("lock", path)(error)),
            }
            // Its holder may have deleted it meanwhile, and then others lock the next one of that name.
            let ours = file.metadata().map_err(StackError::io("read", path))?.ino();
            if std::fs::metadata(path).is_ok_and(|found| found.ino() == ours) {
                return Ok(Self { _file: file });
            }
        }
    }
}

impl Stack {
    pub(crate) fn lock(&self) -> Result<Lock, StackError> {
        Lock::acquire(&self.config, &self.config.state_file().with_extension("lock"))
    }
}
