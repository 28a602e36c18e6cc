//! Handshakes of senders: permission to deliver, and confirmation of subscriptions.
//!
//! Okta's event hooks, the abuse protection of web hooks (CloudEvents, HTTP 1.1 Web Hooks for Event Delivery
//! 1.0.2, section 4), Azure Event Grid's validation and Amazon SNS's confirmation. None of them grants
//! access: events still need their credential.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use edge::api_error::ApiError;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use schemas::problem::{Problem, ProblemKind};
use serde::{Deserialize, Serialize};
use tracing::warn;
use utoipa::ToSchema;

use super::{App, firehose::Delivered, sources::format_of};
use crate::sources::SourceFormat;

/// Answer the verification of an event hook.
///
/// Okta asks once, when a hook is set up, whether its receiver is ready; the value of
/// `X-Okta-Verification-Challenge` is returned.
#[utoipa::path(
    get,
    path = "/api/v1/sources/{source}",
    operation_id = "verify_source",
    tag = "sources",
    params(
        ("source" = String, Path, description = "`okta`"),
        ("X-Okta-Verification-Challenge" = String, Header, description = "The challenge to return"),
    ),
    responses(
        (status = 200, description = "the challenge", body = Verified),
        (status = 400, description = "no challenge", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such source", body = Problem, content_type = "application/problem+json"),
        (status = 405, description = "the source supports only POST", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn verify(
    source: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<Verified>, ApiError> {
    let format = format_of(source.as_ref().map_or("", |Path(source)| source))?;
    if format != SourceFormat::OktaSystemLog {
        let detail = format!("records are posted to /api/v1/sources/{}", format.slug());
        return Err(ApiError::new(ProblemKind::MethodNotAllowed, detail));
    }
    let challenge = headers.get("x-okta-verification-challenge").and_then(|value| value.to_str().ok());
    match challenge.filter(|text| (1..=MAX_CHALLENGE_BYTES).contains(&text.len())) {
        Some(challenge) => Ok(Json(Verified { verification: challenge.to_owned() })),
        None => Err(ApiError::new(
            ProblemKind::InvalidRequest,
            "a GET answers Okta's X-Okta-Verification-Challenge; records are posted",
        )),
    }
}

/// Response to the verification of an event hook.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Verified {
    /// The challenge.
    verification: String,
}

/// Maximum length of a challenge, in bytes.
const MAX_CHALLENGE_BYTES: usize = 1024;

const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");
/// Maximum length of an origin, in bytes.
const MAX_ORIGIN_BYTES: usize = 253;

/// Permit a sender of events.
///
/// Senders that follow CloudEvents' specification of web hooks (Azure Event Grid is one) ask once whether
/// they may deliver. Any valid credential may.
#[utoipa::path(
    options,
    path = "/api/v1/events",
    tag = "events",
    params(
        ("WebHook-Request-Origin" = String, Header, min_length = 1, max_length = 253,
            description = "The sender's DNS name"),
    ),
    responses(
        (status = 200, description = "permitted, if the deliveries carry a credential",
            headers(
                ("WebHook-Allowed-Origin" = String, description = "the sender's name again"),
                ("WebHook-Allowed-Rate" = String, description = "requests a minute for one credential, or `*`"),
            )),
        (status = 400, description = "no origin", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn permit_events(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    permission(&app, &headers)
}

/// Permit a sender of records.
///
/// The same as for events.
#[utoipa::path(
    options,
    path = "/api/v1/sources/{source}",
    tag = "sources",
    params(
        ("source" = String, Path, description = "The source"),
        ("WebHook-Request-Origin" = String, Header, min_length = 1, max_length = 253,
            description = "The sender's DNS name"),
    ),
    responses(
        (status = 200, description = "permitted, if the deliveries carry a credential",
            headers(
                ("WebHook-Allowed-Origin" = String, description = "the sender's name again"),
                ("WebHook-Allowed-Rate" = String, description = "requests a minute for one credential, or `*`"),
            )),
        (status = 400, description = "no origin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "no such source", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn permit_records(
    State(app): State<Arc<App>>,
    source: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    format_of(source.as_ref().map_or("", |Path(source)| source))?;
    permission(&app, &headers)
}

fn permission(app: &App, headers: &HeaderMap) -> Result<Response, ApiError> {
    let origin = headers
        .get(REQUEST_ORIGIN)
        .filter(|value| (1..=MAX_ORIGIN_BYTES).contains(&value.len()) && value.to_str().is_ok())
        .ok_or_else(|| {
            let detail =
                "an OPTIONS answers WebHook-Request-Origin, the DNS name of a sender; events are posted";
            ApiError::new(ProblemKind::InvalidRequest, detail)
        })?;
    let rate = app.config.rates.per_key_per_minute.map_or_else(|| "*".to_owned(), |rate| rate.to_string());
    let mut response = StatusCode::OK.into_response();
    let answer = response.headers_mut();
    answer.insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
    answer.insert(ALLOWED_ORIGIN, origin.clone());
    answer.insert(ALLOWED_RATE, HeaderValue::from_str(&rate).expect("digits or a star"));
    Ok(response)
}

/// Response in the form of a specific sender.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Answered {
    /// Amazon Data Firehose.
    Firehose(Delivered),
    /// Validation of an Azure Event Grid subscription.
    #[serde(rename_all = "camelCase")]
    Validation {
        /// The validation code that it sent.
        validation_response: String,
    },
    /// Confirmation of an Amazon SNS subscription.
    #[serde(rename_all = "camelCase")]
    Confirmation {
        /// Address that an operator opens once to confirm; Weir never opens it.
        subscribe_url: String,
        /// ARN of the topic.
        topic_arn: String,
    },
}

/// A handshake request, which holds no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// `aeg-event-type: SubscriptionValidation`
    EventGrid,
    /// `x-amz-sns-message-type: SubscriptionConfirmation`
    Sns,
}

impl Question {
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let is = |name: &str, value: &str| headers.get(name).is_some_and(|told| told == value);
        match () {
            () if is("aeg-event-type", "SubscriptionValidation") => Some(Self::EventGrid),
            () if is("x-amz-sns-message-type", "SubscriptionConfirmation") => Some(Self::Sns),
            () => None,
        }
    }

    pub(super) fn answer(self, body: &[u8]) -> Result<Response, ApiError> {
        let wrong = |error: serde_json::Error| {
            let detail = format!("the body is not what its headers say: {error}");
            ApiError::new(ProblemKind::InvalidRequest, detail)
        };
        let answered = match self {
            Self::EventGrid => {
                let [Validation { data }] = serde_json::from_slice(body).map_err(wrong)?;
                Answered::Validation { validation_response: data.validation_code }
            }
            Self::Sns => {
                let Confirmation { subscribe_url, topic_arn } =
                    serde_json::from_slice(body).map_err(wrong)?;
                if !is_of_amazon(&subscribe_url) {
                    let detail = "the SubscribeURL is not one of Amazon's; is this really SNS?";
                    return Err(ApiError::new(ProblemKind::InvalidRequest, detail));
                }
                // It lets nobody in: it only makes the topic send what it has to this gateway.
                warn!(topic_arn, subscribe_url, "SNS waits for a confirmation; open the URL once to confirm");
                Answered::Confirmation { subscribe_url, topic_arn }
            }
        };
        Ok(Json(answered).into_response())
    }
}

#[derive(Deserialize)]
struct Validation {
    data: ValidationData,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValidationData {
    validation_code: String,
}

#[derive(Deserialize)]
struct Confirmation {
    #[serde(rename = "SubscribeURL")]
    subscribe_url: String,
    #[serde(rename = "TopicArn")]
    topic_arn: String,
}

fn is_of_amazon(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let amazon = [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"];
    amazon.iter().any(|domain| host.ends_with(domain)) && !host.contains('@')
}
