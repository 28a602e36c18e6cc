//! User × resource × operation, asked of the broker.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{BaseProducer, FutureProducer, FutureRecord, Producer as _},
};

use super::fixture::{Cluster, User};

const PATIENCE: Duration = Duration::from_secs(20);
const FAMILIES: [&str; 6] = [
    "weir.activity.v1",
    "weir.infrastructure.v1",
    "weir.delivery.v1",
    "weir.usage.v1",
    "weir.monitoring.v1",
    "weir.governance.v1",
];
const LEAVING: [&str; 4] =
    ["weir.audit.v1", "weir.audit.backfill.v1", "weir.findings.v1", "weir.dead-letter.v1"];
/// A topic of somebody else on the same cluster.
const FOREIGN: &str = "payments";
const STAGE_GROUPS: [&str; 6] =
    ["weir-audit", "weir-risk", "weir-change_review", "weir-cost", "weir-compliance", "weir-retention"];
const TAIL_GROUP: &str = "weir-audit-topic-tail";
const COMMAND_GROUPS: [&str; 2] = ["weir-history", "weir-instants"];
const GROUPS: [&str; 6] =
    ["weir-sink.splunk", "weir", "payments", TAIL_GROUP, COMMAND_GROUPS[0], COMMAND_GROUPS[1]];
const RELAY: &str = "weir-audit-topic weir.activity.v1/0";
const TRANSACTIONS: [&str; 2] = [RELAY, "payments"];
const USERS: [User; 5] = [
    User("weir_gateway"),
    User("weir_query_api"),
    User("weir_stages"),
    User("weir_sinks"),
    User("weir_operator"),
];

/// `user operation resource`.
type Done = BTreeSet<String>;

/// Everything that each user is there for. Nothing else may succeed.
fn expected() -> Done {
    let mut all = Done::new();
    let mut may = |user: &str, operations: &[&str], names: &[&str]| {
        for name in names {
            all.extend(operations.iter().map(|operation| format!("{user} {operation} {name}")));
        }
    };
    may("weir_gateway", &["describe", "write"], &FAMILIES);
    may("weir_query_api", &["describe"], &FAMILIES);
    may("weir_query_api", &["describe"], &LEAVING);
    may("weir_stages", &["describe", "read"], &FAMILIES);
    may("weir_stages", &["describe", "write"], &LEAVING);
    may("weir_stages", &["read"], &["weir.audit.v1", "weir.audit.backfill.v1"]);
    may("weir_stages", &["group"], &STAGE_GROUPS);
    may("weir_stages", &["group"], &[TAIL_GROUP]);
    may("weir_stages", &["transact"], &[RELAY]);
    may(
        "weir_sinks",
        &["describe", "read"],
        &["weir.audit.v1", "weir.audit.backfill.v1", "weir.findings.v1"],
    );
    may("weir_sinks", &["describe", "write"], &["weir.dead-letter.v1"]);
    may("weir_sinks", &["group"], &["weir-sink.splunk"]);
    for names in [&FAMILIES[..], &LEAVING] {
        may("weir_operator", &["describe", "read", "write", "describe_configs", "alter_configs"], names);
    }
    may("weir_operator", &["create"], &["weir.new.v1"]);
    may("weir_operator", &["group"], &COMMAND_GROUPS);
    all
}

/// Whether an answer is one of somebody who may; any other refusal than that of the authorizer fails the
/// test.
#[track_caller]
fn allowed<T>(answer: Result<T, KafkaError>) -> bool {
    match answer {
        Ok(_) => true,
        Err(error) => !is_refusal(error.rdkafka_error_code(), &error),
    }
}

#[track_caller]
fn is_refusal(code: Option<Code>, error: &impl std::fmt::Debug) -> bool {
    let refused = matches!(
        code,
        Some(
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed
        )
    );
    assert!(refused, "neither done nor refused: {error:?}");
    true
}

/// Operations on a topic in which a user succeeds.
async fn of_topic(cluster: &Cluster, user: User, topic: &'static str) -> Done {
    let mut done = Done::new();
    let mut note = |operation: &str, may: bool| {
        if may {
            done.insert(format!("{} {operation} {topic}", user.0));
        }
    };
    let mut config = cluster.client(user);
    config.set("group.id", "none").set("enable.partition.eof", "true").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let reading = move || {
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("the broker answers");
        let described = metadata.topics()[0].error().is_none();
        if let Some(error) = metadata.topics()[0].error() {
            is_refusal(Some(error.into()), &error);
        }
        // Somebody who cannot even see a topic would wait for its metadata.
        let read = described && allowed(first_of(&consumer, topic));
        (described, read)
    };
    let (described, read) = tokio::task::spawn_blocking(reading).await.expect("no panic");
    note("describe", described);
    note("read", read);
    let producer: FutureProducer =
        cluster.client(user).set("message.timeout.ms", "20000").create().expect("a producer");
    let sent = producer.send(FutureRecord::<str, str>::to(topic).partition(0).payload("x"), PATIENCE).await;
    note("write", allowed(sent.map_err(|(error, _)| error)));

    let admin = cluster.admin(user);
    note("describe_configs", retention(&admin, topic).await.is_some());
    note("alter_configs", alters(cluster, user, topic).await);
    // Nobody may.
    let mut deleted = admin.delete_topics(&[topic], &AdminOptions::new()).await.expect("answered");
    let deleted = deleted.pop().expect("one answer");
    note("delete", deleted.map_err(|(_, code)| is_refusal(Some(code), &code)).is_ok());
    done
}

type Admin = AdminClient<DefaultClientContext>;

impl Cluster {
    fn admin(&self, user: User) -> Admin {
        self.client(user).create().expect("an admin client")
    }
}

/// The topic's retention, if it is told: the client library keeps refusals to itself.
async fn retention(admin: &Admin, topic: &str) -> Option<String> {
    let resource = ResourceSpecifier::Topic(topic);
    let mut described = admin.describe_configs([&resource], &AdminOptions::new()).await.expect("answered");
    let entries = described.pop().expect("one answer").expect("no error").entries;
    entries.into_iter().find(|entry| entry.name == "retention.ms")?.value
}

/// Whether the user can change the topic's retention.
async fn alters(cluster: &Cluster, user: User, topic: &str) -> bool {
    let own = USERS.iter().position(|other| *other == user).expect("a user") + 86_400_000;
    let alter = AlterConfig::new(ResourceSpecifier::Topic(topic));
    let own = own.to_string();
    let alter = alter.set("retention.ms", &own);
    cluster.admin(user).alter_configs([&alter], &AdminOptions::new()).await.expect("answered");
    // What the controller has noted the broker tells a moment later.
    let broker = cluster.admin(User("broker"));
    for _ in 0..10 {
        if retention(&broker, topic).await.as_ref() == Some(&own) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

fn first_of(consumer: &BaseConsumer, topic: &str) -> Result<(), KafkaError> {
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning).expect("a partition");
    consumer.assign(&assignment).expect("assigned");
    loop {
        match consumer.poll(PATIENCE).expect("the broker answers") {
            Ok(_) | Err(KafkaError::PartitionEOF(_)) => return Ok(()),
            // Of the group in whose name nothing is done.
            Err(error) if error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed) => {}
            Err(error) => return Err(error),
        }
    }
}

async fn creates(cluster: &Cluster, user: User, topic: &str) -> bool {
    let dry = AdminOptions::new().request_timeout(Some(PATIENCE)).validate_only(true);
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    let mut created = cluster.admin(user).create_topics([&new], &dry).await.expect("answered");
    created.pop().expect("one answer").map_err(|(_, code)| is_refusal(Some(code), &code)).is_ok()
}

/// Whether the user gets partitions as a member of the group.
fn joins(cluster: &Cluster, user: User, group: &str) -> bool {
    let consumer: BaseConsumer = cluster.client(user).set("group.id", group).create().expect("a consumer");
    consumer.subscribe(&[LEAVING[0]]).expect("subscribed");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(Err(error)) = consumer.poll(Duration::from_millis(100))
            && is_refusal(error.rdkafka_error_code(), &error)
            && error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed)
        {
            return false;
        }
        if consumer.assignment().is_ok_and(|assigned| assigned.count() > 0) {
            return true;
        }
    }
    panic!("{user:?} is neither let into {group} nor refused")
}

fn transacts(cluster: &Cluster, user: User, id: &str) -> bool {
    let producer: BaseProducer =
        cluster.client(user).set("transactional.id", id).create().expect("a producer");
    allowed(producer.init_transactions(PATIENCE))
}

async fn everything(cluster: &Cluster) -> Done {
    let mut done = Done::new();
    for user in USERS {
        for topic in FAMILIES.into_iter().chain(LEAVING).chain([FOREIGN]) {
            done.extend(of_topic(cluster, user, topic).await);
        }
        for topic in ["weir.new.v1", "payments.new"] {
            if creates(cluster, user, topic).await {
                done.insert(format!("{} create {topic}", user.0));
            }
        }
        tokio::task::block_in_place(|| {
            for group in STAGE_GROUPS.into_iter().chain(GROUPS).filter(|group| joins(cluster, user, group)) {
                done.insert(format!("{} group {group}", user.0));
            }
            for id in TRANSACTIONS.into_iter().filter(|id| transacts(cluster, user, id)) {
                done.insert(format!("{} transact {id}", user.0));
            }
        });
    }
    done
}

/// Before rights are given.
pub(super) async fn nobody_may_do_anything(cluster: &Cluster) {
    for user in USERS {
        assert_eq!(of_topic(cluster, user, FAMILIES[0]).await, Done::new(), "{user:?}");
        assert!(!creates(cluster, user, FAMILIES[0]).await, "{user:?}");
    }
}

/// With the rights of the compose file.
pub(super) async fn nobody_may_do_more(cluster: &Cluster) {
    let foreign = NewTopic::new(FOREIGN, 1, TopicReplication::Fixed(1));
    let created = cluster.admin(User("broker")).create_topics([&foreign], &AdminOptions::new()).await;
    created.expect("answered").pop().expect("one answer").expect("created");
    let (done, expected) = (everything(cluster).await, expected());
    let more: Vec<_> = done.difference(&expected).collect();
    let less: Vec<_> = expected.difference(&done).collect();
    assert!(more.is_empty() && less.is_empty(), "too much: {more:#?}\ntoo little: {less:#?}");

    // A wrong password, and nobody at all.
    for (key, value) in [("sasl.password", "wrong"), ("security.protocol", "plaintext")] {
        let mut config = cluster.client(User("weir_operator"));
        let consumer: BaseConsumer = config.set(key, value).create().expect("a consumer");
        let asked = tokio::task::block_in_place(|| consumer.fetch_metadata(None, Duration::from_secs(3)));
        assert!(asked.is_err(), "{key}");
    }
}
