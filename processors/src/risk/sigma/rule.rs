//! A rule as outputs name it, and the native format that it reads.

use std::sync::{Arc, OnceLock};

use schemas::{
    changes::risk::{SignalLevel as Level, SignalRule},
    envelope::native_format,
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    detection::Fault,
    own_keys::{OwnKeys, Touched},
    placeholders::Placeholders,
};

/// A loaded rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The rule's `id`; without one, the name of its file.
    pub id: String,
    /// The rule's `name`, by which correlations may refer to it.
    pub name: Option<String>,
    /// The rule's `title`.
    pub title: String,
    /// The rule's `author`, which outputs name.
    pub author: Option<String>,
    /// The rule's `level`; informational by default.
    pub level: Level,
    /// Score of a hit, 0 to 100: that of its level, or its confidence × impact / 100.
    pub score: u8,
    /// Entities of a hit besides the event's actor and address.
    pub touched: Touched,
    /// The rule's `tags`, for example `attack.t1078`.
    pub tags: Vec<String>,
    /// File of the rule.
    pub file: String,
    /// The first 16 hexadecimal digits of SHA-256 over the file's text, and over the values of placeholders
    /// if the file has some: a different text is a different version.
    pub version: String,
    /// Whether a hit is a signal by itself, rather than only input of correlations.
    pub generates: bool,
    /// The rule as signals name it, made once: all of them share it.
    pub(in crate::risk) named: OnceLock<Arc<SignalRule>>,
}

/// A rule file.
#[derive(Clone, Copy)]
pub(super) struct RuleText<'a> {
    /// Name of the file.
    pub(super) file: &'a str,
    /// Text of the file.
    pub(super) text: &'a str,
    /// Values of its placeholders.
    pub(super) placeholders: &'a Placeholders,
}

impl Rule {
    /// Parses a rule, or correlation, with that content. The error names the invalid key and the
    /// reason.
    pub(super) fn read(
        content: &Map<String, Value>,
        text: RuleText<'_>,
        format: Option<&str>,
    ) -> Result<Self, Fault> {
        let own = OwnKeys::of(content, format)?;
        let level = level(content.get("level")).map_err(|reason| Fault::new("level", reason))?;
        if content.get("status").and_then(Value::as_str) == Some("unsupported") {
            return Err(Fault::new("status", "its status says that it cannot be used: unsupported"));
        }
        let taxonomy = content.get("taxonomy").filter(|value| !value.is_null());
        if let Some(other) = taxonomy.filter(|taxonomy| taxonomy.as_str() != Some("sigma")) {
            return Err(Fault::new(
                "taxonomy",
                format!("its fields are of the taxonomy {other}; `sigma` is understood"),
            ));
        }
        Ok(Self {
            id: plain(content, "id").unwrap_or_else(|| text.file.to_owned()),
            name: plain(content, "name"),
            title: title(content)?,
            author: plain(content, "author"),
            level,
            score: own.score.unwrap_or(level.score()),
            touched: own.touched,
            tags: tags(content.get("tags")).map_err(|reason| Fault::new("tags", reason))?,
            file: text.file.to_owned(),
            version: version(text),
            generates: true,
            named: OnceLock::new(),
        })
    }

    /// Whether a hit becomes signals: it scores, and does not only serve correlations.
    pub fn signals(&self) -> bool {
        self.score > 0 && self.generates
    }

    /// Whether a correlation or filter with this reference means the rule.
    pub(super) fn is_meant_by(&self, reference: &str) -> bool {
        self.id == reference || self.name.as_deref() == Some(reference)
    }
}

pub(super) fn title(content: &Map<String, Value>) -> Result<String, Fault> {
    plain(content, "title").ok_or_else(|| Fault::new("title", "it has no title"))
}

/// The text of a key; a number or boolean is converted.
pub(super) fn plain(content: &Map<String, Value>, key: &str) -> Option<String> {
    match content.get(key)? {
        Value::String(text) => Some(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        _ => None,
    }
}

fn tags(value: Option<&Value>) -> Result<Vec<String>, String> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(many)) => {
            let texts = many.iter().map(|tag| tag.as_str().map(ToOwned::to_owned));
            texts.collect::<Option<_>>().ok_or_else(|| "tags are texts".to_owned())
        }
        Some(_) => Err("tags are a list of texts".to_owned()),
    }
}

/// The text, and the values of the placeholders in it.
pub(super) fn version(text: RuleText<'_>) -> String {
    let mut hash = Sha256::new();
    hash.update(text.text);
    if text.text.contains("expand") {
        for (name, values) in
            text.placeholders.iter().filter(|(name, _)| text.text.contains(&format!("%{name}%")))
        {
            [name].into_iter().chain(values.iter().map(String::as_str)).for_each(|part| {
                hash.update([0]);
                hash.update(part);
            });
        }
    }
    let digest: [u8; 32] = hash.finalize().into();
    let first = digest.first_chunk().expect("8 of 32 bytes");
    format!("{:016x}", u64::from_be_bytes(*first))
}

/// The level, ignoring case. An unknown one is an error.
fn level(value: Option<&Value>) -> Result<Level, String> {
    let wrong = |written: &dyn std::fmt::Display| {
        format!("the level {written} is not one of informational, low, medium, high and critical")
    };
    match value {
        None | Some(Value::Null) => Ok(Level::Informational),
        Some(Value::String(name)) => match name.to_ascii_lowercase().as_str() {
            "informational" => Ok(Level::Informational),
            "low" => Ok(Level::Low),
            "medium" => Ok(Level::Medium),
            "high" => Ok(Level::High),
            "critical" => Ok(Level::Critical),
            _ => Err(wrong(&format!("{name:?}"))),
        },
        Some(other) => Err(wrong(other)),
    }
}

/// Reason for rejecting a rule, or a whole file; others are still used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {reason}", .line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct RuleProblem {
    /// The file.
    pub file: String,
    /// The line, from 1, if known.
    pub line: Option<usize>,
    /// Title of the rule, if it could be read.
    pub title: Option<String>,
    /// Description of the problem.
    pub reason: String,
}

/// The native formats that rules are written for: product, service, format.
const SOURCES: [(&str, &str, &str); 12] = [
    ("aws", "cloudtrail", native_format::CLOUDTRAIL),
    ("kubernetes", "audit", native_format::KUBERNETES_AUDIT),
    ("github", "audit", native_format::GITHUB_AUDIT),
    ("github", "webhook", native_format::GITHUB_WEBHOOK),
    ("okta", "okta", native_format::OKTA_SYSTEM_LOG),
    ("gcp", "gcp.audit", native_format::GCP_AUDIT),
    ("azure", "activitylogs", native_format::AZURE_ACTIVITY),
    ("azure", "auditlogs", native_format::AZURE_AUDIT),
    // What Privileged Identity Management does is in the directory's audit log.
    ("azure", "pim", native_format::AZURE_AUDIT),
    ("azure", "signinlogs", native_format::AZURE_SIGNIN),
    // What is risky about a sign-in stands in its record.
    ("azure", "riskdetection", native_format::AZURE_SIGNIN),
    ("weir", "cost", native_format::COST_ANOMALY),
];

/// Log source of a rule: the records that it reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LogSource {
    product: Option<String>,
    service: Option<String>,
    category: Option<String>,
}

impl LogSource {
    pub(super) fn read(content: &Map<String, Value>) -> Result<Self, Fault> {
        let section = content.get("logsource").ok_or_else(|| Fault::new("title", "it has no logsource"))?;
        let section = section.as_object().ok_or_else(|| Fault::new("logsource", "a logsource is a map"))?;
        let part = |key| plain(section, key).map(|part| part.to_ascii_lowercase());
        Ok(Self { product: part("product"), service: part("service"), category: part("category") })
    }

    /// The native format that is meant; `None` if Weir has none. `category` and `definition` are
    /// ignored: rules for Kubernetes have `application` or nothing.
    pub(super) fn format(&self) -> Result<&'static str, Fault> {
        let is = |said: &Option<String>, word: &str| said.as_deref() == Some(word);
        let found = SOURCES
            .iter()
            .find(|(product, service, _)| is(&self.product, product) && is(&self.service, service));
        let unknown = || Fault::new("logsource", "its logsource names no format that Weir receives");
        found.map(|(.., format)| *format).ok_or_else(unknown)
    }

    /// Whether every key given here has the same value in the other.
    pub(super) fn holds_of(&self, other: &Self) -> bool {
        let same = |own: &Option<String>, other: &Option<String>| own.is_none() || own == other;
        same(&self.product, &other.product)
            && same(&self.service, &other.service)
            && same(&self.category, &other.category)
    }
}
