//! Compares a topology's topics with a cluster's, and makes them equal.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    metadata::MetadataTopic,
};
use serde::Serialize;

use super::listening;
use crate::topology::{TopicSpec, Topology};

/// Time limit for one administrative request.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time in which every broker knows of an altered setting.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);

/// Difference between a topic on the cluster and its declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum TopicChange {
    /// The topic is missing.
    Create {
        /// Its name.
        topic: String,
        /// Partitions it will have.
        partitions: i32,
        /// Copies it will have.
        replicas: i32,
        /// Its settings.
        settings: BTreeMap<String, String>,
    },
    /// A setting differs.
    Alter {
        /// The topic's name.
        topic: String,
        /// The setting, as Kafka names it.
        setting: String,
        /// Current value.
        from: Option<String>,
        /// Declared value.
        to: String,
    },
    /// The number of partitions differs. It is never changed: keys would move, and with them the order of an
    /// entity.
    Refused {
        /// The topic's name.
        topic: String,
        /// Partitions it has.
        partitions: usize,
        /// Partitions that are declared.
        declared: i32,
    },
}

impl fmt::Display for TopicChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { topic, partitions, replicas, .. } => {
                write!(f, "create {topic}: {partitions} partitions, {replicas} replicas")
            }
            Self::Alter { topic, setting, from, to } => {
                write!(f, "alter {topic}: {setting} from {} to {to}", from.as_deref().unwrap_or("nothing"))
            }
            Self::Refused { topic, partitions, declared } => write!(
                f,
                "refused {topic}: it has {partitions} partitions where {declared} are declared; keys would \
                 move. Keep it, or publish to a new topic"
            ),
        }
    }
}

/// Error of inspecting or changing a cluster.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The client or the cluster refused.
    #[error("the Kafka cluster at {bootstrap} does not answer{}", told.as_deref().unwrap_or_default())]
    Kafka {
        /// Bootstrap servers of the cluster.
        bootstrap: String,
        /// A client's line about a connection that failed, after a colon.
        told: Option<String>,
        /// Error of the client.
        #[source]
        error: Box<KafkaError>,
    },
    /// The cluster refused a topic.
    #[error("{topic} was refused: {code}")]
    Topic {
        /// The topic.
        topic: String,
        /// Error code of the cluster.
        code: RDKafkaErrorCode,
    },
    /// The cluster did not alter a topic's setting.
    #[error("{setting} of {topic} was not altered; may this user alter the topic's configuration?")]
    Unaltered {
        /// The topic.
        topic: String,
        /// The setting, as Kafka names it.
        setting: String,
    },
}

/// A cluster and how to talk to it.
struct Cluster<'a> {
    bootstrap: &'a str,
    client: Arc<AdminClient<DefaultClientContext>>,
    config: ClientConfig,
}

/// Changes that would bring the cluster to the declaration; empty if there are none.
pub async fn plan(
    topology: &Topology,
    bootstrap: &str,
    extra: &BTreeMap<String, String>,
) -> Result<Vec<TopicChange>, AdminError> {
    Cluster::new(bootstrap, extra)?.plan(&topology.topics()).await
}

/// Creates missing topics and alters settings. Returns what [`plan`] said; what is refused is left as it is.
pub async fn apply(
    topology: &Topology,
    bootstrap: &str,
    extra: &BTreeMap<String, String>,
) -> Result<Vec<TopicChange>, AdminError> {
    let cluster = Cluster::new(bootstrap, extra)?;
    let changes = cluster.plan(&topology.topics()).await?;
    for change in &changes {
        match change {
            TopicChange::Create { topic, partitions, replicas, settings } => {
                cluster.create(topic, *partitions, *replicas, settings).await?;
            }
            TopicChange::Alter { .. } | TopicChange::Refused { .. } => {}
        }
    }
    cluster.alter(&topology.topics(), &changes).await?;
    cluster.await_topics(&topology.topics()).await?;
    cluster.await_settings(&topology.topics(), &changes).await?;
    Ok(changes)
}

/// State of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStanding {
    /// Brokers that answer.
    pub brokers: usize,
    /// Topics of the topology with fewer copies than they would be created with, and how many they have.
    pub thin_topics: BTreeMap<String, usize>,
    /// Partitions that no broker leads, as `topic/partition`.
    pub leaderless: Vec<String>,
    /// Topics of the topology that the client may not even describe.
    pub denied_topics: Vec<String>,
}

/// State of the cluster, as far as the topology's topics are concerned.
pub async fn standing(
    topology: &Topology,
    bootstrap: &str,
    extra: &BTreeMap<String, String>,
) -> Result<ClusterStanding, AdminError> {
    let cluster = Cluster::new(bootstrap, extra)?;
    let client = Arc::clone(&cluster.client);
    let specs = topology.topics();
    let asked = tokio::task::spawn_blocking(move || {
        let metadata = client.inner().fetch_metadata(None, PATIENCE)?;
        let brokers = metadata.brokers().len();
        let (mut thin_topics, mut leaderless) = (BTreeMap::new(), Vec::new());
        for topic in metadata.topics() {
            let Some(spec) = specs.iter().find(|spec| spec.topic.name() == topic.name()) else { continue };
            let copies = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
            let wanted = usize::try_from(spec.replicas_on(brokers)).unwrap_or(0);
            if let Some(copies) = copies.filter(|copies| *copies < wanted) {
                thin_topics.insert(topic.name().to_owned(), copies);
            }
            let without = topic.partitions().iter().filter(|partition| partition.leader() < 0);
            leaderless.extend(without.map(|partition| format!("{}/{}", topic.name(), partition.id())));
        }
        // Among all topics those are left out that the client may not see; asked for by name, they are
        // refused.
        let mut denied_topics = Vec::new();
        let seen =
            |spec: &&TopicSpec| metadata.topics().iter().any(|topic| topic.name() == spec.topic.name());
        for spec in specs.iter().filter(|spec| !seen(spec)) {
            let named = client.inner().fetch_metadata(Some(spec.topic.name()), PATIENCE)?;
            let error = named.topics().first().and_then(MetadataTopic::error);
            if error.map(RDKafkaErrorCode::from) == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
                denied_topics.push(spec.topic.name().to_owned());
            }
        }
        Ok(ClusterStanding { brokers, thin_topics, leaderless, denied_topics })
    });
    asked.await.unwrap_or(Err(KafkaError::Canceled)).map_err(|error| cluster.failed(error))
}

/// A topic of the cluster.
#[derive(Clone, Copy)]
struct Existing {
    partitions: usize,
    /// The fewest copies of a partition.
    copies: usize,
}

impl Existing {
    fn of(topic: &MetadataTopic) -> Self {
        let copies = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
        Self { partitions: topic.partitions().len(), copies: copies.unwrap_or_default() }
    }
}

/// Whether a setting has to be altered. Records that are kept for longer than declared do no harm.
fn differs(setting: &str, now: Option<&String>, wanted: &str) -> bool {
    let Some(now) = now else { return true };
    let is_longer = || Some((now.parse::<i64>().ok()?, wanted.parse::<i64>().ok()?));
    match setting {
        "retention.ms" => !is_longer().is_some_and(|(now, wanted)| now == -1 || now >= wanted),
        _ => now != wanted,
    }
}

impl<'a> Cluster<'a> {
    fn new(bootstrap: &'a str, extra: &BTreeMap<String, String>) -> Result<Self, AdminError> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("client.id", "weir-topology");
        for (key, value) in extra {
            config.set(key, value);
        }
        let refused =
            |error| AdminError::Kafka { bootstrap: bootstrap.to_owned(), told: None, error: Box::new(error) };
        let client = config.create().map_err(refused)?;
        Ok(Self { bootstrap, client: Arc::new(client), config })
    }

    fn failed(&self, error: KafkaError) -> AdminError {
        let told = listening::reason(&self.config).map(|line| format!(": {line}"));
        AdminError::Kafka { bootstrap: self.bootstrap.to_owned(), told, error: Box::new(error) }
    }

    async fn plan(&self, specs: &[TopicSpec]) -> Result<Vec<TopicChange>, AdminError> {
        let (brokers, existing) = self.partitions().await?;
        let present: Vec<&TopicSpec> =
            specs.iter().filter(|spec| existing.contains_key(spec.topic.name())).collect();
        let settings = self.settings(&present).await?;
        let mut changes = Vec::new();
        for spec in specs {
            let topic = spec.topic.name().to_owned();
            let Some(Existing { partitions, copies }) = existing.get(spec.topic.name()).copied() else {
                let settings = spec
                    .settings_on(brokers)
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect();
                let (partitions, replicas) = (spec.partitions, spec.replicas_on(brokers));
                changes.push(TopicChange::Create { topic, partitions, replicas, settings });
                continue;
            };
            let now = &settings[spec.topic.name()];
            // By the topic's own copies: brokers that are away for a while change nothing of what it promises.
            let wanted = spec.settings_on(copies).into_iter();
            for (setting, to) in wanted.filter(|(key, value)| differs(key, now.get(*key), value)) {
                let (topic, from) = (topic.clone(), now.get(setting).cloned());
                changes.push(TopicChange::Alter { topic, setting: setting.to_owned(), from, to });
            }
            if usize::try_from(spec.partitions) != Ok(partitions) {
                changes.push(TopicChange::Refused { topic, partitions, declared: spec.partitions });
            }
        }
        Ok(changes)
    }

    /// The number of brokers, and the topics that there are.
    async fn partitions(&self) -> Result<(usize, BTreeMap<String, Existing>), AdminError> {
        let client = Arc::clone(&self.client);
        // The client blocks while it asks.
        let counted = tokio::task::spawn_blocking(move || {
            let metadata = client.inner().fetch_metadata(None, PATIENCE)?;
            let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
            let existing = topics.map(|topic| (topic.name().to_owned(), Existing::of(topic))).collect();
            Ok((metadata.brokers().len(), existing))
        });
        counted.await.unwrap_or(Err(KafkaError::Canceled)).map_err(|error| self.failed(error))
    }

    async fn settings(
        &self,
        specs: &[&TopicSpec],
    ) -> Result<BTreeMap<&'static str, BTreeMap<String, String>>, AdminError> {
        if specs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let resources: Vec<_> =
            specs.iter().map(|spec| ResourceSpecifier::Topic(spec.topic.name())).collect();
        let described = self.client.describe_configs(&resources, &options()).await;
        let described = described.map_err(|error| self.failed(error))?;
        let mut settings = BTreeMap::new();
        for (spec, resource) in specs.iter().zip(described) {
            let topic = spec.topic.name();
            let resource = resource.map_err(|code| AdminError::Topic { topic: topic.to_owned(), code })?;
            // The client library keeps a refusal to itself; a topic that may be asked about has settings.
            if resource.entries.is_empty() {
                let code = RDKafkaErrorCode::TopicAuthorizationFailed;
                return Err(AdminError::Topic { topic: topic.to_owned(), code });
            }
            let entries = resource.entries.into_iter();
            settings.insert(topic, entries.filter_map(|entry| Some((entry.name, entry.value?))).collect());
        }
        Ok(settings)
    }

    async fn create(
        &self,
        topic: &str,
        partitions: i32,
        replicas: i32,
        settings: &BTreeMap<String, String>,
    ) -> Result<(), AdminError> {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        let created =
            self.client.create_topics([&new], &options()).await.map_err(|error| self.failed(error))?;
        for result in created {
            match result {
                // Another process was faster.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(AdminError::Topic { topic, code }),
            }
        }
        Ok(())
    }

    /// Alters settings. Kafka replaces all of a topic's settings at once, so those that somebody else has set
    /// are given again.
    async fn alter(&self, specs: &[TopicSpec], changes: &[TopicChange]) -> Result<(), AdminError> {
        let altered = |spec: &&TopicSpec| {
            changes.iter().any(
                |change| matches!(change, TopicChange::Alter { topic, .. } if topic == spec.topic.name()),
            )
        };
        let specs: Vec<&TopicSpec> = specs.iter().filter(altered).collect();
        if specs.is_empty() {
            return Ok(());
        }
        let own = self.own_settings(&specs).await?;
        let mut alterations = Vec::new();
        let altered_of = |topic: &str| -> BTreeMap<&str, &str> {
            let of_topic = changes.iter().filter_map(|change| match change {
                TopicChange::Alter { topic: altered, setting, to, .. } if altered == topic => {
                    Some((setting.as_str(), to.as_str()))
                }
                _ => None,
            });
            of_topic.collect()
        };
        let wanted: Vec<_> =
            specs.iter().map(|spec| (spec.topic.name(), altered_of(spec.topic.name()))).collect();
        for (topic, settings) in &wanted {
            let mut alter = AlterConfig::new(ResourceSpecifier::Topic(topic));
            for (key, value) in own[topic].iter().filter(|(key, _)| !settings.contains_key(key.as_str())) {
                alter = alter.set(key, value);
            }
            for (key, value) in settings {
                alter = alter.set(key, value);
            }
            alterations.push(alter);
        }
        let results =
            self.client.alter_configs(&alterations, &options()).await.map_err(|error| self.failed(error))?;
        for (result, (topic, _)) in results.into_iter().zip(&wanted) {
            result.map_err(|(_, code)| AdminError::Topic { topic: (*topic).to_owned(), code })?;
        }
        Ok(())
    }

    /// The settings made on the topics themselves, not inherited from the cluster.
    async fn own_settings(
        &self,
        specs: &[&TopicSpec],
    ) -> Result<BTreeMap<&'static str, Vec<(String, String)>>, AdminError> {
        let resources: Vec<_> =
            specs.iter().map(|spec| ResourceSpecifier::Topic(spec.topic.name())).collect();
        let described = self.client.describe_configs(&resources, &options()).await;
        let described = described.map_err(|error| self.failed(error))?;
        let mut settings = BTreeMap::new();
        for (spec, resource) in specs.iter().zip(described) {
            let topic = spec.topic.name();
            let resource = resource.map_err(|code| AdminError::Topic { topic: topic.to_owned(), code })?;
            let own = |entry: &rdkafka::admin::ConfigEntry| {
                matches!(entry.source, rdkafka::admin::ConfigSource::DynamicTopic)
            };
            let entries = resource.entries.into_iter().filter(own);
            settings.insert(topic, entries.filter_map(|entry| Some((entry.name, entry.value?))).collect());
        }
        Ok(settings)
    }

    /// Waits until settings that were altered are as they were to be: the client library keeps a refusal to
    /// itself.
    async fn await_settings(&self, specs: &[TopicSpec], changes: &[TopicChange]) -> Result<(), AdminError> {
        if !changes.iter().any(|change| matches!(change, TopicChange::Alter { .. })) {
            return Ok(());
        }
        let deadline = tokio::time::Instant::now() + SETTLED_WITHIN;
        loop {
            let left = self.plan(specs).await?;
            let unaltered = left.into_iter().find_map(|change| match change {
                TopicChange::Alter { topic, setting, .. } => Some((topic, setting)),
                TopicChange::Create { .. } | TopicChange::Refused { .. } => None,
            });
            match unaltered {
                None => return Ok(()),
                Some((topic, setting)) if tokio::time::Instant::now() >= deadline => {
                    return Err(AdminError::Unaltered { topic, setting });
                }
                Some(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Waits until the cluster shows every topic, so that the next subscriber finds them.
    async fn await_topics(&self, specs: &[TopicSpec]) -> Result<(), AdminError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let (_, existing) = self.partitions().await?;
            let missing = specs.iter().find(|spec| !existing.contains_key(spec.topic.name()));
            match missing {
                None => return Ok(()),
                Some(spec) if tokio::time::Instant::now() >= deadline => {
                    let code = RDKafkaErrorCode::UnknownTopicOrPartition;
                    return Err(AdminError::Topic { topic: spec.topic.name().to_owned(), code });
                }
                Some(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_retention_is_no_difference() {
        let is = |setting, now: &str, wanted| differs(setting, Some(&now.to_owned()), wanted);
        assert!(!is("retention.ms", "1000", "1000") && !is("retention.ms", "1001", "1000"));
        assert!(!is("retention.ms", "-1", "1000") && is("retention.ms", "999", "1000"));
        assert!(is("max.message.bytes", "1001", "1000") && differs("retention.ms", None, "1000"));
    }
}
