//! `POST /api/v1/sources/github-webhook/{tenant}`: GitHub webhooks, authenticated by their signature.
//!
//! GitHub sends no API key. The path names the tenant, and the body's signature proves that the sender has
//! one of the tenant's secrets; the body is not parsed before that. Deliveries are not subject to the rate
//! limit, because GitHub does not retry rejected ones, but to their tenant's quota; memory for bodies whose
//! signature is not yet checked has a budget of its own, by tenant and address.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Extension,
    extract::{Path, Request, State, rejection::PathRejection},
    response::Response,
};
use bytes::Bytes;
use chrono::Utc;
use edge::{
    api_error::ApiError,
    peer::{Network, Peer},
    service::Traces,
    trail::Refusal,
};
use http::{HeaderMap, HeaderName, header};
use percent_encoding::percent_decode;
use schemas::{
    Envelope, TenantId, Timestamp, codec,
    problem::{Problem, ProblemKind},
};
use tokio::time::Instant;

use super::{
    App,
    authority::Authority,
    body::{self, Sent},
    encoding::ContentEncoding,
    media,
    reading::{self, Weight},
    settle::{self, Count, Published, Rejected},
    shares::{Charge, Holder},
    signature::Signature,
    sources::{self, RecordCounts},
};
use crate::{
    kafka::MAX_RECORD_BYTES,
    sources::{Mapped, SourceFormat, github::webhook::Delivery},
};

const EVENT: HeaderName = HeaderName::from_static("x-github-event");
/// Sender of the webhooks, as events name it.
const SENDER: &str = "github-webhook";
/// Class of the routes of webhooks, as events name it.
const CLASS: &str = "webhooks";
const DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");

/// Publish a GitHub webhook.
///
/// The body is signed with one of the tenant's configured secrets (`X-Hub-Signature-256` over the body as
/// sent); either content type of the webhook works, and every event is accepted. `X-GitHub-Delivery` is the
/// event's id: a redelivery is recognised as a duplicate.
#[utoipa::path(
    post,
    path = "/api/v1/sources/github-webhook/{tenant}",
    operation_id = "receive_github_webhook",
    tag = "sources",
    params(
        ("tenant" = String, Path, description = "Tenant of the webhook"),
        ("X-Hub-Signature-256" = String, Header, description = "`sha256=` and 64 lower-case hexadecimal digits"),
        ("X-GitHub-Event" = String, Header, description = "The event's name"),
        ("X-GitHub-Delivery" = String, Header, description = "The delivery's GUID"),
    ),
    request_body(
        content((serde_json::Value = "application/json"), (String = "application/x-www-form-urlencoded")),
        description = "The payload, as JSON or as the field `payload` of a form"
    ),
    responses(
        (status = 202, description = "stored", body = Published),
        (status = 400, description = "not a JSON object, over a limit, or a header missing", body = Problem,
            content_type = "application/problem+json"),
        (status = 401, description = "signature missing, malformed or wrong, or tenant unknown", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "media type or encoding not supported", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "the event's time is out of range", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "too many wrong signatures from this address", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Kafka or the gateway is unavailable", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn publish(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(traces): Extension<Traces>,
    tenant: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let named = tenant.map_or_else(|_| String::new(), |Path(tenant)| tenant);
    let address = app.admission.client(peer, &parts.headers);
    let claimed = app.config.github.tenant(&named);
    let unproven = |detail: &str| {
        if let Some(tenant) = &claimed {
            let refusal = Refusal::of_webhook(tenant, SENDER, CLASS, address);
            app.config.tenants.trail.refused(refusal, Utc::now());
        }
        let failed = app.admission.login_failed(peer, &parts.headers);
        failed.map_or_else(|refused| refused, |()| ApiError::new(ProblemKind::Unauthenticated, detail))
    };
    let signature = Signature::of(&parts.headers).map_err(&unproven)?;
    let network = Network::from(address);
    let patience = app.patience(most_bytes(&app, &parts.headers));
    let sent = body::read(&parts.headers, body, unproven_charge(&app, &named, network), patience).await;
    let sent = sent.map_err(|refused| stalled(&app, refused, peer, &parts.headers))?;
    let deadline = Instant::now() + app.config.timeouts.handler;
    let sender = Sender { app: Arc::clone(&app), named, signature };
    let (sent, tenant) = sender.verify(sent, deadline).await?;
    let tenant = tenant.ok_or_else(|| {
        unproven(
            "the signature does not match this body; check the webhook's secret and the tenant in its URL",
        )
    })?;
    app.quotas.take_request(&tenant)?;
    app.quotas.take_content(&tenant, 1, sent.bytes.len())?;
    let read = read(&app, &parts.headers, (tenant, sent), deadline).await;
    let ((event, counts), _charge) =
        read.inspect_err(|refusal| sources::report_refusal(SourceFormat::GithubWebhook, refusal))?;
    let event = Authority::Webhook
        .authorise(event, Utc::now())
        .map(|event| traces.around(event))
        .map_err(|detail| Rejected::new(0, ProblemKind::Forbidden, &detail));
    let settled = settle::publish(&app, vec![event], traces.hop.as_ref(), deadline).await;
    sources::report(SourceFormat::GithubWebhook, &settled);
    Ok(settled.counted(counts).answer(Count::One))
}

/// Reads a delivery whose signature holds.
async fn read(
    app: &Arc<App>,
    headers: &HeaderMap,
    (tenant, sent): (TenantId, Sent),
    deadline: Instant,
) -> Result<((Envelope, RecordCounts), Charge), ApiError> {
    let form = Form::of(headers)?;
    let received = Received { delivery: delivery_of(headers)?, form, tenant, now: Utc::now() };
    let encoding = ContentEncoding::of(headers)?;
    received.read(app, encoding, sent, deadline).await
}

/// The charge for an unauthenticated body: to the tenant that it names and the address that it comes from, or
/// to the address alone if the tenant is unknown.
fn unproven_charge(app: &App, named: &str, network: Network) -> Charge {
    match app.config.github.tenant(named) {
        Some(tenant) => {
            app.unproven.charge(vec![Holder::Tenant(tenant.clone()), Holder::TenantAt(tenant, network)])
        }
        None => app.strangers.charge(vec![Holder::Stranger(network)]),
    }
}

/// A body that stalls counts against its address, as a wrong signature does.
fn stalled(app: &App, refused: ApiError, peer: Peer, headers: &HeaderMap) -> ApiError {
    if refused.problem().slug() != ProblemKind::RequestTimeout.slug() {
        return refused;
    }
    app.admission.login_failed(peer, headers).err().unwrap_or(refused)
}

/// Maximum size of a body. A form has up to three bytes for each byte of its payload; what an address may hold
/// before its signature is checked is a limit, too.
fn most_bytes(app: &App, headers: &HeaderMap) -> usize {
    let limits = &app.config.limits;
    match Form::of(headers) {
        Ok(Form::UrlEncoded) => (3 * MAX_RECORD_BYTES).min(limits.unproven_bytes / 8).max(limits.body_bytes),
        _ => limits.body_bytes,
    }
}

/// Sender that a request claims.
struct Sender {
    app: Arc<App>,
    named: String,
    signature: Signature,
}

impl Sender {
    /// The tenant, if the signature matches the body as sent.
    async fn verify(self, sent: Sent, deadline: Instant) -> Result<(Sent, Option<TenantId>), ApiError> {
        let weight = Weight::of(ContentEncoding::Identity, &sent.bytes);
        let (app, holder) = (Arc::clone(&self.app), sent.charge.holder().clone());
        let work = move || {
            let tenant = self.app.config.github.verify(&self.named, &self.signature, &sent.bytes);
            Ok((sent, tenant))
        };
        reading::run(&app.unproven, &holder, weight, deadline, work).await
    }
}

/// Headers of a delivery, known before its body is read.
struct Received {
    form: Form,
    delivery: Delivery,
    tenant: TenantId,
    now: Timestamp,
}

impl Received {
    /// Reads the rest; the body now counts against the budget of known senders.
    async fn read(
        self,
        app: &Arc<App>,
        encoding: ContentEncoding,
        sent: Sent,
        deadline: Instant,
    ) -> Result<((Envelope, RecordCounts), Charge), ApiError> {
        let Sent { bytes, charge } = sent;
        let mut proven = app.charge(&self.tenant);
        proven.grow(bytes.len())?;
        drop(charge);
        let sent = Sent { bytes, charge: proven };
        reading::decoded(app, encoding, sent, deadline, move |body| self.map(body)).await
    }

    fn map(&self, body: &Bytes) -> Result<(Envelope, RecordCounts), ApiError> {
        let invalid = |detail: &str| ApiError::new(ProblemKind::InvalidJson, detail);
        let payload = match self.form {
            Form::Json => Cow::Borrowed(body.as_ref()),
            Form::UrlEncoded => {
                Cow::Owned(payload_of(body).ok_or_else(|| invalid("the form has no payload"))?)
            }
        };
        if payload.len() > MAX_RECORD_BYTES {
            let detail = format!("the payload has more than {MAX_RECORD_BYTES} bytes");
            return Err(ApiError::new(ProblemKind::EventTooLarge, detail));
        }
        let text = std::str::from_utf8(&payload).map_err(|_| invalid("the payload is not UTF-8"))?;
        let mapped = crate::sources::github::webhook::map_delivery(&self.tenant, text, &self.delivery);
        let Mapped { envelope, oddities } =
            mapped.map_err(|_| invalid("the payload is not one valid JSON object"))?;
        codec::check(&envelope, self.now).map_err(|bad| ApiError::new(bad.why.problem(), bad.detail))?;
        let mut counts = RecordCounts { records: 1, ..RecordCounts::default() };
        counts.count(oddities);
        Ok((envelope, counts))
    }
}

/// Format of a payload, by the webhook's content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    /// `application/x-www-form-urlencoded`: the JSON is the field `payload`.
    UrlEncoded,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let value =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Ok(Self::UrlEncoded);
        }
        media::check_json(headers).map(|()| Self::Json)
    }
}

/// The field `payload` of a form, decoded.
fn payload_of(body: &[u8]) -> Option<Vec<u8>> {
    let field = body.split(|byte| *byte == b'&').find_map(|field| field.strip_prefix(b"payload="))?;
    let spaced: Vec<u8> = field.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Some(percent_decode(&spaced).collect())
}

fn delivery_of(headers: &HeaderMap) -> Result<Delivery, ApiError> {
    let one = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let (value, more) = (values.next(), values.next());
        value.filter(|_| more.is_none()).and_then(|value| value.to_str().ok())
    };
    let invalid = |detail: &str| ApiError::new(ProblemKind::InvalidRequest, detail);
    let id = one(&DELIVERY).ok_or_else(|| invalid("there must be one X-GitHub-Delivery header"))?;
    let event = one(&EVENT).ok_or_else(|| invalid("there must be one X-GitHub-Event header"))?;
    Delivery::new(id, event).map_err(|error| invalid(&error.to_string()))
}
