//! `POST /api/v1/sources/{source}`: records of other systems, mapped as by `weir import`.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chrono::Utc;
use edge::{access::CallerAddress, api_error::ApiError, service::Traces};
use http::{StatusCode, request::Parts};
use schemas::{
    Envelope,
    access::Principal,
    codec,
    problem::{Problem, ProblemKind},
};
use serde::Serialize;
use tokio::time::Instant;
use tracing::warn;
use utoipa::ToSchema;

use super::{
    App,
    authority::Authority,
    body::{self, Sent},
    encoding::ContentEncoding,
    firehose, handshake, media, reading,
    settle::{self, Count, Published, Rejected, Settled},
    shares::Charge,
};
use crate::sources::{Oddities, Received, SourceFormat};

mod charges;
mod parsed;

use parsed::{Records, Source};

/// Maximum number of records in one request, the same as of events in a batch.
const MAX_RECORDS: usize = codec::json::MAX_BATCH;

/// Counts of a request's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub(super) struct RecordCounts {
    /// Records in the body.
    pub(super) records: usize,
    /// Records that Kafka acknowledged.
    pub(super) accepted: usize,
    /// Records that were rejected; each is listed with its index.
    pub(super) rejected: usize,
    /// Records without an id that the source guarantees to be unique; their id is derived from the content.
    pub(super) ids_derived: usize,
    /// Records without a readable time of their own.
    pub(super) times_assumed: usize,
    /// Records with a field of a wrong type or length, or without an actor. Such event fields are left empty;
    /// the native record keeps them.
    pub(super) fields_empty: usize,
}

impl RecordCounts {
    pub(super) fn count(&mut self, oddities: Oddities) {
        self.ids_derived += usize::from(oddities.id_derived);
        self.times_assumed += usize::from(oddities.time_assumed);
        self.fields_empty += usize::from(oddities.fields_empty);
    }
}

/// Publish another system's records.
///
/// A body holds one record, an array, one record per line, or the list that the system itself sends (an
/// `EventList`, a `Records` object, Azure's `records`), up to 10,000 records of 1,000,000 bytes each. Records
/// are unwrapped from EventBridge, CloudWatch Logs, Firehose, Kinesis, SNS, Pub/Sub, Event Grid, Okta's event
/// hooks and log shippers. Every record becomes one event and is kept verbatim; unknown kinds of records are
/// accepted.
///
/// The response is 202 once Kafka has acknowledged every valid record; the others are listed. Ids are the
/// records' own or derived from their content, so that after 503, or no response, the same request can be
/// sent again.
///
/// Some senders expect a response of their own and get it, with 200: Amazon Data Firehose
/// (`X-Amz-Firehose-Request-Id`), the validation of an Event Grid subscription (`aeg-event-type`) and the
/// confirmation of an SNS subscription (`x-amz-sns-message-type`).
#[utoipa::path(
    post,
    path = "/api/v1/sources/{source}",
    operation_id = "publish_records",
    tag = "sources",
    security(("api_key" = ["events:write"])),
    params(
        ("source" = String, Path, description = "The source"),
        ("known_at" = Option<String>, Query, format = DateTime,
            description = "For `focus`: time at which the issuer published the charges; overrides the rows' own"),
        ("replaces" = Option<String>, Query,
            description = "For `focus`: `billing_period` if the charges replace all earlier ones of the same provider, \
                           billing account and billing period"),
        ("part" = Option<String>, Query, min_length = 1, max_length = 200,
            description = "For `focus`: name of this part of a delivery that is sent in several requests. Equal charges in \
                           parts of different names are different charges; send a part again with its name"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description = "Records"),
    responses(
        (status = 200, description = "the response that the sender expects instead of 202", body = handshake::Answered),
        (status = 202, description = "stored; at least one accepted, or it was a test of the connection",
            body = Published),
        (status = 400, description = "not JSON, truncated, without a record, or over a limit", body = Problem,
            content_type = "application/problem+json"),
        (status = 401, description = "no valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "scope missing", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such source", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "body, number of records or a record too large", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "media type or encoding not supported", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "no record is one of this source, or times are out of range", body = Problem,
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
    source: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let format = format_of(source.as_ref().map_or("", |Path(source)| source))?;
    let (parts, body) = request.into_parts();
    let asked = firehose::Asked::of(&parts.headers);
    let publishing = Publishing { app, principal, address, traces, format };
    match asked {
        Some(asked) => Ok(asked.answer(publishing.publish(parts, body).await, Utc::now())),
        None => publishing.publish(parts, body).await,
    }
}

/// The records of a request while they are published.
struct Publishing {
    app: Arc<App>,
    principal: Arc<Principal>,
    address: IpAddr,
    traces: Traces,
    format: SourceFormat,
}

impl Publishing {
    async fn publish(self, parts: Parts, body: Body) -> Result<Response, ApiError> {
        if let Some(question) = handshake::Question::of(&parts.headers) {
            return question.answer(&self.receive(&parts, body).await?.sent.bytes);
        }
        let read = self.read(&parts, body).await;
        let Self { app, principal, address, traces, format } = self;
        let Held { records, charge: _charge, deadline } =
            read.inspect_err(|refusal| report_refusal(format, refusal))?;
        let Records { events, counts, .. } = records;
        let authorised = |(index, event): (usize, Result<Envelope, Rejected>)| {
            // Not when the head came: others may have decided since.
            let event = Authority::Principal(&principal).authorise(event?, Utc::now());
            let denied = |detail: String| Rejected::new(index, ProblemKind::Forbidden, &detail);
            event.map(|event| traces.around(event)).map_err(denied)
        };
        let events: Vec<_> = events.into_iter().enumerate().map(authorised).collect();
        app.note_forbidden(&principal, address, &events);
        let settled = settle::publish(&app, events, traces.hop.as_ref(), deadline).await;
        report(format, &settled);
        let published = settled.counted(counts).outcome(Count::Many)?;
        Ok((StatusCode::ACCEPTED, Json(published)).into_response())
    }

    /// The body as sent, within the limits.
    async fn receive(&self, parts: &Parts, body: Body) -> Result<Arrived, ApiError> {
        let form = if self.format == SourceFormat::Focus {
            charges::form_of(parts)?
        } else {
            media::check_records(&parts.headers)?;
            Form::Records
        };
        let encoding = ContentEncoding::of(&parts.headers)?;
        let (app, tenant) = (&self.app, self.principal.tenant());
        app.quotas.take_request(tenant)?;
        let patience = app.patience(app.config.limits.records_bytes);
        let sent = body::read(&parts.headers, body, app.charge(tenant), patience).await?;
        Ok(Arrived { form, encoding, sent })
    }

    /// The records of the body.
    async fn read(&self, parts: &Parts, body: Body) -> Result<Held, ApiError> {
        let now = Utc::now();
        let Arrived { form, encoding, sent } = self.receive(parts, body).await?;
        let deadline = Instant::now() + self.app.config.timeouts.handler;
        let (format, tenant) = (self.format, self.principal.tenant().clone());
        let unpacked_bytes = self.app.config.limits.decoded_bytes;
        let parse = move |body: &Bytes, charge: &mut Charge| {
            let source = Source { format, tenant: &tenant, now, unpacked_bytes };
            let records = match form {
                Form::Records => source.read(body, &mut |more| charge.grow(more))?,
                Form::Charges(form) => charges::read(&tenant, body, form, now)?,
            };
            let bytes = body.len() + records.unpacked_bytes;
            Ok((records, bytes))
        };
        let ((records, bytes), charge) =
            reading::unpacked(&self.app, encoding, sent, deadline, parse).await?;
        self.app.quotas.take_content(self.principal.tenant(), records.events.len(), bytes)?;
        Ok(Held { records, charge, deadline })
    }
}

/// A body as sent, and how to read it.
struct Arrived {
    form: Form,
    encoding: ContentEncoding,
    sent: Sent,
}

/// The records of a body, while their memory is charged.
struct Held {
    records: Records,
    charge: Charge,
    /// Time limit for Kafka's acknowledgements.
    deadline: Instant,
}

/// The format with that name in `weir import`.
pub(super) fn format_of(source: &str) -> Result<SourceFormat, ApiError> {
    let unknown = |detail: &str| Err(ApiError::new(ProblemKind::NotFound, detail));
    match SourceFormat::from_slug(source) {
        Some(format) if format.row().received == Received::WithKey => Ok(format),
        Some(format) => unknown(&format!(
            "the tenant is missing: the webhook's URL ends with /{}/ and the tenant",
            format.slug()
        )),
        None => unknown(&format!("there is no such source; there are {}", slugs())),
    }
}

/// Paths below `/api/v1/sources/`.
fn slugs() -> String {
    let path = |format: &SourceFormat| match format.row().received {
        Received::WithKey => format.slug().to_owned(),
        Received::Signed => format!("{}/{{tenant}}", format.slug()),
    };
    SourceFormat::ALL.iter().map(path).collect::<Vec<_>>().join(", ")
}

/// The sources that accept records with an API key, one per line, for the OpenAPI description.
pub(super) fn described() -> String {
    let with_key = SourceFormat::ALL.iter().filter(|format| format.row().received == Received::WithKey);
    let line = |format: &SourceFormat| format!("- `{}`: {}", format.slug(), format.row().takes);
    with_key.map(line).collect::<Vec<_>>().join("\n")
}

/// Problems that are counted, of a record or of a request that is refused as a whole. Others, such as a used-up
/// share, have metrics of their own.
const REFUSALS: [ProblemKind; 14] = [
    ProblemKind::InvalidRequest,
    ProblemKind::InvalidEncoding,
    ProblemKind::InvalidJson,
    ProblemKind::JsonLimit,
    ProblemKind::InvalidEnvelope,
    ProblemKind::Forbidden,
    ProblemKind::RequestTimeout,
    ProblemKind::BodyTooLarge,
    ProblemKind::BatchTooLarge,
    ProblemKind::EventTooLarge,
    ProblemKind::UnsupportedMediaType,
    ProblemKind::UnsupportedEncoding,
    ProblemKind::InvalidEvent,
    ProblemKind::TimeOutOfRange,
];

/// Initialises every counter with 0, so that an alert on rejections sees the first one.
pub(super) fn announce() {
    for &format in SourceFormat::ALL {
        for outcome in REFUSALS.map(ProblemKind::slug).into_iter().chain(["accepted"]) {
            counter(format, outcome).increment(0);
        }
    }
}

fn counter(format: SourceFormat, outcome: &'static str) -> metrics::Counter {
    metrics::counter!("weir_source_records_total", "source" => format.name(), "outcome" => outcome)
}

/// Logs rejections, since many senders do not look at responses.
pub(super) fn report(format: SourceFormat, settled: &Settled) {
    counter(format, "accepted").increment(u64::try_from(settled.accepted()).unwrap_or(u64::MAX));
    for rejected in settled.rejected() {
        counter(format, rejected.reason().slug()).increment(1);
    }
    if let Some(first) = settled.rejected().first() {
        let rejected = settled.rejected().len();
        warn!(
            source = format.name(),
            rejected,
            first_index = first.index,
            first = first.detail,
            "records were refused"
        );
    }
}

/// Counts and logs a request that was refused as a whole, as one record.
pub(super) fn report_refusal(format: SourceFormat, refusal: &ApiError) {
    let problem = refusal.problem();
    let Some(kind) = REFUSALS.into_iter().find(|kind| kind.slug() == problem.slug()) else { return };
    counter(format, kind.slug()).increment(1);
    warn!(
        source = format.name(),
        outcome = kind.slug(),
        detail = problem.detail,
        "a request was refused with all of its records"
    );
}

/// Format of a request's records.
#[derive(Debug, Clone)]
enum Form {
    Records,
    Charges(charges::ChargeForm),
}

#[cfg(test)]
mod tests;
