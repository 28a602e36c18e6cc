//! `# METADATA` annotations of a policy's package, as OPA reads them, with Weir's members under `custom`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Severity of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Deviation from good practice.
    Low,
    /// A weakness that is exploitable only together with another one.
    Medium,
    /// A weakness that is exploitable by itself.
    High,
    /// Exposed to anybody.
    Critical,
}

impl Severity {
    /// The word that is printed and stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Reads the word in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Low, Self::Medium, Self::High, Self::Critical];
        all.into_iter().find(|severity| severity.name().eq_ignore_ascii_case(name))
    }
}

/// Annotations of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The policy's id; the package's name where it is absent.
    pub id: Option<String>,
    /// One line.
    pub title: String,
    /// The behaviour that the policy demands, and the reason.
    pub description: String,
    /// Severity of a failure.
    pub severity: Option<Severity>,
    /// The change that makes a resource compliant.
    pub remediation: String,
    /// Terraform resource types and Kubernetes kinds that the policy evaluates. With it, the policy gets one
    /// resource at a time; without it, the whole document.
    pub resource_types: BTreeSet<String>,
    /// Paths without which the policy cannot decide: if one is known only after the change, the verdict is
    /// `not_evaluated`.
    pub decides: Vec<String>,
    /// Whether a denial depends only on known values, so that unknown ones cannot revoke it.
    pub denies_what_is_present: bool,
    /// Controls that a verdict is evidence for, by framework.
    pub controls: BTreeMap<String, Vec<String>>,
}

/// The annotations above the package of a module; `None` if there are none. Members of unknown shape are
/// ignored, because other tools write their own there.
///
/// # Errors
/// The block is not valid YAML; the line is that of the block's first line, from 1.
pub fn annotations(text: &str) -> Result<Option<Metadata>, (usize, String)> {
    let (mut block, mut start, mut inside) = (String::new(), 0, false);
    for (number, line) in text.lines().enumerate() {
        if let Some(comment) = line.strip_prefix('#') {
            if comment.trim() == "METADATA" {
                inside = true;
                start = number + 1;
                block.clear();
            } else if inside {
                block.push_str(comment.strip_prefix(' ').unwrap_or(comment));
                block.push('\n');
            }
        } else if line.starts_with("package ") {
            break;
        } else {
            inside = false;
            if !line.trim().is_empty() {
                block.clear();
            }
        }
    }
    if block.trim().is_empty() {
        return Ok(None);
    }
    let value: Value = serde_saphyr::from_str(&block)
        .map_err(|error| (start, format!("the METADATA block is not valid YAML: {error}")))?;
    Ok(Some(read(&value)))
}

fn read(value: &Value) -> Metadata {
    let custom = &value["custom"];
    let text = |value: &Value| value.as_str().map(|text| text.trim().to_owned());
    let first = |names: &[&str]| names.iter().find_map(|name| text(&custom[*name])).unwrap_or_default();
    let controls = custom["controls"].as_object().into_iter().flatten();
    Metadata {
        id: text(&custom["id"]).filter(|id| !id.is_empty()),
        title: text(&value["title"]).unwrap_or_default(),
        description: text(&value["description"]).unwrap_or_default(),
        severity: custom["severity"].as_str().and_then(Severity::from_name),
        remediation: first(&["remediation", "recommended_action", "recommended_actions"]),
        resource_types: texts(&custom["resource_types"]).into_iter().collect(),
        decides: texts(&custom["decides"]),
        denies_what_is_present: custom["denies"] == "present",
        controls: controls.map(|(framework, ids)| (framework.clone(), texts(ids))).collect(),
    }
}

/// A text, or the texts and numbers of a list.
fn texts(value: &Value) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match value {
        Value::Array(values) => values.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    }
}
