//! A rule as outputs name it, and which native format it reads.

use rsigma_parser::{CorrelationRule, LogSource, SigmaRule};
use schemas::{changes::risk::SignalLevel as Level, envelope::native_format};
use sha2::{Digest, Sha256};

use super::own_keys::{OwnKeys, Touched};

/// A rule that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The rule's `id`; without one, its file's name.
    pub id: String,
    /// The rule's `name`, by which correlations may refer to it.
    pub name: Option<String>,
    /// The rule's `title`.
    pub title: String,
    /// The rule's `author`, whom outputs name.
    pub author: Option<String>,
    /// The rule's `level`; informational where it states none.
    pub level: Level,
    /// What a hit scores, 0 to 100: its level's score, or its confidence × impact / 100.
    pub score: u8,
    /// What a hit touches besides the event's actor and address.
    pub touched: Touched,
    /// The rule's `tags`, for example `attack.t1078`.
    pub tags: Vec<String>,
    /// The file it came from.
    pub file: String,
    /// The first 16 hexadecimal digits of SHA-256 over the file's text: another text is another version.
    pub version: String,
    /// Whether a hit is a signal by itself; not so where only correlations want it.
    pub generates: bool,
}

/// A rule file.
#[derive(Clone, Copy)]
pub(super) struct RuleText<'a> {
    /// Its name.
    pub(super) file: &'a str,
    /// What it says.
    pub(super) text: &'a str,
}

impl Rule {
    /// Fails where a key of Weir's own cannot be understood: with the key and the reason.
    pub(super) fn of(rule: &SigmaRule, text: RuleText<'_>) -> Result<Self, (&'static str, String)> {
        let attributes = &rule.custom_attributes;
        let own = OwnKeys::of(|name| {
            attributes.get(name).map(|value| serde_json::to_value(value).unwrap_or_default())
        })?;
        let level = level(rule.level);
        Ok(Self {
            id: rule.id.clone().unwrap_or_else(|| text.file.to_owned()),
            name: rule.name.clone(),
            title: rule.title.clone(),
            author: rule.author.clone(),
            level,
            score: own.score.unwrap_or(level.score()),
            touched: own.touched,
            tags: rule.tags.clone(),
            file: text.file.to_owned(),
            version: version(text.text),
            generates: true,
        })
    }

    pub(super) fn of_correlation(rule: &CorrelationRule, own: OwnKeys, text: RuleText<'_>) -> Self {
        let level = level(rule.level);
        Self {
            id: rule.id.clone().unwrap_or_else(|| text.file.to_owned()),
            name: rule.name.clone(),
            title: rule.title.clone(),
            author: rule.author.clone(),
            level,
            score: own.score.unwrap_or(level.score()),
            touched: own.touched,
            tags: rule.tags.clone(),
            file: text.file.to_owned(),
            version: version(text.text),
            generates: true,
        }
    }

    /// Whether a correlation that refers to this means the rule.
    pub(super) fn is_meant_by(&self, reference: &str) -> bool {
        self.id == reference || self.name.as_deref() == Some(reference)
    }
}

fn version(text: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let first = digest.first_chunk().expect("8 of 32 bytes");
    format!("{:016x}", u64::from_be_bytes(*first))
}

fn level(level: Option<rsigma_parser::Level>) -> Level {
    match level {
        None | Some(rsigma_parser::Level::Informational) => Level::Informational,
        Some(rsigma_parser::Level::Low) => Level::Low,
        Some(rsigma_parser::Level::Medium) => Level::Medium,
        Some(rsigma_parser::Level::High) => Level::High,
        Some(rsigma_parser::Level::Critical) => Level::Critical,
    }
}

/// Why a rule, or a whole file, is not used. The others are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {reason}", .line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct RuleProblem {
    /// The file.
    pub file: String,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// The rule's title, where it could be read.
    pub title: Option<String>,
    /// What is wrong.
    pub reason: String,
}

/// The native formats that rules are written for: product, service, format.
const SOURCES: [(&str, &str, &str); 5] = [
    ("aws", "cloudtrail", native_format::CLOUDTRAIL),
    ("kubernetes", "audit", native_format::KUBERNETES_AUDIT),
    ("github", "audit", native_format::GITHUB_AUDIT),
    ("github", "webhook", native_format::GITHUB_WEBHOOK),
    ("okta", "okta", native_format::OKTA_SYSTEM_LOG),
];

/// The native format that a logsource means; `None` if it is none of ours. `category` and `definition` do not
/// choose: rules for Kubernetes carry `application` or nothing.
pub(super) fn format_of(source: &LogSource) -> Option<&'static str> {
    let is = |said: &Option<String>, word: &str| {
        said.as_deref().is_some_and(|said| said.eq_ignore_ascii_case(word))
    };
    let found = SOURCES
        .iter()
        .find(|(product, service, _)| is(&source.product, product) && is(&source.service, service));
    found.map(|(.., format)| *format)
}
