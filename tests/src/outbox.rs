//! Records that leave a stage through its outbox: quickly, in the order of each key, and independent of the
//! state of other topics.

use std::{collections::HashMap, time::Duration};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};
use schemas::Topic;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::site::Site;

const CLAIMED: &str =
    "SELECT count(*) FROM stage_position WHERE stage = 'audit' AND topic = 'weir.activity.v1'";
const WAITING: &str = "SELECT count(*) FROM outbox WHERE set_aside_at IS NULL";
/// Every tenth value is 2 kB of text that cannot be compressed below the limit.
const MIXED: &str = "CASE n % 10 WHEN 9
    THEN (SELECT string_agg(md5(n || '/' || i), '') FROM generate_series(1, 64) AS i) ELSE n::text END";
const SET_ASIDE: &str = "SELECT count(*) FROM outbox WHERE set_aside_at IS NOT NULL AND set_aside_for <> ''";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_records_leave_in_the_order_of_their_keys() {
    let site = Site::new().await;
    let stage = site.run(1);
    site.await_count(CLAIMED, 8).await;
    fill(&site, Topic::Findings, 0..50_000, "n::text").await;
    // Within the minute that is waited for; a record a round trip would take many.
    site.await_count(WAITING, 0).await;
    stage.stop().await;
    let mut keys: HashMap<Vec<u8>, Vec<i64>> = HashMap::new();
    for (key, value) in read(&site.endpoints.kafka, Topic::Findings) {
        let number = String::from_utf8(value).expect("text").parse().expect("a number");
        let numbers = keys.entry(key).or_default();
        // At least once: what was sent behind a record that failed comes again, and in order.
        assert!(numbers.last().is_none_or(|last| *last < number), "{numbers:?} then {number}");
        numbers.push(number);
    }
    assert_eq!(keys.len(), 400);
    assert_eq!(keys.values().map(Vec::len).sum::<usize>(), 50_000, "every record, once while nothing fails");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_a_topic_does_not_take_hold_back_no_others() {
    let site = Site::new().await;
    limit(&site.endpoints.kafka, Topic::Findings, "200").await;
    let stage = site.run(1);
    site.await_count(CLAIMED, 8).await;
    // Text that cannot be compressed below the limit, between texts that fit; and another topic beside.
    fill(&site, Topic::Findings, 0..40, MIXED).await;
    fill(&site, Topic::DeadLetter, 1_000..6_000, "n::text").await;
    site.await_count(WAITING, 0).await;
    assert_eq!(site.count(SET_ASIDE).await, 4, "they stay, with the reason");
    stage.stop().await;
    assert_eq!(read(&site.endpoints.kafka, Topic::DeadLetter).len(), 5_000);
    let mut small: Vec<i64> = read(&site.endpoints.kafka, Topic::Findings)
        .into_iter()
        .map(|(_, value)| String::from_utf8(value).expect("text").parse().expect("a number"))
        .collect();
    small.sort_unstable();
    small.dedup();
    assert_eq!(small, (0..40).filter(|n| n % 10 != 9).collect::<Vec<_>>());
}

/// Puts a record into the outbox for each number, dealt out to the partitions, with fifty keys on each.
async fn fill(site: &Site, to: Topic, numbers: std::ops::Range<i64>, value: &str) {
    let mut connection = PgConnection::connect(&site.endpoints.database_url).await.expect("Postgres answers");
    let sql = format!(
        "INSERT INTO outbox (stage, topic, partition, number, to_topic, key, value, headers)
         SELECT 'audit', 'weir.activity.v1', n % 8, n, '{}', ('key ' || n % 400)::bytea, ({value})::bytea, '[]'
           FROM generate_series({}, {}) AS n",
        to.name(),
        numbers.start,
        numbers.end - 1
    );
    sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.expect("filled");
}

/// Keys and values of a topic, in the order of each partition.
fn read(bootstrap: &str, topic: Topic) -> Vec<(Vec<u8>, Vec<u8>)> {
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "independent-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let patience = Duration::from_secs(30);
    let metadata = consumer.fetch_metadata(Some(topic.name()), patience).expect("metadata");
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic.name(), partition.id(), Offset::Beginning).expect("valid");
    }
    let mut open = list.count();
    consumer.assign(&list).expect("assigned");
    let mut records = Vec::new();
    while open > 0 {
        match consumer.poll(patience).expect("the topic is read within the patience") {
            Ok(message) => records
                .push((message.key().expect("a key").to_vec(), message.payload().expect("a value").to_vec())),
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("the independent reader fails: {error}"),
        }
    }
    records
}

/// Lets a topic take no larger requests than this.
async fn limit(bootstrap: &str, topic: Topic, bytes: &str) {
    let admin: AdminClient<DefaultClientContext> =
        rdkafka::ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a client");
    let alter = AlterConfig::new(ResourceSpecifier::Topic(topic.name())).set("max.message.bytes", bytes);
    admin.alter_configs([&alter], &AdminOptions::new()).await.expect("asked")[0].as_ref().expect("altered");
}
