//! Activity: API Activity 6003, Authentication 3002, Entity Management 3004, Datastore Activity 6005.

use schemas::{
    Envelope,
    changes::audit::other_resources,
    envelope::native_format,
    events::{Activity as Event, ActivityKind, OutcomeStatus, Resource},
};

use crate::audit::{
    Described,
    class::{Activity, Class, Verb},
    object::{Api, Cloud, Named, Request, Resources, Response, TypedEntity},
    party::{self, UNKNOWN},
    record::Record,
};

pub(in crate::audit) fn describe<'a>(envelope: &'a Envelope, event: &'a Event) -> Described<'a> {
    let first = event.resources.first();
    let outcome = party::told_or(&event.outcome, implied_outcome(event.kind));
    let (class, activity) = classify(event);
    let mut record = Record::new(envelope, class, activity);
    party::set_caller(&mut record, envelope, Some(&event.actor));
    party::set_outcome(&mut record, &event.outcome, outcome);
    set_cloud(&mut record, envelope, event);
    set_operation(&mut record, class, event);
    record.unmapped.read_only = event.read_only;
    match class {
        Class::Authentication => set_sign_in(&mut record, envelope, event),
        Class::EntityManagement => record.entity = Some(entity(first)),
        Class::DatastoreActivity => set_datastore(&mut record, first),
        _ => {}
    }
    if class == Class::ApiActivity {
        record.resources = Resources(&event.resources);
    } else {
        record.unmapped.resources = Resources(&event.resources);
    }
    Described {
        record,
        actor: Some(&event.actor),
        action: &event.action,
        resource_type: first.and_then(|resource| resource.kind.as_deref()),
        resource: first.and_then(|resource| party::filled(&resource.id)),
        other_resources: other_resources(event.resources.iter().map(|resource| resource.id.as_str())),
        project: first.and_then(|resource| resource.project.as_deref()),
        outcome,
        outcome_code: event.outcome.code.as_deref(),
    }
}

fn classify(event: &Event) -> (Class, Activity<'_>) {
    let verb = Verb::of(&event.action);
    let other = Activity::other(&event.action);
    match event.kind {
        ActivityKind::SignedIn | ActivityKind::SignInFailed => {
            (Class::Authentication, sign_in(&event.action))
        }
        ActivityKind::ApiCalled if is_challenge(&event.action) || is_interrupted_sign_in(event) => {
            (Class::Authentication, other)
        }
        ActivityKind::PermissionChanged => {
            (Class::EntityManagement, verb.map_or(other, Verb::entity_activity))
        }
        ActivityKind::DataExported if event.resources.first().and_then(datastore).is_some() => {
            (Class::DatastoreActivity, verb.map_or(other, Verb::datastore_activity))
        }
        ActivityKind::ApiCalled
        | ActivityKind::AccessDenied
        | ActivityKind::SecretRead
        | ActivityKind::DataExported => {
            let reads = event.kind == ActivityKind::SecretRead || event.read_only == Some(true);
            let verb = verb.or(reads.then_some(Verb::Read));
            (Class::ApiActivity, verb.map_or(other, Verb::api_activity))
        }
    }
}

/// The activity within Authentication (3002). A step of a sign-in, such as a challenge, is not a logon.
fn sign_in(action: &str) -> Activity<'_> {
    let word: String =
        action.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let has = |parts: &[&str]| parts.iter().any(|part| word.contains(part));
    if has(&["logout", "logoff", "signout", "signoff", "sessionend"]) {
        Activity::new(2, "Logoff")
    } else if has(&["switchrole", "exitrole"]) {
        Activity::new(7, "Account Switch")
    } else if is_challenge(action) {
        Activity::other(action)
    } else {
        Activity::new(1, "Logon")
    }
}

/// Whether the action is a step of a sign-in: `CredentialChallenge`, `RespondToAuthChallenge`,
/// `CredentialVerification`.
fn is_challenge(action: &str) -> bool {
    action.ends_with("Challenge") || action == "CredentialVerification"
}

/// Whether Entra interrupted the sign-in to ask for something: it has an error code and did not fail.
fn is_interrupted_sign_in(event: &Event) -> bool {
    let outcome = &event.outcome;
    event.action == "Sign-in activity" && outcome.status == OutcomeStatus::Unknown && outcome.code.is_some()
}

const fn implied_outcome(kind: ActivityKind) -> OutcomeStatus {
    match kind {
        ActivityKind::SignedIn => OutcomeStatus::Success,
        ActivityKind::SignInFailed | ActivityKind::AccessDenied => OutcomeStatus::Failure,
        _ => OutcomeStatus::Unknown,
    }
}

/// Sets the record's `api` if the class has it; sign-ins and entities have it with the profile `cloud` only.
fn set_operation<'a>(record: &mut Record<'a>, class: Class, event: &'a Event) {
    let of_cloud = matches!(class, Class::Authentication | Class::EntityManagement);
    if record.metadata.profiles.cloud || !of_cloud {
        record.api = Some(api(event));
    } else {
        record.unmapped.operation = Some(&event.action);
        record.unmapped.request_id = event.request_id.as_deref();
        record.unmapped.service = event.service.as_deref();
    }
}

fn api(event: &Event) -> Api<'_> {
    let outcome = &event.outcome;
    let failed =
        outcome.status == OutcomeStatus::Failure && (outcome.code.is_some() || outcome.message.is_some());
    Api {
        operation: &event.action,
        request: event.request_id.as_deref().map(|uid| Request { uid }),
        response: failed.then_some(Response {
            error: outcome.code.as_deref(),
            error_message: outcome.message.as_deref(),
        }),
        service: event.service.as_deref().map(|name| Named { name: Some(name), uid: None }),
    }
}

/// Sets the cloud of the first resource that names one; a CloudTrail record is AWS's even without resources.
fn set_cloud<'a>(record: &mut Record<'a>, envelope: &'a Envelope, event: &'a Event) {
    let account = event.actor.account.as_deref();
    party::set_cloud(record, event.resources.iter().find(|resource| resource.cloud.is_some()), account);
    let cloudtrail =
        envelope.native.as_ref().is_some_and(|native| native.format == native_format::CLOUDTRAIL);
    if record.cloud.is_none() && cloudtrail {
        let account = account.map(|uid| Named { name: None, uid: Some(uid) });
        record.cloud = Some(Cloud { account, provider: "aws", region: None });
        record.metadata.profiles.cloud = true;
    }
}

fn set_sign_in<'a>(record: &mut Record<'a>, envelope: &'a Envelope, event: &'a Event) {
    record.is_mfa = event.actor.mfa;
    record.session = party::session(&event.actor);
    record.user = Some((&event.actor).into());
    let service = event.service.as_deref().unwrap_or_else(|| envelope.source.as_str());
    record.service = Some(Named { name: Some(service), uid: None });
}

/// The resource as `managed_entity`; the name of its type decides on OCSF's kind.
fn entity(resource: Option<&Resource>) -> TypedEntity<'_> {
    let Some(resource) = resource else {
        return TypedEntity { name: Some(UNKNOWN), kind: UNKNOWN, type_id: 0, uid: None };
    };
    let kind = resource.kind.as_deref().unwrap_or_default();
    let end = |length: usize| kind.len().checked_sub(length).and_then(|start| kind.get(start..));
    let is = |word: &str| end(word.len()).is_some_and(|end| end.eq_ignore_ascii_case(word));
    let type_id = match () {
        () if kind.is_empty() => 0,
        () if is("user") => 2,
        () if is("group") => 3,
        () if is("organization") => 4,
        () if is("policy") => 5,
        () => 99,
    };
    party::typed_entity(resource, type_id)
}

/// Kinds of datastores in OCSF.
#[derive(Clone, Copy)]
enum Datastore {
    Bucket(i32),
    Database,
    Table,
}

/// The kind of datastore, by the name of the resource's type; `None` if it is not a datastore.
fn datastore(resource: &Resource) -> Option<Datastore> {
    let kind = resource.kind.as_deref()?.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| kind.contains(part));
    if has(&["bucket", "::s3::", "storageaccounts", "blob"]) {
        Some(Datastore::Bucket(match resource.cloud.as_deref() {
            Some("aws") => 1,
            Some("azure") => 2,
            Some("gcp") => 3,
            _ => 99,
        }))
    } else if has(&["table"]) {
        Some(Datastore::Table)
    } else if has(&["database", "dbinstance", "dbcluster", "dbsnapshot", "::rds::", "sql"]) {
        Some(Datastore::Database)
    } else {
        None
    }
}

fn set_datastore<'a>(record: &mut Record<'a>, resource: Option<&'a Resource>) {
    let Some(resource) = resource else { return };
    match datastore(resource) {
        Some(Datastore::Bucket(type_id)) => record.databucket = Some(party::typed_entity(resource, type_id)),
        Some(Datastore::Database) => record.database = Some(party::typed_entity(resource, 99)),
        Some(Datastore::Table) => {
            record.table = Some(Named { name: party::named(resource), uid: party::filled(&resource.id) });
        }
        None => {}
    }
}
