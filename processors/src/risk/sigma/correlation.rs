//! Correlation rules: which events they count, in which group, and what these must amount to.
//!
//! Events are counted where they are stored; here a rule is read, and an event's part in it is found.

use std::collections::{BTreeMap, BTreeSet};

use rsigma_eval::JsonEvent;
use rsigma_parser::{
    ConditionOperator, CorrelationCondition as Written, CorrelationRule, CorrelationType, WindowMode,
};
use schemas::changes::{
    correlation::{CorrelationCondition, CorrelationTerms},
    risk::bounded,
};
use serde_json::Value;

use super::{
    engine::MatchedField,
    own_keys::{OwnKeys, values},
    rule::{Rule, RuleText},
};

/// Longest `timespan`: 90 days, as long as events are kept.
const MAX_TIMESPAN_SECONDS: u64 = 90 * 86_400;
/// Most rules that a correlation refers to.
const MAX_REFERENCES: usize = 32;
/// Longest id or name by which it refers to a rule, in bytes.
const MAX_REFERENCE_BYTES: usize = 200;
/// Longest group, and longest counted value, in bytes; longer ones are cut and carry a hash.
const MAX_KEY_BYTES: usize = 512;

/// A correlation rule that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation {
    /// The rule as outputs name it; what it touches is named in the event that completes it.
    pub rule: Rule,
    /// When it is satisfied.
    pub terms: CorrelationTerms,
    /// The rules whose events it counts, each by id or name as it refers to them.
    pub references: Vec<String>,
    /// The fields within whose values events count together.
    pub group_by: Vec<String>,
    /// What `value_count` counts different values of.
    value_fields: Vec<String>,
    /// By alias and reference the field that is meant.
    aliases: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the rules that it refers to give signals of their own as well.
    pub(super) generate: bool,
}

/// An event's part in a correlation.
#[derive(Debug, Clone, PartialEq)]
pub struct Part<'e> {
    /// The correlation.
    pub correlation: &'e Correlation,
    /// The rule that fired, as the correlation refers to it.
    pub reference: &'e str,
    /// The group in which the event counts.
    pub group: String,
    /// What `value_count` counts; empty for other types.
    pub value: String,
    /// The fields that chose the group, and the counted ones.
    pub matched: Vec<MatchedField>,
}

impl Correlation {
    /// Fails where the rule cannot be used: with the key that says what cannot be done, and why.
    pub(super) fn of(rule: &CorrelationRule, text: RuleText<'_>) -> Result<Self, (&'static str, String)> {
        let attribute = |name: &str| {
            rule.custom_attributes.get(name).map(|value| serde_json::to_value(value).unwrap_or(Value::Null))
        };
        let own = OwnKeys::of(attribute)?;
        let correlation = |reason: &str| ("correlation", reason.to_owned());
        if rule.window != WindowMode::Sliding {
            return Err(correlation("only sliding windows are counted"));
        }
        let seconds = rule.timespan.seconds;
        if !(1..=MAX_TIMESPAN_SECONDS).contains(&seconds) {
            return Err(correlation("its timespan must be between a second and 90 days"));
        }
        let different: BTreeSet<&String> = rule.rules.iter().collect();
        if different.is_empty() || different.len() < rule.rules.len() || different.len() > MAX_REFERENCES {
            return Err(correlation("it must refer to between 1 and 32 rules, to each once"));
        }
        if rule.rules.iter().any(|reference| *reference != bounded(reference, MAX_REFERENCE_BYTES)) {
            return Err(correlation("it refers to a rule by more than 200 bytes, or by control characters"));
        }
        let (condition, value_fields) = condition(rule).map_err(|why| ("correlation", why))?;
        let timespan_seconds = u32::try_from(seconds).map_err(|_| correlation("its timespan is too long"))?;
        let aliases = rule.aliases.iter();
        let aliases = aliases.map(|alias| (alias.alias.clone(), alias.mapping.clone().into_iter().collect()));
        Ok(Self {
            rule: Rule::of_correlation(rule, own, text),
            terms: CorrelationTerms { timespan_seconds, condition },
            references: rule.rules.clone(),
            group_by: rule.group_by.clone(),
            value_fields,
            aliases: aliases.collect(),
            generate: rule.generate,
        })
    }

    /// The record's part, if it has a value for every field that chooses the group and for those that are counted.
    pub(super) fn part<'e>(&'e self, reference: &'e str, record: &Value) -> Option<Part<'e>> {
        let record = JsonEvent::borrow(record);
        let mut matched = Vec::new();
        let mut read = |field: &str| {
            let named = match self.aliases.get(field) {
                Some(fields) => fields.get(reference)?,
                None => field,
            };
            let found = values(&record, named);
            let text = found.join(",");
            matched.push(MatchedField { field: field.to_owned(), value: text.clone().into() });
            (!found.is_empty()).then_some(text)
        };
        let group: Vec<String> = self.group_by.iter().map(|field| read(field)).collect::<Option<_>>()?;
        let value: Vec<String> = self.value_fields.iter().map(|field| read(field)).collect::<Option<_>>()?;
        let group = Value::from(group).to_string();
        Some(Part {
            correlation: self,
            reference,
            group: bounded(&group, MAX_KEY_BYTES),
            value: bounded(&value.join("|"), MAX_KEY_BYTES),
            matched,
        })
    }

    /// What must come together, in words.
    pub fn condition(&self) -> String {
        let span = self.terms.timespan_seconds;
        let rules = self.references.join(", ");
        let what = match &self.terms.condition {
            CorrelationCondition::EventCount(n) => format!("{n} events of {rules}"),
            CorrelationCondition::ValueCount(n) => {
                format!("{n} different values of {} in events of {rules}", self.value_fields.join(", "))
            }
            CorrelationCondition::Temporal(_) => format!("an event of each of {rules}"),
            CorrelationCondition::TemporalOrdered(_) => format!("an event of each of {rules}, in this order"),
        };
        let by = if self.group_by.is_empty() { "all".to_owned() } else { self.group_by.join(", ") };
        format!("{what} within {span} s, by {by}")
    }
}

/// What events must amount to, and the fields whose values are counted.
fn condition(rule: &CorrelationRule) -> Result<(CorrelationCondition, Vec<String>), String> {
    let (predicates, field) = match &rule.condition {
        Written::Threshold { predicates, field, .. } => (predicates, field),
        Written::Extended(_) => return Err("conditions over the names of rules are not decided".to_owned()),
    };
    let mut at_least = 1;
    for (operator, number) in predicates {
        at_least = at_least.max(match operator {
            ConditionOperator::Gte => *number,
            ConditionOperator::Gt => number.saturating_add(1),
            ConditionOperator::Lt | ConditionOperator::Lte | ConditionOperator::Eq | ConditionOperator::Neq => {
                return Err(
                    "only `gt` and `gte` can be decided while events may still come in; `lt`, `lte`, `eq` and \
                     `neq` might be true now and false later"
                        .to_owned(),
                );
            }
        });
    }
    let temporal = || match at_least {
        1 => Ok(rule.rules.clone()),
        _ => Err("a temporal correlation wants each of its rules; it takes no count".to_owned()),
    };
    match rule.correlation_type {
        CorrelationType::EventCount => Ok((CorrelationCondition::EventCount(at_least), Vec::new())),
        CorrelationType::ValueCount => {
            let fields = field.clone().ok_or("value_count needs `field` in its condition")?;
            Ok((CorrelationCondition::ValueCount(at_least), fields))
        }
        CorrelationType::Temporal => Ok((CorrelationCondition::Temporal(temporal()?), Vec::new())),
        CorrelationType::TemporalOrdered => {
            Ok((CorrelationCondition::TemporalOrdered(temporal()?), Vec::new()))
        }
        other => Err(format!(
            "{} is not decided; event_count, value_count, temporal and temporal_ordered are",
            other.as_str()
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::risk::sigma::{RuleProblem, SigmaEngine};

    const BASE: &str = "title: Refused\nid: 7c1f6f0e-8a44-4a0e-9f55-6f1f5c6a2b11\nname: refused\n\
                        logsource: {product: aws, service: cloudtrail}\n\
                        detection: {s: {errorCode: AccessDenied}, condition: s}\nlevel: low\n";

    fn load(correlation: &str) -> (SigmaEngine, Vec<RuleProblem>) {
        let text = format!("title: Probing\nid: probing\nlevel: high\ncorrelation:\n{correlation}");
        SigmaEngine::load([("base.yml", BASE), ("probing.yml", &text)])
    }

    #[track_caller]
    fn check_unusable(correlation: &str, reason: &str) {
        let (engine, problems) = load(correlation);
        assert_eq!((engine.correlations().len(), problems.len()), (0, 1), "{problems:?}");
        assert!(problems[0].reason.contains(reason), "{}", problems[0]);
        assert!(engine.rules().all(|(_, rule)| rule.generates), "nobody wants its hits");
    }

    #[test]
    fn a_hit_has_a_part_in_the_group_of_its_values() {
        let counted = "  type: value_count\n  rules: [refused]\n  group-by: [who, region]\n  timespan: 5m\n  \
                       aliases: {who: {refused: userIdentity.arn}}\n  condition: {gt: 3, field: eventName}\n";
        let (engine, problems) = load(counted);
        assert_eq!(problems, []);
        let record = json!({"errorCode": "AccessDenied", "userIdentity": {"arn": "ada"}, "region": ["b", "a"],
                            "eventName": "ListKeys"});
        let hits = engine.evaluate_record("aws.cloudtrail", &record);
        assert!(!hits[0].rule.generates, "it counts and says nothing by itself");
        let parts = engine.parts(&hits[0], &record);
        assert_eq!((parts.len(), parts[0].group.as_str()), (1, r#"["ada","b,a"]"#));
        assert_eq!((parts[0].value.as_str(), parts[0].reference), ("ListKeys", "refused"));
        let terms = &parts[0].correlation.terms;
        assert_eq!(terms.condition, CorrelationCondition::ValueCount(4));
        assert_eq!(terms.timespan_seconds, 300);
        let nobody = json!({"errorCode": "AccessDenied", "region": "b", "eventName": "ListKeys"});
        let hits = engine.evaluate_record("aws.cloudtrail", &nobody);
        assert_eq!(engine.parts(&hits[0], &nobody), [], "without a value for each field it has no group");

        let (engine, _) = load(&format!("{counted}generate: true\n"));
        assert!(engine.rules().all(|(_, rule)| rule.generates));
    }

    #[test]
    fn what_cannot_be_decided_is_reported() {
        let by_id = "  rules: [7c1f6f0e-8a44-4a0e-9f55-6f1f5c6a2b11]\n  timespan: 5m\n";
        let (engine, problems) = load(&format!("  type: event_count\n{by_id}  condition: {{gte: 2}}\n"));
        assert_eq!((engine.correlations().len(), problems), (1, vec![]));
        for operator in ["lt", "lte", "eq", "neq"] {
            let condition = format!("  type: event_count\n{by_id}  condition: {{{operator}: 2}}\n");
            check_unusable(&condition, "may still come in");
        }
        check_unusable(&format!("  type: value_count\n{by_id}  condition: {{gte: 2}}\n"), "needs `field`");
        check_unusable(
            &format!("  type: value_sum\n{by_id}  condition: {{gte: 2, field: a}}\n"),
            "value_sum is not decided",
        );
        let other = "  timespan: 5m\n  condition: {gte: 2}\n";
        check_unusable(&format!("  type: event_count\n  rules: [nothing]\n{other}"), "\"nothing\"");
        check_unusable(&format!("  type: event_count\n  rules: [probing]\n{other}"), "\"probing\"");
        check_unusable(&format!("  type: event_count\n  rules: []\n{other}"), "between 1 and 32");
        check_unusable(&format!("  type: event_count\n  rules: [refused, refused]\n{other}"), "to each once");
        check_unusable(
            "  type: temporal\n  rules: [refused]\n  timespan: 1y\n",
            "between a second and 90 days",
        );
        check_unusable(
            "  type: temporal\n  rules: [refused]\n  timespan: 5m\n  condition: refused and not refused\n",
            "names of rules",
        );
    }
}
