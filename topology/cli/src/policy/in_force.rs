//! The compliance policies of a running process: Weir's own and those of folders, read again when a file changes or on
//! SIGHUP.
//!
//! A file that cannot be used is named and left out. Where a folder cannot be read any more, or none of the files can be
//! used, the policies stay as they are.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use metrics::{counter, gauge};
use policies::{Config, InForce, PolicySet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::load::{self, Files};
use crate::watched::{self, Glance, Watch};

/// Sources of a process's policies.
#[derive(Debug, Clone)]
pub(crate) struct PolicySources {
    /// Whether Weir's own are among them.
    pub(crate) own: bool,
    /// Folders, or single files.
    pub(crate) folders: Vec<PathBuf>,
}

impl PolicySources {
    /// Reads all of them. Fails where a folder cannot be read, and where there are files and none can be used.
    fn load(&self) -> anyhow::Result<(PolicySet, Files)> {
        let files = Files::read(&self.folders, self.own)?;
        let set = PolicySet::load(files.texts(), Config::default());
        let first = files.unreadable().first().cloned();
        let first = first.or_else(|| set.faults().first().map(ToString::to_string));
        let has_files = files.texts().next().is_some() || !files.unreadable().is_empty();
        ensure!(
            !set.policies().is_empty() || !has_files,
            "none of the policies can be used, for example {}",
            first.as_deref().unwrap_or("no file declares one")
        );
        Ok((set, files))
    }

    fn glance(&self) -> Glance {
        let files_of = |path: &Path| {
            let metadata = std::fs::metadata(path)
                .with_context(|| format!("{} cannot be read; name a folder of policies", path.display()))?;
            if metadata.is_dir() { load::policy_files(path) } else { Ok(vec![path.to_owned()]) }
        };
        watched::glance(&self.folders, files_of)
    }
}

/// Reads the policies and puts them in force.
pub(crate) fn start(sources: &PolicySources) -> anyhow::Result<(InForce, Watched)> {
    let glance = sources.glance();
    let (set, files) = sources.load().context("the compliance policies cannot be read")?;
    // A counter that begins with its first failure has not increased.
    counter!("weir_policy_reloads_total", "outcome" => "kept").increment(0);
    tell(&set, &files, None);
    let watched = Watched { sources: sources.clone(), watch: Watch::new(glance) };
    Ok((InForce::new(set), watched))
}

/// Sources, and the state in which they were read last.
pub(crate) struct Watched {
    sources: PolicySources,
    watch: Watch,
}

impl Watched {
    /// Follows the files until shutdown.
    pub(crate) async fn follow(mut self, policies: InForce, stop: CancellationToken) -> anyhow::Result<()> {
        if self.sources.folders.is_empty() {
            stop.cancelled().await;
            return Ok(());
        }
        let look = move |asked| self.look(asked, &policies);
        watched::follow(look, stop).await
    }

    fn look(&mut self, asked: bool, policies: &InForce) {
        let now = self.sources.glance();
        if !self.watch.look(now) && !asked {
            return;
        }
        let before = policies.current();
        match self.sources.load() {
            Ok((set, _)) if set.hash() == before.set().hash() => {}
            Ok((set, files)) => {
                tell(&set, &files, Some(before.set().hash()));
                policies.replace(set);
                counter!("weir_policy_reloads_total", "outcome" => "replaced").increment(1);
            }
            Err(error) => {
                warn!(
                    reason = format!("{error:#}"),
                    "cannot reload the policies; the current ones stay in force"
                );
                counter!("weir_policy_reloads_total", "outcome" => "kept").increment(1);
            }
        }
    }
}

/// Logs the policies that are in force from now on, and those that cannot be used.
fn tell(set: &PolicySet, files: &Files, before: Option<&str>) {
    let (policies, problems) = (set.policies().len(), set.faults().len() + files.unreadable().len());
    for reason in files.unreadable() {
        warn!(reason, "cannot read a policy file");
    }
    for fault in set.faults() {
        warn!(file = fault.file, line = fault.line, reason = fault.reason, "a policy cannot be used");
    }
    let policy_set = set.hash();
    info!(policies, problems, policy_set, "policies are in force");
    for (hash, in_force) in before.map(|hash| (hash, 0.0)).into_iter().chain([(policy_set, 1.0)]) {
        gauge!("weir_policy_set_info", "policy_set" => hash.to_owned()).set(in_force);
    }
    gauge!("weir_policies_loaded").set(f64::from(u32::try_from(policies).unwrap_or(u32::MAX)));
    gauge!("weir_policy_problems").set(f64::from(u32::try_from(problems).unwrap_or(u32::MAX)));
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn text(reason: &str) -> String {
        format!("package main\n\ndeny contains \"{reason}\" if input.bad\n")
    }

    #[test]
    fn policies_are_replaced_when_a_file_changes_and_kept_when_none_can_be_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("one.rego");
        fs::write(&file, text("a")).expect("written");
        let sources = PolicySources { own: false, folders: vec![folder.path().to_owned()] };
        let (policies, mut watched) = start(&sources).expect("usable");
        let hash = || policies.current().set().hash().to_owned();
        let first = hash();

        fs::write(&file, "package main\n\ndeny contains )").expect("written");
        watched.look(true, &policies);
        assert_eq!(hash(), first, "no policy can be used");
        fs::write(&file, text("b")).expect("written");
        fs::write(folder.path().join("two.rego"), "package two\n\ndeny contains )").expect("written");
        watched.look(true, &policies);
        assert_ne!(hash(), first);
        assert_eq!(policies.current().set().policies().len(), 1);

        let missing = PolicySources { own: true, folders: vec![folder.path().join("missing")] };
        let error = start(&missing).map(drop).expect_err("a stage does not start without its policies");
        assert!(format!("{error:#}").contains("missing"), "{error:#}");
        let none = PolicySources { own: false, folders: Vec::new() };
        assert!(start(&none).expect("no policies").0.current().set().policies().is_empty());
    }
}
