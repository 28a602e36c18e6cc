//! Why an event is not taken: one list for what a publisher is told and why a record is parked.

use super::DecodeError;
use crate::{
    ParkReason,
    problem::{ProblemKind, printable},
};

/// An event that cannot be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// The class of fault.
    pub why: Why,
    /// What is wrong, for people: at most 2,000 characters, no payload, no control characters.
    pub detail: String,
}

/// The class of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// Not JSON.
    InvalidJson,
    /// U+0000 in text, which Postgres cannot hold.
    Unstorable,
    /// Too deep, too long, too many.
    OverLimit,
    /// More events than a batch may hold.
    BatchTooLarge,
    /// `CloudEvents` attributes are missing or wrong.
    InvalidEnvelope,
    /// The event does not fit its type's schema.
    InvalidEvent,
    /// `time` lies outside what is accepted.
    TimeOutOfRange,
    /// It names another tenant than the credential's.
    OtherTenant,
    /// It names no tenant.
    TenantMissing,
    /// The bytes are not what their framing says.
    Undecodable,
    /// Nobody knows the schema.
    SchemaUnknown,
    /// The schema may not be used here.
    SchemaRefused,
    /// The value is larger than is accepted.
    TooLarge,
}

impl Why {
    /// What a publisher over HTTP is told.
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

    /// Why a record like that is parked.
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
    /// A refusal; control characters in the detail are replaced.
    pub(super) fn new(why: Why, detail: impl AsRef<str>) -> Self {
        Self { why, detail: printable(detail.as_ref()) }
    }
}

impl From<Refusal> for DecodeError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { reason: refusal.why.park_reason(), detail: refusal.detail }
    }
}
