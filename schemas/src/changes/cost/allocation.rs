//! Allocation rules, which assign costs to teams, and decisions about them.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{EventId, TenantId, Timestamp};

/// Subject kind of governance events about allocation rules.
pub const ALLOCATION_SUBJECT: &str = "cost_allocation";
/// Maximum number of rules in a set.
const MAX_ALLOCATION_RULES: usize = 100;
/// Maximum size of a rule set as JSON text, in bytes.
const MAX_ALLOCATION_BYTES: usize = 16 * 1024;
/// Maximum length of the name of a team, an account, a project or a tag, in bytes.
const MAX_NAME_BYTES: usize = 512;

/// One rule; the first matching rule of the set applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllocationRule {
    /// Costs that the rule matches; all if absent.
    #[serde(default)]
    pub when: AllocationCondition,
    /// Team or teams that the costs are assigned to.
    pub to: AllocationTarget,
}

/// Conditions of a rule; all given ones must hold. A rule without conditions matches every cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AllocationCondition {
    /// Account (FOCUS `SubAccountId`), compared whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Project (the tag `project`), compared whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Required tags with their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// Weights of teams by name, decimals as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = BTreeMap<String, String>)]
pub struct TeamWeights(pub BTreeMap<String, Decimal>);

/// Target of an allocation rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AllocationTarget {
    /// One team.
    Team(String),
    /// The team that a tag names; costs without the tag go on to the next rule.
    TeamOfTag(String),
    /// All teams, in proportion to their own costs; if no team has any, the cost stays shared.
    SharedProportionally,
    /// These teams by these weights, decimals as text; if the weights sum to 0, the cost stays shared.
    SharedFixed(TeamWeights),
    /// No team: capacity that is paid for and not used.
    Idle,
}

/// Parses a set of rules, a JSON list.
///
/// # Errors
/// The reason why the text is not a valid rule set, with the number of the rule.
pub fn allocation_rules(text: &str) -> Result<Vec<AllocationRule>, String> {
    if text.len() > MAX_ALLOCATION_BYTES {
        return Err(format!("the rules are longer than {MAX_ALLOCATION_BYTES} bytes"));
    }
    let no_list = |error: serde_json::Error| format!("this is no list of rules: {error}");
    let written: Vec<Value> = serde_json::from_str(text).map_err(no_list)?;
    if written.len() > MAX_ALLOCATION_RULES {
        return Err(format!("there are more than {MAX_ALLOCATION_RULES} rules"));
    }
    // A derived reader also takes a list of values for an object.
    for (number, rule) in (1..).zip(&written) {
        if !rule.is_object() || rule.get("when").is_some_and(|when| !when.is_object()) {
            return Err(format!("rule {number}: a rule, and its `when`, are objects"));
        }
    }
    let rules: Vec<AllocationRule> = serde_json::from_str(text).map_err(no_list)?;
    for (number, rule) in (1..).zip(&rules) {
        rule.check().map_err(|fault| format!("rule {number}: {fault}"))?;
    }
    Ok(rules)
}

impl AllocationRule {
    fn check(&self) -> Result<(), String> {
        let when = &self.when;
        let tags = when.tags.iter().flat_map(|(name, value)| [name, value]);
        let to: Vec<&String> = match &self.to {
            AllocationTarget::Team(name) | AllocationTarget::TeamOfTag(name) => vec![name],
            AllocationTarget::SharedFixed(TeamWeights(weights)) => {
                if weights.values().any(|weight| weight.is_sign_negative() && !weight.is_zero()) {
                    return Err("a weight is negative".to_owned());
                }
                weights.keys().collect()
            }
            AllocationTarget::SharedProportionally | AllocationTarget::Idle => Vec::new(),
        };
        let named = to.into_iter().chain(&when.account).chain(&when.project).chain(when.tags.keys());
        if named.into_iter().any(|name| name.trim().is_empty()) {
            return Err("a name is empty".to_owned());
        }
        let all = tags.chain(&when.account).chain(&when.project);
        if all.into_iter().any(|name| name.len() > MAX_NAME_BYTES || name.contains('\0')) {
            return Err(format!("a name is longer than {MAX_NAME_BYTES} bytes or holds a NUL"));
        }
        Ok(())
    }
}

/// One decision about allocation rules. Stored once per event; the newest is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllocationFact {
    /// Id of the event; unique within the tenant.
    pub event_id: EventId,
    /// Tenant of the rules.
    pub tenant: TenantId,
    /// Time of the decision.
    pub decided_at: Timestamp,
    /// Actor who decided.
    pub actor: String,
    /// Reason that the actor gave.
    pub reason: Option<String>,
    /// The decision.
    pub decision: AllocationDecision,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// Decision about allocation rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllocationDecision {
    /// These rules take effect.
    Set(Vec<AllocationRule>),
    /// The rules are removed; the default rules take effect.
    Removed,
    /// The decision cannot be read, for this reason; the previous one stays in force.
    Unreadable(String),
}

/// Default rules: costs tagged `team` are assigned to that team.
pub fn default_allocation_rules() -> Vec<AllocationRule> {
    let to = AllocationTarget::TeamOfTag("team".to_owned());
    vec![AllocationRule { when: AllocationCondition::default(), to }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<usize, &str>) {
        match (allocation_rules(text), expected) {
            (Ok(rules), Ok(count)) => {
                assert_eq!(rules.len(), count, "{text}");
                let again = serde_json::to_string(&rules).expect("JSON");
                assert_eq!(allocation_rules(&again), Ok(rules), "{text}");
            }
            (Err(fault), Err(part)) => assert!(fault.contains(part), "{text}: {fault}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn rules_are_read_or_refused_with_a_reason() {
        check("[]", Ok(0));
        check(r#"[{"to": {"team": "core"}}]"#, Ok(1));
        check(r#"[{"when": {"account": "1", "tags": {"a": ""}}, "to": "idle"}]"#, Ok(1));
        check(
            r#"[{"to": {"shared_fixed": {"a": "1", "b": "0.5"}}}, {"to": "shared_proportionally"}]"#,
            Ok(2),
        );
        check(r#"[{"to": {"shared_fixed": {"a": "-1"}}}]"#, Err("rule 1: a weight is negative"));
        check(r#"[{"to": {"team": " "}}]"#, Err("rule 1: a name is empty"));
        check(r#"[{"to": {"team": "a"}, "when": {"colour": "red"}}]"#, Err("unknown field"));
        check(r#"{"to": "idle"}"#, Err("no list of rules"));
        check(r#"[[{}, "idle"]]"#, Err("rule 1: a rule"));
        check(r#"[{"to": "idle"}, {"when": [null, null], "to": "idle"}]"#, Err("rule 2: a rule"));
        check(&format!("[{}]", vec![r#"{"to": "idle"}"#; 101].join(",")), Err("more than 100"));
        check(&" ".repeat(20_000), Err("longer than"));
    }
}
