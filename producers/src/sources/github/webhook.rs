//! Maps the bodies of GitHub's webhooks to [`Activity`] events.
//!
//! The event's name is in a header, not in the body, which contains only the action. So a body with its
//! headers ([`map_delivery`]) maps to a more precise event than one from a file ([`map`]).

use schemas::{
    Event, EventId, TenantId, Timestamp,
    envelope::native_format,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus, Resource},
};

use super::{account, delivery, repository, source, team, user};
use crate::sources::{
    Received, SourceRow,
    fields::Fields,
    mapped::{Draft, Mapped, NotARecord, plausible},
};
use thiserror::Error;
use uuid::Uuid;

pub(in crate::sources) const ROW: SourceRow = SourceRow {
    format: native_format::GITHUB_WEBHOOK,
    slug: "github-webhook",
    record: "a GitHub webhook body",
    takes: "GitHub's webhooks",
    lists: &[],
    received: Received::Signed,
    marks: &["sender", "repository", "organization", "installation", "zen"],
    map: |tenant, text, _| map(tenant, text),
};
/// Members that tell the subject of a body, the most specific first, with the event's name.
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

/// Events that grant or revoke permissions.
const RIGHTS: [&str; 13] = [
    "branch_protection_configuration",
    "branch_protection_rule",
    "deploy_key",
    "github_app_authorization",
    "installation",
    "installation_repositories",
    "member",
    "membership",
    "organization",
    "personal_access_token_request",
    "repository_ruleset",
    "team",
    "team_add",
];
/// Actions on a repository that change its visibility.
const VISIBILITY: [&str; 2] = ["publicized", "privatized"];
/// Maximum length of an event's name.
const MAX_EVENT_BYTES: usize = 100;

/// Headers of a delivery: `X-GitHub-Delivery` and `X-GitHub-Event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    id: Uuid,
    event_id: EventId,
    event: String,
}

/// Invalid headers of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidDelivery {
    /// The id is not a GUID.
    #[error("X-GitHub-Delivery is not a GUID")]
    Id,
    /// The event's name has a wrong form.
    #[error("X-GitHub-Event is not a name of 1 to {MAX_EVENT_BYTES} letters, digits and underscores")]
    Event,
}

impl Delivery {
    /// Checks the headers' values. Unknown event names are accepted.
    pub fn new(id: &str, event: &str) -> Result<Self, InvalidDelivery> {
        let id = Uuid::try_parse(id).map_err(|_| InvalidDelivery::Id)?;
        let event_id = EventId::new(id).ok_or(InvalidDelivery::Id)?;
        let is_name = (1..=MAX_EVENT_BYTES).contains(&event.len())
            && event.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            return Err(InvalidDelivery::Event);
        }
        Ok(Self { id, event_id, event: event.into() })
    }

    /// Time of the delivery, from its GUID of version 1, as GitHub's are.
    fn made_at(&self) -> Option<Timestamp> {
        let (seconds, nanos) = self.id.get_timestamp()?.to_unix();
        plausible(Timestamp::from_timestamp(i64::try_from(seconds).ok()?, nanos)?)
    }

    fn kind(&self, action: Option<&str>) -> ActivityKind {
        let opened = self.event == "repository" && action.is_some_and(|action| VISIBILITY.contains(&action));
        if opened || RIGHTS.contains(&self.event.as_str()) {
            ActivityKind::PermissionChanged
        } else {
            ActivityKind::ApiCalled
        }
    }
}

/// Maps one body with its headers. The event's id is the delivery's, so that a redelivery is the same event;
/// if the body has no time, it comes from the id, too.
pub fn map_delivery(tenant: &TenantId, text: &str, delivery: &Delivery) -> Result<Mapped, NotARecord> {
    let action = Fields::parse(text).map_err(NotARecord::NotAnObject)?.text("action");
    let Mapped { mut envelope, mut oddities } = map(tenant, text)?;
    envelope.id = delivery.event_id;
    oddities.id_derived = false;
    if oddities.time_assumed
        && let Some(made_at) = delivery.made_at()
    {
        envelope.occurred_at = made_at;
        oddities.time_assumed = false;
    }
    if let Some(step) =
        delivery::step(&Fields::parse(text).map_err(NotARecord::NotAnObject)?, &delivery.event)
    {
        envelope.event = Event::Delivery(step);
    } else if let Event::Activity(activity) = &mut envelope.event {
        activity.kind = delivery.kind(action.as_deref());
        activity.action = match action {
            Some(action) => format!("{}.{action}", delivery.event),
            None => delivery.event.clone(),
        };
        activity.request_id = Some(delivery.id.to_string());
    }
    Ok(Mapped { envelope, oddities })
}

/// Maps one body.
pub fn map(tenant: &TenantId, text: &str) -> Result<Mapped, NotARecord> {
    let record = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
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

/// Time of the last change of the body's subject.
fn time_of(record: &Fields<'_>, about: Option<&str>) -> Option<Timestamp> {
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
    let organisation = organisation();
    // Events about members and teams name both.
    let slug = record.inner("team").and_then(|team| team.plain_text("slug"));
    let full_name = slug.map(|slug| match &organisation {
        Some(organisation) => format!("{organisation}/{slug}"),
        None => slug,
    });
    let member = || record.inner("member")?.plain_text("login");
    let invited = || record.inner("membership")?.inner("user")?.plain_text("login");
    let found = [
        repo().map(repository),
        organisation.map(|login| account("organization", login)),
        full_name.map(team),
        member().or_else(invited).map(user),
    ];
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    const V4: &str = "0192f0c1-2345-4abc-8def-0123456789ab";

    /// Action, kind and time of a body with those headers.
    fn mapped(id: &str, event: &str, body: &str) -> (String, ActivityKind, Option<String>) {
        let tenant = TenantId::new("acme").expect("a tenant");
        let delivery = Delivery::new(id, event).expect("headers of a delivery");
        let Mapped { envelope, oddities } = map_delivery(&tenant, body, &delivery).expect("an object");
        assert_eq!((envelope.id.to_string().as_str(), oddities.id_derived), (id, false));
        let time = (!oddities.time_assumed).then(|| envelope.occurred_at.format("%F").to_string());
        let Event::Activity(activity) = envelope.event else { panic!("an activity") };
        (activity.action, activity.kind, time)
    }

    #[test]
    fn the_header_names_the_event_and_the_body_what_was_done() {
        use ActivityKind::{ApiCalled, PermissionChanged};
        let check = |event: &str, body: &str, action: &str, kind: ActivityKind| {
            let (told, kind_of, _) = mapped(V4, event, body);
            assert_eq!((told.as_str(), kind_of), (action, kind));
        };
        check("push", r#"{"commits":[]}"#, "push", ApiCalled);
        check(
            "issue_comment",
            r#"{"action":"created","comment":{},"issue":{}}"#,
            "issue_comment.created",
            ApiCalled,
        );
        check("team_add", "{}", "team_add", PermissionChanged);
        check("repository", r#"{"action":"publicized"}"#, "repository.publicized", PermissionChanged);
        check("repository", r#"{"action":"renamed"}"#, "repository.renamed", ApiCalled);
        check("tomorrows_event", r#"{"action":7}"#, "tomorrows_event", ApiCalled);
    }

    #[test]
    fn the_time_is_the_bodys_or_else_the_deliverys() {
        let time = |id: &str, body: &str| mapped(id, "issues", body).2;
        assert_eq!(time(V1, r#"{"issue":{"updated_at":"2026-01-02T03:04:05Z"}}"#), Some("2026-01-02".into()));
        assert_eq!(time(V1, "{}"), Some("2014-04-25".into()));
        assert_eq!(time(V4, "{}"), None, "a random id tells no time");
        let before_1970 = "00000000-0000-1000-8000-000000000001";
        assert_eq!(time(before_1970, "{}"), None);
    }
}
