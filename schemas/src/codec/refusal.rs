//! Reasons for refusing an event: one list for HTTP responses to publishers and for parked records.

use super::DecodeError;
use crate::{
    ParkReason,
    problem::{ProblemKind, printable},
};

/// A refused event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// Class of the refusal.
    pub why: Why,
    /// Description for people: at most 2,000 characters, no payload, no control characters.
    pub detail: String,
}

/// Class of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// Not JSON.
    InvalidJson,
    /// U+0000 in text, which Postgres cannot hold.
    Unstorable,
    /// A limit on depth, length or number is exceeded.
    OverLimit,
    /// More events than a batch may hold.
    BatchTooLarge,
    /// `CloudEvents` attributes are missing or wrong.
    InvalidEnvelope,
    /// The event does not fit its type's schema.
    InvalidEvent,
    /// `time` is outside the accepted range.
    TimeOutOfRange,
    /// It names another tenant than the credential's.
    OtherTenant,
    /// It names no tenant.
    TenantMissing,
    /// The bytes do not match their framing.
    Undecodable,
    /// The schema is unknown.
    SchemaUnknown,
    /// The schema must not be used here.
    SchemaRefused,
    /// The value exceeds the size limit.
    TooLarge,
}

impl Why {
    /// Problem that a publisher gets over HTTP.
    pub const fn problem(self) -> ProblemKind {
        match self {
            Self::InvalidJson | Self::Unstorable | Self::Undecodable => ProblemKind::InvalidJson,
            Self::OverLimit => ProblemKind::JsonLimit,
            Self::BatchTooLarge => ProblemKind::BatchTooLarge,
            Self::InvalidEnvelope | Self::TenantMissing => ProblemKind::InvalidEnvelope,
            Self::InvalidEvent | Self::SchemaUnknown | Self::SchemaRefused => ProblemKind::InvalidEvent,
            Self::TimeOutOfRange => ProblemKind::TimeOutOfRange,
            Self::OtherTenant => ProblemKind::OtherTenant,
            Self::TooLarge => ProblemKind::EventTooLarge,
        }
    }

    /// Reason under which such a record is parked.
    pub const fn park_reason(self) -> ParkReason {
        match self {
            Self::InvalidJson | Self::Undecodable => ParkReason::Undecodable,
            Self::Unstorable => ParkReason::Unstorable,
            Self::OverLimit | Self::BatchTooLarge => ParkReason::LimitExceeded,
            Self::InvalidEnvelope | Self::OtherTenant => ParkReason::EnvelopeInvalid,
            Self::InvalidEvent => ParkReason::EventInvalid,
            Self::TimeOutOfRange => ParkReason::TimeOutOfRange,
            Self::TenantMissing => ParkReason::TenantMissing,
            Self::SchemaUnknown => ParkReason::SchemaUnknown,
            Self::SchemaRefused => ParkReason::SchemaRefused,
            Self::TooLarge => ParkReason::TooLarge,
        }
    }
}

impl Refusal {
    /// Creates a refusal; control characters in the detail are replaced.
    pub(super) fn new(why: Why, detail: impl AsRef<str>) -> Self {
        Self { why, detail: printable(detail.as_ref()) }
    }
}

impl From<Refusal> for DecodeError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { reason: refusal.why.park_reason(), detail: refusal.detail }
    }
}
