//! Hazards of permissions: policies, role bindings, wildcards.

use schemas::changes::change_review::FactorKind::Identity;
use serde_json::{Map, Value};

use super::{Findings, Rule, note};
use crate::change_review::{
    attributes::Attribute,
    holding::{Holding, holding},
    manifests,
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
    reason: "would be open to anybody who meets a condition",
};
static WIDE: Rule = Rule {
    kind: Identity,
    name: "grants_widely",
    points: 20,
    reason: "would be allowed all actions of a service, or all on some resources",
};
static CHANGED: Rule =
    Rule { kind: Identity, name: "changed", points: 10, reason: "permissions would change" };

/// Maximum number of list items that are examined; real policies have fewer. Bounds the cost of a hostile
/// plan.
const MAX_LOOKED_AT: usize = 1_000;
const MAX_POLICY_CHARS: usize = 65_536;

/// Azure's built-in roles by their ids, which are the same in every tenant.
/// Source: <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles>.
const AZURE_OWNERS: [&str; 3] = [
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
];
const AZURE_CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
/// Template id of Entra's role of that name.
const GLOBAL_ADMINISTRATOR: &str = "62e90394-69f5-4237-9190-012177145e10";

/// AWS actions by which an identity can grant itself any permission.
const ESCALATING: [&str; 17] = [
    "iam:addusertogroup",
    "iam:attachgrouppolicy",
    "iam:attachrolepolicy",
    "iam:attachuserpolicy",
    "iam:createaccesskey",
    "iam:createloginprofile",
    "iam:createpolicyversion",
    "iam:deleterolepermissionsboundary",
    "iam:deleteuserpermissionsboundary",
    "iam:passrole",
    "iam:putgrouppolicy",
    "iam:putrolepolicy",
    "iam:putuserpolicy",
    "iam:setdefaultpolicyversion",
    "iam:updateassumerolepolicy",
    "iam:updateloginprofile",
    "sts:assumerole",
];

/// Examines one attribute of a configuration.
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
        "principal" if kind.ends_with("lambda_permission") && text == "*" => found(&ANYBODY),
        // A function's address that asks nobody who they are.
        "authorization_type" | "auth_type" | "function_url_auth_type"
            if kind.contains("lambda") && text == "NONE" =>
        {
            found(&ANYBODY);
        }
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
        "role_definition_id" => match azure_role(text) {
            Some(AzureRole::Owner) => found(&EVERYTHING),
            Some(AzureRole::Contributor) => found(&WIDE),
            None => {}
        },
        "role_id" | "template_id" if kind.starts_with("azuread_") && text == GLOBAL_ADMINISTRATOR => {
            found(&EVERYTHING);
        }
        // OCI writes policies as sentences.
        "statements" if kind.starts_with("oci_") => {
            let statement = text.to_ascii_lowercase();
            if statement.contains("any-user") && !statement.contains(" where ") {
                found(&ANYBODY);
            } else if statement.contains("manage all-resources") {
                found(&EVERYTHING);
            }
        }
        // Vault writes them in HCL.
        "policy" if kind == "vault_policy" && allows_every_path(text) => found(&EVERYTHING),
        "role_name" if matches!(text, "atlasAdmin" | "ACCOUNTADMIN" | "SECURITYADMIN" | "ORGADMIN") => {
            found(&EVERYTHING);
        }
        "permission" if kind.starts_with("github_") && text == "admin" => found(&WIDE),
        "actions" if kind == "azurerm_role_definition" && text == "*" => found(&EVERYTHING),
        "name" if is_cluster_admin(path, text) => found(&EVERYTHING),
        "name" if is_anybody_in_kubernetes(path, text) => found(&ANYBODY),
        "verbs" if text == "*" && has(attribute.holder, "resources", "*") => {
            found(if kind.starts_with("kubernetes_cluster_role") { &EVERYTHING } else { &WIDE });
        }
        _ => {}
    }
}

/// Records any change of a permission, if no worse hazard was found for it.
pub(super) fn find_any_change(change: &Change<'_>, findings: &mut Findings) {
    let known = findings.values().any(|rule| rule.kind == Identity);
    if !known && holding(manifests::kind_of(change)) == Holding::Identity {
        findings.insert((CHANGED.name, String::new()), &CHANGED);
    }
}

enum AzureRole {
    Owner,
    Contributor,
}

fn azure_role(definition: &str) -> Option<AzureRole> {
    let id = definition.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    if AZURE_OWNERS.contains(&id.as_str()) {
        Some(AzureRole::Owner)
    } else {
        (id == AZURE_CONTRIBUTOR).then_some(AzureRole::Contributor)
    }
}

/// Whether a Vault policy allows more than reading on every path.
fn allows_every_path(policy: &str) -> bool {
    let plain: String = policy.chars().filter(|c| !c.is_whitespace()).take(MAX_POLICY_CHARS).collect();
    ["path\"*\"{", "path\"/*\"{", "path\"+/*\"{"].iter().any(|path| {
        plain.split(path).skip(1).any(|rest| {
            let body = rest.split('}').next().unwrap_or_default();
            ["\"sudo\"", "\"create\"", "\"update\"", "\"delete\""].iter().any(|verb| body.contains(verb))
        })
    })
}

/// The rule for the principals of a statement. `NotPrincipal` beside `Allow` means everybody except the
/// listed principals, callers without an identity included.
fn principal_of(statement: &Map<String, Value>) -> Option<&'static Rule> {
    let wild = statement.contains_key("NotPrincipal")
        || match statement.get("Principal")? {
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
        Value::Array(actions) => actions.iter().take(MAX_LOOKED_AT).filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let everywhere = statement.get("Resource").is_none_or(|resource| is_or_holds(resource, "*"));
    let trust = statement.contains_key("Principal") || statement.contains_key("NotPrincipal");
    let rule_of = |action: &str| {
        let action = action.to_ascii_lowercase();
        let (service, verbs) = action.split_once(':').unwrap_or((&action, "*"));
        let all_verbs = verbs.chars().all(|c| c == '*') && !verbs.is_empty();
        match service {
            _ if everywhere && all_verbs && (is_wild(service) || service == "iam") => Some(&EVERYTHING),
            // A key's own policy speaks of nothing but the key.
            "kms" if all_verbs && kind.starts_with("aws_kms_") => None,
            _ if all_verbs => Some(&WIDE),
            // In a trust policy `sts:AssumeRole` says who may take the role, not what else they may do.
            _ if everywhere && !trust && ESCALATING.iter().any(|known| fits(&action, known)) => Some(&WIDE),
            _ => None,
        }
    };
    actions.into_iter().filter_map(rule_of).max_by_key(|rule| rule.points)
}

fn is_wild(text: &str) -> bool {
    text.chars().all(|c| c == '*')
}

/// Whether an IAM pattern (`*` any characters, `?` one) matches a text; linear except for retries of the last
/// `*`.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    p = star + 1;
                    t = from + 1;
                    retry = Some((star, t));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
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

/// Whether a binding refers to the role that may do everything; as the provider and as Kubernetes writes it.
fn is_cluster_admin(path: &str, name: &str) -> bool {
    matches!(path, "role_ref.name" | "roleRef.name") && name == "cluster-admin"
}

/// Whether a binding's subject is everybody.
fn is_anybody_in_kubernetes(path: &str, name: &str) -> bool {
    matches!(path, "subject.name" | "subjects.name")
        && matches!(name, "system:anonymous" | "system:unauthenticated" | "system:authenticated")
}
