//! The files of a rule set: Weir's own, or a folder's.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use processors::risk::{
    rules::{self, EXAMPLES_SUFFIX},
    sigma::{Placeholders, RuleProblem, SigmaEngine},
};

use crate::{folder, output::note};

/// Longest rule file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1_000_000;
/// Most problems that are named where they are not what was asked for.
const MAX_NAMED: usize = 5;

/// Rule files and their examples by path within the set.
pub(super) struct RuleSet {
    files: BTreeMap<String, String>,
    unreadable: Vec<RuleProblem>,
    placeholders: Placeholders,
}

impl RuleSet {
    /// Weir's own set, or every `.yml` and `.yaml` of a folder, to every depth. A set without rules is an
    /// error.
    pub(super) fn read(folder: Option<&Path>, placeholders: Placeholders) -> anyhow::Result<Self> {
        let Some(path) = folder else {
            let files = rules::own().into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
            return Ok(Self { files: files.collect(), unreadable: Vec::new(), placeholders });
        };
        let mut set = Self { files: BTreeMap::new(), unreadable: Vec::new(), placeholders };
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

    /// The rules of one file by themselves.
    pub(super) fn engine_of(&self, file: &str, text: &str) -> (SigmaEngine, Vec<RuleProblem>) {
        SigmaEngine::load_with([(file, text)], &self.placeholders)
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
        engine([self])
    }

    /// Weir's own rules with the same placeholders, if they are wanted beside these.
    pub(super) fn own_beside(&self, wanted: bool) -> anyhow::Result<Option<Self>> {
        wanted.then(|| Self::read(None, self.placeholders.clone())).transpose()
    }

    /// How many of these problems would not be there beside Weir's own rules: those of filters and correlations
    /// that refer to them.
    fn solved_by_own(&self, problems: &[RuleProblem]) -> anyhow::Result<usize> {
        if problems.is_empty() {
            return Ok(0);
        }
        let own = self.own_beside(true)?;
        let (_, left) = engine(own.iter().chain([self]));
        Ok(problems.iter().filter(|problem| !left.contains(problem)).count())
    }

    /// Says on stderr that `--own` would solve some of the problems, where it would.
    pub(super) fn point_at_own(&self, problems: &[RuleProblem]) -> anyhow::Result<()> {
        let solved = self.solved_by_own(problems)?;
        if solved > 0 {
            note(&format!(
                "{solved} of these are about Weir's own rules: with --own they are loaded beside them, as in a stage"
            ));
        }
        Ok(())
    }
}

/// The rules of all these sets that can be used, and why the others cannot, each with its line.
pub(super) fn engine<'s>(sets: impl IntoIterator<Item = &'s RuleSet>) -> (SigmaEngine, Vec<RuleProblem>) {
    let sets: Vec<&RuleSet> = sets.into_iter().collect();
    let none = Placeholders::default();
    let placeholders = sets.first().map_or(&none, |set| &set.placeholders);
    let (engine, problems) = SigmaEngine::load_with(sets.iter().flat_map(|set| set.rules()), placeholders);
    let mut all: Vec<_> = sets.iter().flat_map(|set| set.unreadable.clone()).collect();
    all.extend(problems);
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

fn rule_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    folder::files_below(folder, |extension| extension == "yml" || extension == "yaml")
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
    decoded(fs::read(path).map_err(unreadable)?)
}

/// The text of a file's bytes.
fn decoded(bytes: Vec<u8>) -> Result<String, String> {
    let is_utf16 = bytes.starts_with(&[0xff, 0xfe])
        || bytes.starts_with(&[0xfe, 0xff])
        || (bytes.len() >= 2 && (bytes[0] == 0) != (bytes[1] == 0));
    if is_utf16 {
        return Err("it is UTF-16; rule files are UTF-8: save it as that".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_another_encoding_says_which() {
        let utf16 = |bytes: [u8; 2], order: fn(u16) -> [u8; 2]| {
            bytes.into_iter().chain("title: x".encode_utf16().flat_map(order)).collect::<Vec<u8>>()
        };
        for bytes in [utf16([0xff, 0xfe], u16::to_le_bytes), utf16([0xfe, 0xff], u16::to_be_bytes)] {
            assert!(decoded(bytes).is_err_and(|reason| reason.contains("UTF-16")));
        }
        let unmarked: Vec<u8> = "title: x".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(decoded(unmarked).is_err_and(|reason| reason.contains("UTF-16")));
        assert!(decoded(vec![b'a', 0xff]).is_err_and(|reason| reason.contains("not UTF-8")));
        assert_eq!(decoded(b"title: x".to_vec()).as_deref(), Ok("title: x"));
    }

    #[test]
    fn rules_that_add_to_our_own_are_usable_beside_them() {
        let filter = "title: Drills\nlogsource: {product: aws, service: cloudtrail}\n\
                      filter: {rules: [weir_aws_key_calls], selection: {userIdentity.userName: drill}, \
                      condition: not selection}\n";
        let correlation = "title: Many failures\nid: many\nlevel: low\ncorrelation: {type: event_count, \
                           rules: [weir_console_login_failed], group-by: [sourceIPAddress], timespan: 5m, \
                           condition: {gte: 3}}\n";
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("filter.yml", filter), ("many.yml", correlation), ("broken.yml", "title: x\n")]
        {
            fs::write(folder.path().join(name), text).expect("written");
        }
        let set = RuleSet::read(Some(folder.path()), Placeholders::default()).expect("readable");
        let (_, problems) = set.engine();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert_eq!(set.solved_by_own(&problems).expect("our own are readable"), 2);
        let own = set.own_beside(true).expect("our own are readable");
        let (engine, problems) = engine(own.iter().chain([&set]));
        assert_eq!(problems.iter().map(|problem| problem.file.as_str()).collect::<Vec<_>>(), ["broken.yml"]);
        assert!(engine.correlations().iter().any(|correlation| correlation.rule.id == "many"));
        assert!(set.own_beside(false).expect("nothing is read").is_none());
    }

    #[test]
    fn examples_stand_beside_their_rule() {
        assert_eq!(examples_of("a.b/rule.yml"), "a.b/rule.examples.yml");
        assert!(is_examples("a/rule.examples.yml") && !is_examples("a/rule.yml"));
    }
}
