//! Maps records of Entra's audit log to [`Activity`] events. Sign-in records among them are mapped as such.

use schemas::{
    Event, TenantId,
    envelope::native_format,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus, Resource},
};

use super::{LISTS, address, instant, is_sign_in, signin, source, unique, word};
use crate::sources::{
    Around, Received, SourceRow,
    fields::Fields,
    mapped::{Draft, Mapped, NotARecord},
};

pub(in crate::sources) const ROW: SourceRow = SourceRow {
    format: native_format::AZURE_AUDIT,
    slug: "azure-audit",
    record: "an Entra audit log record",
    takes: "Entra's audit log: exports to a storage account or event hub, Microsoft Graph's `directoryAudits`",
    lists: LISTS,
    received: Received::WithKey,
    marks: &[
        "operationName",
        "OperationName",
        "activityDisplayName",
        "initiatedBy",
        "properties.initiatedBy",
    ],
    map,
};

/// Maximum number of targets that are kept.
const MAX_TARGETS: usize = 50;
/// Parts of activity names that grant or revoke permissions.
const RIGHTS: [&str; 16] = [
    "role",
    "consent",
    "add owner",
    "remove owner",
    "permission",
    "add member",
    "remove member",
    "credential",
    "certificates and secrets",
    "policy",
    "federation",
    "domain",
    "service principal",
    "authentication method",
    "security info",
    "partner",
];

/// Maps one record.
pub fn map(tenant: &TenantId, text: &str, around: &Around) -> Result<Mapped, NotARecord> {
    let record = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
    if is_sign_in(&record) {
        return signin::map(tenant, text, around);
    }
    // Diagnostic settings put Graph's record under `properties`.
    let inner = record.inner("properties");
    let graph = inner.as_ref().unwrap_or(&record);
    let directory = record.first_text(&["tenantId", "TenantId", "AADTenantId"]);
    let activity = activity_of(&record, graph, directory.as_deref());
    let times = ["activityDateTime", "ActivityDateTime"];
    let outer = ["time", "activityDateTime", "TimeGenerated", "createdDateTime"];
    let draft = Draft {
        format: native_format::AZURE_AUDIT,
        source: source(directory.as_deref()),
        id: unique(tenant, native_format::AZURE_AUDIT, graph.plain_text("id")),
        occurred_at: instant(graph, &times).or_else(|| instant(&record, &outer)).or(around.time),
        correlation_id: record.plain_text("correlationId").or_else(|| graph.plain_text("correlationId")),
        subject: activity.resources.first().map(|resource| resource.id.clone()),
        fields_empty: activity.actor.id.is_empty() || record.left_empty(),
        event: Event::Activity(activity),
    };
    Ok(draft.finish(tenant, text))
}

fn activity_of(record: &Fields<'_>, graph: &Fields<'_>, directory: Option<&str>) -> Activity {
    let named = ["activityDisplayName", "ActivityDisplayName"];
    let action = graph
        .first_text(&named)
        .or_else(|| word(record, &["operationName", "OperationName"]))
        .or_else(|| graph.plain_text("operationName"));
    let outcome = outcome_of(record, graph);
    Activity {
        kind: kind_of(action.as_deref().unwrap_or_default(), &outcome),
        action: action.unwrap_or_else(|| "unknown".into()),
        service: graph.first_text(&["loggedByService", "LoggedByService"]).or_else(|| Some("entra".into())),
        actor: actor_of(record, graph, directory),
        resources: graph
            .quiet_objects("targetResources", MAX_TARGETS)
            .iter()
            .filter_map(|target| resource_of(target, directory))
            .collect(),
        outcome,
        read_only: None,
        request_id: None,
    }
}

fn kind_of(action: &str, outcome: &Outcome) -> ActivityKind {
    let name = action.to_ascii_lowercase();
    let holds = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if outcome.status == OutcomeStatus::Failure {
        let denied = outcome
            .message
            .as_deref()
            .is_some_and(|why| why.contains("denied") || why.contains("Unauthorized"));
        return if denied { ActivityKind::AccessDenied } else { ActivityKind::ApiCalled };
    }
    if holds(&["bulk download", "download users", "export"]) {
        ActivityKind::DataExported
    } else if holds(&RIGHTS) {
        ActivityKind::PermissionChanged
    } else {
        ActivityKind::ApiCalled
    }
}

fn outcome_of(record: &Fields<'_>, graph: &Fields<'_>) -> Outcome {
    let told = graph.first_text(&["result", "Result"]);
    let outer = || record.first_text(&["result", "resultType", "resultSignature"]);
    let result = told.or_else(outer).filter(|result| !result.eq_ignore_ascii_case("none"));
    let status = match result.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("success" | "succeeded" | "0") => OutcomeStatus::Success,
        Some("failure" | "failed" | "timeout" | "clienterror") => OutcomeStatus::Failure,
        _ => OutcomeStatus::Unknown,
    };
    let reason = graph
        .first_text(&["resultReason", "ResultReason"])
        .or_else(|| record.plain_text("resultDescription"));
    let failed = status == OutcomeStatus::Failure;
    Outcome { status, code: result.filter(|_| failed), message: reason.filter(|_| failed) }
}

/// The initiator: a person or an application.
fn actor_of(record: &Fields<'_>, graph: &Fields<'_>, directory: Option<&str>) -> Actor {
    let initiated = graph.inner("initiatedBy");
    let user = initiated.as_ref().and_then(|by| by.inner("user")).filter(|user| user.len() > 0);
    let app = initiated.as_ref().and_then(|by| by.inner("app"));
    let caller = record.first_text(&["callerIpAddress", "ipAddress"]).map(address);
    let (kind, id, name) = if let Some(user) = &user {
        (
            ActorKind::User,
            user.first_text(&["userPrincipalName", "id", "displayName"]),
            user.plain_text("displayName"),
        )
    } else if let Some(app) = &app {
        let id = app.first_text(&["servicePrincipalName", "appId", "servicePrincipalId", "displayName"]);
        (ActorKind::ServiceAccount, id, app.plain_text("displayName"))
    } else {
        (ActorKind::Unknown, None, None)
    };
    let identity = || record.plain_text("identity");
    Actor {
        kind,
        id: id.or_else(identity).unwrap_or_default(),
        name,
        account: directory.map(Into::into),
        ip: caller.or_else(|| user.as_ref()?.plain_text("ipAddress")),
        user_agent: graph.first_text(&["userAgent"]),
        ..Actor::default()
    }
}

fn resource_of(target: &Fields<'_>, directory: Option<&str>) -> Option<Resource> {
    Some(Resource {
        cloud: Some("azure".into()),
        account: directory.map(Into::into),
        kind: target.plain_text("type"),
        id: target.first_text(&["userPrincipalName", "id", "displayName"])?,
        name: target.plain_text("displayName"),
        ..Resource::default()
    })
}
