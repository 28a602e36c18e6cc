//! Secrets in clear text in the plan. The plan's marks of sensitivity are respected; values are never kept.

use std::collections::BTreeSet;

use schemas::changes::change_review::FactorKind::Secret;
use serde_json::Value;

use super::{Hazards, Place, Rule};
use crate::change_review::{
    attributes::{Attribute, visit},
    manifests,
    plan::{Action, Change, NOTHING},
    words::printable,
};

static PLAIN: Rule = Rule {
    kind: Secret,
    name: "plain_value",
    points: 30,
    reason: "the plan contains a secret in clear text",
};

/// Endings of names of secrets, without separators.
const NAMES: [&str; 14] = [
    "accesskey",
    "accountkey",
    "apikey",
    "authkey",
    "connectionstring",
    "credentials",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "secretkey",
    "secretstring",
    "token",
];
/// Endings of names that only resemble secrets.
const HARMLESS: [&str; 4] = ["nexttoken", "continuationtoken", "imagepullsecret", "createsecret"];
/// Beginnings of values that only refer to a secret.
const POINTERS: [&str; 9] =
    ["arn:", "${", "{{", "vault:", "ssm:", "projects/", "https://", "/", "secretsmanager:"];
/// Beginnings of well-known services' secrets, and their minimum length.
const SHAPES: [(&str, usize); 9] = [
    ("AKIA", 20),
    ("ASIA", 20),
    ("AIza", 39),
    ("ghp_", 40),
    ("github_pat_", 40),
    ("glpat-", 26),
    ("xoxb-", 24),
    ("xoxp-", 24),
    ("sk_live_", 24),
];

/// Finds secrets that the change would set.
pub(super) fn find(change: &Change<'_>, place: Place<'_>, hazards: &mut Hazards) {
    if matches!(change.action, Action::Delete | Action::Forget) {
        return;
    }
    let mut after = secrets(change.kind, change.after, change.after_sensitive);
    if !after.is_empty() {
        let before = secrets(change.kind, change.changed_from(), &NOTHING);
        after.retain(|secret| !before.contains(secret));
    }
    let paths: BTreeSet<String> = after.into_iter().map(|(path, _)| path).collect();
    for path in paths {
        hazards.add(&PLAIN, place, Some(&path));
    }
}

/// Finds variables that hold secrets and are not declared sensitive.
pub(super) fn find_in_variables(variables: &[(&str, &Value)], hazards: &mut Hazards) {
    for (name, value) in variables {
        let text = value.as_str().unwrap_or_default();
        if is_secret_name(name) && is_secret_value(text) || has_secret_shape(text) {
            let address = printable(&format!("var.{name}"));
            hazards.add(&PLAIN, Place { address: &address, production: false }, None);
        }
    }
}

/// Locations of secrets, with their values for comparison only.
fn secrets(kind: &str, configuration: &Value, marks: &Value) -> BTreeSet<(String, String)> {
    let kind = manifests::typed(kind, configuration).map_or(kind, |(kind, _)| kind);
    let mut found = BTreeSet::new();
    visit(configuration, marks, &mut |attribute| {
        let Some(text) = attribute.value.as_str().filter(|_| !attribute.sensitive) else { return };
        if is_named_secret(kind, attribute) && is_secret_value(text) || has_secret_shape(text) {
            found.insert((printable(attribute.path), text.to_owned()));
        }
    });
    found
}

/// Whether the name of the attribute, or the name beside it, is that of a secret:
/// `{ name = "DB_PASSWORD", value = … }`.
fn is_named_secret(kind: &str, attribute: &Attribute<'_>) -> bool {
    let beside = |name: &str| attribute.holder.get(name).and_then(Value::as_str).is_some_and(is_secret_name);
    match attribute.name {
        "value" | "Value" => beside("name") || beside("Name") || beside("key"),
        _ if kind.starts_with("kubernetes_secret")
            && ["data.", "manifest.data.", "manifest.stringData."]
                .iter()
                .any(|data| attribute.path.starts_with(data)) =>
        {
            true
        }
        "secret_string" => kind.starts_with("aws_secretsmanager_secret"),
        name => is_secret_name(name),
    }
}

fn is_secret_name(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    NAMES.iter().any(|ending| plain.ends_with(ending))
        && !HARMLESS.iter().any(|ending| plain.ends_with(ending))
}

fn is_secret_value(text: &str) -> bool {
    let pointer = POINTERS.iter().any(|beginning| text.starts_with(beginning));
    !text.trim().is_empty() && !pointer && !matches!(text, "true" | "false" | "none" | "null")
}

fn has_secret_shape(text: &str) -> bool {
    let known = |(beginning, len): &(&str, usize)| {
        text.len() >= *len && text.starts_with(beginning) && !text.contains(char::is_whitespace)
    };
    SHAPES.iter().any(known) || text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----")
}
