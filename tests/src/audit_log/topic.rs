//! `weir.audit.v1` under kills: every entry of every log once, in order, and each as the log has it.

use std::{collections::BTreeMap, time::Duration};

use audit_log::{
    integrity::{Place, leaf_of_copy},
    record::Splitter,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};
use schemas::Topic;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::{
    faults::member::Member,
    support::{patience::Patience, site::Site},
};

const EVENTS: usize = 20_000;
const KILLS: usize = 50;
const MOVES_WITHIN: Duration = Duration::from_mins(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_topic_has_neither_gaps_nor_repeats_whoever_is_killed() {
    let site = Site::new().await;
    let mut dice = StdRng::seed_from_u64(50);
    let mut members = [(); 2].map(|()| Member::start(&site.endpoints, None));
    for kill in 0..KILLS {
        site.publish(kill as u64, "acme", EVENTS / KILLS).await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(50..900))).await;
        let victim = dice.random_range(0..members.len());
        std::mem::replace(&mut members[victim], Member::start(&site.endpoints, None)).kill();
    }
    let sizes = whole_logs(&site, EVENTS as u64).await;
    let found = topic_holds(&site, &sizes).await;
    assert_eq!(found.values().sum::<u64>(), EVENTS as u64);
    drop(members);
}

/// The logs' sizes once every event has its entry.
pub(crate) async fn whole_logs(site: &Site, events: u64) -> BTreeMap<String, u64> {
    let mut connection = PgConnection::connect(&site.endpoints.database_url).await.expect("connected");
    let mut patience = Patience::of(MOVES_WITHIN);
    loop {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT log, size FROM audit_log").fetch_all(&mut connection).await.expect("rows");
        let sizes: BTreeMap<String, u64> =
            rows.into_iter().map(|(log, size)| (log, u64::try_from(size).expect("a size"))).collect();
        if sizes.values().sum::<u64>() == events {
            return sizes;
        }
        patience.check(sizes, events);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Reads the topic until it holds that many entries of each log, and then to its end; checks each record.
pub(crate) async fn topic_holds(site: &Site, sizes: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let (bootstrap, sizes) = (site.endpoints.kafka.clone(), sizes.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .create()
            .expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        let partitions = topology::topology::topic_spec(Topic::Audit).partitions;
        for partition in 0..partitions {
            let placed = assignment.add_partition_offset(Topic::Audit.name(), partition, Offset::Beginning);
            placed.expect("a partition");
        }
        consumer.assign(&assignment).expect("assigned");
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        let mut last_leaf = BTreeMap::new();
        let mut splitter = Splitter::default();
        let mut patience = Patience::of(MOVES_WITHIN);
        let mut ends = 0;
        loop {
            patience.check(found.values().sum::<u64>(), &sizes);
            let record = match consumer.poll(Duration::from_secs(1)) {
                Some(Ok(record)) => record,
                Some(Err(KafkaError::PartitionEOF(_))) | None => {
                    ends += 1;
                    // All of it is there, and every partition has been read to its end since.
                    if found == sizes && ends > 2 * partitions {
                        return found;
                    }
                    continue;
                }
                Some(Err(error)) => panic!("{error}"),
            };
            ends = 0;
            let value: Value = serde_json::from_slice(record.payload().expect("a value")).expect("JSON");
            let place = Place::stated(&value).expect("a place in a log");
            let next = found.entry(place.log.clone()).or_default();
            assert_eq!(place.index, *next, "the next entry of {}", place.log);
            assert_eq!(place.previous, last_leaf.insert(place.log.clone(), place.leaf));
            assert_eq!(leaf_of_copy(&mut splitter, &value, &place.personal), Ok(place.leaf));
            assert_eq!(record.key(), Some(place.log.as_bytes()));
            *next += 1;
        }
    });
    reading.await.expect("read")
}
