//! The files of a rule set: Weir's own, or a folder's.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use processors::risk::{
    rules::{self, EXAMPLES_SUFFIX},
    sigma::{RuleProblem, SigmaEngine},
};

use crate::output::note;

/// Longest rule file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1_000_000;
/// Deepest folder that is looked into.
const MAX_DEPTH: usize = 32;
/// Most problems that are named where they are not what was asked for.
const MAX_NAMED: usize = 5;

/// Rule files and their examples by path within the set.
pub(super) struct RuleSet {
    files: BTreeMap<String, String>,
    unreadable: Vec<RuleProblem>,
}

impl RuleSet {
    /// Weir's own set, or every `.yml` and `.yaml` of a folder, to every depth. A set without rules is an error.
    pub(super) fn read(folder: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = folder else {
            let files = rules::own().into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
            return Ok(Self { files: files.collect(), unreadable: Vec::new() });
        };
        let mut set = Self { files: BTreeMap::new(), unreadable: Vec::new() };
        let metadata = fs::metadata(path)
            .with_context(|| format!("{} cannot be read; name a folder of Sigma rules", path.display()))?;
        if metadata.is_dir() {
            for file in rule_files(path)? {
                let name = file.strip_prefix(path).unwrap_or(&file).to_string_lossy().into_owned();
                set.add(name, &file);
            }
        } else {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            let examples = examples_of(&path.to_string_lossy());
            if Path::new(&examples).is_file() {
                set.add(examples_of(&name), Path::new(&examples));
            }
            set.add(name, path);
        }
        if set.rules().next().is_none() && set.unreadable.is_empty() {
            bail!("{} holds no rule: no file ends with .yml or .yaml", path.display());
        }
        Ok(set)
    }

    fn add(&mut self, name: String, path: &Path) {
        match read(path) {
            Ok(text) => drop(self.files.insert(name, text)),
            Err(reason) => self.unreadable.push(RuleProblem { file: name, line: None, title: None, reason }),
        }
    }

    /// The rule files, without examples.
    pub(super) fn rules(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        files.filter(|(name, _)| !is_examples(name))
    }

    /// The text of one file.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(String::as_str)
    }

    /// The examples of a rule file, with their file's name.
    pub(super) fn examples(&self, rule_file: &str) -> Option<(String, &str)> {
        let name = examples_of(rule_file);
        self.text(&name).map(|text| (name.clone(), text))
    }

    /// The rules that can be used, and why the others cannot, each with its line.
    pub(super) fn engine(&self) -> (SigmaEngine, Vec<RuleProblem>) {
        engine(std::slice::from_ref(self))
    }
}

/// The rules of all these sets that can be used, and why the others cannot, each with its line.
pub(super) fn engine(sets: &[RuleSet]) -> (SigmaEngine, Vec<RuleProblem>) {
    let (engine, problems) = SigmaEngine::load(sets.iter().flat_map(RuleSet::rules));
    let mut all: Vec<_> = sets.iter().flat_map(|set| set.unreadable.clone()).collect();
    all.extend(problems.into_iter().map(|mut problem| {
        let text = sets.iter().find_map(|set| set.text(&problem.file)).unwrap_or_default();
        problem.line = problem.line.or_else(|| line_of(text, problem.title.as_deref()));
        problem
    }));
    (engine, all)
}

/// The files that [`RuleSet::read`] would read, and examples beside them.
pub(super) fn files_of(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let metadata = fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
    if metadata.is_dir() { rule_files(path) } else { Ok(vec![path.to_owned()]) }
}

/// Says on stderr which rules are left out, where the command is about something else.
pub(super) fn warn_about(problems: &[RuleProblem]) {
    for problem in problems.iter().take(MAX_NAMED) {
        note(&format!("left out: {problem}"));
    }
    if problems.len() > MAX_NAMED {
        note(&format!("and {} more; `weir rules check` names them all", problems.len() - MAX_NAMED));
    }
}

fn is_examples(name: &str) -> bool {
    name.ends_with(EXAMPLES_SUFFIX) || name.ends_with(".examples.yaml")
}

/// `NAME.yml` has `NAME.examples.yml`.
fn examples_of(rule_file: &str) -> String {
    let (stem, extension) = rule_file.rsplit_once('.').unwrap_or((rule_file, "yml"));
    format!("{stem}.examples.{extension}")
}

/// The line, from 1, of the detection of the rule with that title; where there is none, of the title.
fn line_of(text: &str, title: Option<&str>) -> Option<usize> {
    let title = title?;
    let lines = || text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let (titled, _) = lines().find(|(_, line)| line.starts_with("title:") && line.contains(title))?;
    let within = lines().skip(titled).take_while(|(_, line)| !line.starts_with("---"));
    let detection = within.clone().find(|(_, line)| line.starts_with("detection:"));
    Some(detection.map_or(titled, |(line, _)| line))
}

/// The files below a folder in the order of names. Links to folders are not followed, so that no loop is walked.
fn rule_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let unreadable = || format!("the folder {} cannot be read", folder.display());
        for entry in fs::read_dir(&folder).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if entry.file_type().with_context(unreadable)?.is_dir() {
                if depth < MAX_DEPTH {
                    folders.push((path, depth + 1));
                }
            } else if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("it cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    let bytes = metadata.len();
    if bytes > MAX_FILE_BYTES {
        return Err(format!(
            "it is {bytes} bytes long, more than the {MAX_FILE_BYTES} that a rule file may have"
        ));
    }
    String::from_utf8(fs::read(path).map_err(unreadable)?).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_where_its_rule_is() {
        let text = "title: One\ndetection:\n  a: b\n---\ntitle: Two\nlevel: low\ndetection:\n  a: b\n";
        assert_eq!(line_of(text, Some("One")), Some(2));
        assert_eq!(line_of(text, Some("Two")), Some(7));
        assert_eq!(line_of("title: Bare\n", Some("Bare")), Some(1));
        assert_eq!(line_of(text, Some("Three")), None);
    }

    #[test]
    fn examples_stand_beside_their_rule() {
        assert_eq!(examples_of("a.b/rule.yml"), "a.b/rule.examples.yml");
        assert!(is_examples("a/rule.examples.yml") && !is_examples("a/rule.yml"));
    }
}
