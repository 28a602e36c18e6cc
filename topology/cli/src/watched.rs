//! Folders whose files are read again when one changes, or on SIGHUP.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// Interval between checks of the folders. Files that still change between two checks are left alone until
/// the next.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Snapshot of the folders: every file with its time of change and its length; or the error of reading them.
pub(crate) type Glance = Result<Vec<(PathBuf, Option<SystemTime>, u64)>, String>;

/// Decides when to read the files again.
pub(crate) struct Watch {
    /// Snapshot of the last read.
    read: Glance,
    /// Snapshot of the last check.
    seen: Glance,
}

impl Watch {
    /// A watch over files that were read when they looked like this.
    pub(crate) fn new(read: Glance) -> Self {
        Self { seen: read.clone(), read }
    }

    /// Whether what is seen now differs from what was read, and no longer changes.
    pub(crate) fn look(&mut self, now: Glance) -> bool {
        let settled = self.seen == now;
        let differs = self.read != now;
        self.seen = now;
        if differs && settled {
            self.read.clone_from(&self.seen);
        }
        differs && settled
    }
}

/// Watches the files of folders; `files_of` lists those that matter.
pub(crate) fn glance(
    folders: &[PathBuf],
    files_of: impl Fn(&Path) -> anyhow::Result<Vec<PathBuf>>,
) -> Glance {
    let mut files = Vec::new();
    for folder in folders {
        let found = files_of(folder).map_err(|error| format!("{error:#}"))?;
        files.extend(found.into_iter().map(|path| {
            let about = std::fs::metadata(&path).ok();
            let changed = about.as_ref().and_then(|about| about.modified().ok());
            (path, changed, about.map_or(0, |about| about.len()))
        }));
    }
    Ok(files)
}

/// Calls `look` every two seconds, and with true on SIGHUP, until shutdown.
pub(crate) async fn follow(
    look: impl FnMut(bool) + Send + 'static,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    follow_every(LOOK_EVERY, look, stop).await
}

/// As [`follow`], at another interval.
pub(crate) async fn follow_every(
    every: Duration,
    mut look: impl FnMut(bool) + Send + 'static,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    let mut looks = interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let asked = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = looks.tick() => false,
            _ = hangup.recv() => true,
        };
        // Files are read off the threads that serve.
        let looked = tokio::task::spawn_blocking(move || {
            look(asked);
            look
        });
        look = looked.await.context("reading changed files panicked")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_again_once_they_no_longer_change() {
        let glance = |n: u64| Ok(vec![(PathBuf::from("a.yml"), None, n)]);
        let mut watch = Watch::new(glance(1));
        assert!(!watch.look(glance(1)));
        assert!(!watch.look(glance(2)), "it may still be written");
        assert!(!watch.look(glance(3)));
        assert!(watch.look(glance(3)));
        assert!(!watch.look(glance(3)), "once");
        assert!(!watch.look(Err("gone".to_owned())));
        assert!(watch.look(Err("gone".to_owned())));
        assert!(!watch.look(Err("gone".to_owned())), "told once");
    }
}
