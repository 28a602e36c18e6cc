//! `POST /api/v1/policy/evaluate`, and the same with `/advise` or `/block`: evaluates compliance policies on
//! a plan, a Kubernetes object, a resource or an action.
//!
//! A decision is cached: an equal document of the tenant gets it again while it is valid. Every decision
//! becomes an event. In `block` mode Kafka has acknowledged the event before the response, so that an enforced
//! decision is always recorded. In `advise` mode the response does not wait for the event.

mod budgets;
mod cache;
mod decided;
mod evaluation;
mod question;
mod trace;

use std::{sync::Arc, time::Instant as Clock};

use axum::{
    Extension, Json,
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chrono::{SubsecRound, Utc};
use edge::{api_error::ApiError, service::Traces};
use policies::Decision;
use schemas::{
    access::Principal,
    changes::budget_verdicts::BudgetVerdict,
    problem::{Problem, ProblemKind},
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use budgets::{Budgets, PlanAsked};
pub(super) use evaluation::Decisions;

use self::{
    decided::{Decided, DecisionCounts, DecisionReason},
    evaluation::decide,
    question::{Form, Mode, Question},
    trace::Trace,
};
use super::{App, body, encoding::ContentEncoding, media, reading};

/// Routes of policy evaluation.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(evaluate)).routes(routes!(evaluate_in_mode))
}

/// A decision, or an `AdmissionReview` if one was sent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum PolicyAnswer {
    /// The decision on a plan, an object, a resource or an action.
    Decision(Box<PolicyDecision>),
    /// The response to an `AdmissionReview`.
    Review(AdmissionAnswer),
}

/// The decision on a document.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyDecision {
    /// Id of the decision's event in the audit log.
    #[schema(format = "uuid")]
    decision_id: String,
    /// `allow`, `warn` or `deny`.
    decision: &'static str,
    /// `advise` or `block`.
    mode: &'static str,
    /// Kind of the document: `plan`, `object`, `resource` or `action`.
    kind: &'static str,
    /// SHA-256 of the policy set, in hexadecimal digits.
    policy_set: String,
    /// SHA-256 of the tenant's granted waivers, in hexadecimal digits; null where it has none.
    waivers: Option<String>,
    /// Number of verdicts of each kind; all zero if no policy applies to the document.
    counts: DecisionCounts,
    /// Verdicts other than `pass`, most severe first; at most 100.
    #[schema(value_type = Vec<DecisionReason>)]
    reasons: Box<RawValue>,
    /// Number of verdicts other than `pass`.
    reasons_total: usize,
    /// The reason why a plan does not show everything that it would change, so that the decision is at least `warn`; null
    /// where it does.
    #[schema(value_type = Option<String>)]
    incomplete: Option<&'static str>,
    /// The budgets that a plan would go beyond, each with amounts and what to change: a hard one denies it, a soft one warns.
    /// Null where how budgets stand is not known now.
    budgets: Option<Vec<BudgetVerdict>>,
    /// Whether the decision comes from the cache.
    cached: bool,
    /// Time of the decision, RFC 3339.
    #[schema(format = "date-time")]
    decided_at: String,
    /// Seconds for which an equal document gets the same decision, unless policies or waivers change.
    holds_seconds: u64,
}

/// `AdmissionReview` of `admission.k8s.io/v1`, as API servers read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdmissionAnswer {
    /// `admission.k8s.io/v1`.
    api_version: &'static str,
    /// `AdmissionReview`.
    kind: &'static str,
    /// The response.
    response: AdmissionResponse,
}

/// The response within an `AdmissionReview`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AdmissionResponse {
    /// `uid` of the request.
    uid: String,
    /// Whether the object is admitted.
    allowed: bool,
    /// The reason, if it is not admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<AdmissionStatus>,
    /// Warnings for the client of the Kubernetes API.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Reason for denying an object.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AdmissionStatus {
    /// HTTP status, 403.
    code: u16,
    /// Policies that deny the object, with reasons and remediation.
    message: String,
}

/// Responses without a decision, for the OpenAPI description.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers, which are made where they are given")]
enum NoDecision {
    #[response(
        status = 400,
        description = "not JSON, too deep, or not a supported document: names the location",
        content_type = "application/problem+json"
    )]
    Unreadable(Problem),
    #[response(status = 401, description = "no valid credential", content_type = "application/problem+json")]
    Unauthenticated(Problem),
    #[response(status = 403, description = "scope missing", content_type = "application/problem+json")]
    Forbidden(Problem),
    #[response(
        status = 413,
        description = "the body or the object is too large",
        content_type = "application/problem+json"
    )]
    TooLarge(Problem),
    #[response(
        status = 415,
        description = "media type or encoding not supported",
        content_type = "application/problem+json"
    )]
    MediaType(Problem),
    #[response(status = 429, description = "too many requests", content_type = "application/problem+json")]
    TooMany(Problem),
    #[response(
        status = 503,
        description = "no decision: Kafka did not acknowledge it, budgets cannot be read, or too many are in \
            flight",
        content_type = "application/problem+json"
    )]
    Unavailable(Problem),
}

/// Evaluate policies on a plan, an object, a resource or an action.
///
/// The body is a document, or `{"input": DOCUMENT, "mode": …, "change_id": …, "project": …, "workspace": …}`. A document is a Terraform
/// plan (`terraform show -json`), a Kubernetes object, the configuration of a resource (`{"type": …, "config": {…}}`), or
/// an action (`{"action": "DeleteBucket", …}`). The decision is `allow`, `warn` or `deny`, with reasons and
/// remediation.
///
/// A failure under a waiver is `waived` and does not deny. A waiver names a resource by its address in the document, or
/// by its id in the posture: of a plan `WORKSPACE/ADDRESS`, with `terraform` as the workspace where none is named.
///
/// In mode `advise`, the default, the decision is advisory. In mode `block` Kafka has acknowledged the
/// decision's event before the response, and 503 means that there is no decision.
///
/// An `AdmissionReview` of `admission.k8s.io/v1` is answered as by a `ValidatingAdmissionWebhook`: with
/// `mode=block` a denied object is rejected, with `mode=advise` the reasons become warnings.
#[utoipa::path(
    post,
    path = "/api/v1/policy/evaluate",
    tag = "policy",
    security(("api_key" = ["policy:evaluate"])),
    params(("mode" = Option<String>, Query, description = "`advise` or `block`; the body may name it instead")),
    request_body(content = serde_json::Value, content_type = "application/json", description = "A document"),
    responses((status = 200, description = "the decision", body = PolicyAnswer), NoDecision)
)]
pub(super) async fn evaluate(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Arc<Principal>>,
    Extension(traces): Extension<Traces>,
    request: Request,
) -> Result<Response, ApiError> {
    let mode = Mode::of_query(request.uri().query())?;
    Asking { app, principal, traces }.answer(request, mode).await
}

/// Evaluate policies in a mode that the path names.
///
/// For senders whose URL may have no query, as the `url` of a `ValidatingWebhookConfiguration`. All else is
/// as in `/api/v1/policy/evaluate`.
#[utoipa::path(
    post,
    path = "/api/v1/policy/evaluate/{mode}",
    tag = "policy",
    security(("api_key" = ["policy:evaluate"])),
    params(("mode" = String, Path, description = "`advise` or `block`", pattern = "^(advise|block)$")),
    request_body(content = serde_json::Value, content_type = "application/json", description = "A document"),
    responses(
        (status = 200, description = "the decision", body = PolicyAnswer),
        (status = 404, description = "no such mode", body = Problem, content_type = "application/problem+json"),
        NoDecision
    )
)]
pub(super) async fn evaluate_in_mode(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Arc<Principal>>,
    Extension(traces): Extension<Traces>,
    mode: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let mode = Mode::of_path(mode.as_ref().map_or("", |Path(name)| name))?;
    if Mode::of_query(request.uri().query())?.is_some_and(|other| other != mode) {
        let detail = "the path and `mode` of the query name different modes";
        return Err(ApiError::new(ProblemKind::InvalidQuery, detail));
    }
    Asking { app, principal, traces }.answer(request, Some(mode)).await
}

/// Whoever asks for a decision.
struct Asking {
    app: Arc<App>,
    principal: Arc<Principal>,
    traces: Traces,
}

impl Asking {
    /// The response, in the mode that the URL names or, if it names none, the body.
    async fn answer(self, request: Request, named: Option<Mode>) -> Result<Response, ApiError> {
        let Self { app, principal, traces } = self;
        let began = Clock::now();
        let (parts, body) = request.into_parts();
        media::check_json(&parts.headers)?;
        let encoding = ContentEncoding::of(&parts.headers)?;
        let tenant = principal.tenant();
        app.quotas.take_request(tenant)?;
        let patience = app.patience(app.config.limits.records_bytes);
        let sent = body::read(&parts.headers, body, app.charge(tenant), patience).await?;
        let deadline = Instant::now() + app.config.timeouts.handler;
        let parse = |body: &Bytes| Ok((Arc::new(Question::read(body)?), body.len()));
        let ((question, bytes), _charge) = reading::decoded(&app, encoding, sent, deadline, parse).await?;
        app.quotas.take_content(tenant, 1, bytes)?;
        let mode = match (named, question.mode) {
            (Some(one), Some(other)) if one != other => {
                let detail = "the mode in the URL and /mode of the body differ";
                return Err(ApiError::new(ProblemKind::InvalidRequest, detail));
            }
            (one, other) => one.or(other).unwrap_or(Mode::Advise),
        };
        let at = Utc::now().trunc_subsecs(6);
        let (decided, cached) = decide(&app, (tenant, &question), at, deadline).await?;
        let budgets = budgets::ask(&app, (tenant, &question, mode), &decided, at).await?;
        let decision = budgets::with_budgets(decided.decision, budgets.as_deref());
        let trace = Trace {
            principal: &principal,
            traces: &traces,
            question: &question,
            decided: &decided,
            decision,
            budgets: budgets.as_deref(),
            mode,
            at,
        };
        let decision_id = trace.publish(&app, deadline).await?;
        let (decision, known) = (decision.name(), if cached { "true" } else { "false" });
        metrics::counter!("weir_policy_decisions_total", "mode" => mode.name(), "decision" => decision, "cached" => known)
            .increment(1);
        metrics::histogram!("weir_policy_decision_duration_seconds", "cached" => known)
            .record(began.elapsed());
        let answer = match &question.form {
            Form::Admission { uid } => PolicyAnswer::Review(admission(uid, mode, &decided)),
            Form::Decision => PolicyAnswer::Decision(Box::new(PolicyDecision {
                decision_id,
                decision,
                mode: mode.name(),
                kind: decided.kind,
                policy_set: decided.policy_set.clone(),
                waivers: decided.waivers.map(|version| trace::hexadecimal(&version)),
                counts: decided.counts,
                reasons: decided.reasons_json.clone(),
                reasons_total: decided.reasons_total,
                incomplete: decided.incomplete,
                budgets,
                cached,
                decided_at: at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
                holds_seconds: decided.holds.as_secs(),
            })),
        };
        Ok(Json(answer).into_response())
    }
}

fn admission(uid: &str, mode: Mode, decided: &Decided) -> AdmissionAnswer {
    let denied = decided.decision == Decision::Deny && mode == Mode::Block;
    let mut warnings: Vec<_> = if denied { Vec::new() } else { decided.lines("deny").collect() };
    warnings.extend(decided.lines("error"));
    warnings.extend(decided.lines("warn"));
    warnings.extend(decided.lines("waived"));
    let status = denied.then(|| AdmissionStatus {
        code: 403,
        message: decided.lines("deny").collect::<Vec<_>>().join("\n"),
    });
    AdmissionAnswer {
        api_version: "admission.k8s.io/v1",
        kind: "AdmissionReview",
        response: AdmissionResponse { uid: uid.to_owned(), allowed: !denied, status, warnings },
    }
}
