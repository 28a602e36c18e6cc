//! Who may do what: policies, role bindings, wildcards.

use schemas::changes::change_review::FactorKind::Identity;
use serde_json::{Map, Value};

use super::{Findings, Rule, note};
use crate::change_review::{
    attributes::Attribute,
    holding::{Holding, holding},
    plan::Change,
};

static EVERYTHING: Rule =
    Rule { kind: Identity, name: "grants_everything", points: 45, reason: "would be allowed everything" };
static ANYBODY: Rule = Rule {
    kind: Identity,
    name: "grants_anybody",
    points: 45,
    reason: "would be open to anybody: the principal is a wildcard",
};
static CONDITIONED: Rule = Rule {
    kind: Identity,
    name: "grants_anybody_conditionally",
    points: 15,
    reason: "would be open to anybody who fulfils a condition",
};
static WIDE: Rule = Rule {
    kind: Identity,
    name: "grants_widely",
    points: 20,
    reason: "would be allowed all actions of a service, or all on some resources",
};
static CHANGED: Rule =
    Rule { kind: Identity, name: "changed", points: 10, reason: "who may do what would change" };

/// No list of a real policy is longer; bounds what a hostile plan costs.
const MAX_LOOKED_AT: usize = 1_000;

/// Looks at one attribute of a configuration.
pub(super) fn find(kind: &str, attribute: &Attribute<'_>, findings: &mut Findings) {
    let Some(text) = attribute.value.as_str() else { return };
    let path = attribute.path;
    let mut found = |rule| note(findings, rule, path);
    match attribute.name {
        // AWS policy documents, wherever they stand.
        "Effect" if text == "Allow" => {
            if let Some(rule) = principal_of(attribute.holder) {
                found(rule);
            }
            if let Some(rule) = actions_of(kind, attribute.holder) {
                found(rule);
            }
        }
        "policy_arn" | "managed_policy_arns" | "policy_arns" => match text.rsplit('/').next() {
            Some("AdministratorAccess" | "IAMFullAccess") => found(&EVERYTHING),
            Some("PowerUserAccess") => found(&WIDE),
            _ => {}
        },
        "principal" if kind == "aws_lambda_permission" && text == "*" => found(&ANYBODY),
        "role" if kind.contains("_iam_") => match text {
            "roles/owner" | "roles/editor" | "roles/resourcemanager.organizationAdmin" => found(&EVERYTHING),
            role if role.to_ascii_lowercase().ends_with("admin") => found(&WIDE),
            _ => {}
        },
        "member" | "members" if matches!(text, "allUsers" | "allAuthenticatedUsers") => found(&ANYBODY),
        "role_definition_name" => match text {
            "Owner" | "User Access Administrator" | "Role Based Access Control Administrator" => {
                found(&EVERYTHING);
            }
            "Contributor" => found(&WIDE),
            _ => {}
        },
        "actions" if kind == "azurerm_role_definition" && text == "*" => found(&EVERYTHING),
        "name" if path == "role_ref.name" && text == "cluster-admin" => found(&EVERYTHING),
        "name" if path == "subject.name" && is_anybody_in_kubernetes(text) => found(&ANYBODY),
        "verbs" if text == "*" && has(attribute.holder, "resources", "*") => {
            found(if kind.starts_with("kubernetes_cluster_role") { &EVERYTHING } else { &WIDE });
        }
        _ => {}
    }
}

/// Whatever changes a permission is worth a look, if nothing worse was found about it.
pub(super) fn find_any_change(change: &Change<'_>, findings: &mut Findings) {
    let known = findings.values().any(|rule| rule.kind == Identity);
    if !known && holding(change.kind) == Holding::Identity {
        findings.insert((CHANGED.name, String::new()), &CHANGED);
    }
}

fn principal_of(statement: &Map<String, Value>) -> Option<&'static Rule> {
    let wild = match statement.get("Principal")? {
        Value::Object(kinds) => kinds.values().any(|who| is_or_holds(who, "*")),
        who => is_or_holds(who, "*"),
    };
    let conditioned = statement.get("Condition").and_then(Value::as_object).is_some_and(|c| !c.is_empty());
    wild.then_some(if conditioned { &CONDITIONED } else { &ANYBODY })
}

fn actions_of(kind: &str, statement: &Map<String, Value>) -> Option<&'static Rule> {
    if statement.contains_key("NotAction") {
        return Some(&WIDE);
    }
    let actions: Vec<&str> = match statement.get("Action")? {
        Value::String(action) => vec![action],
        Value::Array(actions) => actions.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let everywhere = statement.get("Resource").is_none_or(|resource| is_or_holds(resource, "*"));
    let rule_of = |action: &str| match action.to_ascii_lowercase().as_str() {
        "*" | "*:*" | "iam:*" if everywhere => Some(&EVERYTHING),
        // A key's own policy speaks of nothing but the key.
        "kms:*" if kind.starts_with("aws_kms_") => None,
        action if action == "*" || action.ends_with(":*") => Some(&WIDE),
        _ => None,
    };
    actions.into_iter().filter_map(rule_of).max_by_key(|rule| rule.points)
}

fn is_or_holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(value) => value == text,
        Value::Array(values) => values.iter().take(MAX_LOOKED_AT).any(|value| value == text),
        _ => false,
    }
}

fn has(holder: &Map<String, Value>, name: &str, text: &str) -> bool {
    holder.get(name).is_some_and(|value| is_or_holds(value, text))
}

fn is_anybody_in_kubernetes(name: &str) -> bool {
    matches!(name, "system:anonymous" | "system:unauthenticated" | "system:authenticated")
}
