use schemas::Timestamp;
use sinks::outbox::Outgoing;

use super::*;

/// Checks the settlement of a page, given a partition and a result for each record.
fn check(sent: &[(i32, Sent)], acknowledged: &[usize], too_large: &[usize], failed: Option<&str>) {
    let record = |(number, (partition, _)): (i64, &(i32, Sent))| OutboxRecord {
        number,
        outgoing: Outgoing {
            from: TopicPartition { topic: Topic::Activity, partition: *partition },
            to: Topic::Findings,
            key: None,
            value: None,
            headers: Headers::new(),
        },
        created_at: Timestamp::default(),
    };
    let records = (0..).zip(sent).map(record).collect();
    let outcomes = sent.iter().map(|(_, outcome)| outcome.clone()).collect();
    let settled = settled(&SentPage { to: Topic::Findings, records, outcomes });
    let aside: Vec<usize> = settled.too_large.iter().map(|(index, _)| *index).collect();
    assert_eq!(
        (settled.acknowledged.as_slice(), aside.as_slice(), settled.failed.as_deref()),
        (acknowledged, too_large, failed)
    );
}

#[test]
fn of_every_partition_the_longest_acknowledged_prefix_is_removed() {
    let failed = || Sent::Failed("away".to_owned());
    let large = || Sent::TooLarge("large".to_owned());
    check(&[], &[], &[], None);
    check(&[(0, Sent::Acknowledged), (1, Sent::Acknowledged)], &[0, 1], &[], None);
    check(
        &[(0, Sent::Acknowledged), (0, failed()), (0, Sent::Acknowledged), (1, Sent::Acknowledged)],
        &[0, 3],
        &[],
        Some("away"),
    );
    check(&[(0, large()), (0, Sent::Acknowledged), (0, large())], &[1], &[0, 2], None);
    check(
        &[(0, failed()), (0, large()), (1, Sent::Untried), (1, Sent::Acknowledged)],
        &[],
        &[],
        Some("away"),
    );
}

#[test]
fn only_a_size_is_the_records_own_fault() {
    let production = KafkaError::MessageProduction;
    assert!(matches!(failure(&production(RDKafkaErrorCode::MessageSizeTooLarge)), Sent::TooLarge(_)));
    for code in [
        RDKafkaErrorCode::TopicAuthorizationFailed,
        RDKafkaErrorCode::UnknownTopicOrPartition,
        RDKafkaErrorCode::MessageTimedOut,
    ] {
        assert!(matches!(failure(&production(code)), Sent::Failed(_)), "{code:?}");
    }
}
