//! Anomalies of daily cost per series ([`daily`]) and of measured series, one value at a time ([`stream`]);
//! first spends; and the infrastructure event that explains an anomaly.

mod cause;
pub mod daily;
mod first_spend;
pub mod stream;
#[cfg(test)]
mod tests;

pub use cause::{Cause, InfrastructureEvent, MAX_LEAD, explain};
pub use daily::{DailyAnomaly, LEAST_HISTORY_DAYS, LEAST_IMPACT, Severity, anomalies};
pub use first_spend::{Dimension, FirstSpend, Spend, first_spends};

/// Dimensions of a series; each given one narrows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesKey {
    /// The account or subscription.
    pub account: Option<String>,
    /// The service.
    pub service: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The resource.
    pub resource: Option<String>,
}
