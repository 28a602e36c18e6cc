//! Publishes the parsed events of a request, waits for every acknowledgement, and answers.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use chrono::Utc;
use edge::api_error::ApiError;
use futures_util::FutureExt;
use http::StatusCode;
use schemas::{Envelope, EventId, TraceContext, problem::ProblemKind};
use serde::Serialize;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};
use utoipa::ToSchema;

use super::{App, publisher::Delivery, send_queue::Queued, sources::RecordCounts};
use crate::kafka::{Acknowledged, DeliveryFailure, Health, SendError};

/// An event that Kafka acknowledged, with its position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// Index in the request, from 0.
    pub(super) index: usize,
    /// The event's id: a UUID, the publisher's own or derived from it.
    #[schema(format = "uuid")]
    pub(super) id: String,
    /// Topic it was written to.
    pub(super) topic: &'static str,
    /// Partition within the topic.
    pub(super) partition: i32,
    /// Offset within the partition.
    pub(super) offset: i64,
    /// Whether its time is more than five minutes ahead of the gateway's clock, so that the source's clock is
    /// wrong. Absent if not.
    #[serde(skip_serializing_if = "is_false")]
    pub(super) skewed: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// An event that was rejected and is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Rejected {
    /// Index in the request, from 0.
    pub(super) index: usize,
    /// Type of the problem.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Description of the fault.
    pub(super) detail: String,
    #[serde(skip)]
    reason: ProblemKind,
}

impl Rejected {
    pub(super) fn new(index: usize, reason: ProblemKind, detail: &str) -> Self {
        Self { index, kind: reason.uri(), detail: schemas::problem::printable(detail), reason }
    }

    /// The kind of problem.
    pub(super) fn reason(&self) -> ProblemKind {
        self.reason
    }
}

/// Whether events of a request are forbidden while the answer to it has another status than 403.
pub(super) fn hides_forbidden(events: &[Result<Envelope, Rejected>]) -> bool {
    let is_forbidden = |event: &Result<Envelope, Rejected>| {
        event.as_ref().is_err_and(|rejected| rejected.reason.status() == StatusCode::FORBIDDEN.as_u16())
    };
    // Of a request without a good event the first rejection is the answer.
    let told = events.iter().all(Result::is_err) && events.first().is_some_and(is_forbidden);
    !told && events.iter().any(is_forbidden)
}

/// Whether a request carries one event or a batch: the rejection of a single event is the response to the
/// request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    One,
    Many,
}

/// Response to a request of which at least one event was stored, and none is in doubt.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Published {
    /// Events that Kafka acknowledged.
    pub(super) accepted: Vec<Accepted>,
    /// Events that were rejected.
    pub(super) rejected: Vec<Rejected>,
    /// Counts of another system's records, and of what they lacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) counts: Option<RecordCounts>,
}

/// Events that are sent to Kafka and not acknowledged; their ids are logged if a shutdown leaves them behind.
#[derive(Debug, Default)]
pub(super) struct InHand(HashMap<EventId, usize>);

impl InHand {
    pub(super) fn ids(&self) -> impl Iterator<Item = &EventId> {
        self.0.keys()
    }
}

/// An event in flight to Kafka. Dropping it (the client disconnected) takes it out of the list; its place in the
/// send queue is free once it settles.
struct Underway<'a> {
    place: Place,
    waiting: Option<(Delivery, Queued)>,
    in_hand: &'a Mutex<InHand>,
}

/// Index of an event in its request.
#[derive(Debug, Clone, Copy)]
struct Place {
    index: usize,
    id: EventId,
    skewed: bool,
}

impl<'a> Underway<'a> {
    fn new(place: Place, waiting: (Delivery, Queued), in_hand: &'a Mutex<InHand>) -> Self {
        *lock(in_hand).0.entry(place.id).or_default() += 1;
        Self { place, waiting: Some(waiting), in_hand }
    }

    /// The outcome at the deadline at the latest.
    async fn outcome(&mut self, deadline: Instant) -> Result<Acknowledged, DeliveryFailure> {
        let Some((delivery, _)) = &mut self.waiting else { return Err(DeliveryFailure::TimedOut) };
        let outcome = match timeout_at(deadline, &mut *delivery).await {
            Ok(outcome) => Some(outcome),
            // Later ones may be there already.
            Err(_) => delivery.now_or_never(),
        };
        if outcome.is_some() {
            self.waiting = None;
        }
        outcome.unwrap_or(Err(DeliveryFailure::TimedOut))
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if let Some((delivery, queued)) = self.waiting.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                let _place = queued;
                delivery.await
            });
        }
        let mut in_hand = lock(self.in_hand);
        if let Some(times) = in_hand.0.get_mut(&self.place.id) {
            *times -= 1;
            if *times == 0 {
                in_hand.0.remove(&self.place.id);
            }
        }
    }
}

pub(super) fn lock(in_hand: &Mutex<InHand>) -> MutexGuard<'_, InHand> {
    in_hand.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Publishes the valid events and answers when all are acknowledged or failed, at the deadline at the latest.
pub(super) async fn publish(
    app: &App,
    events: Vec<Result<Envelope, Rejected>>,
    hop: Option<&TraceContext>,
    deadline: Instant,
) -> Settled {
    let mut settled = Settled::default();
    let underway = send(app, events, hop, &mut settled);
    for mut one in underway {
        let outcome = one.outcome(deadline).await;
        settled.take(one.place, outcome);
    }
    settled
}

fn send<'a>(
    app: &'a App,
    events: Vec<Result<Envelope, Rejected>>,
    hop: Option<&TraceContext>,
    settled: &mut Settled,
) -> Vec<Underway<'a>> {
    let (mut underway, now) = (Vec::with_capacity(events.len()), Utc::now());
    let (mut reachable, mut part) = (None, None);
    for (index, event) in events.into_iter().enumerate() {
        let envelope = match event {
            Ok(envelope) => envelope,
            Err(rejected) => {
                settled.published.rejected.push(rejected);
                continue;
            }
        };
        if settled.pending.is_some() {
            continue;
        }
        let health = reachable.get_or_insert_with(|| app.publisher.health());
        if *health != Health::Ready {
            settled.hold_back(ProblemKind::BrokerUnavailable);
            continue;
        }
        let part = part.get_or_insert_with(|| app.send_queue.part(&envelope.tenant));
        let Some(part) = part else {
            settled.hold_back(ProblemKind::QuotaExceeded);
            continue;
        };
        match app.publisher.publish(&envelope, hop) {
            Ok(delivery) => {
                let queued = Queued::new(part, delivery.bytes);
                let skewed = Envelope::is_ahead_of(envelope.occurred_at, now);
                let place = Place { index, id: envelope.id, skewed };
                underway.push(Underway::new(place, (delivery, queued), &app.in_hand));
            }
            Err(SendError::QueueFull) => settled.hold_back(ProblemKind::QueueFull),
            Err(SendError::Fatal(_)) => settled.hold_back(ProblemKind::BrokerUnavailable),
            Err(too_large @ SendError::TooLarge { .. }) => {
                settled.reject(index, ProblemKind::EventTooLarge, &too_large.to_string());
            }
        }
    }
    underway
}

/// Outcomes of a request's events.
#[derive(Debug, Default)]
pub(super) struct Settled {
    published: Published,
    /// The reason why some are neither stored nor rejected.
    pending: Option<ProblemKind>,
    /// Whether the brokers refuse events for want of a topic or a right.
    refused_by_broker: bool,
}

impl Settled {
    fn take(&mut self, place: Place, outcome: Result<Acknowledged, DeliveryFailure>) {
        let Place { index, id, skewed } = place;
        match outcome {
            Ok(Acknowledged { topic, partition, offset }) => self.published.accepted.push(Accepted {
                index,
                id: id.to_string(),
                topic: topic.name(),
                partition,
                offset,
                skewed,
            }),
            Err(failure @ DeliveryFailure::TooLarge) => {
                self.reject(index, ProblemKind::EventTooLarge, &failure.to_string());
            }
            Err(DeliveryFailure::TimedOut | DeliveryFailure::Stopped | DeliveryFailure::Fatal(_)) => {
                self.hold_back(ProblemKind::OutcomeUnknown);
            }
            Err(DeliveryFailure::Refused(_)) => {
                self.refused_by_broker = true;
                self.hold_back(ProblemKind::BrokerUnavailable);
            }
            // The client library may have sent it once before it gave up, but says "cannot be stored now".
            Err(_) => self.hold_back(ProblemKind::BrokerUnavailable),
        }
    }

    fn reject(&mut self, index: usize, reason: ProblemKind, detail: &str) {
        self.published.rejected.push(Rejected::new(index, reason, detail));
    }

    /// Keeps the reason that matters most to the publisher: an unknown outcome, otherwise the first one.
    fn hold_back(&mut self, reason: ProblemKind) {
        if self.pending.is_none() || reason == ProblemKind::OutcomeUnknown {
            self.pending = Some(reason);
        }
    }

    /// Number of stored events.
    pub(super) fn accepted(&self) -> usize {
        self.published.accepted.len()
    }

    /// Rejected events, in no order.
    pub(super) fn rejected(&self) -> &[Rejected] {
        &self.published.rejected
    }

    /// Adds counts of the records that the events were mapped from.
    pub(super) fn counted(mut self, counts: RecordCounts) -> Self {
        self.published.counts = Some(counts);
        self
    }

    /// 202 with the outcome of each event; or the error, as in [`Settled::outcome`].
    pub(super) fn answer(self, count: Count) -> Response {
        match self.outcome(count) {
            Ok(published) => (StatusCode::ACCEPTED, Json(published)).into_response(),
            Err(refusal) => refusal.into_response(),
        }
    }

    /// The stored events, if no outcome is unknown; otherwise 503 with the stored events, or, if none was
    /// stored, the first rejection.
    pub(super) fn outcome(mut self, count: Count) -> Result<Published, ApiError> {
        self.published.accepted.sort_by_key(|accepted| accepted.index);
        self.published.rejected.sort_by_key(|rejected| rejected.index);
        let Published { accepted, rejected, counts } = &mut self.published;
        if let Some(counts) = counts {
            (counts.accepted, counts.rejected) = (accepted.len(), rejected.len());
        }
        let mut refusal = match (self.pending, rejected.first()) {
            (Some(ProblemKind::BrokerUnavailable), _) if self.refused_by_broker => {
                ApiError::new(ProblemKind::BrokerUnavailable, refused_detail())
            }
            (Some(kind), _) => ApiError::new(kind, pending_detail(kind)),
            (None, Some(first)) if accepted.is_empty() => ApiError::new(first.reason, &first.detail),
            (None, _) => return Ok(self.published),
        };
        if count == Count::Many {
            let Published { accepted, rejected, .. } = &self.published;
            if !accepted.is_empty() {
                refusal = refusal.with_member("accepted", accepted);
            }
            if !rejected.is_empty() {
                refusal = refusal.with_member("rejected", rejected);
            }
        }
        Err(refusal)
    }
}

fn pending_detail(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::OutcomeUnknown => {
            "Kafka did not acknowledge in time: what is not listed as accepted may or may not be stored. \
             Send it again with the same ids; duplicates are recognised"
        }
        ProblemKind::QuotaExceeded => {
            "this tenant has too many events on their way to Kafka; send what is not listed as accepted again \
             in a moment, with the same ids"
        }
        ProblemKind::QueueFull => {
            "events arrive faster than Kafka takes them; send what is not listed as accepted again, \
             with the same ids"
        }
        _ => "Kafka cannot take events now; send what is not listed as accepted again, with the same ids",
    }
}

fn refused_detail() -> &'static str {
    "Kafka refuses what this service writes: a topic is missing, or the service lacks the right to write. \
     An operator must mend that; the service's log names the topic. Then send what is not listed as accepted \
     again, with the same ids"
}
