//! Reasons for parking a record.

/// Reason for parking a record: it can never be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParkReason {
    /// The bytes are not a record.
    Undecodable,
    /// No schema has this id or fingerprint.
    SchemaUnknown,
    /// The schema exists and must not be used.
    SchemaRefused,
    /// `CloudEvents` attributes are missing or wrong.
    EnvelopeInvalid,
    /// The event does not fit its schema.
    EventInvalid,
    /// No tenant is named.
    TenantMissing,
    /// `time` is outside the accepted range.
    TimeOutOfRange,
    /// A limit on depth, length or number is exceeded.
    LimitExceeded,
    /// The record exceeds the size limit.
    TooLarge,
    /// Postgres cannot hold it, for example U+0000 in text.
    Unstorable,
    /// Its id belongs to an event with different content.
    DuplicateIdConflict,
    /// The processor panicked on it.
    ProcessorPanicked,
    /// Postgres rejected the rows.
    ConstraintViolated,
    /// Every attempt to deliver it timed out.
    DeliveryTimedOut,
    /// A SIEM rejected its content.
    SiemRefused,
    /// A SIEM rejected it as too large.
    SiemTooLarge,
}

impl ParkReason {
    /// The reason's name in `parked_record`, headers and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::SchemaUnknown => "schema_unknown",
            Self::SchemaRefused => "schema_refused",
            Self::EnvelopeInvalid => "envelope_invalid",
            Self::EventInvalid => "event_invalid",
            Self::TenantMissing => "tenant_missing",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::LimitExceeded => "limit_exceeded",
            Self::TooLarge => "too_large",
            Self::Unstorable => "unstorable",
            Self::DuplicateIdConflict => "duplicate_id_conflict",
            Self::ProcessorPanicked => "processor_panicked",
            Self::ConstraintViolated => "constraint_violated",
            Self::DeliveryTimedOut => "delivery_timed_out",
            Self::SiemRefused => "siem_refused",
            Self::SiemTooLarge => "siem_too_large",
        }
    }
}
