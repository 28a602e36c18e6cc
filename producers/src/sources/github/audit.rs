//! Maps entries of GitHub's audit log (REST, export and streaming) to [`Activity`] events.

use schemas::{
    Event, EventId, TenantId,
    envelope::native_format,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus, Resource},
};

use super::{account, repository, source, team, user};
use crate::sources::{
    Around, Received, SourceRow,
    fields::Fields,
    mapped::{Draft, Mapped, NotARecord},
};

pub(in crate::sources) const ROW: SourceRow = SourceRow {
    format: native_format::GITHUB_AUDIT,
    slug: "github-audit",
    record: "a GitHub audit log entry",
    takes: "GitHub's audit log: exports as arrays or a record a line",
    lists: &["records", "logEvents"],
    received: Received::WithKey,
    marks: &["_document_id", "actor", "@timestamp", "operation_type"],
    map,
};
const FORMAT: &str = native_format::GITHUB_AUDIT;
/// Parts of action names that grant or revoke permissions.
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
/// Parts of action names that export data.
const EXPORTS: [&str; 5] = ["git.clone", "git.fetch", "download", "export", "migration"];

/// Maps one entry.
pub fn map(tenant: &TenantId, text: &str, around: &Around) -> Result<Mapped, NotARecord> {
    let record = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
    let activity = activity_of(&record);
    // GitHub promises `_document_id` to be unique.
    let id = record.text("_document_id").filter(|id| !id.is_empty());
    let draft = Draft {
        format: FORMAT,
        source: source(&activity.resources),
        id: id.map(|id| EventId::derived(tenant, FORMAT, format!("_document_id {id}").as_bytes())),
        occurred_at: ["@timestamp", "created_at", "timestamp"]
            .iter()
            .find_map(|name| record.instant(name))
            .or(around.time),
        correlation_id: None,
        subject: activity.resources.first().map(|resource| resource.id.clone()),
        fields_empty: activity.actor.id.is_empty() || record.left_empty(),
        event: Event::Activity(activity),
    };
    Ok(draft.finish(tenant, text))
}

fn activity_of(record: &Fields<'_>) -> Activity {
    let action = record.text("action");
    let (kind, outcome) = match action.as_deref() {
        None => (ActivityKind::ApiCalled, Outcome::default()),
        Some("api.request") => answered(record),
        Some(action) => kind_of(action),
    };
    let access = record.text("operation_type").map(|operation| operation == "access");
    let method = record.plain_text("request_method");
    Activity {
        kind,
        action: action.unwrap_or_else(|| "unknown".into()),
        service: Some("github".into()),
        actor: actor_of(record),
        resources: resources_of(record),
        outcome,
        read_only: access
            .or_else(|| method.map(|method| matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS"))),
        request_id: record.text("request_id"),
    }
}

/// Kind and outcome of an API request, by its status.
fn answered(record: &Fields<'_>) -> (ActivityKind, Outcome) {
    let code: Option<u16> = record.id("status_code").and_then(|code| code.parse().ok());
    let status = match code {
        None => OutcomeStatus::Unknown,
        Some(..400) => OutcomeStatus::Success,
        Some(_) => OutcomeStatus::Failure,
    };
    let refused = matches!(code, Some(401 | 403));
    let kind = if refused { ActivityKind::AccessDenied } else { ActivityKind::ApiCalled };
    let code = code.filter(|_| status == OutcomeStatus::Failure).map(|code| code.to_string());
    (kind, Outcome { status, code, message: None })
}

/// Kind and outcome of any other entry, by the name of its action. What an administrator denied or rejected
/// (`personal_access_token.request_denied`) counts as done.
fn kind_of(action: &str) -> (ActivityKind, Outcome) {
    let holds = |words: &[&str]| words.iter().any(|word| action.contains(word));
    let failed = holds(&["failed", "rejected_ref_update"]);
    let kind = match action {
        "user.login" => ActivityKind::SignedIn,
        "user.failed_login" => ActivityKind::SignInFailed,
        _ if failed => ActivityKind::AccessDenied,
        _ if holds(&EXPORTS) => ActivityKind::DataExported,
        _ if holds(&RIGHTS) => ActivityKind::PermissionChanged,
        _ => ActivityKind::ApiCalled,
    };
    let status = if failed { OutcomeStatus::Failure } else { OutcomeStatus::Success };
    (kind, Outcome { status, ..Outcome::default() })
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

/// Repository, organisation, enterprise, user and team of the entry. Without a repository, it is about the user or the team.
fn resources_of(record: &Fields<'_>) -> Vec<Resource> {
    let repo = record.text("repo").or_else(|| record.text("repository")).map(repository);
    let organisation = record.text("org").map(|login| account("organization", login));
    let enterprise = record.text("business").map(|login| account("enterprise", login));
    let user = record.text("user").map(user);
    let team = record.plain_text("team").map(team);
    let found = if repo.is_some() {
        [repo, organisation, enterprise, user, team]
    } else {
        [user, team, organisation, enterprise, None]
    };
    found.into_iter().flatten().collect()
}
