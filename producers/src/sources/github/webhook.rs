//! Bodies of GitHub's webhooks to [`Activity`] events.
//!
//! The body does not say which event it is (a header does), only what happened to the thing it is about.

use schemas::{
    Event, TenantId,
    envelope::native_format,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus, Resource},
};

use super::{account, repository, source};
use crate::sources::{
    fields::Fields,
    mapped::{Draft, Mapped, NotAnObject},
};

/// Members that tell a body from other objects.
pub(in crate::sources) const NAMES: &[&str] =
    &["sender", "repository", "organization", "installation", "zen"];
/// Members that name what a body is about, the telling ones first, with the event's name.
const ABOUT: [&str; 12] = [
    "workflow_job",
    "workflow_run",
    "check_run",
    "deployment_status",
    "deployment",
    "review",
    "comment",
    "pull_request",
    "issue",
    "release",
    "alert",
    "commits",
];

/// Maps one body.
pub fn map(tenant: &TenantId, text: &str) -> Result<Mapped, NotAnObject> {
    let record = Fields::parse(text).map_err(NotAnObject)?;
    let resources = resources_of(&record);
    let actor = actor_of(&record);
    let about = ABOUT.iter().find(|name| record.has(name)).copied();
    let action = match (about, record.text("action")) {
        (Some("commits"), None) => "push".into(),
        (Some(about), Some(action)) => format!("{about}.{action}"),
        (Some(about), None) => about.into(),
        (None, Some(action)) => action,
        (None, None) => "unknown".into(),
    };
    // The delivery's id stands in a header. The body alone may come again with the same content and mean the same.
    let draft = Draft {
        format: native_format::GITHUB_WEBHOOK,
        source: source(&resources),
        id: None,
        occurred_at: time_of(&record, about),
        correlation_id: None,
        subject: resources.first().map(|resource| resource.id.clone()),
        fields_empty: actor.id.is_empty() || record.left_empty(),
        event: Event::Activity(Activity {
            kind: ActivityKind::ApiCalled,
            action,
            service: Some("github".into()),
            actor,
            resources,
            outcome: Outcome { status: OutcomeStatus::Success, ..Outcome::default() },
            read_only: Some(false),
            request_id: None,
        }),
    };
    Ok(draft.finish(tenant, text))
}

/// When the thing that the body is about last changed.
fn time_of(record: &Fields<'_>, about: Option<&str>) -> Option<schemas::Timestamp> {
    let of = |name: &str| {
        let thing = record.object(name)?;
        ["updated_at", "completed_at", "started_at", "created_at", "timestamp"]
            .iter()
            .find_map(|time| thing.instant(time))
    };
    about.filter(|about| *about != "commits").and_then(of).or_else(|| of("head_commit"))
}

fn actor_of(record: &Fields<'_>) -> Actor {
    let sender = record.object("sender");
    let told = |name: &str| sender.as_ref().and_then(|sender| sender.text(name));
    let pusher = || record.object("pusher")?.text("name");
    let id = told("login").or_else(pusher).unwrap_or_default();
    let kind = match (id.is_empty(), told("type").as_deref()) {
        (true, _) => ActorKind::Unknown,
        (_, Some("Bot")) => ActorKind::ServiceAccount,
        _ => ActorKind::User,
    };
    Actor { kind, id, ..Actor::default() }
}

fn resources_of(record: &Fields<'_>) -> Vec<Resource> {
    let repo = || record.object("repository")?.text("full_name");
    let organisation = || record.object("organization")?.text("login");
    let found = [repo().map(repository), organisation().map(|login| account("organization", login))];
    found.into_iter().flatten().collect()
}
