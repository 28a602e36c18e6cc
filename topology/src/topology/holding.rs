//! Topics by what their records are: a stage over something that it cannot read does not compile.

use std::marker::PhantomData;

use schemas::{Envelope, OcsfEvent, Topic};

/// A topic whose records are read as `R`.
#[derive(Debug)]
pub struct TopicOf<R> {
    topic: Topic,
    holds: PhantomData<fn() -> R>,
}

impl<R> Clone for TopicOf<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for TopicOf<R> {}

impl<R> TopicOf<R> {
    const fn new(topic: Topic) -> Self {
        Self { topic, holds: PhantomData }
    }

    /// The topic.
    pub const fn topic(self) -> Topic {
        self.topic
    }
}

/// Copies of records that could not be applied, each as it came: no stage reads them.
#[derive(Debug, Clone, Copy)]
pub enum DeadLetterCopy {}

/// API calls, sign-ins, console and repository actions.
pub const ACTIVITY: TopicOf<Envelope> = TopicOf::new(Topic::Activity);
/// Plans, resources, observed configuration.
pub const INFRASTRUCTURE: TopicOf<Envelope> = TopicOf::new(Topic::Infrastructure);
/// Projects, environments, pipelines, deployments, jobs.
pub const DELIVERY: TopicOf<Envelope> = TopicOf::new(Topic::Delivery);
/// Cost and usage charges.
pub const USAGE: TopicOf<Envelope> = TopicOf::new(Topic::Usage);
/// Alerts, thresholds, health, utilisation.
pub const MONITORING: TopicOf<Envelope> = TopicOf::new(Topic::Monitoring);
/// Human decisions.
pub const GOVERNANCE: TopicOf<Envelope> = TopicOf::new(Topic::Governance);
/// The six families that publishers write.
pub const FAMILIES: [TopicOf<Envelope>; 6] =
    [ACTIVITY, INFRASTRUCTURE, DELIVERY, USAGE, MONITORING, GOVERNANCE];
/// Every event as an OCSF record.
pub const AUDIT: TopicOf<OcsfEvent> = TopicOf::new(Topic::Audit);
/// Audit records for one sink, out of the table.
pub const AUDIT_BACKFILL: TopicOf<OcsfEvent> = TopicOf::new(Topic::AuditBackfill);
/// OCSF findings.
pub const FINDINGS: TopicOf<OcsfEvent> = TopicOf::new(Topic::Findings);
/// Copies of parked records.
pub const DEAD_LETTER: TopicOf<DeadLetterCopy> = TopicOf::new(Topic::DeadLetter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_listed() {
        assert_eq!(FAMILIES.map(TopicOf::topic), Topic::FAMILIES);
    }
}
