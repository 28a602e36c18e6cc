//! Entries of GitHub's audit log (REST, export and streaming) to [`Activity`] events.

use schemas::{
    Event, EventId, TenantId,
    envelope::native_format,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus, Resource},
};

use super::{account, repository, source};
use crate::sources::{
    fields::Fields,
    mapped::{Draft, Mapped, NotARecord},
};

/// Members that tell an entry from other objects.
pub(in crate::sources) const NAMES: &[&str] = &["_document_id", "actor", "@timestamp", "operation_type"];
const FORMAT: &str = native_format::GITHUB_AUDIT;
/// What an action's name holds when it gives or takes rights.
const RIGHTS: [&str; 9] = [
    "member",
    "permission",
    "role",
    "collaborator",
    "team.",
    "access_token",
    "deploy_key",
    "protected_branch",
    "ruleset",
];
/// What an action's name holds when data leaves.
const EXPORTS: [&str; 5] = ["git.clone", "git.fetch", "download", "export", "migration"];

/// Maps one entry.
pub fn map(tenant: &TenantId, text: &str) -> Result<Mapped, NotARecord> {
    let record = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
    let activity = activity_of(&record);
    // GitHub promises `_document_id` to be unique.
    let id = record.text("_document_id").filter(|id| !id.is_empty());
    let draft = Draft {
        format: FORMAT,
        source: source(&activity.resources),
        id: id.map(|id| EventId::derived(tenant, FORMAT, format!("_document_id {id}").as_bytes())),
        occurred_at: ["@timestamp", "created_at", "timestamp"].iter().find_map(|name| record.instant(name)),
        correlation_id: None,
        subject: activity.resources.first().map(|resource| resource.id.clone()),
        fields_empty: activity.actor.id.is_empty() || record.left_empty(),
        event: Event::Activity(activity),
    };
    Ok(draft.finish(tenant, text))
}

fn activity_of(record: &Fields<'_>) -> Activity {
    let action = record.text("action");
    let (kind, status) = action.as_deref().map_or((ActivityKind::ApiCalled, OutcomeStatus::Unknown), kind_of);
    Activity {
        kind,
        action: action.unwrap_or_else(|| "unknown".into()),
        service: Some("github".into()),
        actor: actor_of(record),
        resources: resources_of(record),
        outcome: Outcome { status, ..Outcome::default() },
        read_only: record.text("operation_type").map(|operation| operation == "access"),
        request_id: record.text("request_id"),
    }
}

/// An entry says what was done, and by its name where something was refused.
fn kind_of(action: &str) -> (ActivityKind, OutcomeStatus) {
    let holds = |words: &[&str]| words.iter().any(|word| action.contains(word));
    let status = if holds(&["failed", "rejected", "denied"]) {
        OutcomeStatus::Failure
    } else {
        OutcomeStatus::Success
    };
    let kind = match action {
        "user.login" => ActivityKind::SignedIn,
        "user.failed_login" => ActivityKind::SignInFailed,
        _ if status == OutcomeStatus::Failure => ActivityKind::AccessDenied,
        _ if holds(&EXPORTS) => ActivityKind::DataExported,
        _ if holds(&RIGHTS) => ActivityKind::PermissionChanged,
        _ => ActivityKind::ApiCalled,
    };
    (kind, status)
}

fn actor_of(record: &Fields<'_>) -> Actor {
    let id = record.text("actor").unwrap_or_default();
    let is_program =
        id.ends_with("[bot]") || (record.has("actor_is_bot") && record.flag("actor_is_bot") == Some(true));
    let kind = match (id.is_empty(), is_program) {
        (true, _) => ActorKind::Unknown,
        (_, true) => ActorKind::ServiceAccount,
        (_, false) => ActorKind::User,
    };
    Actor {
        kind,
        id,
        account: record.text("business"),
        ip: record.text("actor_ip"),
        user_agent: record.text("user_agent"),
        ..Actor::default()
    }
}

/// The repository, the organisation, the enterprise: whatever the entry names, the closest first.
fn resources_of(record: &Fields<'_>) -> Vec<Resource> {
    let repo = record.text("repo").or_else(|| record.text("repository")).map(repository);
    let organisation = record.text("org").map(|login| account("organization", login));
    let enterprise = record.text("business").map(|login| account("enterprise", login));
    let user = record.text("user").map(|login| super::place("user", login.clone(), None, Some(login)));
    [repo, organisation, enterprise, user].into_iter().flatten().collect()
}
