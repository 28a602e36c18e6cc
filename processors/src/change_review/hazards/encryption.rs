//! Data that would be stored or sent unencrypted. Only explicit configuration counts: an omitted flag may
//! default to on.

use std::collections::BTreeSet;

use schemas::changes::change_review::FactorKind::Encryption;
use serde_json::Value;

use super::{Findings, Rule, note};
use crate::change_review::{
    attributes::{Attribute, visit},
    plan::Change,
    words::printable,
};

static OFF: Rule =
    Rule { kind: Encryption, name: "turned_off", points: 35, reason: "encryption would be turned off" };
static WITHOUT: Rule = Rule {
    kind: Encryption,
    name: "not_encrypted",
    points: 20,
    reason: "would be stored without encryption",
};
static PLAIN: Rule = Rule {
    kind: Encryption,
    name: "plain_transport",
    points: 15,
    reason: "would take connections without encryption, or with an outdated one",
};

/// Flags that encrypt data at rest.
const STORED: [&str; 9] = [
    "at_rest_encryption_enabled",
    "disk_encryption_enabled",
    "encrypt_at_rest.enabled",
    "encrypted",
    "encryption_at_host_enabled",
    "encryption_enabled",
    "infrastructure_encryption_enabled",
    "kms_encrypted",
    "storage_encrypted",
];
/// Flags that encrypt data in transit.
const SENT: [&str; 9] = [
    "enable_https_traffic_only",
    "encrypt_in_transit",
    "enforce_https",
    "https_only",
    "https_traffic_only_enabled",
    "node_to_node_encryption.enabled",
    "require_ssl",
    "ssl_enforcement_enabled",
    "transit_encryption_enabled",
];
/// Blocks that encrypt; removing one turns encryption off.
const BLOCKS: [&str; 4] = [
    "server_side_encryption_configuration",
    "encryption_configuration",
    "encrypt_at_rest",
    "server_side_encryption",
];

/// Maximum number of a listener's actions that are examined; bounds the cost of a hostile plan.
const MAX_ACTIONS: usize = 100;

/// Examines one attribute of a configuration.
pub(super) fn find(kind: &str, attribute: &Attribute<'_>, findings: &mut Findings) {
    let path = attribute.path;
    let rule = match (attribute.name, attribute.value) {
        (_, Value::Bool(false)) if is_one_of(path, &STORED) => &WITHOUT,
        (_, Value::Bool(false)) if is_one_of(path, &SENT) => &PLAIN,
        ("viewer_protocol_policy", Value::String(policy)) if policy == "allow-all" => &PLAIN,
        ("min_tls_version" | "minimum_tls_version" | "minimum_protocol_version", Value::String(version))
            if is_outdated(version) =>
        {
            &PLAIN
        }
        ("protocol", Value::String(protocol))
            if path == "protocol" && is_plain_listener(kind, protocol, attribute) =>
        {
            &PLAIN
        }
        _ => return,
    };
    note(findings, rule, path);
}

/// Finds encryption that the change turns off: flags that go from true to false, and removed blocks.
pub(super) fn find_turned_off(change: &Change<'_>, findings: &mut Findings) {
    let mut were_on = BTreeSet::new();
    visit(change.before, &Value::Null, &mut |before| {
        let flag = is_one_of(before.path, &STORED) || is_one_of(before.path, &SENT);
        if flag && *before.value == Value::Bool(true) {
            were_on.insert(printable(before.path));
        }
    });
    for path in were_on {
        let found = |rule: &'static Rule| findings.contains_key(&(rule.name, path.clone()));
        if found(&WITHOUT) || found(&PLAIN) {
            findings.remove(&(WITHOUT.name, path.clone()));
            findings.remove(&(PLAIN.name, path.clone()));
            note(findings, &OFF, &path);
        }
    }
    let stands =
        |side: &Value, block: &str| side.get(block).and_then(Value::as_array).is_some_and(|b| !b.is_empty());
    for block in BLOCKS {
        let unknown =
            change.after_unknown.get(block).is_some_and(|unknown| *unknown != Value::Array(Vec::new()));
        if stands(change.before, block)
            && change.after.is_object()
            && !stands(change.after, block)
            && !unknown
        {
            note(findings, &OFF, block);
        }
    }
}

/// Whether a path ends in one of these names.
fn is_one_of(path: &str, names: &[&str]) -> bool {
    names
        .iter()
        .any(|name| path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// TLS 1.0, TLS 1.1 and SSL, in the spellings of the clouds.
fn is_outdated(version: &str) -> bool {
    let plain: String =
        version.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    ["tls10", "tls11", "tlsv1", "tlsv12016", "tlsv112016", "tlsv11", "sslv3", "10", "11"]
        .contains(&plain.as_str())
}

/// A load balancer's listener without encryption that does not send its callers to one with it.
fn is_plain_listener(kind: &str, protocol: &str, attribute: &Attribute<'_>) -> bool {
    let redirects = || {
        let actions = attribute.holder.get("default_action").and_then(Value::as_array);
        actions
            .into_iter()
            .flatten()
            .take(MAX_ACTIONS)
            .any(|action| action.get("type").is_some_and(|kind| kind == "redirect"))
    };
    matches!(kind, "aws_lb_listener" | "aws_alb_listener") && protocol == "HTTP" && !redirects()
}
