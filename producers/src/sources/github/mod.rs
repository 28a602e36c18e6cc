//! GitHub: entries of the audit log, and bodies of webhooks.

pub mod audit;
mod delivery;
pub mod webhook;

use schemas::events::Resource;

/// A repository by its full name, `owner/name`; its owner is the account.
fn repository(full_name: String) -> Resource {
    let (owner, name) = match full_name.split_once('/') {
        Some((owner, name)) => (Some(owner.to_owned()), Some(name.to_owned())),
        None => (None, None),
    };
    place("repository", full_name, owner, name)
}

/// An organisation or enterprise.
fn account(kind: &str, login: String) -> Resource {
    place(kind, login.clone(), Some(login), None)
}

/// A person by their login.
fn user(login: String) -> Resource {
    place("user", login.clone(), None, Some(login))
}

/// A team by its full name, `organization/team`; its organisation is the account.
fn team(full_name: String) -> Resource {
    let (owner, name) = match full_name.split_once('/') {
        Some((owner, name)) => (Some(owner.to_owned()), name.to_owned()),
        None => (None, full_name.clone()),
    };
    place("team", full_name, owner, Some(name))
}

fn place(kind: &str, id: String, account: Option<String>, name: Option<String>) -> Resource {
    Resource {
        cloud: Some("github".into()),
        account,
        kind: Some(kind.into()),
        id,
        name,
        ..Resource::default()
    }
}

/// Source of an event: `github://OWNER`.
fn source(resources: &[Resource]) -> String {
    let owner = resources.iter().find_map(|resource| resource.account.as_deref());
    format!("github://{}", owner.unwrap_or("unknown"))
}
