//! Commands on proposed changes: request, approval and rejection.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use chrono::{DateTime, Utc};
use edge::api_error::ApiError;
use schemas::events::{DECIDED_PROPOSAL, Governance, GovernanceKind};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Command, CommandAnswer, MAX_ID_BYTES, Name, Reason, Repeatable, named_in_path};
use crate::gateway::App;

/// Optional attributes of an approval request, shown to approvers.
const ATTRIBUTES: [&str; 2] = ["project", "environment"];

/// Requests approval of a change.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct RequestApproval {
    /// Reason for the change; at most 1,024 bytes.
    reason: Option<Reason>,
    /// Project that would change.
    project: Option<Name>,
    /// Environment that would change, for example `production`.
    environment: Option<Name>,
    /// Time until which an answer is useful.
    expires_at: Option<DateTime<Utc>>,
    /// The person who asks, if the credential acts for one. Neither the person nor the credential can
    /// approve.
    on_behalf_of: Option<Name>,
}

/// Approval or rejection.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes a word")]
pub(super) enum Decision {
    Approved,
    Rejected,
}

/// Approves or rejects a change.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct DecideChange {
    /// The decision.
    decision: Decision,
    /// Reason; at most 1,024 bytes.
    reason: Reason,
    /// The proposal that the decision is about: `proposal_event_id` of the change. The decision counts for no
    /// other; without it, for the one that stands when it is made.
    proposal: Option<Uuid>,
    /// Time at which an approval expires.
    expires_at: Option<DateTime<Utc>>,
    /// The person who decides, if the credential acts for one; recorded beside it. Two approvals need two
    /// credentials and two people, none of which asked.
    on_behalf_of: Option<Name>,
}

impl Command {
    /// The proposal that a decision names.
    fn decided_proposal(&mut self) -> Option<String> {
        let named = self.form.text("proposal", MAX_ID_BYTES)?;
        let id = Uuid::parse_str(named.trim()).ok();
        if id.is_none() {
            self.form.fault("/proposal", "must be the UUID of the proposal's event, as a change shows it");
        }
        id.map(|id| id.to_string())
    }
}

/// Request approval of a change.
#[utoipa::path(
    post,
    path = "/api/v1/changes/{change_id}/approval-requests",
    tag = "commands",
    security(("api_key" = ["changes:request"]), ("api_key" = ["commands:write"])),
    params(("change_id" = String, Path, description = "The change's id", min_length = 1, max_length = 512, pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
        Repeatable),
    request_body = Option<RequestApproval>,
    responses(CommandAnswer)
)]
pub(super) async fn request_approval(
    State(app): State<Arc<App>>,
    change: Result<Path<String>, PathRejection>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let attributes = ATTRIBUTES
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), command.form.text(name, MAX_ID_BYTES)?)))
        .collect();
    let asked = Governance {
        kind: GovernanceKind::ApprovalRequested,
        subject_kind: "change".into(),
        subject_id: named_in_path(change, "{change_id}", &mut command)?,
        actor: command.actor(),
        decision: None,
        reason: command.reason(),
        expires_at: command.expires_at(),
        attributes,
    };
    command.publish(&app, asked).await
}

/// Approve or reject a change.
///
/// Change review tells whether a decision counts (somebody else asked for it, and it is not decided yet); one
/// that does not count is kept there as such.
#[utoipa::path(
    post,
    path = "/api/v1/changes/{change_id}/decisions",
    operation_id = "decide_change",
    tag = "commands",
    security(("api_key" = ["changes:decide"]), ("api_key" = ["commands:write"])),
    params(("change_id" = String, Path, description = "The change's id", min_length = 1, max_length = 512, pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
        Repeatable),
    request_body = DecideChange,
    responses(CommandAnswer)
)]
pub(super) async fn decide(
    State(app): State<Arc<App>>,
    change: Result<Path<String>, PathRejection>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let decided = Governance {
        kind: GovernanceKind::ApprovalDecided,
        subject_kind: "change".into(),
        subject_id: named_in_path(change, "{change_id}", &mut command)?,
        actor: command.actor(),
        decision: Some(command.form.one_of("decision", &["approved", "rejected"]).into()),
        reason: Some(command.required_reason()),
        expires_at: command.expires_at(),
        attributes: command
            .decided_proposal()
            .map(|id| (DECIDED_PROPOSAL.to_owned(), id))
            .into_iter()
            .collect(),
    };
    command.publish(&app, decided).await
}
