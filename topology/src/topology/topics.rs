//! Specification of each topic: partitions, retention and cleanup.

use std::time::Duration;

use schemas::Topic;
use serde::Serialize;

const DAY: Duration = Duration::from_hours(24);

/// Specification of a topic on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicSpec {
    /// The topic.
    #[serde(serialize_with = "name")]
    pub topic: Topic,
    /// Number of partitions. Fixed for ever: another number would move keys, and with them the order of an
    /// entity.
    pub partitions: i32,
    /// Retention of records: at least as long as any stage or SIEM may be down.
    #[serde(rename = "retention_ms", serialize_with = "millis")]
    pub retention: Duration,
    /// Kafka's `cleanup.policy`.
    pub cleanup_policy: &'static str,
    /// The largest record in bytes.
    pub max_message_bytes: u32,
    /// Copies wanted; fewer where the cluster has fewer brokers.
    pub replicas: i32,
}

/// Specification of a topic.
///
/// Activity has eight partitions and the other families four: the unit of scaling is a partition, one writer
/// settles tens of thousands of records a second, and so eight let a stage grow to eight processes before Kafka
/// limits it, while a small cluster (and one laptop) still has few of them to claim and fetch. Dead letters have
/// one, so that people read them in order; backfills have one, for every sink reads all of it.
pub fn topic_spec(topic: Topic) -> TopicSpec {
    let (partitions, days) = match topic {
        Topic::Activity | Topic::Audit => (8, 14),
        Topic::Infrastructure | Topic::Delivery | Topic::Usage | Topic::Monitoring | Topic::Findings => {
            (4, 14)
        }
        Topic::Governance => (4, 90),
        Topic::AuditBackfill => (1, 14),
        Topic::DeadLetter => (1, 90),
    };
    TopicSpec {
        topic,
        partitions,
        retention: DAY * days,
        cleanup_policy: "delete",
        max_message_bytes: match topic {
            // Its native record stands in a JSON string, escaped, beside what was made of it.
            Topic::Audit | Topic::AuditBackfill => 8 * 1_048_588,
            _ => 1_048_588,
        },
        replicas: 3,
    }
}

impl TopicSpec {
    /// Copies on a cluster of that many brokers.
    pub fn replicas_on(&self, brokers: usize) -> i32 {
        self.replicas.min(i32::try_from(brokers).unwrap_or(i32::MAX)).max(1)
    }

    /// The topic's settings on a cluster of that many brokers, as Kafka names them, sorted.
    pub fn settings_on(&self, brokers: usize) -> Vec<(&'static str, String)> {
        // One copy may be away without stopping writers, none may be where there are only two.
        let in_sync = if self.replicas_on(brokers) >= 3 { 2 } else { 1 };
        vec![
            ("cleanup.policy", self.cleanup_policy.to_owned()),
            ("max.message.bytes", self.max_message_bytes.to_string()),
            ("min.insync.replicas", in_sync.to_string()),
            ("retention.ms", self.retention.as_millis().to_string()),
        ]
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn name<S: serde::Serializer>(topic: &Topic, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(topic.name())
}

fn millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_follow_the_cluster_and_writers_survive_one_of_three() {
        let spec = topic_spec(Topic::Activity);
        let in_sync = |brokers| {
            let settings = spec.settings_on(brokers);
            settings.into_iter().find(|(key, _)| *key == "min.insync.replicas").map(|(_, value)| value)
        };
        assert_eq!([1, 2, 3, 9].map(|brokers| spec.replicas_on(brokers)), [1, 2, 3, 3]);
        assert_eq!([1, 3].map(in_sync), [Some("1".into()), Some("2".into())]);
    }

    #[test]
    fn records_outlive_a_week_away() {
        assert!(Topic::ALL.into_iter().all(|topic| topic_spec(topic).retention >= 7 * DAY));
    }
}
