//! The event of a decision.

use edge::{api_error::ApiError, service::Traces};
use policies::Decision;
use schemas::{
    Envelope, Event, EventId, Native, Source, Timestamp,
    access::Principal,
    changes::budget_verdicts::BudgetVerdict,
    codec,
    envelope::native_format,
    events::{Activity, ActivityKind, Outcome, OutcomeStatus, Resource},
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::warn;

use super::{Decided, DecisionCounts, Mode, Question};
use crate::gateway::{
    App,
    settle::{self, Count},
};

/// A decision whose response is pending.
pub(super) struct Trace<'a> {
    pub(super) principal: &'a Principal,
    pub(super) traces: &'a Traces,
    pub(super) question: &'a Question,
    pub(super) decided: &'a Decided,
    /// With what budgets say.
    pub(super) decision: Decision,
    pub(super) budgets: Option<&'a [BudgetVerdict]>,
    pub(super) mode: Mode,
    pub(super) at: Timestamp,
}

/// The native record of a decision's event.
#[derive(Serialize)]
struct DecisionRecord<'a> {
    decision: &'static str,
    mode: &'static str,
    kind: &'static str,
    policy_set: &'a str,
    waivers: Option<String>,
    input_sha256: String,
    counts: DecisionCounts,
    reasons: &'a RawValue,
    reasons_total: usize,
    incomplete: Option<&'static str>,
    budgets: Option<&'a [BudgetVerdict]>,
}

impl Trace<'_> {
    /// Publishes the event and returns its id: in `block` mode once Kafka acknowledged it.
    pub(super) async fn publish(&self, app: &App, deadline: Instant) -> Result<String, ApiError> {
        let event = self.event();
        let id = event.id.to_string();
        codec::check(&event, self.at).map_err(|bad| ApiError::new(bad.why.problem(), bad.detail))?;
        let event = self.traces.around(event);
        match self.mode {
            Mode::Block => {
                let settled = settle::publish(app, vec![Ok(event)], self.traces.hop.as_ref(), deadline).await;
                settled.outcome(Count::One).map(|_| id)
            }
            Mode::Advise => {
                match app.publisher.publish_unawaited(&event, self.traces.hop.as_ref()) {
                    // The producer's queue bounds how many wait.
                    Ok(delivery) => drop(tokio::spawn(async move {
                        if let Err(error) = delivery.await {
                            unlogged(&error);
                        }
                    })),
                    Err(error) => unlogged(&error),
                }
                Ok(id)
            }
        }
    }

    fn event(&self) -> Envelope {
        let Self { principal, question, decided, decision, budgets, mode, at, .. } = self;
        let native = DecisionRecord {
            decision: decision.name(),
            mode: mode.name(),
            kind: decided.kind,
            policy_set: &decided.policy_set,
            waivers: decided.waivers.map(|version| hexadecimal(&version)),
            input_sha256: hexadecimal(&question.sha256),
            counts: decided.counts,
            reasons: &decided.reasons_json,
            reasons_total: decided.reasons_total,
            incomplete: decided.incomplete,
            budgets: *budgets,
        };
        let native = serde_json::to_string(&native).expect("a record holds only texts and numbers");
        let over = budgets.iter().copied().flatten().map(|verdict| verdict.reason.clone());
        let incomplete = decided.incomplete.map(ToOwned::to_owned);
        let resource = decided.resource.as_ref().map(|(kind, address)| Resource {
            kind: Some(kind.clone()),
            id: address.clone(),
            project: question.project.clone(),
            ..Resource::default()
        });
        Envelope {
            id: EventId::at(*at, rand::random()),
            tenant: principal.tenant().clone(),
            source: Source::new("weir:policy").expect("a URI without spaces"),
            subject: question.change_id.clone(),
            correlation_id: question.change_id.clone(),
            occurred_at: *at,
            skewed: false,
            time_assumed: false,
            original_id: None,
            causation_id: None,
            trace: None,
            event: Event::Activity(Activity {
                kind: ActivityKind::ApiCalled,
                action: "EvaluatePolicy".into(),
                service: Some("weir".into()),
                actor: principal.actor(),
                resources: resource.into_iter().collect(),
                outcome: Outcome {
                    status: OutcomeStatus::Success,
                    code: Some(decision.name().into()),
                    message: decided.lines("deny").chain(over).chain(incomplete).next(),
                },
                read_only: Some(true),
                request_id: None,
            }),
            native: Some(Native { format: native_format::POLICY_DECISION.into(), record: native.into() }),
        }
    }
}

fn unlogged(error: &dyn std::fmt::Display) {
    warn!(%error, "a decision in advise mode was answered without its event");
    metrics::counter!("weir_policy_decisions_unlogged_total").increment(1);
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}
