//! One member of a stage's consumer group: a poll thread and a worker, started and stopped together.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};
use rdkafka::config::FromClientConfigAndContext;
use sinks::Sink;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::runtime::{
    clock::RealTime,
    consume::consumer::{ConsumerCallbacks, ConsumerSettings, StageConsumer},
    consume::driver::{Driver, Links},
    consume::intake::Decide,
    consume::poll::{Ended, PartitionCounts, Poller},
    consume::source::Schemas,
    deliver::batching::BatchLimits,
    deliver::notices::Notices,
    deliver::slot::Slot,
    deliver::worker::{Command, Shared, Worker},
    fatal::Fatal,
    grace::Grace,
    observe::metrics::StageMetrics,
};

/// Claims, releases and halts that may wait for the worker.
const COMMANDS: usize = 64;
/// Time limit for the transaction in flight when the process stops, for all that waits for it together.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Configuration of a member.
pub(crate) struct MemberSettings {
    pub(crate) topics: Vec<schemas::Topic>,
    pub(crate) consumer: ConsumerSettings,
    pub(crate) cluster_id: Arc<str>,
    pub(crate) limits: BatchLimits,
    /// Flag by which it reports its readiness.
    pub(crate) ready: Arc<AtomicBool>,
}

/// Runs a member until shutdown, or until it cannot continue.
pub(crate) async fn run<D, Q, S>(
    settings: MemberSettings,
    seen: StageMetrics,
    (decide, schemas, sink): (D, Q, S),
    stop: CancellationToken,
) -> Result<(), Fatal>
where
    D: Decide + Clone + 'static,
    Q: Schemas + Clone + 'static,
    S: Sink<Change = D::Change>,
{
    let shared = Arc::new(Shared { slot: Slot::new(settings.limits), notices: Notices::default(), seen });
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let worker_done = CancellationToken::new();
    // The worker stops when told to, and when its poll thread is gone.
    let worker_stop = stop.child_token();
    let grace = Grace::after(worker_stop.clone(), STOP_PATIENCE);
    let worker =
        Worker::new((sink, RealTime), Arc::clone(&shared), inbox, worker_stop.clone(), StdRng::from_os_rng());
    let done = worker_done.clone().drop_guard();
    let mut worker = tokio::spawn(async move {
        worker.run().await;
        drop(done);
    });
    let thread = PollThread {
        settings,
        shared,
        commands,
        decide,
        schemas,
        stop,
        worker_done,
        grace: grace.clone(),
        runtime: Handle::current(),
    };
    let ended = thread.spawn().await;
    worker_stop.cancel();
    if grace.wait(&mut worker).await.is_none() {
        warn!("a transaction in flight did not end within 10 s; the next owner determines its outcome");
        worker.abort();
    }
    ended
}

struct PollThread<D: Decide, Q> {
    settings: MemberSettings,
    shared: Arc<Shared<D::Change>>,
    commands: mpsc::Sender<Command>,
    decide: D,
    schemas: Q,
    stop: CancellationToken,
    worker_done: CancellationToken,
    grace: Grace,
    runtime: Handle,
}

impl<D, Q> PollThread<D, Q>
where
    D: Decide + Clone + 'static,
    Q: Schemas + Clone + 'static,
{
    async fn spawn(self) -> Result<(), Fatal> {
        let (ended, end) = oneshot::channel();
        let name = format!("poll {}", self.settings.consumer.group);
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            // The receiver is only gone with the whole runtime.
            drop(ended.send(self.run()));
        });
        match spawned {
            Ok(_) => end.await.unwrap_or_else(|_| Err(Fatal::Client("the poll thread panicked".into()))),
            Err(error) => Err(Fatal::Client(format!("no thread to poll with: {error}"))),
        }
    }

    /// Polls; a consumer that gets nothing is replaced, once.
    fn run(&self) -> Result<(), Fatal> {
        with_a_second_chance(|| self.poll_with_a_new_consumer())
    }

    fn poll_with_a_new_consumer(&self) -> Result<Ended, Fatal> {
        let links = Links {
            shared: Arc::clone(&self.shared),
            commands: self.commands.clone(),
            schemas: self.schemas.clone(),
            cluster_id: Arc::clone(&self.settings.cluster_id),
        };
        let driver = Driver::new(self.decide.clone(), links, StdRng::from_os_rng());
        let context = ConsumerCallbacks::new(
            driver,
            Arc::clone(&self.shared),
            self.runtime.clone(),
            self.grace.clone(),
        );
        let client = |error: rdkafka::error::KafkaError| Fatal::Client(error.to_string());
        let consumer: StageConsumer<D, Q> =
            StageConsumer::from_config_and_context(&self.settings.consumer.client_config(), context)
                .map_err(client)?;
        let names: Vec<&str> = self.settings.topics.iter().map(|topic| topic.name()).collect();
        rdkafka::consumer::Consumer::subscribe(&consumer, &names).map_err(client)?;
        let ended = Poller {
            consumer: &consumer,
            shared: &self.shared,
            limits: self.settings.limits,
            runtime: self.runtime.clone(),
            stop: self.stop.clone(),
            worker_done: self.worker_done.clone(),
            counts: PartitionCounts::new(&self.settings.topics),
            ready: &self.settings.ready,
        }
        .run();
        self.settings.ready.store(false, Ordering::Relaxed);
        if self.stop.is_cancelled() {
            // Dropping the consumer leaves the group: not before the transaction in hand has ended.
            self.runtime.block_on(self.grace.wait(self.worker_done.cancelled()));
        }
        ended
    }
}

fn with_a_second_chance(mut poll: impl FnMut() -> Result<Ended, Fatal>) -> Result<(), Fatal> {
    if poll()? == Ended::Stopped {
        return Ok(());
    }
    warn!("no record for 30 s although the log has more; starting a new consumer");
    match poll()? {
        Ended::Stopped => Ok(()),
        Ended::Stalled => Err(Fatal::Stalled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stalled_consumer_is_replaced_once_and_a_stalled_successor_ends_the_process() {
        let check = |endings: &[Ended], polls: usize, outcome: Result<(), Fatal>| {
            let mut ended = endings.iter().copied();
            let result = with_a_second_chance(|| Ok(ended.next().expect("no third consumer")));
            assert_eq!((result, endings.len() - ended.len()), (outcome, polls), "{endings:?}");
        };
        check(&[Ended::Stopped], 1, Ok(()));
        check(&[Ended::Stalled, Ended::Stopped], 2, Ok(()));
        check(&[Ended::Stalled, Ended::Stalled], 2, Err(Fatal::Stalled));
    }
}
