//! Maps `userIdentity` to an actor, for every identity type of CloudTrail.

use schemas::events::{Actor, ActorKind};

use super::partition::partition_of;
use crate::sources::fields::Fields;

pub(super) fn actor_of(record: &Fields<'_>) -> Actor {
    let mut actor = record
        .object("userIdentity")
        .map(|identity| of_identity(&identity, partition_of(record)))
        .unwrap_or_default();
    actor.ip = record.text("sourceIPAddress");
    actor.user_agent = record.text("userAgent");
    // IAM Identity Center tells here alone who signs in. What somebody has typed into the console's form proves no name.
    let is_typed = || record.plain_text("eventName").as_deref() == Some("ConsoleLogin");
    if actor.name.is_none() && !is_typed() {
        actor.name = record.inner("additionalEventData").and_then(|more| more.plain_text("UserName"));
    }
    if actor.mfa.is_none() {
        let used = record.object("additionalEventData").and_then(|more| more.text("MFAUsed"));
        actor.mfa = used.and_then(|used| match used.as_str() {
            "Yes" => Some(true),
            "No" => Some(false),
            _ => None,
        });
    }
    actor
}

fn of_identity(identity: &Fields<'_>, partition: &str) -> Actor {
    let session = identity.object("sessionContext");
    let issuer = session.as_ref().and_then(|session| session.object("sessionIssuer"));
    let attributes = session.as_ref().and_then(|session| session.object("attributes"));
    let account = identity.text("accountId");
    let service = identity.text("invokedBy");
    let (kind, id) = match identity.text("type").as_deref() {
        Some("Root") => {
            let root = account.as_ref().map(|account| format!("arn:{partition}:iam::{account}:root"));
            (ActorKind::User, identity.text("arn").or(root))
        }
        Some("IAMUser" | "FederatedUser" | "SAMLUser" | "WebIdentityUser" | "Directory") => {
            (ActorKind::User, identity.text("arn"))
        }
        Some("IdentityCenterUser") => {
            let behind = identity.object("onBehalfOf").and_then(|behind| behind.text("userId"));
            (ActorKind::User, behind.or_else(|| identity.text("arn")))
        }
        Some("AssumedRole" | "Role") => (ActorKind::Role, identity.text("arn")),
        Some("AWSService") => (ActorKind::System, service.clone()),
        Some("AWSAccount") => (ActorKind::Unknown, identity.text("principalId").or_else(|| account.clone())),
        _ => (ActorKind::Unknown, identity.text("arn")),
    };
    let id = id
        .or_else(|| identity.text("principalId"))
        .or_else(|| identity.text("userName"))
        .or(service)
        .unwrap_or_default();
    // Who assumed the role, told by whoever let them in.
    let behind = session.as_ref().filter(|_| kind == ActorKind::Role);
    let behind = behind.and_then(|session| session.plain_text("sourceIdentity"));
    Actor {
        kind,
        name: behind.or_else(|| identity.text("userName")).or_else(|| name_in(&id)),
        id,
        account,
        mfa: attributes.and_then(|attributes| attributes.flag("mfaAuthenticated")),
        roles: issuer.and_then(|issuer| issuer.text("arn")).into_iter().collect(),
        session: identity.text("accessKeyId"),
        ..Actor::default()
    }
}

/// The part of an ARN after its first slash: `user/ada` is `ada`, `assumed-role/deploy/ci` is `deploy/ci`.
fn name_in(id: &str) -> Option<String> {
    let resource = id.strip_prefix("arn:")?.splitn(5, ':').nth(4)?;
    let name = resource.split_once('/').map_or(resource, |(_, name)| name);
    (!name.is_empty()).then(|| name.to_owned())
}
