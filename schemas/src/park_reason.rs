//! Why a record can never be applied.

/// Why a record was parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParkReason {
    /// The bytes are not a record.
    Undecodable,
    /// The schema id or fingerprint is nobody's.
    SchemaUnknown,
    /// The schema exists and may not be used.
    SchemaRefused,
    /// `CloudEvents` attributes are missing or wrong.
    EnvelopeInvalid,
    /// The event does not fit its schema.
    EventInvalid,
    /// No tenant is named.
    TenantMissing,
    /// `time` lies outside what is accepted.
    TimeOutOfRange,
    /// Too deep, too long, too many.
    LimitExceeded,
    /// The record is larger than is accepted.
    TooLarge,
    /// Postgres cannot hold it, for example U+0000 in text.
    Unstorable,
    /// Its id belongs to an event with other content.
    DuplicateIdConflict,
    /// The processor panicked on it.
    ProcessorPanicked,
    /// Postgres refused the rows.
    ConstraintViolated,
    /// Delivering it took longer than it may, every time.
    DeliveryTimedOut,
    /// A SIEM refused it for what it holds.
    SiemRefused,
    /// A SIEM would not take it for its size.
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
