//! Weir's own rules, from `processors/rules/sigma`; compiled into the program.

use include_dir::{Dir, DirEntry, include_dir};

static OWN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/rules/sigma");

/// Suffix of rule files.
pub const RULE_SUFFIX: &str = ".yml";
/// Suffix of the file with a rule file's examples: `NAME.yml` has `NAME.examples.yml`.
pub const EXAMPLES_SUFFIX: &str = ".examples.yml";

/// Every file of the set, rules and examples, as path within the set and text, in the order of paths.
pub fn own() -> Vec<(&'static str, &'static str)> {
    let mut files = Vec::new();
    let mut folders = vec![&OWN];
    while let Some(folder) = folders.pop() {
        for entry in folder.entries() {
            match entry {
                DirEntry::Dir(inner) => folders.push(inner),
                DirEntry::File(file) => {
                    let path = file.path().to_str().expect("our files have plain names");
                    files.push((path, file.contents_utf8().expect("our files are text")));
                }
            }
        }
    }
    files.sort_unstable();
    files
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;
    use crate::risk::sigma::SigmaEngine;

    #[test]
    fn every_rule_is_usable_and_has_examples() {
        let files = own();
        let rules: Vec<_> = files.iter().filter(|(name, _)| !name.ends_with(EXAMPLES_SUFFIX)).collect();
        let (engine, problems) = SigmaEngine::load(rules.iter().map(|(name, text)| (name, text)));
        assert_eq!(problems, []);
        assert!(engine.rules().count() >= 60);
        for (name, _) in rules {
            let examples =
                format!("{}{EXAMPLES_SUFFIX}", name.strip_suffix(RULE_SUFFIX).expect("a rule's name"));
            assert!(files.iter().any(|(name, _)| *name == examples), "{examples} is missing");
        }
    }
    #[test]
    fn the_catalogue_names_every_rule_and_no_other() {
        let files = own();
        let rules = files.iter().filter(|(name, _)| !name.ends_with(EXAMPLES_SUFFIX));
        let rules: BTreeSet<_> =
            rules.filter_map(|(name, _)| Path::new(name).file_stem()?.to_str()).collect();
        let rows = include_str!("../../rules/CATALOGUE.md").lines().filter(|line| line.starts_with("| T"));
        // | technique | source | an attacker must | fields | rules |
        let cells = rows.filter_map(|row| row.rsplit('|').nth(1));
        let named: BTreeSet<_> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        assert_eq!(rules.difference(&named).collect::<Vec<_>>(), Vec::<&&str>::new(), "not in the catalogue");
        assert_eq!(
            named.difference(&rules).collect::<Vec<_>>(),
            Vec::<&&str>::new(),
            "in the catalogue only"
        );
    }
}
