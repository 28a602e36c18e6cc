//! Loads the documents of rule files, and collects problems.

use serde_json::{Map, Value};

use super::{
    correlation::Correlation,
    detection::{Detection, Fault},
    documents::documents,
    fields::Fields,
    filter::Filter,
    lint::{self, Finding},
    placeholders::Placeholders,
    rule::{LogSource, Rule, RuleProblem, RuleText, plain, title},
    values::Making,
};

/// Location of a document.
#[derive(Debug, Clone)]
pub(super) struct Place {
    file: String,
    line: usize,
    text: String,
}

impl Place {
    /// A problem of the document, with the line of the key in question.
    pub(super) fn problem(&self, title: Option<String>, fault: Fault) -> RuleProblem {
        RuleProblem {
            file: self.file.clone(),
            line: Some(self.line_of(&fault.at)),
            title,
            reason: fault.reason,
        }
    }

    /// The line of the first key with that name; or of the first line that contains the text; or where the
    /// document begins.
    fn line_of(&self, at: &str) -> usize {
        let is_key = |line: &str| {
            let line = line.trim_start_matches([' ', '\t', '-', '\'', '"']);
            let rest = line.strip_prefix(at);
            rest.is_some_and(|rest| rest.trim_start_matches(['\'', '"']).starts_with(':'))
        };
        let lines = || self.text.lines();
        let found = lines().position(is_key).or_else(|| lines().position(|line| line.contains(at)));
        let content = || lines().position(|line| !(line.trim().is_empty() || line.starts_with('#')));
        self.line + found.filter(|_| !at.is_empty()).or_else(content).unwrap_or(0)
    }
}

/// A parsed item with its location.
pub(super) struct Read<T> {
    pub(super) what: T,
    pub(super) place: Place,
}

/// A rule whose detection is not compiled yet.
pub(super) struct Candidate {
    pub(super) rule: Rule,
    pub(super) format: &'static str,
    source: LogSource,
    detection: Map<String, Value>,
}

/// Parsed documents of all files.
#[derive(Default)]
pub(super) struct Written {
    pub(super) rules: Vec<Read<Candidate>>,
    pub(super) filters: Vec<Read<(Filter, LogSource)>>,
    pub(super) correlations: Vec<Read<Correlation>>,
    pub(super) problems: Vec<RuleProblem>,
}

impl Written {
    /// Reads a file. Faults are added to the problems.
    pub(super) fn read(&mut self, text: RuleText<'_>) {
        for document in documents(text.text) {
            let document = match document {
                Ok(document) => document,
                Err(error) => {
                    let file = text.file.to_owned();
                    let problem =
                        RuleProblem { file, line: Some(error.line), title: None, reason: error.reason };
                    self.problems.push(problem);
                    continue;
                }
            };
            let place =
                Place { file: text.file.to_owned(), line: document.line, text: document.text.to_owned() };
            if let Err(fault) = self.take(&document.content, text, &place) {
                self.problems.push(place.problem(plain(&document.content, "title"), fault));
            }
        }
    }

    fn take(&mut self, content: &Map<String, Value>, text: RuleText<'_>, place: &Place) -> Result<(), Fault> {
        let place = place.clone();
        if content.contains_key("correlation") {
            let what = Correlation::read(content, text)?;
            self.correlations.push(Read { what, place });
        } else if let Some(section) = content.get("filter") {
            let source = LogSource::read(content)?;
            let what = (Filter::read(&title(content)?, section, text)?, source);
            self.filters.push(Read { what, place });
        } else {
            title(content)?;
            let detection = content.get("detection");
            let detection = detection.ok_or_else(|| Fault::new("title", "it has no detection"))?;
            let detection = detection.as_object();
            let detection =
                detection.ok_or_else(|| Fault::new("detection", "a detection is a map of selections"))?;
            let source = LogSource::read(content)?;
            let format = source.format()?;
            let rule = Rule::read(content, text, Some(format))?;
            let what = Candidate { rule, format, source, detection: detection.clone() };
            self.rules.push(Read { what, place });
        }
        Ok(())
    }
}

/// A filter, and its effect.
pub(super) struct FilterInUse {
    read: Read<(Filter, LogSource)>,
    /// Rules that it was applied to.
    laid_on: Vec<Rule>,
    fault: Option<Fault>,
}

impl FilterInUse {
    pub(super) fn new(read: Read<(Filter, LogSource)>) -> Self {
        Self { read, laid_on: Vec::new(), fault: None }
    }

    /// Applies the filter to the rule's detection.
    fn lay_on(
        &mut self,
        (rule, source): (&Rule, &LogSource),
        detection: &mut Detection,
        making: &mut Making<'_>,
    ) {
        let (filter, of) = &self.read.what;
        if !filter.is_for(rule) || !of.holds_of(source) {
            return;
        }
        match filter.detection(making) {
            Ok(taken) => {
                detection.unless(&taken);
                self.laid_on.push(rule.clone());
            }
            Err(fault) => self.fault = Some(fault),
        }
    }

    /// Version of the filter's text.
    pub(super) fn version(&self) -> &str {
        &self.read.what.0.version
    }

    /// The problem of a filter that has no effect, or less than it states.
    pub(super) fn problem(&self) -> Option<RuleProblem> {
        let (filter, _) = &self.read.what;
        let missing = filter
            .rules
            .iter()
            .flatten()
            .find(|reference| !self.laid_on.iter().any(|rule| rule.is_meant_by(reference)));
        let fault = self.fault.clone().or_else(|| {
            let missing = missing?;
            let reason = format!(
                "it filters {missing:?}, which no usable detection rule of its logsource has as id or name"
            );
            Some(Fault::new("rules", reason))
        });
        let idle = || Fault::new("logsource", "no usable detection rule has its logsource");
        let fault = fault.or_else(|| self.laid_on.is_empty().then(idle))?;
        Some(self.read.place.problem(Some(filter.title.clone()), fault))
    }
}

/// Rules of one format while they are compiled.
pub(super) struct Loading<'l> {
    pub(super) format: &'static str,
    pub(super) placeholders: &'l Placeholders,
    pub(super) filters: &'l mut Vec<FilterInUse>,
    pub(super) problems: &'l mut Vec<RuleProblem>,
}

/// Compiled rules.
#[derive(Debug, Default)]
pub(super) struct Usable {
    pub(super) fields: Fields,
    pub(super) rules: Vec<Rule>,
    pub(super) detections: Vec<Detection>,
    pub(super) findings: Vec<Finding>,
}

impl Loading<'_> {
    pub(super) fn load(&mut self, rules: Vec<Read<Candidate>>) -> Usable {
        let mut usable = Usable { fields: Fields::of(self.format), ..Usable::default() };
        for Read { what: candidate, place } in rules {
            let mut making = Making { fields: &mut usable.fields, placeholders: self.placeholders };
            match Detection::read(&candidate.detection, &mut making) {
                Ok(mut detection) => {
                    for filter in self.filters.iter_mut() {
                        let about = (&candidate.rule, &candidate.source);
                        filter.lay_on(about, &mut detection, &mut making);
                    }
                    let found = lint::of_rule(&detection, &usable.fields, self.format);
                    let title = || Some(candidate.rule.title.clone());
                    usable.findings.extend(
                        found
                            .into_iter()
                            .map(|(kind, fault)| Finding { kind, problem: place.problem(title(), fault) }),
                    );
                    usable.rules.push(candidate.rule);
                    usable.detections.push(detection);
                }
                Err(fault) => self.problems.push(place.problem(Some(candidate.rule.title), fault)),
            }
        }
        usable
    }
}
