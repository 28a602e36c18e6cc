//! Maps Google Cloud audit log entries (`LogEntry` with an `AuditLog` as `protoPayload`) to [`Activity`]
//! events.
//!
//! Sources: Cloud Logging's reference of `LogEntry`, Cloud Audit Logs' reference of `AuditLog`, and the codes of
//! `google.rpc.Code`.

use schemas::{
    Event, EventId, TenantId,
    envelope::native_format,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus, Resource},
};

use super::{
    Around, Received, SourceRow,
    fields::Fields,
    mapped::{Draft, Mapped, NotARecord},
};

pub(super) const ROW: SourceRow = SourceRow {
    format: FORMAT,
    slug: "gcp-audit",
    record: "a Google Cloud audit log entry",
    takes: "Google Cloud audit logs: exports to files, `gcloud logging read --format=json`, Pub/Sub push",
    lists: &["entries", "records"],
    received: Received::WithKey,
    marks: &["protoPayload", "insertId", "logName", "jsonPayload"],
    map,
};

const FORMAT: &str = native_format::GCP_AUDIT;
/// `PERMISSION_DENIED` and `UNAUTHENTICATED` of `google.rpc.Code`.
const REFUSED: [&str; 2] = ["7", "16"];
/// Maximum number of permissions of one entry that are examined.
const MAX_PERMISSIONS: usize = 50;
/// Maximum number of resources of one entry that are kept.
const MAX_RESOURCES: usize = 50;
/// Prefixes of methods that change nothing.
const READING: [&str; 12] = [
    "get",
    "list",
    "search",
    "query",
    "read",
    "batchget",
    "aggregatedlist",
    "test",
    "watch",
    "lookup",
    "access",
    "download",
];
/// Parts of method names that grant or revoke permissions.
const RIGHTS: [&str; 14] = [
    "setiampolicy",
    "setiampermissions",
    "serviceaccountkey",
    "createserviceaccount",
    "deleteserviceaccount",
    "disableserviceaccount",
    "enableserviceaccount",
    "createrole",
    "updaterole",
    "deleterole",
    "setorgpolicy",
    "createpolicy",
    "rolebinding",
    "accesslevel",
];

/// Methods of Kubernetes that read secrets, in lower case.
const SECRETS: [&str; 3] =
    ["io.k8s.core.v1.secrets.get", "io.k8s.core.v1.secrets.list", "io.k8s.core.v1.secrets.watch"];
/// Parts of the last words of methods that make something.
const MAKING: [&str; 2] = ["create", "insert"];
/// Last words of the methods of logins, in lower case.
const LOGINS: [&str; 2] = ["loginsuccess", "samlloginsucceeded"];
/// Last words of the methods of failed logins, in lower case.
const FAILED_LOGINS: [&str; 2] = ["loginfailure", "samlloginfailed"];

/// Maps one entry.
pub fn map(tenant: &TenantId, text: &str, around: &Around) -> Result<Mapped, NotARecord> {
    let entry = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
    let payload = entry.inner("protoPayload");
    let project = project_of(&entry, payload.as_ref());
    let activity = activity_of(&entry, payload.as_ref(), project.as_deref());
    let times = ["timestamp", "receiveTimestamp"];
    let draft = Draft {
        format: FORMAT,
        source: format!("gcp://{}", project.as_deref().unwrap_or("unknown")),
        id: id_of(tenant, &entry),
        occurred_at: times.iter().find_map(|name| entry.instant(name)).or(around.time),
        correlation_id: entry.inner("operation").and_then(|operation| operation.plain_text("id")),
        subject: activity.resources.first().map(|resource| resource.id.clone()),
        fields_empty: activity.actor.id.is_empty() || entry.left_empty(),
        event: Event::Activity(activity),
    };
    Ok(draft.finish(tenant, text))
}

/// Entries with the same log, timestamp and insert id are one entry (`LogEntry.insert_id`).
fn id_of(tenant: &TenantId, entry: &Fields<'_>) -> Option<EventId> {
    let insert = entry.plain_text("insertId")?;
    let log = entry.plain_text("logName")?;
    let at = entry.instant("timestamp")?.timestamp_micros();
    Some(EventId::derived(tenant, FORMAT, format!("insertId {log} {at} {insert}").as_bytes()))
}

/// The project in `projects/P/logs/…` or the resource's labels; folders and organisations likewise.
fn project_of(entry: &Fields<'_>, payload: Option<&Fields<'_>>) -> Option<String> {
    let label = || {
        let labels = entry.inner("resource")?.inner("labels")?;
        labels.first_text(&["project_id", "project", "organization_id", "folder_id"])
    };
    let of_path = |path: String| {
        let mut parts = path.split('/');
        let is_place = matches!(parts.next()?, "projects" | "organizations" | "folders" | "billingAccounts");
        is_place.then(|| parts.next().map(str::to_owned)).flatten()
    };
    let log = || entry.plain_text("logName").and_then(of_path);
    let resource = || payload?.plain_text("resourceName").and_then(of_path);
    label().or_else(log).or_else(resource).filter(|project| {
        project.len() <= 64 && project.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    })
}

fn activity_of(entry: &Fields<'_>, payload: Option<&Fields<'_>>, project: Option<&str>) -> Activity {
    let told = |name: &str| payload.and_then(|payload| payload.plain_text(name));
    let method = told("methodName").or_else(|| entry.plain_text("methodName"));
    let service = told("serviceName").or_else(|| entry.plain_text("serviceName"));
    let permissions = payload.map(|payload| payload.quiet_objects("authorizationInfo", MAX_PERMISSIONS));
    let permissions = permissions.as_deref().unwrap_or_default();
    let mut outcome = outcome_of(entry, payload, permissions);
    let call = Call {
        name: method.as_deref().unwrap_or_default().to_ascii_lowercase(),
        service: service.as_deref().unwrap_or_default(),
    };
    if call.is_login() && FAILED_LOGINS.contains(&call.verb()) {
        outcome.status = OutcomeStatus::Failure;
    }
    let mut resources: Vec<_> = resource_of(entry, payload, project).into_iter().collect();
    add_others(&mut resources, permissions, payload.filter(|_| call.makes()), project);
    Activity {
        kind: kind_of(&call, &outcome),
        read_only: method.is_some().then(|| call.reads()),
        action: method.unwrap_or_else(|| "unknown".into()),
        actor: actor_of(payload),
        resources,
        outcome,
        request_id: None,
        service,
    }
}

/// A call: its method in lower case, and its service.
struct Call<'a> {
    name: String,
    service: &'a str,
}

impl Call<'_> {
    /// The last word of the method.
    fn verb(&self) -> &str {
        self.name.rsplit(['.', '/']).next().unwrap_or_default()
    }

    fn reads(&self) -> bool {
        READING.iter().any(|begin| self.verb().starts_with(begin))
    }

    fn makes(&self) -> bool {
        MAKING.iter().any(|word| self.verb().contains(word))
    }

    /// Whether the entry is of the logins of Cloud Identity and Workspace.
    fn is_login(&self) -> bool {
        self.service == "login.googleapis.com" || self.name.starts_with("google.login.")
    }
}

fn kind_of(call: &Call<'_>, outcome: &Outcome) -> ActivityKind {
    let name = call.name.as_str();
    let failed = outcome.status == OutcomeStatus::Failure;
    if call.is_login() {
        return match call.verb() {
            verb if LOGINS.contains(&verb) => ActivityKind::SignedIn,
            _ if failed => ActivityKind::SignInFailed,
            _ => ActivityKind::ApiCalled,
        };
    }
    if outcome.code.as_deref().is_some_and(|code| REFUSED.contains(&code)) {
        return ActivityKind::AccessDenied;
    }
    if failed {
        return ActivityKind::ApiCalled;
    }
    let holds = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if name.contains("accesssecretversion") || SECRETS.contains(&name) {
        ActivityKind::SecretRead
    } else if holds(&["export", "extract", "transferjobs.create"]) {
        ActivityKind::DataExported
    } else if holds(&RIGHTS) && !call.reads() {
        ActivityKind::PermissionChanged
    } else {
        ActivityKind::ApiCalled
    }
}

/// Outcome by the response's status: no status, or one without a code, is success, unless every permission
/// was denied.
fn outcome_of(entry: &Fields<'_>, payload: Option<&Fields<'_>>, permissions: &[Fields<'_>]) -> Outcome {
    let Some(payload) = payload else { return Outcome::default() };
    let status = payload.inner("status").or_else(|| entry.inner("status"));
    let code = status.as_ref().and_then(|status| status.id("code")).filter(|code| code != "0");
    let refused = permissions.iter().filter(|one| one.has("granted")).map(|one| one.flag("granted"));
    let refused: Vec<_> = refused.collect();
    let all_refused = !refused.is_empty() && refused.iter().all(|granted| *granted == Some(false));
    let code = code.or_else(|| all_refused.then(|| "7".to_owned()));
    Outcome {
        status: if code.is_some() { OutcomeStatus::Failure } else { OutcomeStatus::Success },
        message: status.filter(|_| code.is_some()).and_then(|status| status.plain_text("message")),
        code,
    }
}

/// The actor; if it is an impersonated service account, the impersonating principal is kept as the session.
fn actor_of(payload: Option<&Fields<'_>>) -> Actor {
    let Some(payload) = payload else { return Actor::default() };
    let request = payload.inner("requestMetadata");
    let told = |name: &str| request.as_ref().and_then(|request| request.plain_text(name));
    let who = payload.inner("authenticationInfo");
    let named = |name: &str| who.as_ref().and_then(|who| who.plain_text(name));
    let delegation = who.as_ref().and_then(|who| {
        let chain = who.quiet_objects("serviceAccountDelegationInfo", 1);
        let first = chain.first()?;
        let principal = first.inner("firstPartyPrincipal");
        let email = principal.and_then(|principal| principal.plain_text("principalEmail"));
        // A workload of another cloud or a cluster has a subject alone.
        email.or_else(|| first.plain_text("principalSubject").map(|subject| plain(&subject)))
    });
    let subject = || named("principalSubject").map(|subject| plain(&subject));
    let id = named("principalEmail").or_else(subject).unwrap_or_default();
    let kind = match id.as_str() {
        "" => ActorKind::Unknown,
        id if id.ends_with(".gserviceaccount.com") || id.starts_with("system:serviceaccount:") => {
            ActorKind::ServiceAccount
        }
        id if id.starts_with("system:") => ActorKind::System,
        _ => ActorKind::User,
    };
    Actor {
        kind,
        id,
        ip: told("callerIp"),
        user_agent: told("callerSuppliedUserAgent"),
        session: delegation.or_else(|| named("serviceAccountKeyName")),
        ..Actor::default()
    }
}

/// `user:ada@example.com` is `ada@example.com`.
fn plain(subject: &str) -> String {
    let kinds = ["user:", "serviceAccount:", "group:"];
    kinds.iter().find_map(|kind| subject.strip_prefix(kind)).unwrap_or(subject).to_owned()
}

fn resource_of(entry: &Fields<'_>, payload: Option<&Fields<'_>>, project: Option<&str>) -> Option<Resource> {
    let monitored = entry.inner("resource");
    let labels = monitored.as_ref().and_then(|resource| resource.inner("labels"));
    let region = || labels.as_ref().and_then(|labels| labels.first_text(&["location", "zone", "region"]));
    let located = || payload?.inner("resourceLocation")?.texts("currentLocations", 1).pop();
    let id = payload.and_then(|payload| payload.plain_text("resourceName")).or_else(|| {
        let project = project?;
        Some(format!("projects/{project}"))
    })?;
    Some(Resource {
        cloud: Some("gcp".into()),
        account: project.map(Into::into),
        region: region().or_else(located),
        kind: monitored.and_then(|resource| resource.plain_text("type")),
        name: id.rsplit('/').next().filter(|name| !name.is_empty()).map(Into::into),
        id,
        project: project.map(Into::into),
        ..Resource::default()
    })
}

/// Adds the resources for which permissions were asked, and what the response names as made.
fn add_others(
    resources: &mut Vec<Resource>,
    permissions: &[Fields<'_>],
    maker: Option<&Fields<'_>>,
    project: Option<&str>,
) {
    let asked = permissions.iter().filter_map(|permission| permission.plain_text("resource"));
    let response = maker.and_then(|payload| payload.inner("response"));
    let made = ["name", "email"].into_iter().filter_map(|name| response.as_ref()?.plain_text(name));
    // A long call is answered with the name of its operation.
    let made = made.filter(|name| !name.starts_with("operation") && !name.contains("/operations/"));
    for id in asked.chain(made) {
        if resources.len() < MAX_RESOURCES && !resources.iter().any(|known| known.id == id) {
            resources.push(Resource {
                cloud: Some("gcp".into()),
                account: project.map(Into::into),
                name: id.rsplit('/').next().filter(|name| !name.is_empty()).map(Into::into),
                id,
                project: project.map(Into::into),
                ..Resource::default()
            });
        }
    }
}
