//! Maps events of Okta's system log to [`Activity`] events. Exports with lower-case names are accepted.

use schemas::{
    Event, TenantId,
    envelope::native_format,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus, Resource},
};

use super::{
    Around, Received, SourceRow,
    fields::Fields,
    mapped::{Draft, Mapped, NotARecord, uuid_of},
};

pub(super) const ROW: SourceRow = SourceRow {
    format: native_format::OKTA_SYSTEM_LOG,
    slug: "okta",
    record: "an Okta system log event",
    takes: "Okta's system log: arrays or a record a line; event hooks; EventBridge events",
    lists: &["logEvents", "records"],
    received: Received::WithKey,
    marks: &["eventType", "legacyEventType", "displayMessage", "published"],
    map,
};
/// Maximum number of targets that are kept.
const MAX_TARGETS: usize = 50;
/// Parts of event types that grant or revoke permissions, or change what somebody signs in with.
const RIGHTS: [&str; 29] = [
    "privilege",
    "role",
    "iam.",
    // Memberships and assignments.
    "group.user_membership",
    "group.application_assignment",
    "application.user_membership",
    "access_request.grant",
    // Policies that decide who may sign in, and how.
    "policy.rule",
    "policy.lifecycle",
    "policy.sign_on.rule",
    "policy.sign_on.update",
    // Tokens, clients, consent and keys.
    "api_token",
    "oauth2.client.lifecycle",
    "oauth2.scope",
    "oauth2.claim",
    "oauth2.trusted_server",
    "credentials.lifecycle",
    "consent",
    "app.keys.",
    // Second factors, and providers that vouch for users.
    "mfa.factor.",
    "security.authenticator.lifecycle",
    "system.idp.key",
    "system.idp.lifecycle",
    // Access of Okta's support.
    "impersonation.grant",
    "impersonation.extend",
    "impersonation.revoke",
    "debugger.grant",
    "debugger.extend",
    "debugger.revoke",
];

/// Maps one event.
pub fn map(tenant: &TenantId, text: &str, around: &Around) -> Result<Mapped, NotARecord> {
    let record = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
    let activity = activity_of(&record);
    let root = || record.object("authenticationContext")?.text("rootSessionId");
    let session = || record.object("authenticationContext")?.text("externalSessionId");
    let draft = Draft {
        format: native_format::OKTA_SYSTEM_LOG,
        source: "okta:system_log".into(),
        id: uuid_of(record.text("uuid")),
        occurred_at: record.instant("published").or(around.time),
        correlation_id: root().or_else(session).filter(|session| session != "unknown"),
        subject: activity.resources.first().map(|resource| resource.id.clone()),
        fields_empty: activity.actor.id.is_empty() || record.left_empty(),
        event: Event::Activity(activity),
    };
    Ok(draft.finish(tenant, text))
}

fn activity_of(record: &Fields<'_>) -> Activity {
    let action = record.text("eventType").or_else(|| record.text("legacyEventType"));
    let told = record.object("outcome");
    let result = told.as_ref().and_then(|told| told.text("result"));
    let outcome = Outcome {
        status: match result.as_deref() {
            Some("SUCCESS" | "ALLOW") => OutcomeStatus::Success,
            Some("FAILURE" | "DENY") => OutcomeStatus::Failure,
            _ => OutcomeStatus::Unknown,
        },
        code: result.clone().filter(|result| matches!(result.as_str(), "FAILURE" | "DENY")),
        message: told.and_then(|told| told.text("reason")),
    };
    let transaction = || record.object("transaction")?.text("id");
    Activity {
        kind: kind_of(action.as_deref().unwrap_or_default(), result.as_deref(), &outcome),
        action: action.unwrap_or_else(|| "unknown".into()),
        service: Some("okta".into()),
        actor: actor_of(record),
        resources: record.objects("target", MAX_TARGETS).iter().filter_map(resource_of).collect(),
        outcome,
        read_only: None,
        request_id: transaction(),
    }
}

fn kind_of(action: &str, result: Option<&str>, outcome: &Outcome) -> ActivityKind {
    let signs_in = action == "user.session.start" || action.starts_with("user.authentication.");
    match outcome.status {
        OutcomeStatus::Failure if signs_in => ActivityKind::SignInFailed,
        _ if signs_in && outcome.status == OutcomeStatus::Success => ActivityKind::SignedIn,
        _ if result == Some("DENY") || action.contains("unauth_app_access") => ActivityKind::AccessDenied,
        OutcomeStatus::Failure => ActivityKind::ApiCalled,
        _ if action.ends_with("read_client_secret") => ActivityKind::SecretRead,
        _ if RIGHTS.iter().any(|word| action.contains(word)) => ActivityKind::PermissionChanged,
        _ if action.contains("export") || action.contains("download") => ActivityKind::DataExported,
        _ => ActivityKind::ApiCalled,
    }
}

fn actor_of(record: &Fields<'_>) -> Actor {
    let actor = record.object("actor");
    let told = |name: &str| actor.as_ref().and_then(|actor| actor.text(name));
    let client = record.object("client");
    let agent = client.as_ref().and_then(|client| client.object("userAgent"));
    let session = || record.object("authenticationContext")?.text("externalSessionId");
    let kind = match told("type").as_deref() {
        Some("User") => ActorKind::User,
        Some("SystemPrincipal") => ActorKind::System,
        Some("PublicClientApp" | "ClientApp" | "AppInstance") => ActorKind::ServiceAccount,
        _ => ActorKind::Unknown,
    };
    Actor {
        kind,
        id: identity(actor.as_ref()).unwrap_or_default(),
        name: told("displayName"),
        ip: client.and_then(|client| client.text("ipAddress")),
        user_agent: agent.and_then(|agent| agent.text("rawUserAgent")),
        session: session().filter(|session| session != "unknown"),
        ..Actor::default()
    }
}

/// The login, or Okta's own id if the log has no login.
fn identity(party: Option<&Fields<'_>>) -> Option<String> {
    let party = party?;
    party.text("alternateId").filter(|login| login != "unknown").or_else(|| party.text("id"))
}

fn resource_of(target: &Fields<'_>) -> Option<Resource> {
    Some(Resource {
        cloud: Some("okta".into()),
        kind: target.text("type"),
        id: identity(Some(target))?,
        name: target.text("displayName"),
        ..Resource::default()
    })
}
