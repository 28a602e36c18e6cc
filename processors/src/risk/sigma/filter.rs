//! Sigma filters: events on which rules do not fire.

use serde_json::{Map, Value};

use super::{
    condition::Condition,
    detection::{Detection, Fault},
    rule::{Rule, RuleText, version},
    values::Making,
};

/// A parsed filter.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub(super) title: String,
    /// Ids or names of rules; `None` for every rule of the log source.
    pub(super) rules: Option<Vec<String>>,
    section: Map<String, Value>,
    /// As that of a rule: a different text is a different version.
    pub(super) version: String,
}

impl Filter {
    /// Parses a filter. The error names the invalid key and the reason.
    pub(super) fn read(title: &str, section: &Value, text: RuleText<'_>) -> Result<Self, Fault> {
        let fault = |reason: &str| Fault::new("filter", reason);
        let mut section = section.as_object().ok_or_else(|| fault("a filter is a map"))?.clone();
        let rules = match section.remove("rules") {
            Some(Value::String(any)) if any.eq_ignore_ascii_case("any") => None,
            Some(Value::String(one)) => Some(vec![one]),
            Some(Value::Array(many)) if !many.is_empty() => {
                let texts = many.iter().map(|rule| rule.as_str().map(ToOwned::to_owned));
                Some(
                    texts
                        .collect::<Option<_>>()
                        .ok_or_else(|| Fault::new("rules", "rules are named by id or name"))?,
                )
            }
            _ => return Err(fault("a filter names the `rules` that it is for, by id or name, or `any`")),
        };
        Ok(Self { title: title.to_owned(), rules, section, version: version(text) })
    }

    pub(super) fn is_for(&self, rule: &Rule) -> bool {
        self.rules.as_ref().is_none_or(|rules| rules.iter().any(|reference| rule.is_meant_by(reference)))
    }

    /// Detection of the events that it excludes: those that match its condition or, if it is negated, those
    /// that match what it negates.
    ///
    /// The specification writes `condition: selection` for events that are excluded, the reference
    /// implementation `condition: not selection` for events that stay. Both are supported; a mixture is
    /// ambiguous and rejected.
    pub(super) fn detection(&self, making: &mut Making<'_>) -> Result<Detection, Fault> {
        let mut detection = Detection::read(&self.section, making)?;
        if detection.selections.is_empty() {
            return Err(Fault::new("filter", "a filter has a selection"));
        }
        if let Some(taken) = negated(&detection.condition) {
            detection.condition = taken;
        } else if has_not(&detection.condition) {
            return Err(Fault::new(
                "condition",
                "a filter's condition says which events are filtered away (`selection`), or which are \
                 not (`not selection`); this one says both",
            ));
        }
        Ok(detection)
    }
}

/// The events that a condition of negations alone excludes.
fn negated(condition: &Condition<usize>) -> Option<Condition<usize>> {
    match condition {
        Condition::Not(inner) if !has_not(inner) => Some((**inner).clone()),
        Condition::All(parts) => parts.iter().map(negated).collect::<Option<_>>().map(Condition::Any),
        _ => None,
    }
}

fn has_not(condition: &Condition<usize>) -> bool {
    match condition {
        Condition::Not(_) => true,
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(has_not),
        Condition::Named(_) | Condition::AtLeast(..) => false,
    }
}
