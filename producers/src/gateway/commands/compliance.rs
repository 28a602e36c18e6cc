//! Commands on waivers of compliance policies: request, grant or refusal by another person, revocation.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use chrono::{DateTime, TimeDelta, Utc};
use edge::api_error::ApiError;
use schemas::{
    changes::compliance::{
        MAX_WAIVER_DAYS, MAX_WAIVER_POLICIES, MAX_WAIVER_RESOURCES, WAIVER_OWNER, WAIVER_POLICIES,
        WAIVER_REQUESTED_BY, WAIVER_RESOURCES, WAIVER_SUBJECT, WaiverTerms,
    },
    events::{Governance, GovernanceKind, Party},
};
use utoipa::ToSchema;

use super::{
    Command, CommandAnswer, MAX_ID_BYTES, Name, Reason, Repeatable, changes::Decision, named_in_path,
};
use crate::gateway::App;

/// Maximum length of a resource id, in bytes.
const MAX_RESOURCE_BYTES: usize = 1_024;

/// Id of a policy; patterns are not allowed.
#[derive(Debug, ToSchema)]
#[schema(min_length = 1, max_length = 512, pattern = r"^[^*?\s][^*?]*$")]
#[expect(dead_code, reason = "describes a text")]
pub(super) struct PolicyName(String);

/// Id of a resource; patterns are not allowed.
#[derive(Debug, ToSchema)]
#[schema(min_length = 1, max_length = 1024, pattern = r"^[^*?\s][^*?]*$")]
#[expect(dead_code, reason = "describes a text")]
pub(super) struct ResourceName(String);

/// Requests a waiver.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct RequestWaiver {
    /// Owner of the risk.
    owner: Name,
    /// Ids of policies; at most 50.
    #[schema(min_items = 1, max_items = 50)]
    policies: Vec<PolicyName>,
    /// Ids of resources; at most 500.
    #[schema(min_items = 1)]
    resources: Vec<ResourceName>,
    /// Reason; at most 1,024 bytes.
    reason: Reason,
    /// Time at which the waiver expires; at most 90 days from now.
    expires_at: DateTime<Utc>,
    /// The person who asks, if the credential acts for one. Neither the person nor the credential can grant
    /// the waiver.
    on_behalf_of: Option<Name>,
}

/// Grants or refuses a waiver.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct DecideWaiver {
    /// `approved` or `rejected`.
    decision: Decision,
    /// The person who asked for it, and who cannot decide. A grant that names somebody else than the
    /// requester is ignored.
    requested_by: Name,
    /// Reason; at most 1,024 bytes.
    reason: Reason,
    /// The person who decides, if the credential acts for one; recorded beside it.
    on_behalf_of: Option<Name>,
}

/// Revokes a waiver.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct RevokeWaiver {
    /// Reason; at most 1,024 bytes.
    reason: Reason,
    /// The person who decides, if the credential acts for one; recorded beside it.
    on_behalf_of: Option<Name>,
}

/// Request a waiver: failures of policies are waived for a time.
#[utoipa::path(
    post,
    path = "/api/v1/compliance/waivers/{id}/requests",
    tag = "commands",
    security(("api_key" = ["changes:request"]), ("api_key" = ["commands:write"])),
    params(("id" = String, Path, description = "The waiver's id; `/` is written `%2F`", min_length = 1, max_length = 512, pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
        Repeatable),
    request_body = RequestWaiver,
    responses(CommandAnswer)
)]
pub(super) async fn request_waiver(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let subject_id = named_in_path(id, "{id}", &mut command)?;
    let owner = command.form.required_text("owner", MAX_ID_BYTES);
    let policies = ids(&mut command, WAIVER_POLICIES, MAX_WAIVER_POLICIES, MAX_ID_BYTES);
    let resources = ids(&mut command, WAIVER_RESOURCES, MAX_WAIVER_RESOURCES, MAX_RESOURCE_BYTES);
    let asked = Governance {
        kind: GovernanceKind::ApprovalRequested,
        subject_kind: WAIVER_SUBJECT.into(),
        subject_id,
        actor: command.actor(),
        decision: None,
        reason: Some(command.required_reason()),
        expires_at: end(&mut command),
        attributes: BTreeMap::from([
            (WAIVER_OWNER.to_owned(), owner),
            (WAIVER_POLICIES.to_owned(), policies),
            (WAIVER_RESOURCES.to_owned(), resources),
        ]),
    };
    command.publish(&app, asked).await
}

/// Grant or refuse a waiver that another person requested.
///
/// The read model tells whether a decision counts (somebody asked for it, and it is not decided yet); one
/// that does not count is kept there as such.
#[utoipa::path(
    post,
    path = "/api/v1/compliance/waivers/{id}/decisions",
    tag = "commands",
    security(("api_key" = ["compliance:decide"]), ("api_key" = ["commands:write"])),
    params(("id" = String, Path, description = "The waiver's id; `/` is written `%2F`", min_length = 1, max_length = 512, pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
        Repeatable),
    request_body = DecideWaiver,
    responses(CommandAnswer)
)]
pub(super) async fn decide_waiver(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let subject_id = named_in_path(id, "{id}", &mut command)?;
    let decision = command.form.one_of("decision", &["approved", "rejected"]);
    let requested_by = command.form.required_text("requested_by", MAX_ID_BYTES);
    let actor = command.actor();
    let approvers = Party::all_of(&actor.id, command.on_behalf_of.as_deref());
    let is_own = Party::new(&requested_by)
        .is_some_and(|requester| approvers.is_some_and(|approvers| approvers.contains(&requester)));
    if decision == "approved" && is_own {
        command.form.fault(
            "/requested_by",
            "is the actor of this decision: the requester of a waiver cannot grant it",
        );
    }
    let decided = Governance {
        kind: match decision {
            "approved" => GovernanceKind::WaiverGranted,
            _ => GovernanceKind::ApprovalDecided,
        },
        subject_kind: WAIVER_SUBJECT.into(),
        subject_id,
        actor,
        decision: Some(decision.into()),
        reason: Some(command.required_reason()),
        expires_at: None,
        attributes: BTreeMap::from([(WAIVER_REQUESTED_BY.to_owned(), requested_by.trim().to_owned())]),
    };
    command.publish(&app, decided).await
}

/// Revoke a waiver: the failures that it covers count again.
#[utoipa::path(
    post,
    path = "/api/v1/compliance/waivers/{id}/revocations",
    tag = "commands",
    security(("api_key" = ["compliance:decide"]), ("api_key" = ["commands:write"])),
    params(("id" = String, Path, description = "The waiver's id; `/` is written `%2F`", min_length = 1, max_length = 512, pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
        Repeatable),
    request_body = RevokeWaiver,
    responses(CommandAnswer)
)]
pub(super) async fn revoke_waiver(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let revoked = Governance {
        kind: GovernanceKind::WaiverRevoked,
        subject_kind: WAIVER_SUBJECT.into(),
        subject_id: named_in_path(id, "{id}", &mut command)?,
        actor: command.actor(),
        decision: None,
        reason: Some(command.required_reason()),
        expires_at: None,
        attributes: BTreeMap::new(),
    };
    command.publish(&app, revoked).await
}

/// Ids of a list as JSON text; patterns are rejected.
fn ids(command: &mut Command, name: &str, most: usize, most_bytes: usize) -> String {
    let listed = command.form.texts(name, most, most_bytes);
    if listed.is_empty() {
        command.form.fault(&format!("/{name}"), format!("must name 1 to {most} ids"));
    }
    for (place, id) in listed.iter().enumerate() {
        if let Some(why) = WaiverTerms::not_an_id(id) {
            command.form.fault(&format!("/{name}/{place}"), why);
        }
    }
    serde_json::json!(listed).to_string()
}

/// Time of expiry, which is required and must be within the maximum duration.
fn end(command: &mut Command) -> Option<DateTime<Utc>> {
    let is_told = command.form.has("expires_at");
    let end = command.expires_at();
    let latest = command.decided_at + TimeDelta::days(MAX_WAIVER_DAYS);
    match end {
        None if !is_told => command.form.fault("/expires_at", "is missing: a waiver must expire"),
        Some(end) if end > latest => {
            let rule = format!("must lie at most {MAX_WAIVER_DAYS} days ahead");
            command.form.fault("/expires_at", rule);
        }
        _ => {}
    }
    end
}
