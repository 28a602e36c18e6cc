//! A log that is not the one that was read before: noticed, halted with the reason, and nothing of it
//! applied.

use std::time::Duration;

use rdkafka::{
    Offset,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    producer::{FutureProducer, FutureRecord},
};
use schemas::{TenantId, Topic};
use sinks::{
    TopicPartition,
    positions::{self, AcceptedGap, Operator, PositionChange},
};
use sqlx::{Connection, PgConnection};

use crate::support::site::{Site, ended};

const ROWS: &str = "SELECT count(*) FROM audit_entry";
const RECOGNISABLE: &str =
    "SELECT count(*) FROM stage_position WHERE topic = 'weir.activity.v1' AND last_offset IS NOT NULL";
const OTHERS_APPLIED: &str =
    "SELECT coalesce(sum(applied), 0)::bigint FROM stage_position WHERE topic <> 'weir.activity.v1'";

const HALTED: &str = "SELECT count(*) FROM stage_position WHERE halted IS NOT NULL";

impl Site {
    fn admin(&self) -> AdminClient<DefaultClientContext> {
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", &self.endpoints.kafka).create().expect("a client")
    }

    fn raw_producer(&self) -> FutureProducer {
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", &self.endpoints.kafka).create().expect("a producer")
    }

    /// The partition of activity with the highest position, and that.
    async fn busiest(&self) -> (i32, i64) {
        let mut connection =
            PgConnection::connect(&self.endpoints.database_url).await.expect("Postgres answers");
        let sql = "SELECT partition, position FROM stage_position WHERE topic = 'weir.activity.v1'
                    ORDER BY position DESC LIMIT 1";
        sqlx::query_as(sql).fetch_one(&mut connection).await.expect("positions")
    }

    async fn halted_for(&self) -> Vec<(String, i32, String, i64)> {
        let mut connection =
            PgConnection::connect(&self.endpoints.database_url).await.expect("Postgres answers");
        let sql = "SELECT topic, partition, halted, position FROM stage_position
                    WHERE halted IS NOT NULL ORDER BY 1, 2";
        sqlx::query_as(sql).fetch_all(&mut connection).await.expect("positions")
    }

    /// A decision about a partition of activity by the command: whether it was carried out, and what was said.
    async fn decides(&self, verb: &str, partition: i32, rest: &[&str]) -> (bool, String) {
        let partition = partition.to_string();
        let place = ["audit", "--topic", Topic::Activity.name(), "--partition", &partition];
        let output = ended(self.command(&[&["stage", verb][..], &place, rest].concat())).await;
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_expired_unread_halt_their_partition_until_somebody_accepts_the_gap() {
    let site = Site::new().await;
    site.publish(1, "acme", 2_000).await;
    let stage = site.run(1);
    site.await_count(ROWS, 2_000).await;
    stage.stop().await;
    let (number, position) = site.busiest().await;
    site.publish(2, "acme", 2_000).await;
    site.forget_records(Topic::Activity, number, Offset::Offset(position + 2)).await;

    let stage = site.run(1);
    stage.ready().await;
    site.await_count(HALTED, 1).await;
    let reason = format!("retention_gap: from {position} to {}", position + 2);
    let halted = [("weir.activity.v1".to_owned(), number, reason, position)];
    assert_eq!(site.halted_for().await, halted);
    for (verb, rest, expected) in [
        ("accept-gap", &["--to", "1000000", "--reason", "x"][..], "ends at"),
        ("accept-gap", &["--to", "0", "--reason", "x"], "begins at"),
        ("resume", &[], "weir stage accept-gap audit"),
    ] {
        let (done, said) = site.decides(verb, number, rest).await;
        assert!(!done && said.contains(expected), "{verb} {rest:?}: {said}");
    }
    assert_eq!(site.halted_for().await, halted, "nothing was decided");

    let pool = sinks::postgres::operator_pool(&site.endpoints.database_url, 1).expect("a pool");
    let partition = TopicPartition { topic: Topic::Activity, partition: number };
    let change = PositionChange { stage: "audit".into(), partition };
    let gap = AcceptedGap { to: position + 2, reason: "expired".into() };
    let by = Operator { name: "ada".into(), tenant: TenantId::new("acme").expect("valid") };
    let _gateway = site.gateway();
    positions::accept_gap(&pool, &change, (&gap, &by)).await.expect("accepted");
    // The decision is an event, and so a row of its own.
    site.await_count(ROWS, 3_998 + 1).await;
    let decisions = "SELECT count(*) FROM audit_entry WHERE action = 'AcceptGap' AND actor = 'ada'";
    site.await_count(decisions, 1).await;
    site.await_count(HALTED, 0).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_is_not_taken_for_the_old_one() {
    let site = Site::new().await;
    site.publish(1, "acme", 2_000).await;
    let stage = site.run(1);
    site.await_count(ROWS, 2_000).await;
    stage.stop().await;
    let activity = topology::topology::topic_spec(Topic::Activity);
    let (_, longest) = site.busiest().await;
    let known = site.count(RECOGNISABLE).await;
    assert!(known > 1, "events of several actors lie on several partitions");
    let options = AdminOptions::new();
    site.admin().delete_topics(&[Topic::Activity.name()], &options).await.expect("deleted");
    await_partitions(&site, 0).await;
    let anew = NewTopic::new(Topic::Activity.name(), activity.partitions, TopicReplication::Fixed(1));
    site.admin().create_topics([&anew], &options).await.expect("created")[0].as_ref().expect("created");
    await_partitions(&site, activity.partitions).await;

    // Longer than it was, so that only its records tell.
    let producer = site.raw_producer();
    let mut sent = Vec::new();
    for partition in 0..activity.partitions {
        for _ in 0..=longest {
            let record = FutureRecord::<str, str>::to(Topic::Activity.name())
                .partition(partition)
                .payload("another log");
            sent.push(producer.send_result(record).map_err(|(error, _)| error).expect("room in the queue"));
        }
    }
    for delivery in sent {
        delivery.await.expect("an answer").map_err(|(error, _)| error).expect("acknowledged");
    }
    let stage = site.run(1);
    site.await_count(HALTED, known).await;
    let halted = site.halted_for().await;
    assert!(halted.iter().all(|(_, _, reason, _)| reason.starts_with("log_diverged")), "{halted:?}");
    let end = (longest + 1).to_string();
    for (verb, rest) in [("resume", &[][..]), ("accept-gap", &["--to", &end, "--reason", "x"])] {
        let (done, said) = site.decides(verb, halted[0].1, rest).await;
        assert!(!done && said.contains("restore the database"), "{verb}: {said}");
    }
    assert_eq!(site.halted_for().await, halted, "the commands have not passed it");
    let applied = site.count(OTHERS_APPLIED).await;
    site.publish(3, "acme", 500).await;
    while site.count(OTHERS_APPLIED).await == applied {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.stop().await;
    let parked = "SELECT count(*) FROM parked_record JOIN stage_position USING (stage, topic, partition)
                   WHERE halted IS NOT NULL";
    assert_eq!(site.count(parked).await, 0, "nothing of the other log was read where one was known");
}

/// Waits until the cluster shows the activity topic with so many partitions; 0: not at all.
async fn await_partitions(site: &Site, expected: i32) {
    let mut config = rdkafka::ClientConfig::new();
    let consumer: BaseConsumer =
        config.set("bootstrap.servers", &site.endpoints.kafka).create().expect("a client");
    tokio::task::spawn_blocking(move || {
        let count = || {
            let metadata =
                consumer.fetch_metadata(None, Duration::from_secs(5)).expect("the cluster answers");
            let activity = metadata.topics().iter().find(|topic| topic.name() == Topic::Activity.name());
            activity.map_or(0, |topic| topic.partitions().len())
        };
        while i32::try_from(count()) != Ok(expected) {
            std::thread::sleep(Duration::from_millis(20));
        }
    })
    .await
    .expect("no panic");
}

/// With another number of partitions keys have moved, also where nobody was there to see it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_widened_while_nobody_read_it_halts_until_somebody_resumes_it() {
    let site = Site::new().await;
    site.publish(1, "acme", 500).await;
    let stage = site.run(1);
    site.await_count(ROWS, 500).await;
    stage.stop().await;
    let wide = NewPartitions::new(Topic::Activity.name(), 12);
    site.admin().create_partitions([&wide], &AdminOptions::new()).await.expect("widened")[0]
        .as_ref()
        .expect("widened");
    await_partitions(&site, 12).await;
    site.publish(2, "acme", 500).await;

    let stage = site.run(1);
    site.await_count(HALTED, 8).await;
    let halted = site.halted_for().await;
    assert!(halted.iter().all(|(_, _, why, _)| why == "partitions_changed: from 8 to 12"), "{halted:?}");
    let pool = sinks::postgres::operator_pool(&site.endpoints.database_url, 1).expect("a pool");
    let by = Operator { name: "ada".into(), tenant: TenantId::new("acme").expect("valid") };
    let _gateway = site.gateway();
    for (_, number, _, _) in halted {
        let partition = TopicPartition { topic: Topic::Activity, partition: number };
        let change = PositionChange { stage: "audit".into(), partition };
        positions::resume(&pool, &change, &by).await.expect("resumed");
    }
    site.await_count(ROWS, 1_000 + 8).await;
    site.await_count(HALTED, 0).await;
    stage.stop().await;
}
