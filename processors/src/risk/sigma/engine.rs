//! Engine that evaluates Sigma rules on native records.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    correlation::{Correlation, Moment, Part, PartPlace},
    detection::Fault,
    fields::Fields,
    indexed::Indexed,
    json::Json,
    lint::{self, Finding},
    load::{Candidate, FilterInUse, Loading, Read, Usable, Written},
    placeholders::Placeholders,
    record::Record,
    rule::{Rule, RuleProblem, RuleText},
};

/// Loaded rules, indexed by format and required values, so that evaluation is cheap.
pub struct SigmaEngine {
    formats: BTreeMap<&'static str, Loaded>,
    correlations: Vec<Correlation>,
    findings: Vec<Finding>,
    hash: Arc<str>,
}

struct Loaded {
    fields: Fields,
    indexed: Indexed,
    rules: Vec<Rule>,
    /// For each rule, the correlations that count its hits.
    counted: Vec<Vec<PartPlace>>,
}

/// A rule that fired on a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit<'e> {
    /// The rule.
    pub rule: &'e Rule,
    /// Fields that made it fire; none where [`SigmaEngine::signalled`] leaves them out.
    pub matched: Vec<MatchedField>,
    /// Correlations that count it.
    counted: &'e [PartPlace],
}

/// A field that a rule matched.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchedField {
    /// Path of the field, as the rule writes it; `keyword` if the rule names none.
    pub field: String,
    /// Value in the record.
    pub value: Value,
}

/// The record is not JSON, or is nested deeper than 128 levels.
#[derive(Debug, thiserror::Error)]
#[error("the record cannot be read as JSON")]
pub struct UnreadableRecord(#[from] serde_json::Error);

impl SigmaEngine {
    /// Loads rules from files given by name and text, each with any number of YAML documents.
    ///
    /// Never fails: invalid rules are reported, and all others are used.
    pub fn load<N: AsRef<str>, T: AsRef<str>>(
        files: impl IntoIterator<Item = (N, T)>,
    ) -> (Self, Vec<RuleProblem>) {
        Self::load_with(files, &Placeholders::default())
    }

    /// Loads rules with these values for placeholders; otherwise like [`Self::load`].
    pub fn load_with<N: AsRef<str>, T: AsRef<str>>(
        files: impl IntoIterator<Item = (N, T)>,
        placeholders: &Placeholders,
    ) -> (Self, Vec<RuleProblem>) {
        let mut written = Written::default();
        for (name, text) in files {
            written.read(RuleText { file: name.as_ref(), text: text.as_ref(), placeholders });
        }
        let Written { rules, filters, correlations, mut problems } = written;
        let detected = rules.iter().map(|read| (&read.what.rule, &read.place));
        let correlated = correlations.iter().map(|read| (&read.what.rule, &read.place));
        let findings = lint::same_ids(detected.chain(correlated));
        let mut engine =
            Self { formats: BTreeMap::new(), correlations: Vec::new(), findings, hash: Arc::default() };
        let mut sorted: BTreeMap<&'static str, Vec<Read<Candidate>>> = BTreeMap::new();
        for rule in rules {
            sorted.entry(rule.what.format).or_default().push(rule);
        }
        let mut filters: Vec<FilterInUse> = filters.into_iter().map(FilterInUse::new).collect();
        for (format, rules) in sorted {
            let mut loading =
                Loading { format, placeholders, filters: &mut filters, problems: &mut problems };
            let Usable { fields, rules, detections, findings } = loading.load(rules);
            let counted = vec![Vec::new(); rules.len()];
            let indexed = Indexed::new(detections);
            engine.findings.extend(findings);
            engine.formats.insert(format, Loaded { fields, indexed, rules, counted });
        }
        problems.extend(filters.iter().filter_map(FilterInUse::problem));
        for correlation in correlations {
            engine.add(correlation, &mut problems);
        }
        engine.silence();
        engine.hash = engine.hashed(&filters).into();
        (engine, problems)
    }

    /// Connects a correlation with the rules that it refers to.
    fn add(&mut self, read: Read<Correlation>, problems: &mut Vec<RuleProblem>) {
        let Read { what: mut correlation, place } = read;
        let meant = |reference: &str| -> Vec<String> {
            let meant = self.rules().filter(|(_, rule)| rule.is_meant_by(reference));
            meant.flat_map(|(_, rule)| [Some(rule.id.clone()), rule.name.clone()]).flatten().collect()
        };
        let title = correlation.rule.title.clone();
        if let Some(missing) = correlation.references.iter().find(|reference| meant(reference).is_empty()) {
            let reason =
                format!("it refers to {missing:?}, which no usable detection rule has as id or name");
            problems.push(place.problem(Some(title), Fault::new("rules", reason)));
            return;
        }
        if let Err(fault) = correlation.resolve(meant) {
            problems.push(place.problem(Some(title), fault));
            return;
        }
        let place = self.correlations.len();
        for loaded in self.formats.values_mut() {
            for (rule, counted) in loaded.rules.iter().zip(&mut loaded.counted) {
                let references = correlation.references.iter().enumerate();
                let meant = references.filter(|(_, reference)| rule.is_meant_by(reference));
                counted.extend(meant.map(|(reference, _)| PartPlace { correlation: place, reference }));
            }
        }
        self.correlations.push(correlation);
    }

    /// Suppresses the signals of rules that only serve correlations.
    fn silence(&mut self) {
        for loaded in self.formats.values_mut() {
            for (rule, counted) in loaded.rules.iter_mut().zip(&loaded.counted) {
                rule.generates = counted.is_empty()
                    || counted.iter().any(|place| self.correlations[place.correlation].generate);
            }
        }
    }

    /// The rules that fire on a record of that format, in the order of loading.
    pub fn evaluate(&self, format: &str, record: &str) -> Result<Vec<Hit<'_>>, UnreadableRecord> {
        match self.formats.get(format) {
            Some(loaded) => Ok(loaded.evaluate(&Json::read(record)?, |_| true)),
            None => Ok(Vec::new()),
        }
    }

    /// Whether a rule reads records of that format.
    pub fn reads(&self, format: &str) -> bool {
        self.formats.contains_key(format)
    }

    /// Like [`evaluate`](Self::evaluate), on a parsed record.
    pub fn evaluate_record(&self, format: &str, record: &Json<'_>) -> Vec<Hit<'_>> {
        self.formats.get(format).map_or_else(Vec::new, |loaded| loaded.evaluate(record, |_| true))
    }

    /// The same, with the matched fields of those rules only whose hits become signals: nearly every record of a cloud
    /// has several hits that only correlations count.
    pub(in crate::risk) fn signalled(&self, format: &str, record: &Json<'_>) -> Vec<Hit<'_>> {
        self.formats.get(format).map_or_else(Vec::new, |loaded| loaded.evaluate(record, Rule::signals))
    }

    /// The rules that fire, each evaluated without the index: slow, and the reference for tests of the
    /// index.
    pub fn evaluate_each(&self, format: &str, record: &Json<'_>) -> Vec<&Rule> {
        self.formats.get(format).map_or_else(Vec::new, |loaded| loaded.evaluate_each(record))
    }

    /// The part of a hit on an event's record in each correlation that counts it.
    pub fn parts<'e>(&'e self, hit: &Hit<'e>, record: &Json<'_>, event: Moment) -> Vec<Part<'e>> {
        hit.counted.iter().filter_map(|place| self.part(*place, record, event)).collect()
    }

    /// The part at a place that one of the [`parts`](Self::parts) of the same event has.
    pub(in crate::risk) fn part(
        &self,
        place: PartPlace,
        record: &Json<'_>,
        event: Moment,
    ) -> Option<Part<'_>> {
        self.correlations[place.correlation].part(place, record, event)
    }

    /// Every loaded correlation rule.
    pub fn correlations(&self) -> &[Correlation] {
        &self.correlations
    }

    /// Every loaded rule, by format.
    pub fn rules(&self) -> impl Iterator<Item = (&'static str, &Rule)> {
        self.formats.iter().flat_map(|(format, loaded)| loaded.rules.iter().map(move |rule| (*format, rule)))
    }

    /// Findings about usable rules: duplicate ids, rules that never fire, rules that
    /// always fire.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Identity of the rule set: 16 hexadecimal digits of the SHA-256 of every rule's and correlation's
    /// format, id, version and title and every filter's version, in order. The same rules have the same hash on every
    /// machine.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// [`hash`](Self::hash), not copied: a stage asks for it with every record.
    pub fn shared_hash(&self) -> Arc<str> {
        Arc::clone(&self.hash)
    }

    fn hashed(&self, filters: &[FilterInUse]) -> String {
        let mut hash = Sha256::new();
        let correlations = self.correlations.iter().map(|correlation| ("correlation", &correlation.rule));
        for (format, rule) in self.rules().chain(correlations) {
            for part in [format, &rule.id, &rule.version, &rule.title] {
                hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
                hash.update(part);
            }
        }
        for filter in filters {
            hash.update(filter.version());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let first = digest.first_chunk().expect("8 of 32 bytes");
        format!("{:016x}", u64::from_be_bytes(*first))
    }
}

impl Loaded {
    /// The rules that fire, with the matched fields of those of which they are `wanted`.
    fn evaluate(&self, record: &Json<'_>, wanted: impl Fn(&Rule) -> bool) -> Vec<Hit<'_>> {
        let record = Record::new(record, &self.fields);
        let firing = self.indexed.firing(&record).into_iter();
        let hit = |place: usize| {
            let rule = &self.rules[place];
            let matched = wanted(rule).then(|| self.indexed.detection(place).matched(&record, &self.fields));
            Hit { rule, matched: matched.unwrap_or_default(), counted: &self.counted[place] }
        };
        firing.map(hit).collect()
    }

    fn evaluate_each(&self, record: &Json<'_>) -> Vec<&Rule> {
        let fired = self.indexed.firing_each(&Record::new(record, &self.fields)).into_iter();
        fired.map(|place| &self.rules[place]).collect()
    }
}
