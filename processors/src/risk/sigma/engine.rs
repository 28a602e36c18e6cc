//! Rules by the format they read, and what they find in a record.

use std::collections::BTreeMap;

use rsigma_eval::ResultBody;
use rsigma_parser::{CorrelationRule, SigmaCollection, SigmaRule, parse_sigma_yaml};
use serde_json::Value;

use super::{
    correlation::{Correlation, Part},
    indexed::{Indexed, compiled},
    native::NativeRecord,
    offsets,
    rule::{Rule, RuleProblem, RuleText, format_of},
};

/// Rules that are loaded. Cheap to ask: rules are indexed by format and by the values that they need.
pub struct SigmaEngine {
    formats: BTreeMap<&'static str, Loaded>,
    correlations: Vec<Correlation>,
}

struct Loaded {
    indexed: Indexed,
    rules: Vec<Rule>,
    /// Of each rule the correlations that count its hits: their places, and the places of their references.
    counted: Vec<Vec<(usize, usize)>>,
}

/// A rule that fired on a record, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit<'e> {
    /// The rule.
    pub rule: &'e Rule,
    /// What in the record made it fire.
    pub matched: Vec<MatchedField>,
    /// The correlations that count it.
    counted: &'e [(usize, usize)],
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
        let mut correlations = Vec::new();
        for (name, text) in files {
            let text = RuleText { file: name.as_ref(), text: text.as_ref() };
            let Some(collection) = parse(text, &mut problems) else { continue };
            for rule in collection.rules {
                match usable(&rule, text) {
                    Ok((format, named)) => sorted.entry(format).or_default().push((rule, named)),
                    Err((key, reason)) => problems.push(problem_at(text, rule.title, (key, reason))),
                }
            }
            for rule in collection.correlations {
                match correlation(&rule, text) {
                    Ok(correlation) => correlations.push(correlation),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        let formats = sorted.into_iter().map(|(format, rules)| (format, Loaded::new(rules, &mut problems)));
        let mut engine = Self { formats: formats.collect(), correlations: Vec::new() };
        for (correlation, line) in correlations {
            engine.add(correlation, line, &mut problems);
        }
        engine.silence();
        (engine, problems)
    }

    /// Connects a correlation with the rules that it refers to.
    fn add(&mut self, correlation: Correlation, line: Option<usize>, problems: &mut Vec<RuleProblem>) {
        let rules =
            |engine: &Self, reference: &str| engine.rules().any(|(_, rule)| rule.is_meant_by(reference));
        if let Some(missing) = correlation.references.iter().find(|reference| !rules(self, reference)) {
            problems.push(RuleProblem {
                file: correlation.rule.file,
                line,
                title: Some(correlation.rule.title),
                reason: format!("it refers to {missing:?}, which no usable detection rule has as id or name"),
            });
            return;
        }
        let place = self.correlations.len();
        for loaded in self.formats.values_mut() {
            for (rule, counted) in loaded.rules.iter().zip(&mut loaded.counted) {
                let references = correlation.references.iter().enumerate();
                let meant = references.filter(|(_, reference)| rule.is_meant_by(reference));
                counted.extend(meant.map(|(reference, _)| (place, reference)));
            }
        }
        self.correlations.push(correlation);
    }

    /// Rules that only correlations want give no signals of their own.
    fn silence(&mut self) {
        for loaded in self.formats.values_mut() {
            for (rule, counted) in loaded.rules.iter_mut().zip(&loaded.counted) {
                rule.generates =
                    counted.is_empty() || counted.iter().any(|(place, _)| self.correlations[*place].generate);
            }
        }
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

    /// The part that a hit on the record has in each correlation that counts it.
    pub fn parts<'e>(&'e self, hit: &Hit<'e>, record: &Value) -> Vec<Part<'e>> {
        let counted = hit.counted.iter().map(|(place, reference)| (&self.correlations[*place], *reference));
        counted
            .filter_map(|(correlation, reference)| {
                correlation.part(&correlation.references[reference], record)
            })
            .collect()
    }

    /// Every correlation rule that is loaded.
    pub fn correlations(&self) -> &[Correlation] {
        &self.correlations
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
        let counted = vec![Vec::new(); accepted.len()];
        Self { indexed: Indexed::new(indexed), rules: accepted, counted }
    }

    fn evaluate(&self, record: &Value) -> Vec<Hit<'_>> {
        let found = self.indexed.evaluate(&NativeRecord::new(record)).into_iter();
        let hits = found.filter_map(|(place, result)| {
            let ResultBody::Detection(body) = result.body else { return None };
            let matched = body.matched_fields.into_iter();
            let matched =
                matched.map(|found| MatchedField { field: found.field, value: found.value }).collect();
            Some(Hit { rule: &self.rules[place], matched, counted: &self.counted[place] })
        });
        hits.collect()
    }

    fn evaluate_each(&self, record: &Value) -> Vec<&Rule> {
        let fired = self.indexed.evaluate_each(&NativeRecord::new(record)).into_iter();
        fired.map(|place| &self.rules[place]).collect()
    }
}

/// The rules of one file; what is wrong with the file is reported.
fn parse(text: RuleText<'_>, problems: &mut Vec<RuleProblem>) -> Option<SigmaCollection> {
    let problem = |title: Option<String>, line: Option<usize>, reason: String| RuleProblem {
        file: text.file.to_owned(),
        line,
        title,
        reason,
    };
    match parse_sigma_yaml(text.text) {
        Err(error) => {
            let reason = error.to_string();
            problems.push(problem(None, told_line(&reason), reason));
            None
        }
        Ok(mut collection) => {
            let errors = collection.errors.drain(..);
            problems.extend(errors.map(|reason| problem(None, told_line(&reason), reason)));
            let filters = collection.filters.drain(..);
            problems.extend(filters.map(|filter| {
                let reason = "filters are not applied".to_owned();
                problem(Some(filter.title), line_of(text.text, "filter:"), reason)
            }));
            Some(collection)
        }
    }
}

/// The format that a rule reads, and the rule as outputs name it; or the key that is wrong, and why.
fn usable(rule: &SigmaRule, text: RuleText<'_>) -> Result<(&'static str, Rule), (&'static str, String)> {
    let unknown = || ("logsource", "its logsource names no format that Weir receives".to_owned());
    let format = format_of(&rule.logsource).ok_or_else(unknown)?;
    Ok((format, Rule::of(rule, text)?))
}

/// A correlation and the line where it stands.
fn correlation(
    rule: &CorrelationRule,
    text: RuleText<'_>,
) -> Result<(Correlation, Option<usize>), RuleProblem> {
    let correlation =
        Correlation::of(rule, text).map_err(|wrong| problem_at(text, rule.title.clone(), wrong))?;
    Ok((correlation, line_of(text.text, "correlation:")))
}

fn problem_at(text: RuleText<'_>, title: String, (key, reason): (&str, String)) -> RuleProblem {
    let line = line_of(text.text, &format!("{key}:"));
    RuleProblem { file: text.file.to_owned(), line, title: Some(title), reason }
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
