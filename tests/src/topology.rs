//! The declared topics against a real cluster: planned, applied, and refused where keys would move.

use std::collections::BTreeMap;

use ::stack::{Stack, StackConfig};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
};
use schemas::Topic;
use topology::{
    pipeline,
    runtime::offline::admin::{self, TopicChange},
};

async fn plan(bootstrap: &str) -> Vec<TopicChange> {
    admin::plan(&pipeline::declaration(), bootstrap, &BTreeMap::new()).await.expect("the cluster answers")
}

async fn apply(bootstrap: &str) -> Vec<TopicChange> {
    admin::apply(&pipeline::declaration(), bootstrap, &BTreeMap::new()).await.expect("the cluster takes it")
}

#[tokio::test]
async fn a_cluster_becomes_what_is_declared_and_nothing_else_is_touched() {
    let home = tempfile::tempdir().expect("a folder");
    let stack = Stack::new(StackConfig::private(home.path()).expect("a place for the servers")).tethered();
    let bootstrap = &stack.up().await.expect("servers").kafka;
    let client: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a client");
    let options = AdminOptions::new();

    // Somebody was there before, with another idea of one topic.
    let usage = NewTopic::new(Topic::Usage.name(), 3, TopicReplication::Fixed(1));
    client.create_topics([&usage], &options).await.expect("created")[0].as_ref().expect("created");
    let changes = apply(bootstrap).await;
    let created = |change: &&TopicChange| matches!(change, TopicChange::Create { .. });
    assert_eq!(changes.iter().filter(created).count(), Topic::ALL.len() - 1);
    let refused = TopicChange::Refused { topic: Topic::Usage.name().into(), partitions: 3, declared: 4 };
    assert_eq!(plan(bootstrap).await, std::slice::from_ref(&refused));

    // A setting of ours goes astray, one of theirs is added.
    let activity = ResourceSpecifier::Topic(Topic::Activity.name());
    let theirs = AlterConfig::new(activity).set("retention.ms", "1000").set("segment.bytes", "20000000");
    client.alter_configs([&theirs], &options).await.expect("altered")[0].as_ref().expect("altered");
    let astray = plan(bootstrap).await;
    let retention = astray.iter().find_map(|change| match change {
        TopicChange::Alter { topic, setting, from, to } if setting == "retention.ms" => {
            Some((topic, from, to))
        }
        _ => None,
    });
    let (topic, from, _) = retention.expect("the retention is noticed");
    assert_eq!((topic.as_str(), from.as_deref()), (Topic::Activity.name(), Some("1000")));
    apply(bootstrap).await;
    assert_eq!(plan(bootstrap).await, [refused]);
    let described = client.describe_configs([&activity], &options).await.expect("described");
    let settings = described[0].as_ref().expect("described").entry_map();
    let value = |name: &str| settings[name].value.clone().expect("a value");
    assert_eq!(value("segment.bytes"), "20000000", "what others have set stays");
    assert_eq!(value("retention.ms"), (14 * 24 * 3_600_000_u64).to_string());
}
