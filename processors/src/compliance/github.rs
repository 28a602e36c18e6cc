//! Settings of repositories from GitHub's webhooks: the repository itself, branch protection rules, deploy
//! keys.

use schemas::{
    Native,
    changes::compliance::{ObservationSource, ResourceAttributes},
    events::{Activity, Resource},
};
use serde_json::{Value, json};

use super::seen::{Seen, attributes};

const SOURCE: ObservationSource = ObservationSource::GitHubWebhook;
/// Events whose `repository` contains the settings after the event.
const REPOSITORY: [&str; 10] = [
    "repository.created",
    "repository.edited",
    "repository.publicized",
    "repository.privatized",
    "repository.renamed",
    "repository.transferred",
    "repository.archived",
    "repository.unarchived",
    "public",
    "security_and_analysis",
];

/// Settings in a delivery.
pub(super) fn seen(event: &Activity, native: &Native) -> Vec<Seen> {
    let action = event.action.as_str();
    let (about, what) = action.split_once('.').unwrap_or((action, ""));
    let is_read = REPOSITORY.contains(&action)
        || action == "repository.deleted"
        || matches!(about, "branch_protection_rule" | "deploy_key");
    if !is_read {
        return Vec::new();
    }
    let Ok(body) = serde_json::from_str::<Value>(&native.record) else { return Vec::new() };
    let Some(name) = body["repository"]["full_name"].as_str().filter(|name| !name.is_empty()) else {
        return Vec::new();
    };
    match about {
        "branch_protection_rule" => branch_rule(&body["rule"], name, what).into_iter().collect(),
        "deploy_key" => deploy_key(&body["key"], name, what).into_iter().collect(),
        _ if what == "deleted" => vec![Seen::absent(SOURCE, name, place(name, name, "github_repository"))],
        _ => vec![repository(&body["repository"], name)],
    }
}

fn place(repository: &str, name: &str, kind: &str) -> ResourceAttributes {
    let owner = repository.split_once('/').map(|(owner, _)| owner.to_owned());
    let resource = Resource {
        cloud: Some("github".into()),
        account: owner,
        name: Some(name.to_owned()),
        project: Some(repository.to_owned()),
        ..Resource::default()
    };
    attributes(&resource, kind)
}

/// Settings of a repository. Absent members are unknown; a body never contains whether alerts are on.
fn repository(told: &Value, name: &str) -> Seen {
    let visibility = match told["visibility"].as_str() {
        Some(visibility) => visibility,
        None if told["private"] == true => "private",
        None => "public",
    };
    let mut config = json!({
        "name": told["name"], "visibility": visibility, "archived": told["archived"],
        "web_commit_signoff_required": told["web_commit_signoff_required"],
    });
    let mut unknown = json!({ "vulnerability_alerts": true });
    for argument in ["allow_forking", "security_and_analysis"] {
        let value = &told[argument];
        if value.is_null() {
            unknown[argument] = Value::Bool(true);
        } else {
            config[argument] = value.clone();
        }
    }
    Seen::configured(SOURCE, name, place(name, name, "github_repository"), config, unknown)
}

/// Whether a level of enforcement is on: for everybody, or everybody except administrators.
fn is_on(level: &Value) -> bool {
    matches!(level.as_str(), Some("everyone" | "non_admins"))
}

fn branch_rule(rule: &Value, repository: &str, what: &str) -> Option<Seen> {
    let pattern = rule["name"].as_str().filter(|name| !name.is_empty())?;
    let id = format!("{repository}/branch-protection/{pattern}");
    let place = place(repository, pattern, "github_branch_protection");
    if what == "deleted" {
        return Some(Seen::absent(SOURCE, &id, place));
    }
    let mut config = json!({
        "repository_id": repository,
        "pattern": pattern,
        "enforce_admins": rule["admin_enforced"] == true,
        "require_signed_commits": is_on(&rule["signature_requirement_enforcement_level"]),
        "required_linear_history": is_on(&rule["linear_history_requirement_enforcement_level"]),
        "allows_force_pushes": is_on(&rule["allow_force_pushes_enforcement_level"]),
        "allows_deletions": is_on(&rule["allow_deletions_enforcement_level"]),
    });
    if is_on(&rule["pull_request_reviews_enforcement_level"]) {
        config["required_pull_request_reviews"] = json!([{
            "dismiss_stale_reviews": rule["dismiss_stale_reviews_on_push"] == true,
            "require_code_owner_reviews": rule["require_code_owner_review"] == true,
            "required_approving_review_count": rule["required_approving_review_count"],
        }]);
    }
    if is_on(&rule["required_status_checks_enforcement_level"]) {
        config["required_status_checks"] = json!([{
            "strict": rule["strict_required_status_checks_policy"] == true,
            "contexts": rule["required_status_checks"],
        }]);
    }
    Some(Seen::configured(SOURCE, &id, place, config, json!({})))
}

fn deploy_key(key: &Value, repository: &str, what: &str) -> Option<Seen> {
    let number = key["id"].as_i64()?;
    let id = format!("{repository}/deploy-key/{number}");
    let place = place(repository, key["title"].as_str().unwrap_or(""), "github_repository_deploy_key");
    if what == "deleted" {
        return Some(Seen::absent(SOURCE, &id, place));
    }
    let config = json!({ "repository": repository, "title": key["title"], "read_only": key["read_only"] });
    Some(Seen::configured(SOURCE, &id, place, config, json!({})))
}
