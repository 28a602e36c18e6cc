//! Runs stages of a topology in this process.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc, time::Duration};

use audit_log::SubjectSecret;
use processors::Processor;
use producers::registry::Registry;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use schemas::Topic;
use sinks::{Sink, log_store::HandoverSender, postgres::SinkConfig};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::runtime::{
    BatchLimits, Fatal, Tracing,
    consume::consumer::ConsumerSettings,
    consume::decide::Deciding,
    consume::schema_fetch::FetchedSchemas,
    deliver::relay,
    member::{self, MemberSettings},
    observe::health::Health,
    observe::metrics::StageMetrics,
    quiet::Quiet,
};
use crate::topology::{Stage, Topology};

/// Time limit for one attempt to reach the cluster; attempts repeat until it answers.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(5);

/// Configuration of stages: servers, identity and limits.
#[derive(Clone)]
pub struct RunConfig {
    /// Kafka's `host:port[,host:port]`.
    pub bootstrap: String,
    /// More settings of the Kafka client (security, for example), as librdkafka names them.
    pub kafka: BTreeMap<String, String>,
    /// `postgres://..`
    pub database_url: String,
    /// Registry of the schemas of Confluent-framed records; without it their ids are unknown.
    pub registry: Option<Arc<Registry>>,
    /// Owner that claims partitions, for people: host, process, instance.
    pub owner: String,
    /// Static membership: the pod's name, where it survives the pod.
    pub group_instance: Option<String>,
    /// Writers per stage in this process, each with a consumer and a connection of its own.
    pub members: NonZeroUsize,
    /// Limits on the records that one transaction settles.
    pub limits: BatchLimits,
    /// Whether batches are traced.
    pub tracing: Tracing,
    /// Secret from which the audit log's subject keys are derived; the stage `audit` needs it.
    pub subject_secret: Option<SubjectSecret>,
    /// Sender to the follower of the audit log in this process, if there is one.
    pub appended: Option<HandoverSender>,
}

impl RunConfig {
    /// One writer per stage, defaults for the rest.
    pub fn new(bootstrap: impl Into<String>, database_url: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            kafka: BTreeMap::new(),
            database_url: database_url.into(),
            registry: None,
            owner: format!("process {}", std::process::id()),
            group_instance: None,
            members: NonZeroUsize::MIN,
            limits: BatchLimits::default(),
            tracing: Tracing::Off,
            subject_secret: None,
            appended: None,
        }
    }
}

/// Error for which stages stopped without a request to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No such stage.
    #[error("{0:?} is no stage; `weir topology show` lists them")]
    UnknownStage(String),
    /// A stage cannot continue; restarting the process may help.
    #[error("stage {stage} cannot continue")]
    Fatal {
        /// Name of the stage.
        stage: String,
        /// Error of the stage.
        #[source]
        source: Fatal,
    },
}

/// A member of a stage: what its sink may need to know, and what runs it.
#[derive(Clone)]
pub struct StageContext {
    /// The stage's name.
    pub stage: &'static str,
    /// `postgres://..`
    pub database_url: String,
    /// Owner that claims partitions, for people.
    pub owner: String,
    /// The Kafka cluster whose offsets are stored.
    pub cluster_id: Arc<str>,
    /// Secret from which the audit log's subject keys are derived, if it is set.
    pub subject_secret: Option<SubjectSecret>,
    /// Sender to the follower of the audit log in this process, if there is one.
    pub appended: Option<HandoverSender>,
    topics: Vec<Topic>,
    consumer: ConsumerSettings,
    limits: BatchLimits,
    tracing: Tracing,
    schemas: FetchedSchemas,
    health: Health,
    member: usize,
    stop: CancellationToken,
}

impl StageContext {
    pub(crate) fn limits(&self) -> BatchLimits {
        self.limits
    }

    pub(crate) fn limited_to(self, limits: BatchLimits) -> Self {
        Self { limits, ..self }
    }

    /// Configuration with which a sink of this stage connects to its ledger and writes its rows.
    pub fn sink_config(&self) -> SinkConfig {
        SinkConfig {
            stage: self.stage.to_owned(),
            url: self.database_url.clone(),
            owner: self.owner.clone(),
            cluster_id: self.cluster_id.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Runs the named stages until `shutdown`, or until one of them cannot continue: then all of them stop.
///
/// Stopping takes at most 25 s: transactions in flight may end, then the consumers leave their groups.
pub async fn run(
    topology: &Topology,
    stages: &[String],
    config: RunConfig,
    health: Health,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let find = |name: &String| topology.stage(name).ok_or_else(|| RunError::UnknownStage(name.clone()));
    let stages = stages.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let members = config.members.get();
    health.expect(stages.len() * members);
    let Some(cluster_id) = cluster_id(&config, &shutdown).await else { return Ok(()) };
    let stop = shutdown.child_token();
    let schemas = FetchedSchemas::new(config.registry.clone());
    let mut running: JoinSet<(String, Result<(), Fatal>)> = JoinSet::new();
    for stage in &stages {
        for number in 0..members {
            let place = (cluster_id.clone(), schemas.clone(), health.clone(), stop.clone());
            let context = context(stage, number, &config, place);
            if number == 0
                && let Some(outbox) = stage.wiring().outbox(&context)
            {
                tokio::spawn(relay::run(outbox, config.clone(), stop.clone()));
            }
            let (name, member) = (stage.name().to_owned(), stage.wiring().launch(context));
            info!(stage = name, member = number, "stage starts");
            running.spawn(async move { (name, member.await) });
        }
    }
    let mut outcome = Ok(());
    while let Some(ended) = running.join_next().await {
        let (stage, ended) = ended.unwrap_or_else(|panic| {
            ("of this process".into(), Err(Fatal::Client(format!("a stage panicked: {panic}"))))
        });
        stop.cancel();
        health.stopping();
        if let Err(source) = ended {
            error!(stage, error = %source, "stage cannot continue");
            outcome = outcome.and(Err(RunError::Fatal { stage, source }));
        }
    }
    outcome
}

fn context(
    stage: &Stage,
    member: usize,
    config: &RunConfig,
    (cluster_id, schemas, health, stop): (Arc<str>, FetchedSchemas, Health, CancellationToken),
) -> StageContext {
    let suffix = if member == 0 { String::new() } else { format!("-{member}") };
    let consumer = ConsumerSettings {
        bootstrap: config.bootstrap.clone(),
        group: stage.group(),
        client_id: format!("weir-{}-{}{suffix}", stage.name(), std::process::id()),
        group_instance: config.group_instance.as_ref().map(|instance| format!("{instance}{suffix}")),
        extra: config.kafka.clone(),
    };
    StageContext {
        stage: stage.name(),
        database_url: config.database_url.clone(),
        owner: format!("{}{suffix}", config.owner),
        cluster_id,
        subject_secret: config.subject_secret.clone(),
        appended: config.appended.clone(),
        topics: stage.topics().to_vec(),
        consumer,
        limits: config.limits,
        tracing: config.tracing,
        schemas,
        health,
        member,
        stop,
    }
}

/// Runs one member of a stage; called by its wiring, which knows the types.
pub(crate) async fn run_member<P, S>(processor: Arc<P>, sink: S, context: StageContext) -> Result<(), Fatal>
where
    P: Processor,
    S: Sink<Change = P::Change>,
{
    let seen = StageMetrics::new(context.stage, &context.consumer.group, context.tracing);
    let settings = MemberSettings {
        topics: context.topics,
        consumer: context.consumer,
        cluster_id: context.cluster_id,
        limits: context.limits,
        ready: context.health.member(context.stage, context.member),
    };
    let decide = Deciding::new(processor, context.schemas.clone());
    member::run(settings, seen, (decide, context.schemas, sink), context.stop).await
}

/// The cluster's id; `None` if the shutdown came first.
async fn cluster_id(config: &RunConfig, stop: &CancellationToken) -> Option<Arc<str>> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.bootstrap);
    for (key, value) in &config.kafka {
        client.set(key, value);
    }
    loop {
        let client = client.clone();
        let look = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer<Quiet> =
                client.create_with_context(Quiet).map_err(|error| error.to_string())?;
            // Metadata first: the id is only known once a broker has answered.
            consumer.fetch_metadata(None, CLUSTER_PATIENCE).map_err(|error| error.to_string())?;
            consumer
                .client()
                .fetch_cluster_id(CLUSTER_PATIENCE)
                .ok_or_else(|| "it tells no cluster id".to_owned())
        });
        let found = tokio::select! {
            () = stop.cancelled() => return None,
            found = look => found.unwrap_or_else(|error| Err(error.to_string())),
        };
        match found {
            Ok(id) => return Some(id.into()),
            Err(error) => warn!(bootstrap = config.bootstrap, error, "Kafka does not answer yet"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}
