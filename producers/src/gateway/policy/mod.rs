//! `POST /api/v1/policy/evaluate`: evaluates compliance policies on a plan, a Kubernetes object, a resource
//! or an action.
//!
//! A decision is cached: an equal document gets it again while it is valid. Every decision becomes an event.
//! In `block` mode Kafka has acknowledged the event before the response, so that an enforced decision is
//! always recorded. In `advise` mode the response does not wait for the event.

mod budgets;
mod cache;
mod decided;
mod question;
mod trace;

use std::{sync::Arc, time::Instant as Clock};

use axum::{
    Extension, Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chrono::{SubsecRound, Utc};
use edge::{api_error::ApiError, service::Traces};
use policies::{Decision, Surroundings};
use schemas::{
    TenantId, Timestamp,
    access::Principal,
    changes::budget_verdicts::BudgetVerdict,
    problem::{Problem, ProblemKind},
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use budgets::{Budgets, PlanAsked};

use self::{
    cache::{Cache, Key},
    decided::{Decided, DecisionCounts, DecisionReason, Waiving},
    question::{Form, Mode, Question},
    trace::Trace,
};
use super::{App, body, encoding::ContentEncoding, media, reading};

/// Maximum number of documents evaluated at once, on threads beside the event loop.
const AT_ONCE: usize = 8;
/// Maximum number of evaluations (policy and resource) of one document.
const MAX_EVALUATIONS: usize = 20_000;
/// The workspace of a plan that names none, as in the posture.
const WORKSPACE: &str = "terraform";

/// Routes of policy evaluation.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(evaluate))
}

/// State of policy evaluation.
#[derive(Debug)]
pub(super) struct Decisions {
    known: Cache,
    turns: Arc<Semaphore>,
}

impl Default for Decisions {
    fn default() -> Self {
        Self { known: Cache::default(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
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
    responses(
        (status = 200, description = "the decision", body = PolicyAnswer),
        (status = 400, description = "not JSON, too deep, or not a supported document: names the location",
            body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid credential", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "the body or the object is too large", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "media type or encoding not supported", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "no decision: Kafka did not acknowledge it, budgets cannot be read, or too many are \
            in flight",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn evaluate(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Arc<Principal>>,
    Extension(traces): Extension<Traces>,
    request: Request,
) -> Result<Response, ApiError> {
    let began = Clock::now();
    let (parts, body) = request.into_parts();
    let of_query = Mode::of_query(parts.uri.query())?;
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
    let mode = match (of_query, question.mode) {
        (Some(one), Some(other)) if one != other => {
            let detail = "`mode` of the query and /mode of the body differ";
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
    metrics::histogram!("weir_policy_decision_duration_seconds", "cached" => known).record(began.elapsed());
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
            budgets,
            cached,
            decided_at: at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            holds_seconds: decided.holds.as_secs(),
        })),
    };
    Ok(Json(answer).into_response())
}

/// The decision on a document, and whether it comes from the cache.
async fn decide(
    app: &Arc<App>,
    (tenant, question): (&TenantId, &Arc<Question>),
    at: Timestamp,
    deadline: Instant,
) -> Result<(Arc<Decided>, bool), ApiError> {
    let held = app.config.policies.current();
    let granted = Arc::clone(&app.config.waivers.borrow());
    let key = Key { document: question.sha256, waivers: granted.of(tenant).map(|own| *own.version()) };
    let known = app.decisions.known.get(&key, held.set().hash(), Instant::now());
    if let Some(decided) = known {
        return Ok((decided, true));
    }
    let overloaded = |_| ApiError::new(ProblemKind::Overloaded, "too many documents are being evaluated");
    let turn = timeout_at(deadline, Arc::clone(&app.decisions.turns).acquire_owned());
    let turn = turn.await.map_err(overloaded)?.expect("the semaphore is never closed");
    let (asked, of) = (Arc::clone(question), tenant.clone());
    let judging = tokio::task::spawn_blocking(move || {
        // Held here, not with the request: work goes on when the client is gone.
        let _turn = turn;
        let document = asked.document()?;
        let surroundings = Surroundings {
            now_ns: at.timestamp_nanos_opt(),
            max_evaluations: Some(MAX_EVALUATIONS),
            ..Surroundings::default()
        };
        let evaluation = held.evaluate(&document, &surroundings);
        if evaluation.left_out > 0 {
            let detail = format!(
                "the document needs {} evaluations of policies more than the {MAX_EVALUATIONS} that one may take; \
                 send its resources in parts, or judge it with `weir policy evaluate`",
                evaluation.left_out
            );
            return Err(ApiError::new(ProblemKind::BodyTooLarge, detail));
        }
        let workspace = asked.workspace.as_deref().unwrap_or(WORKSPACE);
        let waiving = Waiving { waivers: granted.of(&of), workspace, at };
        Ok(Decided::new(&document, &evaluation, &held, &waiving))
    });
    let failed = |_| Err(ApiError::new(ProblemKind::Internal, "the document could not be evaluated"));
    let decided = Arc::new(judging.await.unwrap_or_else(failed)?);
    if decided.is_settled() {
        app.decisions.known.put(key, &decided, Instant::now());
    }
    Ok((decided, false))
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
