//! Maps Kubernetes audit events (`audit.k8s.io/v1`) to [`Activity`] events.
//!
//! A cluster emits each event up to three times, once per stage, and a client may choose the `auditID` of its
//! request (`Audit-ID`): the id is derived from both, and from what tells one request from another. Events
//! wrapped by clouds are read too, and kept in their wrapping: AKS as the text `properties.log`, GKE as an entry
//! of Google's audit log.

mod gke;

use schemas::{
    Event, EventId, TenantId,
    envelope::native_format,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus, Resource},
};

use super::{
    Around, Received, SourceRow,
    fields::Fields,
    mapped::{Draft, Mapped, NotARecord, uuid_of},
};

pub(super) const ROW: SourceRow = SourceRow {
    format: native_format::KUBERNETES_AUDIT,
    slug: "kubernetes-audit",
    record: "a Kubernetes audit event",
    takes: "Kubernetes audit: log files of `audit.k8s.io/v1` events, a record a line, arrays, `EventList`s; AKS, EKS \
            and GKE as their logs hold them",
    lists: &["items", "records", "logEvents", "events"],
    received: Received::WithKey,
    marks: &["auditID", "verb", "objectRef", "requestURI", "sourceIPs", "protoPayload", "properties.log"],
    map,
};
const FORMAT: &str = native_format::KUBERNETES_AUDIT;
/// Maximum number of a user's groups that are kept.
const MAX_GROUPS: usize = 50;
/// Resources of the group `rbac.authorization.k8s.io`.
const RIGHTS: [&str; 4] = ["roles", "rolebindings", "clusterroles", "clusterrolebindings"];

/// Maps one event.
pub fn map(tenant: &TenantId, text: &str, around: &Around) -> Result<Mapped, NotARecord> {
    let record = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
    let log = log_of(&record);
    let inner = log.as_deref().and_then(|log| Fields::parse(log).ok());
    let event = inner.as_ref().unwrap_or(&record);
    let activity = match record.object("protoPayload") {
        Some(payload) => gke::activity_of(&payload),
        None => activity_of(event),
    };
    let times = ["requestReceivedTimestamp", "stageTimestamp", "timestamp", "time"];
    let time_of = |record: &Fields<'_>| times.iter().find_map(|name| record.instant(name));
    let draft = Draft {
        format: FORMAT,
        source: "kubernetes:audit".into(),
        id: id_of(tenant, event),
        occurred_at: time_of(event).or_else(|| time_of(&record)).or(around.time),
        correlation_id: event.text("auditID"),
        subject: activity.resources.first().map(|resource| resource.id.clone()),
        fields_empty: activity.actor.id.is_empty() || record.left_empty() || event.left_empty(),
        event: Event::Activity(activity),
    };
    Ok(draft.finish(tenant, text))
}

/// The event that AKS wraps as text in its own record.
fn log_of(record: &Fields<'_>) -> Option<String> {
    record.raw("properties").filter(|raw| raw.get().starts_with('{'))?;
    let log = record.object("properties")?.raw("log")?;
    serde_json::from_str(log.get()).ok()
}

/// Members that differ between two requests with one `auditID`: of one client, or of a request that an API
/// server passes on to an aggregated one.
const IDENTIFYING: [&str; 6] =
    ["stage", "requestReceivedTimestamp", "stageTimestamp", "verb", "requestURI", "userAgent"];
/// Maximum number of addresses in an event's id: the client's, and those of proxies.
const MAX_ADDRESSES: usize = 10;

fn id_of(tenant: &TenantId, record: &Fields<'_>) -> Option<EventId> {
    let audit = uuid_of(record.text("auditID"))?.to_string();
    let user = record.inner("user").and_then(|user| user.plain_text_of_any_size("username"));
    let told = IDENTIFYING.map(|name| record.plain_text_of_any_size(name));
    let addresses = record.texts("sourceIPs", MAX_ADDRESSES);
    let identity = serde_json::json!([audit, told, user, addresses]).to_string();
    Some(EventId::derived(tenant, FORMAT, identity.as_bytes()))
}

fn activity_of(record: &Fields<'_>) -> Activity {
    let object = record.object("objectRef");
    let verb = record.text("verb");
    let kind = object.as_ref().and_then(|object| {
        let kind = object.text("resource")?;
        Some(object.text("subresource").map_or_else(|| kind.clone(), |part| format!("{kind}/{part}")))
    });
    let outcome = outcome_of(record);
    let action = match (&verb, &kind) {
        (Some(verb), Some(kind)) => Some(format!("{verb} {kind}")),
        (Some(verb), None) => Some(verb.clone()),
        (None, _) => record.text("operationName"),
    };
    let reads = verb.as_deref().map(|verb| reads(verb, kind.as_deref().unwrap_or_default()));
    let is_pending = record.plain_text("stage").as_deref() == Some(RECEIVED);
    Activity {
        kind: if is_pending {
            ActivityKind::ApiCalled
        } else {
            kind_of(record, kind.as_deref().unwrap_or_default(), reads, &outcome)
        },
        action: action.unwrap_or_else(|| "unknown".into()),
        service: object.as_ref().and_then(|object| object.text("apiGroup")),
        actor: actor_of(record),
        resources: match &object {
            Some(object) => resource_of(object, kind.clone(), || made_by(record, verb.as_deref())),
            None => path_of(record),
        }
        .into_iter()
        .collect(),
        outcome,
        read_only: reads,
        request_id: record.text("auditID"),
    }
}

fn kind_of(record: &Fields<'_>, kind: &str, reads: Option<bool>, outcome: &Outcome) -> ActivityKind {
    let decision = || record.object("annotations")?.text("authorization.k8s.io/decision");
    if matches!(outcome.code.as_deref(), Some("401" | "403")) || decision().as_deref() == Some("forbid") {
        return ActivityKind::AccessDenied;
    }
    if outcome.status == OutcomeStatus::Failure {
        return ActivityKind::ApiCalled;
    }
    kind_of_verb(kind, reads)
}

/// Whether a request only reads. What reaches into a container or through to its ports may do anything, whatever the verb.
fn reads(verb: &str, kind: &str) -> bool {
    let part = kind.split_once('/').map(|(_, part)| part);
    matches!(verb, "get" | "list" | "watch")
        && !matches!(part, Some("exec" | "attach" | "portforward" | "proxy"))
}

fn kind_of_verb(kind: &str, reads: Option<bool>) -> ActivityKind {
    match (kind, reads) {
        ("secrets", Some(true)) => ActivityKind::SecretRead,
        (kind, Some(false)) if RIGHTS.contains(&kind) => ActivityKind::PermissionChanged,
        _ => ActivityKind::ApiCalled,
    }
}

/// The stage of a received request, before it is decided or executed.
const RECEIVED: &str = "RequestReceived";

/// Outcome by the HTTP status of the response. An earlier stage becomes the outcome's code unless it failed,
/// so that an entry shows the stage of its request.
fn outcome_of(record: &Fields<'_>) -> Outcome {
    let stage = record.plain_text("stage").filter(|stage| stage != "ResponseComplete");
    let answer = record.object("responseStatus").filter(|_| stage.as_deref() != Some(RECEIVED));
    let Some(answer) = answer else { return Outcome { code: stage, ..Outcome::default() } };
    let code: Option<u16> = answer.id("code").and_then(|code| code.parse().ok());
    let status = match code {
        None => OutcomeStatus::Unknown,
        Some(..400) => OutcomeStatus::Success,
        Some(_) => OutcomeStatus::Failure,
    };
    let failed = status == OutcomeStatus::Failure;
    Outcome {
        status,
        code: code.filter(|_| failed).map(|code| code.to_string()).or(stage),
        message: if failed { answer.text("message") } else { None },
    }
}

/// The actor: for impersonation through a proxy (Rancher, Pinniped, Teleport, `kubectl --as`), the
/// impersonated user, with the proxy's own identity as the session.
fn actor_of(record: &Fields<'_>) -> Actor {
    let own = record.object("user");
    let impersonated = record.object("impersonatedUser").filter(|user| user.has("username"));
    let proxy = impersonated.as_ref().and(own.as_ref()).and_then(|user| user.text("username"));
    let user = impersonated.or(own);
    let name = user.as_ref().and_then(|user| user.text("username")).unwrap_or_default();
    // EKS tells the identity of AWS behind the user.
    let extra = user.as_ref().and_then(|user| user.inner("extra"));
    let arn = extra.and_then(|extra| extra.plain_text("arn").or_else(|| extra.texts("arn", 1).pop()));
    Actor {
        kind: kind_of_user(&name),
        id: name,
        name: arn,
        // The first address is the caller's own, as far as its proxies can be believed.
        ip: record.texts("sourceIPs", 1).pop(),
        user_agent: record.text("userAgent"),
        roles: user.map(|user| user.texts("groups", MAX_GROUPS)).unwrap_or_default(),
        session: proxy,
        ..Actor::default()
    }
}

fn kind_of_user(name: &str) -> ActorKind {
    match name {
        "" | "system:anonymous" => ActorKind::Unknown,
        name if name.starts_with("system:serviceaccount:") || name.ends_with(".gserviceaccount.com") => {
            ActorKind::ServiceAccount
        }
        name if name.starts_with("system:") => ActorKind::System,
        _ => ActorKind::User,
    }
}

/// The path of a request that is about no object: `/healthz`.
fn path_of(record: &Fields<'_>) -> Option<Resource> {
    let path = record.plain_text("requestURI")?;
    let path = path.split('?').next().filter(|path| !path.is_empty())?;
    Some(Resource { cloud: Some("kubernetes".into()), id: path.to_owned(), ..Resource::default() })
}

/// The name that the cluster gave to a created object.
fn made_by(record: &Fields<'_>, verb: Option<&str>) -> Option<String> {
    let is_made = verb == Some("create");
    is_made.then(|| record.inner("responseObject")?.inner("metadata")?.plain_text("name"))?
}

/// The resource `pods/default/web-0`; a cluster-scoped resource has no namespace, a list no name.
fn resource_of(
    object: &Fields<'_>,
    kind: Option<String>,
    made: impl FnOnce() -> Option<String>,
) -> Option<Resource> {
    let plain = object.text("resource")?;
    let (namespace, name) = (object.text("namespace"), object.text("name").or_else(made));
    let parts = [Some(plain), namespace.clone(), name.clone()];
    Some(Resource {
        cloud: Some("kubernetes".into()),
        kind,
        id: parts.into_iter().flatten().collect::<Vec<_>>().join("/"),
        name,
        project: namespace,
        ..Resource::default()
    })
}
