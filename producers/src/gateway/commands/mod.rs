//! Commands: decisions of people, over HTTP. A command is validated, becomes one governance event, and is
//! answered with 202 once Kafka acknowledged it; the read models follow.
//!
//! The actor is the credential's principal, and the time is that of this gateway's clock. A person named in
//! `on_behalf_of` is recorded, and the decision still counts as the principal's: two approvals need two
//! principals. Only the command itself is validated here; the read models check whether it is consistent with
//! earlier decisions.

mod changes;
mod compliance;
mod cost;
mod form;
mod idempotency;
mod retention;
mod risk;
mod searches;

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequest, Path, Request, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chrono::{SubsecRound, Utc};
use edge::{api_error::ApiError, service::Traces};
use http::StatusCode;
use schemas::{
    Envelope, Event, EventId, Source, Timestamp,
    access::Principal,
    codec,
    events::{Actor, Governance, GovernanceKind, ON_BEHALF_OF},
    problem::{Problem, ProblemKind},
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::{IntoParams, IntoResponses, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::form::Form;
use super::{
    App, authority, body,
    encoding::ContentEncoding,
    media, reading,
    settle::{self, Accepted, Count},
    shares::Charge,
};

/// Maximum size of a body, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Maximum length of a reason, in bytes, as the read models keep it.
const MAX_REASON_BYTES: usize = 1_024;
/// Maximum length of an id, in bytes; of longer ones the read models keep a hash.
const MAX_ID_BYTES: usize = 512;

/// Routes of requests for approval and for waivers.
pub(super) fn requests() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(changes::request_approval))
        .routes(routes!(compliance::request_waiver))
}

/// Routes of decisions on changes.
pub(super) fn decisions() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(changes::decide))
}

/// Routes of decisions on risk.
pub(super) fn risk_decisions() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(risk::set_criticality))
        .routes(routes!(risk::change_watchlist))
        .routes(routes!(risk::triage))
}

/// Routes of decisions on waivers.
pub(super) fn waiver_decisions() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(compliance::decide_waiver)).routes(routes!(compliance::revoke_waiver))
}

/// Routes of decisions on cost.
pub(super) fn cost_decisions() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(cost::set_budget))
        .routes(routes!(cost::set_allocation))
        .routes(routes!(cost::decide_recommendation))
}

/// Routes of legal holds.
pub(super) fn holds() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(retention::place_hold)).routes(routes!(retention::release_hold))
}

/// Routes of erasure.
pub(super) fn erasures() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(retention::erase_subject))
}

/// Routes of saved searches.
pub(super) fn searches() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(searches::save, searches::remove))
}

/// Header that makes a command idempotent.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header")]
pub(in crate::gateway) struct Repeatable {
    /// A repeat with the same key is the same event.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 128, pattern = "^[!-~]([ -~]*[!-~])?$")]
    key: Option<String>,
}

/// Reason of a decision, not blank.
#[derive(Debug, ToSchema)]
#[schema(min_length = 1, max_length = 1024, pattern = r"\S")]
#[expect(dead_code, reason = "describes a text")]
pub(in crate::gateway) struct Reason(String);

/// A name or an id, not blank.
#[derive(Debug, ToSchema)]
#[schema(min_length = 1, max_length = 512, pattern = r"\S")]
#[expect(dead_code, reason = "describes a text")]
pub(in crate::gateway) struct Name(String);

/// A decimal number, as text or as a number.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes a value")]
pub(in crate::gateway) enum DecimalNumber {
    Text(String),
    Number(f64),
}

/// Responses to a command, for the OpenAPI description.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers, which are made where they are given")]
pub(super) enum CommandAnswer {
    #[response(status = 202, description = "stored")]
    Stored(Commanded),
    #[response(
        status = 400,
        description = "not JSON, or a bad header",
        content_type = "application/problem+json"
    )]
    Unreadable(Problem),
    #[response(status = 401, description = "no valid credential", content_type = "application/problem+json")]
    Unauthenticated(Problem),
    #[response(status = 403, description = "the scope is missing", content_type = "application/problem+json")]
    Forbidden(Problem),
    #[response(
        status = 408,
        description = "the body took too long",
        content_type = "application/problem+json"
    )]
    Slow(Problem),
    #[response(status = 413, description = "too large", content_type = "application/problem+json")]
    TooLarge(Problem),
    #[response(
        status = 415,
        description = "media type or encoding not supported",
        content_type = "application/problem+json"
    )]
    MediaType(Problem),
    #[response(
        status = 422,
        description = "lists all faults of the body",
        content_type = "application/problem+json"
    )]
    Wrong(Problem),
    #[response(status = 429, description = "too many requests", content_type = "application/problem+json")]
    TooMany(Problem),
    #[response(status = 503, description = "Kafka is unavailable", content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// The event that a command became, with its position in Kafka.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct Commanded {
    /// The event's id; the same for a repeat with the same `Idempotency-Key`.
    #[schema(format = "uuid")]
    event_id: String,
    /// Topic it was written to.
    topic: &'static str,
    /// Partition within the topic.
    partition: i32,
    /// Offset within the partition. To read after it was applied, pass
    /// `min_position=<topic>/<partition>:<offset + 1>`.
    offset: i64,
}

impl From<Accepted> for Commanded {
    fn from(Accepted { id, topic, partition, offset, .. }: Accepted) -> Self {
        Self { event_id: id, topic, partition, offset }
    }
}

/// A received command: its sender, its body and the faults found so far.
pub(super) struct Command {
    principal: Arc<Principal>,
    traces: Traces,
    event_id: EventId,
    decided_at: Timestamp,
    on_behalf_of: Option<String>,
    form: Form,
    deadline: Instant,
    _charge: Charge,
}

impl FromRequest<Arc<App>> for Command {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let admitted = "command routes are behind the scope guard and within the request's span";
        let principal = parts.extensions.get::<Arc<Principal>>().cloned().expect(admitted);
        let traces = parts.extensions.get::<Traces>().cloned().expect(admitted);
        let encoding = ContentEncoding::of(&parts.headers)?;
        let key = idempotency::key_of(&parts.headers)?;
        let tenant = principal.tenant();
        app.quotas.take_request(tenant)?;
        let charge = app.charge(tenant);
        let sent = body::read(&parts.headers, body, charge, app.patience(MAX_BODY_BYTES)).await?;
        app.quotas.take_content(tenant, 1, sent.bytes.len())?;
        if !sent.bytes.is_empty() {
            media::check_json(&parts.headers)?;
        }
        let deadline = Instant::now() + app.config.timeouts.handler;
        let parse = |body: &Bytes| Form::parse(body);
        let (form, charge) = reading::decoded(app, encoding, sent, deadline, parse).await?;
        let decided_at = Utc::now().trunc_subsecs(6);
        let event_id = idempotency::event_id(&principal, key, decided_at);
        let on_behalf_of = None;
        Ok(Self { principal, traces, event_id, decided_at, on_behalf_of, form, deadline, _charge: charge })
    }
}

impl Command {
    /// The actor: the principal. The person whom it acts for is kept for the event.
    fn actor(&mut self) -> Actor {
        self.on_behalf_of = self.spoken_for();
        self.principal.actor()
    }

    fn spoken_for(&mut self) -> Option<String> {
        let person = self.form.text("on_behalf_of", MAX_ID_BYTES).map(|person| person.trim().to_owned());
        if person.is_some() && matches!(*self.principal, Principal::Person(_)) {
            self.form
                .fault("/on_behalf_of", "is only for credentials of programs: a person acts for themselves");
        }
        person
    }

    fn reason(&mut self) -> Option<String> {
        self.form.text("reason", MAX_REASON_BYTES)
    }

    fn required_reason(&mut self) -> String {
        self.form.required_text("reason", MAX_REASON_BYTES)
    }

    /// A time of expiry, which must be in the future.
    fn expires_at(&mut self) -> Option<Timestamp> {
        let end = self.form.instant("expires_at");
        if end.is_some_and(|end| end <= self.decided_at) {
            self.form.fault("/expires_at", "must lie in the future");
        }
        end
    }

    /// Publishes the decision, if the command has no faults.
    async fn publish(self, app: &App, mut decision: Governance) -> Result<Response, ApiError> {
        self.form.finish()?;
        match self.on_behalf_of {
            Some(person) if decision.kind == GovernanceKind::ApprovalRequested => {
                authority::ask_for(&mut decision, &self.principal, person);
            }
            Some(person) => {
                decision.attributes.insert(ON_BEHALF_OF.to_owned(), person);
            }
            None => {}
        }
        let subject = Some(decision.subject_id.clone());
        // A correlation id is no personal attribute of an audit entry: a person's id must not become one.
        let names_person = matches!(
            decision.kind,
            GovernanceKind::HoldPlaced | GovernanceKind::HoldReleased | GovernanceKind::SubjectErased
        );
        let event = Envelope {
            id: self.event_id,
            tenant: self.principal.tenant().clone(),
            source: Source::new("weir:command").expect("a URI without spaces"),
            correlation_id: subject.clone().filter(|_| !names_person),
            subject,
            occurred_at: self.decided_at,
            skewed: false,
            // A repeat is decided later by the clock, and the same decision.
            time_assumed: true,
            original_id: None,
            causation_id: None,
            trace: None,
            event: Event::Governance(decision),
            native: None,
        };
        codec::check(&event, self.decided_at).map_err(|bad| ApiError::new(bad.why.problem(), bad.detail))?;
        let events = vec![Ok(self.traces.around(event))];
        let settled = settle::publish(app, events, self.traces.hop.as_ref(), self.deadline).await;
        let accepted = settled.outcome(Count::One)?.accepted.pop();
        let commanded = accepted.map(Commanded::from).ok_or_else(|| {
            ApiError::new(
                ProblemKind::Internal,
                "the command was neither stored nor refused; this is a defect",
            )
        })?;
        Ok((StatusCode::ACCEPTED, Json(commanded)).into_response())
    }
}

/// Decoded path parameters.
fn in_path<T>(path: Result<Path<T>, PathRejection>) -> Result<T, ApiError> {
    path.map(|Path(parts)| parts)
        .map_err(|_| ApiError::new(ProblemKind::InvalidRequest, "the path is not percent-encoded UTF-8"))
}

/// Ids in the path, in the form that the read models keep.
fn named_in_path(
    path: Result<Path<String>, PathRejection>,
    place: &str,
    command: &mut Command,
) -> Result<String, ApiError> {
    let id = in_path(path)?;
    if id.len() > MAX_ID_BYTES || id.trim().is_empty() || id.contains(char::is_control) {
        let rule = format!("must be 1 to {MAX_ID_BYTES} bytes without control characters, and not blank");
        command.form.fault(place, rule);
    }
    Ok(id)
}
