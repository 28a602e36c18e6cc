//! Maps records of Entra's sign-in logs (interactive, non-interactive, service principals, managed
//! identities) to [`Activity`] events.

use schemas::{
    Event, TenantId,
    envelope::native_format,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus, Resource},
};

use super::{LISTS, address, instant, source, unique, word};
use crate::sources::{
    Around, Received, SourceRow,
    fields::Fields,
    mapped::{Draft, Mapped, NotARecord},
};

pub(in crate::sources) const ROW: SourceRow = SourceRow {
    format: native_format::AZURE_SIGNIN,
    slug: "azure-signin",
    record: "an Entra sign-in log record",
    takes: "Entra's sign-in logs: exports to a storage account or event hub, Microsoft Graph's `signIns`",
    lists: LISTS,
    received: Received::WithKey,
    marks: &[
        "operationName",
        "appDisplayName",
        "AppDisplayName",
        "conditionalAccessStatus",
        "ConditionalAccessStatus",
        "properties.appDisplayName",
        "clientAppUsed",
    ],
    map,
};

/// Error codes of sign-ins that Entra interrupts in order to ask for something: nobody is refused, and the sign-in that follows
/// has a record of its own. Those that Microsoft's workbook of sign-ins calls interrupts, without expired passwords; the other
/// requests for a second factor, a device or a confirmation; and sessions that are to be renewed.
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
const INTERRUPTS: [&str; 25] = [
    "16000", // choose one of several accounts
    "16001", // choose another account
    "16003", // the account is not one of this directory: choose another
    "50058", // nobody is signed in yet, a silent sign-in
    "50059", // the directory is not known yet
    "50072", // register a second factor
    "50074", // give the second factor
    "50076", // give the second factor, by the directory's policy
    "50079", // register a second factor, by the directory's policy
    "50097", // authenticate the device
    "50125", // reset or register the password
    "50127", // install the broker app
    "50129", // register the device
    "50140", // keep me signed in?
    "50143", // the session is one of another directory
    "50158", // go on at another provider, or accept the terms of use
    "50199", // confirm the app
    "51006", // sign in again with Windows' authentication
    "52004", // consent to the link with LinkedIn
    "65001", // consent to the app
    "70043", // the session is older than the directory allows
    "70044", // the session is older than the directory allows
    "81010", // single sign-on by Kerberos fails, the password is asked for
    "81012", // another person than the one who is signed in to the device
    "81014", // single sign-on by Kerberos fails, the password is asked for
];

/// Maps one record.
pub fn map(tenant: &TenantId, text: &str, around: &Around) -> Result<Mapped, NotARecord> {
    let record = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
    let inner = record.inner("properties");
    let graph = inner.as_ref().unwrap_or(&record);
    let directory = record.first_text(&["tenantId", "TenantId", "AADTenantId"]);
    let activity = activity_of(&record, graph, directory.as_deref());
    let times = ["createdDateTime", "CreatedDateTime"];
    let outer = ["time", "createdDateTime", "TimeGenerated"];
    let draft = Draft {
        format: native_format::AZURE_SIGNIN,
        source: source(directory.as_deref()),
        id: unique(tenant, native_format::AZURE_SIGNIN, graph.plain_text("id")),
        occurred_at: instant(graph, &times).or_else(|| instant(&record, &outer)).or(around.time),
        correlation_id: record.plain_text("correlationId").or_else(|| graph.plain_text("correlationId")),
        subject: activity.resources.first().map(|resource| resource.id.clone()),
        fields_empty: activity.actor.id.is_empty() || record.left_empty(),
        event: Event::Activity(activity),
    };
    Ok(draft.finish(tenant, text))
}

fn activity_of(record: &Fields<'_>, graph: &Fields<'_>, directory: Option<&str>) -> Activity {
    let outcome = outcome_of(record, graph);
    let kind = match outcome.status {
        OutcomeStatus::Success => ActivityKind::SignedIn,
        OutcomeStatus::Failure => ActivityKind::SignInFailed,
        OutcomeStatus::Unknown => ActivityKind::ApiCalled,
    };
    Activity {
        kind,
        action: word(record, &["operationName", "OperationName"])
            .unwrap_or_else(|| "Sign-in activity".into()),
        service: graph.first_text(&["appDisplayName", "AppDisplayName"]).or_else(|| Some("entra".into())),
        actor: actor_of(record, graph, directory, outcome.status),
        resources: resource_of(graph, directory).into_iter().collect(),
        outcome,
        read_only: None,
        request_id: graph.plain_text("uniqueTokenIdentifier"),
    }
}

/// Error 0 is success; other numbers are Entra's error codes (`AADSTS…`). An interrupt is neither success nor failure.
fn outcome_of(record: &Fields<'_>, graph: &Fields<'_>) -> Outcome {
    let told = graph.inner("status").or_else(|| graph.inner("Status"));
    let number = told.as_ref().and_then(|told| told.id("errorCode"));
    let code = number.or_else(|| record.id("resultType")).or_else(|| record.plain_text("resultSignature"));
    let is_interrupted = code.as_deref().is_some_and(|code| INTERRUPTS.contains(&code));
    let status = match code.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("0" | "success") => OutcomeStatus::Success,
        Some("none") | None => OutcomeStatus::Unknown,
        Some(_) if is_interrupted => OutcomeStatus::Unknown,
        Some(_) => OutcomeStatus::Failure,
    };
    let has_reason = is_interrupted || status == OutcomeStatus::Failure;
    let reason = told.and_then(|told| told.first_text(&["failureReason", "additionalDetails"]));
    let message = reason.or_else(|| record.plain_text("resultDescription"));
    Outcome { status, code: code.filter(|_| has_reason), message: message.filter(|_| has_reason) }
}

fn actor_of(record: &Fields<'_>, graph: &Fields<'_>, directory: Option<&str>, ended: OutcomeStatus) -> Actor {
    let user = graph.first_text(&["userPrincipalName", "UserPrincipalName", "userId"]);
    let program = graph.first_text(&["servicePrincipalName", "servicePrincipalId", "appId"]);
    let required = graph.first_text(&["authenticationRequirement", "AuthenticationRequirement"]);
    let kind = match (&user, &program) {
        (Some(_), _) => ActorKind::User,
        (None, Some(_)) => ActorKind::ServiceAccount,
        (None, None) => ActorKind::Unknown,
    };
    Actor {
        kind,
        id: user.or(program).or_else(|| record.plain_text("identity")).unwrap_or_default(),
        name: graph.first_text(&["userDisplayName", "UserDisplayName"]),
        account: directory.map(Into::into),
        ip: record
            .plain_text("callerIpAddress")
            .or_else(|| graph.first_text(&["ipAddress", "IPAddress"]))
            .map(address),
        user_agent: graph.first_text(&["userAgent", "UserAgent"]),
        mfa: required
            .map(|required| required == "multiFactorAuthentication" && ended == OutcomeStatus::Success),
        session: graph.first_text(&["sessionId", "SessionId"]),
        ..Actor::default()
    }
}

/// Resource that was signed in to.
fn resource_of(graph: &Fields<'_>, directory: Option<&str>) -> Option<Resource> {
    let name =
        graph.first_text(&["resourceDisplayName", "ResourceDisplayName", "appDisplayName", "AppDisplayName"]);
    let id =
        graph.first_text(&["resourceId", "ResourceIdentity", "appId", "AppId"]).or_else(|| name.clone())?;
    Some(Resource {
        cloud: Some("azure".into()),
        account: directory.map(Into::into),
        kind: Some("application".into()),
        id,
        name,
        ..Resource::default()
    })
}
