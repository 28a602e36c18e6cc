//! Commands on retention: placing and releasing legal holds, erasing a person's data.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, response::Response};
use edge::api_error::ApiError;
use schemas::{
    changes::retention::{HOLD_NAME, HoldScope},
    events::{Governance, GovernanceKind},
};
use utoipa::ToSchema;

use super::{Command, CommandAnswer, MAX_ID_BYTES, Name, Reason, Repeatable};
use crate::gateway::App;

/// Maximum length of a hold's name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Places or releases a legal hold.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct DecideHold {
    /// `person` (entries of one actor), `project`, `resource`, or `tenant` (all entries).
    scope: HoldScope,
    /// Id of the person, project or resource; absent for `tenant`.
    subject: Option<Name>,
    /// Name of the hold, for example a file number; a subject under several holds is kept until the last is
    /// released.
    #[schema(min_length = 1, max_length = 128, pattern = r"\S")]
    name: Option<String>,
    /// Reason; at most 1,024 bytes.
    reason: Reason,
    /// The person who decides, if the credential acts for one; recorded beside it.
    on_behalf_of: Option<Name>,
}

/// Erases a person's data.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body, which is read member by member so that every fault is told"
)]
pub(super) struct EraseSubject {
    /// The person's id as events name their actor; a person with several ids is erased by each.
    subject: Name,
    /// Reason; at most 1,024 bytes.
    reason: Reason,
    /// The person who decides, if the credential acts for one; recorded beside it.
    on_behalf_of: Option<Name>,
}

/// Place a legal hold.
///
/// Data under a hold is neither erased nor removed when its retention ends.
#[utoipa::path(
    post,
    path = "/api/v1/holds",
    tag = "commands",
    security(("api_key" = ["holds:decide"]), ("api_key" = ["commands:write"])),
    params(Repeatable),
    request_body = DecideHold,
    responses(CommandAnswer)
)]
pub(super) async fn place_hold(State(app): State<Arc<App>>, command: Command) -> Result<Response, ApiError> {
    hold(&app, command, (GovernanceKind::HoldPlaced, "placed")).await
}

/// Release a legal hold.
///
/// Pending erasures that it delayed are carried out.
#[utoipa::path(
    post,
    path = "/api/v1/holds/releases",
    tag = "commands",
    security(("api_key" = ["holds:decide"]), ("api_key" = ["commands:write"])),
    params(Repeatable),
    request_body = DecideHold,
    responses(CommandAnswer)
)]
pub(super) async fn release_hold(
    State(app): State<Arc<App>>,
    command: Command,
) -> Result<Response, ApiError> {
    hold(&app, command, (GovernanceKind::HoldReleased, "released")).await
}

/// Erase a person's data.
///
/// Within a minute the person's audit entries lose their personal part, and other read models the person's
/// name; a legal hold delays the erasure. Topics, backups and copies in SIEMs contain the clear text until
/// they expire.
#[utoipa::path(
    post,
    path = "/api/v1/erasures",
    tag = "commands",
    security(("api_key" = ["subjects:erase"]), ("api_key" = ["commands:write"])),
    params(Repeatable),
    request_body = EraseSubject,
    responses(CommandAnswer)
)]
pub(super) async fn erase_subject(
    State(app): State<Arc<App>>,
    mut command: Command,
) -> Result<Response, ApiError> {
    let erased = Governance {
        kind: GovernanceKind::SubjectErased,
        subject_kind: HoldScope::Person.name().into(),
        subject_id: subject(&mut command),
        actor: command.actor(),
        decision: Some("erased".into()),
        reason: Some(command.required_reason()),
        expires_at: None,
        attributes: BTreeMap::new(),
    };
    command.publish(&app, erased).await
}

async fn hold(
    app: &App,
    mut command: Command,
    (kind, decision): (GovernanceKind, &str),
) -> Result<Response, ApiError> {
    let scope = command.form.one_of("scope", &HoldScope::ALL.map(HoldScope::name));
    let subject_id = if scope == HoldScope::Tenant.name() {
        let tenant = command.principal.tenant().as_str().to_owned();
        if command.form.text("subject", MAX_ID_BYTES).is_some_and(|subject| subject != tenant) {
            command.form.fault("/subject", "must be absent: a tenant's hold is about all of its own data");
        }
        tenant
    } else {
        subject(&mut command)
    };
    let name = command.form.text("name", MAX_NAME_BYTES).map(|name| name.trim().to_owned());
    let decided = Governance {
        kind,
        subject_kind: scope.into(),
        subject_id,
        actor: command.actor(),
        decision: Some(decision.into()),
        reason: Some(command.required_reason()),
        expires_at: None,
        attributes: name.map(|name| (HOLD_NAME.to_owned(), name)).into_iter().collect(),
    };
    command.publish(app, decided).await
}

/// An id exactly as events have it, blanks included.
fn subject(command: &mut Command) -> String {
    let subject = command.form.required_text("subject", MAX_ID_BYTES);
    if subject.contains(char::is_control) {
        command.form.fault("/subject", "must hold no control characters");
    }
    subject
}
