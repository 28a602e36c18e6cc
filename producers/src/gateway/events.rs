//! `POST /api/v1/events`.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use chrono::Utc;
use edge::{access::CallerAddress, api_error::ApiError, service::Traces};
use http::{HeaderMap, header};
use schemas::{
    Envelope, Timestamp,
    access::Principal,
    codec::{Refusal as Unreadable, json},
    problem::{Problem, ProblemKind},
};
use tokio::time::Instant;

use super::{
    App,
    authority::Authority,
    body,
    encoding::ContentEncoding,
    media::ContentMode,
    reading,
    settle::{self, Count, Published, Rejected},
};

/// Publish events.
///
/// One event (`application/cloudevents+json`, or any type or none with `ce-*` headers) or a batch of up to
/// 10,000 (`application/cloudevents-batch+json`; an empty one is allowed), plain or compressed with gzip or
/// zstd. The response is 202 once Kafka has acknowledged every valid event; invalid ones are listed. After
/// 503, or no response, send the same events with the same ids again: duplicates are recognised.
#[utoipa::path(
    post,
    path = "/api/v1/events",
    operation_id = "publish_events",
    tag = "events",
    security(("api_key" = ["events:write"])),
    request_body(
        content(
            (serde_json::Value = "application/cloudevents+json"),
            (Vec<serde_json::Value> = "application/cloudevents-batch+json"),
            (serde_json::Value = "application/json"),
        ),
        description = "CloudEvents 1.0"
    ),
    responses(
        (status = 202, description = "stored; at least one accepted", body = Published),
        (status = 400, description = "not JSON, over a limit, or wrong attributes", body = Problem,
            content_type = "application/problem+json"),
        (status = 401, description = "no valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "scope or permission missing, or another tenant named", body = Problem,
            content_type = "application/problem+json"),
        (status = 408, description = "the body took too long", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "media type or encoding not supported", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "the event does not fit its schema or time", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "too many requests", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Kafka or the gateway is unavailable; lists the accepted events",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn publish(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Arc<Principal>>,
    Extension(CallerAddress(address)): Extension<CallerAddress>,
    Extension(traces): Extension<Traces>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let mode = ContentMode::of(&parts.headers)?;
    let encoding = ContentEncoding::of(&parts.headers)?;
    let tenant = principal.tenant().clone();
    app.quotas.take_request(&tenant)?;
    let patience = app.patience(app.config.limits.body_bytes);
    let sent = body::read(&parts.headers, body, app.charge(&tenant), patience).await?;
    let deadline = Instant::now() + app.config.timeouts.handler;
    let count = if mode == ContentMode::Batch { Count::Many } else { Count::One };
    let text = Text { mode, headers: parts.headers, principal: Arc::clone(&principal), now: Utc::now() };
    // The charge lives until the answer: the events are held as long.
    let parse = move |body: &Bytes| Ok((text.parse(body)?, body.len()));
    let ((events, bytes), _charge) = reading::decoded(&app, encoding, sent, deadline, parse).await?;
    app.quotas.take_content(&tenant, events.len(), bytes)?;
    app.note_forbidden(&principal, address, &events);
    let events = events.into_iter().map(|event| event.map(|event| traces.around(event))).collect();
    Ok(settle::publish(&app, events, traces.hop.as_ref(), deadline).await.answer(count))
}

/// Mode, headers and sender of a body, known before it is read.
struct Text {
    mode: ContentMode,
    headers: HeaderMap,
    principal: Arc<Principal>,
    now: Timestamp,
}

impl Text {
    fn authorise(&self, event: Envelope) -> Result<Envelope, String> {
        // Not when the body came: others may have decided since, and events of a batch stay in their order.
        Authority::Principal(&self.principal).authorise(event, Utc::now())
    }

    fn parse(&self, body: &Bytes) -> Result<Vec<Result<Envelope, Rejected>>, ApiError> {
        let (tenant, now) = (self.principal.tenant(), self.now);
        let one = |event: Result<Envelope, Unreadable>| {
            let event = self.authorise(event.map_err(refused)?);
            Ok(vec![Ok(event.map_err(|detail| ApiError::new(ProblemKind::Forbidden, detail))?)])
        };
        match self.mode {
            ContentMode::Structured => one(json::parse_structured(body, tenant, now)),
            ContentMode::Binary => {
                let content_type =
                    self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
                one(json::parse_binary(attributes(&self.headers), content_type, body, tenant, now))
            }
            ContentMode::Batch => {
                let events = json::parse_batch(body, tenant, now).map_err(refused)?.into_iter().enumerate();
                Ok(events
                    .map(|(index, event)| {
                        let event =
                            event.map_err(|bad| Rejected::new(index, bad.why.problem(), &bad.detail))?;
                        let denied = |detail: String| Rejected::new(index, ProblemKind::Forbidden, &detail);
                        self.authorise(event).map_err(denied)
                    })
                    .collect())
            }
        }
    }
}

/// The `ce-*` headers as attributes.
fn attributes(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?, value.as_bytes())))
}

fn refused(bad: Unreadable) -> ApiError {
    ApiError::new(bad.why.problem(), bad.detail)
}
