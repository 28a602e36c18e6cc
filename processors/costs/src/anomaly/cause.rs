//! The infrastructure event behind an anomaly, and its actor.

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use schemas::{Timestamp, events::InfrastructureKind};

use super::SeriesKey;

/// Maximum lead of an event before the anomalous day: bills are cut by day, in the provider's time zone.
pub const MAX_LEAD: TimeDelta = TimeDelta::days(2);

/// An event that may have caused an anomaly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfrastructureEvent {
    /// Id of the event.
    pub id: String,
    /// Time of the event.
    pub at: Timestamp,
    /// Kind of the event.
    pub kind: InfrastructureKind,
    /// Provider, account, region, service and resource of the event.
    pub place: SeriesKey,
    /// Actor.
    pub actor: Option<String>,
}

/// The explanation of an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause<'a> {
    /// The event.
    pub event: &'a InfrastructureEvent,
    /// Weighted number of dimensions in which series and event agree: 8 for the resource, 4 service, 2
    /// region, 1 account.
    pub agreement: u8,
}

/// The event that best explains an anomaly of a series: it agrees in most dimensions, contradicts none,
/// matches the anomaly's direction, and is nearest to the end of its day. `None` if no event agrees in
/// resource, service or region.
pub fn explain<'a>(
    key: &SeriesKey,
    day: NaiveDate,
    impact: f64,
    events: &'a [InfrastructureEvent],
) -> Option<Cause<'a>> {
    let begins = day.and_time(NaiveTime::MIN).and_utc();
    let (from, until) =
        (begins.checked_sub_signed(MAX_LEAD)?, begins.checked_add_signed(TimeDelta::days(1))?);
    events
        .iter()
        .filter(|event| from <= event.at && event.at < until)
        .filter_map(|event| {
            let direction = direction(event.kind, impact)?;
            let agreement = agreement(key, &event.place)?;
            Some((agreement, direction, event.at, event.id.as_str(), event))
        })
        .max_by(|a, b| (a.0, a.1, a.2, a.3).cmp(&(b.0, b.1, b.2, b.3)))
        .map(|(agreement, .., event)| Cause { event, agreement })
}

/// Plausibility that the kind of event causes such an impact: 2 expected, 1 possible, `None` impossible.
fn direction(kind: InfrastructureKind, impact: f64) -> Option<u8> {
    match kind {
        InfrastructureKind::Provisioned => (impact > 0.0).then_some(2),
        InfrastructureKind::Deleted => (impact < 0.0).then_some(2),
        InfrastructureKind::Scaled => Some(2),
        InfrastructureKind::Failed | InfrastructureKind::Completed => Some(1),
        InfrastructureKind::ChangeProposed | InfrastructureKind::ConfigurationObserved => None,
    }
}

/// The weighted agreement; `None` if they contradict each other, or agree in nothing but the account.
fn agreement(series: &SeriesKey, event: &SeriesKey) -> Option<u8> {
    let mut sum = 0;
    for (a, b, weight) in [
        (&series.resource, &event.resource, 8),
        (&series.service, &event.service, 4),
        (&series.region, &event.region, 2),
        (&series.account, &event.account, 1),
    ] {
        match (a, b) {
            (Some(a), Some(b)) if a == b => sum += weight,
            (Some(_), Some(_)) => return None,
            _ => {}
        }
    }
    (sum > 1).then_some(sum)
}
