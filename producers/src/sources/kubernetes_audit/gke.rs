//! Kubernetes audit events in Google Cloud's audit log: log entries with a `protoPayload`.

use schemas::events::{Activity, ActivityKind, Actor, Outcome, OutcomeStatus, Resource};

use super::{kind_of_user, kind_of_verb, reads};
use crate::sources::fields::Fields;

/// Google's codes for a missing permission (`PERMISSION_DENIED`) and a missing identity (`UNAUTHENTICATED`).
const REFUSED: [&str; 2] = ["7", "16"];

pub(super) fn activity_of(payload: &Fields<'_>) -> Activity {
    let method = payload.text("methodName");
    // `io.k8s.GROUP.VERSION.RESOURCE[.SUBRESOURCE].VERB`
    let path = method.as_deref().and_then(|method| method.strip_prefix("io.k8s.")).unwrap_or_default();
    let words: Vec<&str> = path.split('.').skip_while(|word| !is_version(word)).skip(1).collect();
    let (verb, kind) = match words.split_last() {
        Some((verb, kind)) => (Some(*verb), kind.join("/")),
        None => (None, String::new()),
    };
    let outcome = outcome_of(payload);
    let refused = outcome.code.as_deref().is_some_and(|code| REFUSED.contains(&code));
    let reads = verb.map(|verb| reads(verb, &kind));
    Activity {
        kind: match outcome.status {
            _ if refused => ActivityKind::AccessDenied,
            OutcomeStatus::Failure => ActivityKind::ApiCalled,
            _ => kind_of_verb(&kind, reads),
        },
        action: match verb {
            Some(verb) => format!("{verb} {kind}"),
            None => method.unwrap_or_else(|| "unknown".into()),
        },
        service: payload.text("serviceName"),
        actor: actor_of(payload),
        resources: payload.text("resourceName").map(|name| resource_of(&name, kind)).into_iter().collect(),
        outcome,
        read_only: reads,
        request_id: None,
    }
}

/// Whether the word is an API version: `v1`, `v1beta1`; names of API groups may also begin with `v`.
fn is_version(word: &str) -> bool {
    word.strip_prefix('v').is_some_and(|number| number.starts_with(|first: char| first.is_ascii_digit()))
}

/// Outcome by the status: no status, or one without a code, is success.
fn outcome_of(payload: &Fields<'_>) -> Outcome {
    let status = payload.object("status");
    let code = status.as_ref().and_then(|status| status.id("code")).filter(|code| code != "0");
    Outcome {
        status: if code.is_some() { OutcomeStatus::Failure } else { OutcomeStatus::Success },
        message: status.filter(|_| code.is_some()).and_then(|status| status.text("message")),
        code,
    }
}

fn actor_of(payload: &Fields<'_>) -> Actor {
    let request = payload.object("requestMetadata");
    let told = |name: &str| request.as_ref().and_then(|request| request.text(name));
    let who =
        payload.object("authenticationInfo").and_then(|who| who.text("principalEmail")).unwrap_or_default();
    Actor {
        kind: kind_of_user(&who),
        id: who,
        ip: told("callerIp"),
        user_agent: told("callerSuppliedUserAgent"),
        ..Actor::default()
    }
}

/// The resource of `GROUP/VERSION/namespaces/NAMESPACE/RESOURCE/NAME`, named as in other Kubernetes audit
/// events.
fn resource_of(path: &str, kind: String) -> Resource {
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    let (namespace, rest) = match parts.as_slice() {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        rest => (None, rest),
    };
    let (plain, name) = (rest.first().copied().unwrap_or(path), rest.get(1).copied());
    let id: Vec<&str> = [Some(plain), namespace, name].into_iter().flatten().collect();
    Resource {
        cloud: Some("kubernetes".into()),
        kind: Some(kind).filter(|kind| !kind.is_empty()),
        id: id.join("/"),
        name: name.map(Into::into),
        project: namespace.map(Into::into),
        ..Resource::default()
    }
}
