//! Rules by the format they read, and what they find in a record.

use std::collections::BTreeMap;

use rsigma_eval::ResultBody;
use rsigma_parser::{SigmaRule, parse_sigma_yaml};
use serde_json::Value;

use super::{
    indexed::{Indexed, compiled},
    native::NativeRecord,
    offsets,
    rule::{Rule, RuleProblem, format_of},
};

/// Rules that are loaded. Cheap to ask: rules are indexed by format and by the values that they need.
pub struct SigmaEngine {
    formats: BTreeMap<&'static str, Loaded>,
}

struct Loaded {
    indexed: Indexed,
    rules: Vec<Rule>,
}

/// A rule that fired on a record, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit<'e> {
    /// The rule.
    pub rule: &'e Rule,
    /// What in the record made it fire.
    pub matched: Vec<MatchedField>,
}

/// A field that a rule matched.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchedField {
    /// The field's path, as the rule writes it; `keyword` where the rule names none.
    pub field: String,
    /// The record's value.
    pub value: Value,
}

/// The record is no JSON, or nested deeper than 128 levels.
#[derive(Debug, thiserror::Error)]
#[error("the record cannot be read as JSON")]
pub struct UnreadableRecord(#[from] serde_json::Error);

impl SigmaEngine {
    /// Loads rules from files given by name and text, each with any number of YAML documents.
    ///
    /// Never fails: what cannot be used is reported, and everything else is used.
    pub fn load<N: AsRef<str>, T: AsRef<str>>(
        files: impl IntoIterator<Item = (N, T)>,
    ) -> (Self, Vec<RuleProblem>) {
        let mut problems = Vec::new();
        let mut sorted: BTreeMap<&'static str, Vec<(SigmaRule, Rule)>> = BTreeMap::new();
        for (name, text) in files {
            let (name, text) = (name.as_ref(), text.as_ref());
            for rule in parse(name, text, &mut problems) {
                match format_of(&rule.logsource) {
                    Some(format) => match Rule::of(&rule, name, text) {
                        Ok(named) => sorted.entry(format).or_default().push((rule, named)),
                        Err((key, reason)) => problems.push(RuleProblem {
                            file: name.to_owned(),
                            line: line_of(text, &format!("{key}:")),
                            title: Some(rule.title),
                            reason,
                        }),
                    },
                    None => problems.push(RuleProblem {
                        file: name.to_owned(),
                        line: line_of(text, "logsource:"),
                        title: Some(rule.title),
                        reason: "its logsource names no format that Weir receives".to_owned(),
                    }),
                }
            }
        }
        let formats = sorted.into_iter().map(|(format, rules)| (format, Loaded::new(rules, &mut problems)));
        (Self { formats: formats.collect() }, problems)
    }

    /// The rules that fire on a record of that format, in the order they were loaded.
    pub fn evaluate(&self, format: &str, record: &str) -> Result<Vec<Hit<'_>>, UnreadableRecord> {
        match self.formats.get(format) {
            Some(loaded) => Ok(loaded.evaluate(&read(record)?)),
            None => Ok(Vec::new()),
        }
    }

    /// Whether a rule reads records of that format.
    pub fn reads(&self, format: &str) -> bool {
        self.formats.contains_key(format)
    }

    /// As [`evaluate`](Self::evaluate), on a record that has been read before.
    pub fn evaluate_record(&self, format: &str, record: &Value) -> Vec<Hit<'_>> {
        self.formats.get(format).map_or_else(Vec::new, |loaded| loaded.evaluate(record))
    }

    /// The rules that fire, each of them asked by itself and without an index: slow, and what the index must equal.
    pub fn evaluate_each(&self, format: &str, record: &Value) -> Vec<&Rule> {
        self.formats.get(format).map_or_else(Vec::new, |loaded| loaded.evaluate_each(record))
    }

    /// Every rule that is loaded, by format.
    pub fn rules(&self) -> impl Iterator<Item = (&'static str, &Rule)> {
        self.formats.iter().flat_map(|(format, loaded)| loaded.rules.iter().map(move |rule| (*format, rule)))
    }
}

/// A native record as JSON.
pub(in crate::risk) fn read(record: &str) -> Result<Value, UnreadableRecord> {
    Ok(serde_json::from_str(record)?)
}

impl Loaded {
    fn new(rules: Vec<(SigmaRule, Rule)>, problems: &mut Vec<RuleProblem>) -> Self {
        let (mut accepted, mut indexed) = (Vec::new(), Vec::new());
        for (mut rule, named) in rules {
            // A hit tells its rule's id only. Ids may repeat or be missing; the place in our list does neither.
            rule.id = Some(accepted.len().to_string());
            offsets::expand(&mut rule);
            match compiled(&rule) {
                Ok(rule) => {
                    accepted.push(named);
                    indexed.push(rule);
                }
                Err(error) => problems.push(RuleProblem {
                    file: named.file,
                    line: None,
                    title: Some(named.title),
                    reason: error.to_string(),
                }),
            }
        }
        Self { indexed: Indexed::new(indexed), rules: accepted }
    }

    fn evaluate(&self, record: &Value) -> Vec<Hit<'_>> {
        let found = self.indexed.evaluate(&NativeRecord::new(record)).into_iter();
        let hits = found.filter_map(|(place, result)| {
            let ResultBody::Detection(body) = result.body else { return None };
            let matched = body.matched_fields.into_iter();
            let matched =
                matched.map(|found| MatchedField { field: found.field, value: found.value }).collect();
            Some(Hit { rule: &self.rules[place], matched })
        });
        hits.collect()
    }

    fn evaluate_each(&self, record: &Value) -> Vec<&Rule> {
        let fired = self.indexed.evaluate_each(&NativeRecord::new(record)).into_iter();
        fired.map(|place| &self.rules[place]).collect()
    }
}

/// The detection rules of one file; what is wrong with the file, and what in it is no detection rule, is reported.
fn parse(name: &str, text: &str, problems: &mut Vec<RuleProblem>) -> Vec<SigmaRule> {
    let problem = |title: Option<String>, line: Option<usize>, reason: String| RuleProblem {
        file: name.to_owned(),
        line,
        title,
        reason,
    };
    match parse_sigma_yaml(text) {
        Err(error) => {
            let reason = error.to_string();
            problems.push(problem(None, told_line(&reason), reason));
            Vec::new()
        }
        Ok(collection) => {
            problems.extend(
                collection.errors.into_iter().map(|reason| problem(None, told_line(&reason), reason)),
            );
            problems.extend(collection.correlations.into_iter().map(|rule| {
                let reason = "a correlation looks at many events, not at one".to_owned();
                problem(Some(rule.title), line_of(text, "correlation:"), reason)
            }));
            problems.extend(collection.filters.into_iter().map(|filter| {
                problem(Some(filter.title), line_of(text, "filter:"), "filters are not applied".to_owned())
            }));
            collection.rules
        }
    }
}

/// The line that a message tells (`at line 7 column 3`).
fn told_line(message: &str) -> Option<usize> {
    let after = message.split("line ").nth(1)?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The line of the first top-level key of that name.
fn line_of(text: &str, key: &str) -> Option<usize> {
    text.lines().position(|line| line.starts_with(key)).map(|line| line + 1)
}
