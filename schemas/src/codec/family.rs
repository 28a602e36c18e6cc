//! The six families: event types, reading of values, and checks beyond their schemas.

use serde::de::DeserializeOwned;

use super::{
    Refusal, Why,
    storable::{self, Unstorable},
};
use crate::{
    Event, Native, Topic,
    events::{
        Activity, ActivityKind, Delivery, DeliveryKind, Governance, GovernanceKind, Infrastructure,
        InfrastructureKind, Monitoring, MonitoringKind, Usage, UsageKind, scalars::is_decimal_text,
    },
};

/// Content of a family's value.
pub(super) type EventAndNative = (Event, Option<Native>);

/// A way to read a family's struct out of something: Avro bytes, JSON text.
pub(super) trait Read {
    /// Error of reading.
    type Error;
    /// Reads the family's struct, and the native record beside it.
    fn read<E: DeserializeOwned>(self) -> Result<(E, Option<Native>), Self::Error>;
}

/// Reads the event of a family; `None` for a topic without events.
pub(super) fn read<R: Read>(topic: Topic, read: R) -> Option<Result<EventAndNative, R::Error>> {
    macro_rules! one {
        ($variant:ident, $family:ty) => {
            read.read::<$family>().map(|(event, native)| (Event::$variant(event), native))
        };
    }
    Some(match topic {
        Topic::Activity => one!(Activity, Activity),
        Topic::Infrastructure => one!(Infrastructure, Infrastructure),
        Topic::Delivery => one!(Delivery, Delivery),
        Topic::Usage => one!(Usage, Usage),
        Topic::Monitoring => one!(Monitoring, Monitoring),
        Topic::Governance => one!(Governance, Governance),
        Topic::Audit | Topic::AuditBackfill | Topic::Findings | Topic::DeadLetter => return None,
    })
}

/// The topic and kind of one of Weir's `CloudEvents` types; `None` for any other type.
pub(super) fn of_type(ce_type: &str) -> Option<(Topic, &'static str)> {
    let (family, _) = ce_type.strip_prefix("io.weir.")?.split_once('.')?;
    macro_rules! kind {
        ($topic:ident, $kind:ident) => {
            $kind::from_ce_type(ce_type).map(|kind| (Topic::$topic, kind.name()))
        };
    }
    match family {
        "activity" => kind!(Activity, ActivityKind),
        "infrastructure" => kind!(Infrastructure, InfrastructureKind),
        "delivery" => kind!(Delivery, DeliveryKind),
        "usage" => kind!(Usage, UsageKind),
        "monitoring" => kind!(Monitoring, MonitoringKind),
        "governance" => kind!(Governance, GovernanceKind),
        _ => None,
    }
}

/// Checks beyond a family's schema: texts that Postgres can hold, currencies, numbers kept as text.
pub(super) fn check(event: &Event, native: Option<&Native>) -> Result<(), Refusal> {
    storable::check(event).and_then(|()| native.map_or(Ok(()), storable::check)).map_err(|fault| {
        let why = match fault {
            Unstorable::Nul => Why::Unstorable,
            Unstorable::TooMany => Why::OverLimit,
        };
        Refusal::new(why, fault.to_string())
    })?;
    let decimal = |field: &str, text: Option<&String>| match text {
        Some(text) if !is_decimal_text(text) => {
            Err(Refusal::new(Why::InvalidEvent, format!("{field} is not a decimal number")))
        }
        _ => Ok(()),
    };
    match event {
        Event::Usage(usage) if !is_currency(&usage.billing_currency) => {
            Err(Refusal::new(Why::InvalidEvent, "billing_currency is not three capital letters (ISO 4217)"))
        }
        Event::Infrastructure(change) => decimal("quantity", change.quantity.as_ref()),
        Event::Monitoring(seen) => {
            decimal("value", seen.value.as_ref()).and(decimal("threshold", seen.threshold.as_ref()))
        }
        _ => Ok(()),
    }
}

fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase())
}
