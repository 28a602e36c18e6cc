//! Responses for Amazon Data Firehose, which recognises success only by 200 and its own request id
//! (HTTP endpoint delivery request and response specifications, version 1.0).

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use edge::api_error::ApiError;
use http::{HeaderMap, StatusCode};
use schemas::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::handshake::Answered;

/// Maximum length of a request id that is returned, in bytes; Firehose's are UUIDs.
const MAX_ID_BYTES: usize = 128;

/// A request of Firehose.
#[derive(Debug)]
pub(super) struct Asked {
    request_id: String,
}

/// Response to Firehose.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delivered {
    /// Id of the request.
    request_id: String,
    /// Milliseconds since 1970.
    timestamp: i64,
    /// The reason why nothing, or not all, was stored; Firehose writes it to its error log.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

impl Asked {
    /// The Firehose request with these headers, if it is one.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let id = headers.get("x-amz-firehose-request-id")?.to_str().ok()?;
        (1..=MAX_ID_BYTES).contains(&id.len()).then(|| Self { request_id: id.to_owned() })
    }

    /// 200 if every valid record was stored; otherwise the problem's status and text. A rejected record is
    /// only logged by the gateway, because Firehose would send the whole request again.
    pub(super) fn answer(self, answered: Result<Response, ApiError>, now: Timestamp) -> Response {
        let (status, error_message) = match answered {
            Ok(_) => (StatusCode::OK, None),
            Err(refusal) => {
                let problem = refusal.problem();
                let status =
                    StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (status, Some(problem.detail.clone()))
            }
        };
        let delivered =
            Delivered { request_id: self.request_id, timestamp: now.timestamp_millis(), error_message };
        (status, Json(Answered::Firehose(delivered))).into_response()
    }
}
