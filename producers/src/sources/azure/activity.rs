//! Maps records of Azure's activity log, and of resource logs of the same shape, to [`Activity`] events.

use schemas::{
    Event, TenantId,
    envelope::native_format,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus, Resource},
};

use super::{LISTS, address, instant, part_of, source, unique, word};
use crate::sources::{
    Around, Received, SourceRow,
    fields::Fields,
    mapped::{Draft, Mapped, NotARecord},
};

pub(in crate::sources) const ROW: SourceRow = SourceRow {
    format: native_format::AZURE_ACTIVITY,
    slug: "azure-activity",
    record: "an Azure activity log record",
    takes: "Azure's activity log: exports to a storage account or event hub, `az monitor activity-log list`, Event Grid",
    lists: LISTS,
    received: Received::WithKey,
    marks: &["operationName", "OperationNameValue", "resourceId", "resourceUri", "eventDataId"],
    map,
};

/// Claims of the token that name the actor, the most specific first.
const CLAIMS: [&str; 8] = [
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
    "upn",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
    "unique_name",
    "appid",
    "http://schemas.microsoft.com/identity/claims/objectidentifier",
    "oid",
];
/// Parts of operation names that grant or revoke permissions.
const RIGHTS: [&str; 8] = [
    "microsoft.authorization/",
    "/accesspolicies/",
    "/firewallrules/",
    "federatedidentitycredentials",
    "/userassignedidentities/",
    "elevateaccess",
    "classicadministrators",
    "/permissions/",
];
/// Parts of operation names that read a secret.
const SECRETS: [&str; 7] = [
    "listkeys",
    "listsecrets",
    "listconnectionstrings",
    "listadminkeys",
    "secretget",
    "listclusteradmincredential",
    "getsecret",
];
/// Parts of operation names that export data.
const EXPORTS: [&str; 4] = ["begingetaccess", "exporttemplate", "/export", "listaccountsas"];

/// Maps one record.
pub fn map(tenant: &TenantId, text: &str, around: &Around) -> Result<Mapped, NotARecord> {
    let record = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
    let path = path_of(&record);
    let subscription = path
        .as_deref()
        .and_then(|path| part_of(path, "subscriptions"))
        .or_else(|| record.first_text(&["subscriptionId", "SubscriptionId", "tenantId"]));
    let activity = activity_of(&record, path, subscription.as_deref());
    let id = record
        .first_text(&["eventDataId", "EventDataId"])
        .or_else(|| record.inner("properties")?.plain_text("eventDataId"));
    let times = ["time", "eventTimestamp", "TimeGenerated", "submissionTimestamp", "createdDateTime"];
    let draft = Draft {
        format: native_format::AZURE_ACTIVITY,
        source: source(subscription.as_deref()),
        id: unique(tenant, native_format::AZURE_ACTIVITY, id),
        occurred_at: instant(&record, &times).or(around.time),
        correlation_id: record.plain_text("correlationId"),
        subject: activity.resources.first().map(|resource| resource.id.clone()),
        fields_empty: activity.actor.id.is_empty() || record.left_empty(),
        event: Event::Activity(activity),
    };
    Ok(draft.finish(tenant, text))
}

fn path_of(record: &Fields<'_>) -> Option<String> {
    let told = record.first_text(&["resourceId", "ResourceId", "_ResourceId", "resourceUri"]);
    told.or_else(|| record.plain_text("uri").filter(|uri| !uri.contains("://")))
}

fn activity_of(record: &Fields<'_>, path: Option<String>, subscription: Option<&str>) -> Activity {
    let action = word(record, &["operationName", "OperationNameValue", "OperationName"]);
    let outcome = outcome_of(record);
    let name = action.as_deref().unwrap_or_default().to_ascii_lowercase();
    let service = name.split_once('/').map(|(provider, _)| provider.to_owned());
    let reads = name.ends_with("/read") || name.starts_with("get") || name.starts_with("list");
    Activity {
        kind: kind_of(&name, &outcome),
        service: service.or_else(|| record.plain_text("resourceProviderName")),
        actor: actor_of(record),
        resources: [
            object_of(record, subscription),
            path.map(|path| resource_of(record, path, subscription)),
        ]
        .into_iter()
        .flatten()
        .collect(),
        read_only: action.is_some().then_some(reads),
        action: action.unwrap_or_else(|| "unknown".into()),
        outcome,
        request_id: record.plain_text("operationId"),
    }
}

fn kind_of(name: &str, outcome: &Outcome) -> ActivityKind {
    let holds = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let code = outcome.code.as_deref().unwrap_or_default().to_ascii_lowercase();
    let refused = ["forbidden", "unauthorized", "authorizationfailed", "401", "403", "authenticationerror"];
    if outcome.status == OutcomeStatus::Failure {
        let denied = refused.iter().any(|word| code.contains(word));
        return if denied { ActivityKind::AccessDenied } else { ActivityKind::ApiCalled };
    }
    if holds(&SECRETS) {
        ActivityKind::SecretRead
    } else if holds(&EXPORTS) {
        ActivityKind::DataExported
    } else if holds(&RIGHTS) && !name.ends_with("/read") {
        ActivityKind::PermissionChanged
    } else {
        ActivityKind::ApiCalled
    }
}

/// Outcome by `resultType` and similar members, unless the HTTP status is that of an error; its code by `resultSignature` or
/// a status.
fn outcome_of(record: &Fields<'_>) -> Outcome {
    let result = word(record, &["resultType", "ActivityStatusValue", "ActivityStatus", "status"]);
    let signature = word(record, &["resultSignature", "ActivitySubstatusValue", "subStatus"]);
    let properties = record.inner("properties");
    let of_properties = |name: &str| properties.as_ref().and_then(|properties| properties.id(name));
    let http = record
        .id("statusCode")
        .or_else(|| of_properties("statusCode"))
        .or_else(|| of_properties("httpStatusCode"));
    let by_number = |code: &str| code.parse::<u16>().ok().filter(|code| (100..600).contains(code));
    let answered = http.as_deref().and_then(by_number);
    let told = match result.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("success" | "succeeded" | "accept" | "accepted" | "resolved") => OutcomeStatus::Success,
        Some("failure" | "failed" | "canceled" | "cancelled" | "error" | "clienterror" | "servererror") => {
            OutcomeStatus::Failure
        }
        // `Start` says that it was begun.
        Some(_) => OutcomeStatus::Unknown,
        None => match answered {
            Some(..400) => OutcomeStatus::Success,
            Some(_) => OutcomeStatus::Failure,
            None => OutcomeStatus::Unknown,
        },
    };
    // Resource logs write a success beside the status of a refusal.
    let contradicted = told == OutcomeStatus::Success && answered.is_some_and(|code| code >= 400);
    let status = if contradicted { OutcomeStatus::Failure } else { told };
    let failed = status == OutcomeStatus::Failure;
    let described = record
        .plain_text("resultDescription")
        .or_else(|| properties.as_ref()?.first_text(&["statusMessage", "message"]));
    let signature = signature.filter(|signature| !signature.is_empty() && !contradicted);
    let code = signature.or(http).or(result);
    Outcome { status, code: code.filter(|_| failed), message: described.filter(|_| failed) }
}

fn actor_of(record: &Fields<'_>) -> Actor {
    let identity = record.inner("identity");
    let of_identity = |name: &str| identity.as_ref().and_then(|identity| identity.inner(name));
    // Key Vault writes `claim`.
    let claims = record.inner("claims").or_else(|| of_identity("claims")).or_else(|| of_identity("claim"));
    let claimed = |names: &[&str]| claims.as_ref().and_then(|claims| claims.first_text(names));
    let caller = record.first_text(&["caller", "Caller"]);
    let principal = || {
        let evidence = identity.as_ref()?.inner("authorization")?.inner("evidence")?;
        evidence.plain_text("principalId")
    };
    let requester = || of_identity("requester")?.first_text(&["upn", "objectId", "appId"]);
    let named = || identity.as_ref().and_then(|identity| identity.first_text(&["UPN", "upn", "name"]));
    let id = caller
        .or_else(|| claimed(&CLAIMS))
        .or_else(requester)
        .or_else(named)
        .or_else(|| record.plain_text("identity"))
        .or_else(principal)
        .unwrap_or_default();
    let kind = match (id.is_empty(), id.contains('@'), claimed(&["idtyp"]).as_deref()) {
        (true, ..) => ActorKind::Unknown,
        (_, _, Some("app")) => ActorKind::ServiceAccount,
        (_, true, _) => ActorKind::User,
        _ => ActorKind::ServiceAccount,
    };
    let request = || record.inner("httpRequest")?.plain_text("clientIpAddress");
    Actor {
        kind,
        id,
        name: claimed(&["name"]),
        ip: record
            .first_text(&["callerIpAddress", "CallerIpAddress", "ipAddress"])
            .or_else(request)
            .map(address),
        user_agent: record.first_text(&["userAgent", "userAgentHeader"]),
        account: record.first_text(&["tenantId", "TenantId"]),
        session: claimed(&["uti"]),
        ..Actor::default()
    }
}

/// The secret, key or blob that a resource log names by its URL, which is taken without its query.
fn object_of(record: &Fields<'_>, subscription: Option<&str>) -> Option<Resource> {
    let of_vault = record.inner("properties").and_then(|properties| properties.plain_text("id"));
    let urls = [of_vault, record.plain_text("uri")];
    let (url, path) = urls.iter().flatten().find_map(|url| {
        let url = url.split('?').next()?;
        let (_, place) = url.split_once("://")?;
        let (_, path) = place.split_once('/')?;
        (!path.is_empty()).then_some((url, path))
    })?;
    let mut parts = path.split('/');
    let name = match parts.next() {
        // A version follows the name.
        Some("secrets" | "keys" | "certificates") => parts.next(),
        _ => path.rsplit('/').next(),
    };
    Some(Resource {
        cloud: Some("azure".into()),
        account: subscription.map(Into::into),
        region: record.first_text(&["location", "resourceLocation"]),
        name: name.filter(|name| !name.is_empty()).map(Into::into),
        id: url.to_owned(),
        ..Resource::default()
    })
}

fn resource_of(record: &Fields<'_>, path: String, subscription: Option<&str>) -> Resource {
    let provider = part_of(&path, "providers");
    let kind = provider.map(|provider| {
        let after = path.to_ascii_lowercase().find("/providers/").map_or("", |at| &path[at + 11..]);
        let types = after.split('/').skip(1).step_by(2);
        std::iter::once(provider.as_str()).chain(types).collect::<Vec<_>>().join("/")
    });
    Resource {
        cloud: Some("azure".into()),
        account: subscription.map(Into::into),
        region: record.first_text(&["location", "resourceLocation"]),
        kind,
        name: path.rsplit('/').next().filter(|name| !name.is_empty()).map(Into::into),
        project: part_of(&path, "resourceGroups"),
        id: path,
        ..Resource::default()
    }
}
