//! Maps the webhooks `workflow_run`, `deployment` and `deployment_status` to delivery events.

use schemas::events::{Actor, ActorKind, Delivery, DeliveryKind, Outcome, OutcomeStatus};

use crate::sources::fields::Fields;

/// The delivery event of a webhook, if it is one of these.
pub(super) fn step(record: &Fields<'_>, event: &str) -> Option<Delivery> {
    let project = record.inner("repository")?.plain_text("full_name")?;
    match event {
        "workflow_run" => workflow_run(record, project),
        "deployment" => deployment(record, project),
        "deployment_status" => deployment_status(record, project),
        _ => None,
    }
}

fn workflow_run(record: &Fields<'_>, project: String) -> Option<Delivery> {
    let run = record.inner("workflow_run")?;
    let action = record.plain_text("action")?;
    let kind = match action.as_str() {
        "requested" | "in_progress" => DeliveryKind::PipelineStarted,
        "completed" => DeliveryKind::PipelineFinished,
        _ => return None,
    };
    let conclusion = run.plain_text("conclusion");
    let took = run.instant("updated_at").zip(run.instant("run_started_at"));
    let finished = kind == DeliveryKind::PipelineFinished;
    Some(Delivery {
        kind,
        project,
        environment: None,
        run_id: run.id("id"),
        name: run.plain_text("name").or_else(|| run.plain_text("display_title")),
        version: run.plain_text("head_sha"),
        outcome: outcome_of(conclusion.as_deref().unwrap_or_default()),
        status: conclusion.or_else(|| run.plain_text("status")),
        actor: login(run.inner("triggering_actor").or_else(|| run.inner("actor")), record),
        duration_ms: took.filter(|_| finished).map(|(to, from)| (to - from).num_milliseconds().max(0)),
    })
}

fn deployment(record: &Fields<'_>, project: String) -> Option<Delivery> {
    let deployment = record.inner("deployment")?;
    Some(Delivery {
        kind: DeliveryKind::DeploymentStarted,
        project,
        environment: deployment.plain_text("environment"),
        run_id: deployment.id("id"),
        name: deployment.plain_text("task"),
        version: deployment.plain_text("sha"),
        status: record.plain_text("action"),
        actor: login(deployment.inner("creator"), record),
        outcome: Outcome::default(),
        duration_ms: None,
    })
}

fn deployment_status(record: &Fields<'_>, project: String) -> Option<Delivery> {
    let status = record.inner("deployment_status")?;
    let deployment = record.inner("deployment");
    let told = |name: &str| deployment.as_ref().and_then(|deployment| deployment.plain_text(name));
    let state = status.plain_text("state");
    let kind = match state.as_deref()? {
        "success" | "failure" | "error" | "inactive" => DeliveryKind::DeploymentFinished,
        _ => DeliveryKind::DeploymentStarted,
    };
    Some(Delivery {
        kind,
        project,
        environment: status.plain_text("environment").or_else(|| told("environment")),
        run_id: deployment.as_ref().and_then(|deployment| deployment.id("id")),
        name: told("task"),
        version: told("sha"),
        outcome: outcome_of(state.as_deref().unwrap_or_default()),
        status: state,
        actor: login(status.inner("creator"), record),
        duration_ms: None,
    })
}

/// Outcome of a conclusion or a state.
fn outcome_of(word: &str) -> Outcome {
    let status = match word {
        "success" | "neutral" | "skipped" | "inactive" => OutcomeStatus::Success,
        "failure" | "error" | "timed_out" | "startup_failure" | "cancelled" | "stale" => {
            OutcomeStatus::Failure
        }
        _ => OutcomeStatus::Unknown,
    };
    let code = (status == OutcomeStatus::Failure).then(|| word.to_owned());
    Outcome { status, code, message: None }
}

fn login(party: Option<Fields<'_>>, record: &Fields<'_>) -> Option<Actor> {
    let party = party.or_else(|| record.inner("sender"))?;
    let id = party.plain_text("login")?;
    let is_program = party.plain_text("type").as_deref() == Some("Bot") || id.ends_with("[bot]");
    let kind = if is_program { ActorKind::ServiceAccount } else { ActorKind::User };
    Some(Actor { kind, id, ..Actor::default() })
}
