//! Reasons for parking a record.

/// Declares the reasons in one list, each with its name.
macro_rules! park_reasons {
    ($(#[doc = $doc:literal] $reason:ident $name:literal;)+) => {
        /// Reason for parking a record: it can never be applied.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ParkReason { $(#[doc = $doc] $reason,)+ }

        impl ParkReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$reason),+];

            /// The reason's name in `parked_record`, headers and metrics.
            pub const fn name(self) -> &'static str { match self { $(Self::$reason => $name,)+ } }
        }
    };
}

park_reasons! {
    /// The bytes are not a record.
    Undecodable "undecodable";
    /// No schema has this id or fingerprint.
    SchemaUnknown "schema_unknown";
    /// The schema exists and must not be used.
    SchemaRefused "schema_refused";
    /// `CloudEvents` attributes are missing or wrong.
    EnvelopeInvalid "envelope_invalid";
    /// The event does not fit its schema.
    EventInvalid "event_invalid";
    /// No tenant is named.
    TenantMissing "tenant_missing";
    /// `time` is outside the accepted range.
    TimeOutOfRange "time_out_of_range";
    /// A limit on depth, length or number is exceeded.
    LimitExceeded "limit_exceeded";
    /// The record exceeds the size limit.
    TooLarge "too_large";
    /// Postgres cannot hold it, for example U+0000 in text.
    Unstorable "unstorable";
    /// Its id belongs to an event with different content.
    DuplicateIdConflict "duplicate_id_conflict";
    /// The processor panicked on it.
    ProcessorPanicked "processor_panicked";
    /// Postgres rejected the rows.
    ConstraintViolated "constraint_violated";
    /// Every attempt to deliver it timed out.
    DeliveryTimedOut "delivery_timed_out";
    /// A SIEM rejected its content.
    SiemRefused "siem_refused";
    /// A SIEM rejected it as too large.
    SiemTooLarge "siem_too_large";
}

impl ParkReason {
    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_name() {
        for reason in ParkReason::ALL {
            assert_eq!(ParkReason::from_name(reason.name()), Some(*reason));
        }
        for other in ["", "Undecodable", "duplicate_id_conflct"] {
            assert_eq!(ParkReason::from_name(other), None, "{other}");
        }
    }
}
