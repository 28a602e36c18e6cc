//! The rules of a running stage: Weir's own and those of folders, read again when a file changes or on
//! SIGHUP.
//!
//! Unusable rules are reported and left out; a folder that cannot be read or holds no rule changes nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use metrics::{counter, gauge};
use processors::risk::{
    RuleSet as InForce,
    sigma::{Finding, Placeholders, RuleProblem, SigmaEngine},
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::load::{self, RuleSet};
use crate::watched::{self, Glance, Watch};

/// Sources of a stage's rules.
#[derive(Debug, Clone)]
pub(crate) struct RuleSources {
    /// Whether Weir's own are among them.
    pub(crate) own: bool,
    /// Folders, or single files.
    pub(crate) folders: Vec<PathBuf>,
    /// Values of their placeholders.
    pub(crate) placeholders: Placeholders,
}

/// Rules that were read, and of what text.
pub(crate) struct Loaded {
    /// Engine of the usable rules.
    pub(crate) engine: SigmaEngine,
    /// Reasons for which the other rules are unusable.
    pub(crate) problems: Vec<RuleProblem>,
    sha256: [u8; 32],
}

impl RuleSources {
    /// Reads all of them. Fails where a folder cannot be read or holds no rule, and where nothing can be
    /// used: a stage that starts without the rules it was given would let events go by unseen.
    pub(crate) fn load(&self) -> anyhow::Result<Loaded> {
        let sets = self.read()?;
        let (engine, problems) = load::engine(&sets);
        ensure!(engine.rules().next().is_some(), "none of the rules can be used{}", first(&problems));
        Ok(Loaded { engine, problems, sha256: sha256(&sets) })
    }

    fn read(&self) -> anyhow::Result<Vec<RuleSet>> {
        let folders = self.folders.iter().map(|folder| Some(folder.as_path()));
        let sources = self.own.then_some(None::<&Path>).into_iter().chain(folders);
        let read = |folder| RuleSet::read(folder, self.placeholders.clone());
        let sets = sources.map(read).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(!sets.is_empty(), "no rules: `rules.own` is off and `rules.sigma` names no folder");
        Ok(sets)
    }

    fn glance(&self) -> Glance {
        watched::glance(&self.folders, load::files_of)
    }
}

/// Reads the rules and puts them in force.
pub(crate) fn start(sources: &RuleSources) -> anyhow::Result<(InForce, Watched)> {
    let glance = sources.glance();
    let loaded = sources.load().context("the rules of the stage risk cannot be read")?;
    // A counter that begins with its first failure has not increased.
    counter!("weir_rule_reloads_total", "outcome" => "kept").increment(0);
    tell(&loaded, None);
    let watched = Watched { sources: sources.clone(), watch: Watch::new(glance), sha256: loaded.sha256 };
    Ok((InForce::new(loaded.engine), watched))
}

/// Sources, and what of them is in force.
pub(crate) struct Watched {
    sources: RuleSources,
    watch: Watch,
    sha256: [u8; 32],
}

impl Watched {
    /// Follows the files until shutdown.
    pub(crate) async fn follow(mut self, rules: InForce, stop: CancellationToken) -> anyhow::Result<()> {
        if self.sources.folders.is_empty() {
            stop.cancelled().await;
            return Ok(());
        }
        let look = move |asked| self.look(asked, &rules);
        watched::follow(look, stop).await
    }

    fn look(&mut self, asked: bool, rules: &InForce) {
        let now = self.sources.glance();
        if !self.watch.look(now) && !asked {
            return;
        }
        match self.sources.load() {
            Ok(loaded) if loaded.sha256 == self.sha256 => {}
            Ok(loaded) => {
                tell(&loaded, Some(&rules.hash()));
                self.sha256 = loaded.sha256;
                rules.replace(loaded.engine);
                counter!("weir_rule_reloads_total", "outcome" => "replaced").increment(1);
            }
            Err(error) => {
                warn!(
                    reason = format!("{error:#}"),
                    "cannot reload the rules; the current ones stay in force"
                );
                counter!("weir_rule_reloads_total", "outcome" => "kept").increment(1);
            }
        }
    }
}

/// Says which rules are in force from now on, and which were before.
fn tell(loaded: &Loaded, before: Option<&str>) {
    let rules = loaded.engine.rules().count() + loaded.engine.correlations().len();
    let problems = loaded.problems.len();
    for RuleProblem { file, line, title, reason } in &loaded.problems {
        warn!(file, line, title, reason, "a rule cannot be used");
    }
    let rule_set = loaded.engine.hash();
    info!(rules, problems, rule_set, "rules are in force");
    for (hash, in_force) in before.map(|hash| (hash, 0.0)).into_iter().chain([(rule_set, 1.0)]) {
        gauge!("weir_rule_set_info", "rule_set" => hash.to_owned()).set(in_force);
    }
    for Finding { kind, problem } in loaded.engine.findings() {
        let RuleProblem { file, line, title, reason } = problem;
        warn!(finding = kind.name(), file, line, title, reason, "a rule is probably wrong");
    }
    gauge!("weir_rules_loaded").set(f64::from(u32::try_from(rules).unwrap_or(u32::MAX)));
    gauge!("weir_rule_problems").set(f64::from(u32::try_from(problems).unwrap_or(u32::MAX)));
}

fn first(problems: &[RuleProblem]) -> String {
    problems.first().map(|problem| format!(", for example {problem}")).unwrap_or_default()
}

fn sha256(sets: &[RuleSet]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (name, text) in sets.iter().flat_map(RuleSet::rules) {
        for part in [name, text] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part);
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const RULE: &str = "title: One\nid: one\nlogsource: {product: aws, service: cloudtrail}\n\
                        detection: {s: {eventName: A}, condition: s}\nlevel: high\n";

    #[test]
    fn a_folder_without_usable_rules_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("one.yml");
        fs::write(&file, RULE).expect("written");
        let sources = RuleSources {
            own: false,
            folders: vec![folder.path().to_owned()],
            placeholders: Placeholders::default(),
        };
        let (rules, mut watched) = start(&sources).expect("usable");
        let version = || rules.current().rules().next().map(|(_, rule)| rule.version.clone());
        let first = version().expect("a rule");

        fs::write(&file, "title: [").expect("written");
        watched.look(true, &rules);
        assert_eq!(version().as_ref(), Some(&first), "nothing is usable");
        fs::remove_file(&file).expect("removed");
        watched.look(true, &rules);
        assert_eq!(version().as_ref(), Some(&first), "the folder is empty");

        fs::write(&file, RULE.replace("eventName: A", "eventName: B")).expect("written");
        fs::write(folder.path().join("broken.yml"), "title: [").expect("written");
        watched.look(true, &rules);
        assert_ne!(version().expect("a rule"), first);

        let missing = RuleSources { own: true, folders: vec![folder.path().join("missing")], ..sources };
        let error = start(&missing).map(drop).expect_err("a stage does not start without its rules");
        assert!(format!("{error:#}").contains("missing"), "{error:#}");
    }
}
