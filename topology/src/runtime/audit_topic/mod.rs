//! Brings the audit log to `weir.audit.v1`: each entry once, in the order of its log.
//!
//! The log is its own outbox. A relay follows each log by its index, under a transactional id of the log's own: taking a
//! log over fences whoever relayed it before, and the topic's own tail says where to go on. So the topic has neither gaps nor
//! repeats, whoever is killed when. What the stage has just committed comes here through memory; the table is read
//! where that was not enough: after a start, and where the relay was slower than the stage. A dead broker holds back the relay,
//! never the stage.

mod backfill;
mod tail;
mod target;
mod writer;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use sinks::log_store::{Appended, Follower, HandoverReceiver, LogEntry, Standing};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use self::{target::Target, writer::LogWriter};

/// Entries read from the table at a time: those of one transaction.
const PAGE: u32 = 2_000;
/// Pages of the table between two looks for block ranges that have filled.
const PAGES_A_SUMMARY: u32 = 16;
/// While the stage works off a backlog, the relay rests so many times as long as it has worked: the two share the
/// processor, and an entry must be in the log before it can leave.
const RESTS_UNDER_LOAD: u32 = 3;
/// The longest of these rests.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// Interval at which abandoned logs are looked for, and checkpoints are read.
const SWEEP: Duration = Duration::from_secs(5);
/// A log whose relay has noted nothing for so long is taken over if it has entries that are not in the topic.
const ABANDONED_S: f64 = 10.0;
/// Pause after a log could not be written.
const REST: Duration = Duration::from_secs(2);

/// Configuration of the relay: its database, cluster and topic.
#[derive(Debug, Clone)]
pub struct AuditTopicConfig {
    /// Kafka's `host:port[,host:port]`.
    pub bootstrap: String,
    /// More settings of the Kafka client, as librdkafka names them.
    pub kafka: BTreeMap<String, String>,
    /// `postgres://..`
    pub database_url: String,
}

/// Error that interrupts the relay of a log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// Kafka cannot be reached or refuses.
    #[error("kafka: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// Postgres cannot be reached or refuses the query.
    #[error(transparent)]
    Store(#[from] sinks::log_store::StoreError),
    /// An entry that ought to be in the table is not.
    #[error("entry {0} is missing from the table; the topic cannot continue without it")]
    Missing(u64),
    /// A record cannot be read.
    #[error("entry {0} cannot be read: {1}")]
    Unreadable(u64, audit_log::Malformed),
    /// The topic's end was not reached.
    #[error("the end of the topic was not reached within {} s", tail::PATIENCE.as_secs())]
    NoEnd,
    /// No thread can be started.
    #[error("no thread can be started for the client: {0}")]
    Thread(#[source] std::io::Error),
    /// A task of the client ended before its time.
    #[error("the client's task ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Relays until shutdown.
pub async fn run(config: AuditTopicConfig, appended: HandoverReceiver, stop: CancellationToken) {
    tokio::join!(backfill::run(config.clone(), stop.clone()), follow(config, appended, stop));
}

async fn follow(config: AuditTopicConfig, appended: HandoverReceiver, stop: CancellationToken) {
    let mut relay = Relay {
        config,
        appended,
        stop: stop.clone(),
        store: None,
        logs: HashMap::new(),
        sizes: HashMap::new(),
        checkpoints: HashMap::new(),
    };
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = sweep.tick() => {
                if let Err(failure) = relay.sweep().await {
                    warn!(error = %failure, "the audit topic's relay cannot read the logs; will retry");
                    relay.store = None;
                }
            }
            handed = relay.appended.recv() => {
                let Some(handed) = handed else { break };
                relay.take_all(handed).await;
            }
        }
    }
}

struct Relay {
    config: AuditTopicConfig,
    /// Entries that the stage commits.
    appended: HandoverReceiver,
    stop: CancellationToken,
    store: Option<Follower>,
    logs: HashMap<String, Log>,
    /// Sizes of the logs at the last sweep.
    sizes: HashMap<String, u64>,
    /// The newest notes by log.
    checkpoints: HashMap<String, String>,
}

/// Whether entries follow on others without a gap.
fn follows(entries: &[LogEntry], more: &Appended) -> bool {
    let (last, next) = (entries.last(), more.entries.first());
    last.zip(next).is_some_and(|(last, next)| next.index == last.index + 1)
}

/// A log and its writer.
enum Log {
    Written(Box<LogWriter>),
    /// Could not be written; left alone until then.
    Resting(Instant),
}

impl Relay {
    async fn store(&mut self) -> Result<&mut Follower, RelayError> {
        if self.store.is_none() {
            self.store = Some(Follower::connect(&self.config.database_url).await?);
        }
        Ok(self.store.as_mut().expect("just connected"))
    }

    /// Reads checkpoints, and takes over abandoned logs.
    async fn sweep(&mut self) -> Result<(), RelayError> {
        let store = self.store().await?;
        let (checkpoints, standings) = (store.checkpoints().await?, store.standings().await?);
        self.checkpoints = checkpoints.into_iter().collect();
        for standing in standings {
            let own = self.logs.get(&standing.log);
            // What was not there a sweep ago may still be on its way through memory.
            let known = self.sizes.insert(standing.log.clone(), standing.size);
            let is_missed = match own {
                Some(Log::Written(_)) => known.is_some_and(|size| standing.next_index < size),
                _ => standing.next_index < standing.size && standing.age_s > ABANDONED_S,
            };
            if is_missed {
                self.catch_up(&standing).await;
            }
            let behind = standing.size - standing.next_index.min(standing.size);
            #[expect(clippy::cast_precision_loss, reason = "a gauge")]
            metrics::gauge!("weir_audit_topic_behind_entries", "log" => standing.log).set(behind as f64);
        }
        Ok(())
    }

    /// Writes what the stage has committed by now. A transaction with Kafka takes its time, however small it is: what
    /// waits of one log is one.
    async fn take_all(&mut self, first: Appended) {
        let mut by_log: BTreeMap<String, Vec<Appended>> = BTreeMap::new();
        let mut next = Some(first);
        while let Some(handed) = next {
            by_log.entry(handed.log.clone()).or_default().push(handed);
            next = self.appended.try_recv();
        }
        for (log, handed) in by_log {
            let outcome = self.take(&log, handed).await;
            self.settle(&log, outcome);
        }
    }

    /// Writes entries of one log, and those that are missing before them.
    async fn take(&mut self, log: &str, handed: Vec<Appended>) -> Result<(), RelayError> {
        let mut handed = handed.into_iter().peekable();
        while let Some(mut run) = handed.next() {
            let Some(first) = run.entries.first().map(|entry| entry.index) else { continue };
            // Room is given back with the last of them.
            let mut followers = Vec::new();
            while let Some(mut more) = handed.next_if(|more| follows(&run.entries, more)) {
                run.entries.append(&mut more.entries);
                followers.push(more);
            }
            let Some(writer) = self.writer(log).await? else { return Ok(()) };
            if writer.next < first {
                self.read_back(log, first).await?;
                if self.stop.is_cancelled() {
                    return Ok(());
                }
            }
            self.write(log, &run.entries).await?;
        }
        Ok(())
    }

    /// Writes what the table holds and the topic does not.
    async fn catch_up(&mut self, standing: &Standing) {
        let outcome = async {
            if self.writer(&standing.log).await?.is_some() {
                self.read_back(&standing.log, standing.size).await?;
            }
            Ok(())
        };
        let outcome: Result<(), RelayError> = outcome.await;
        self.settle(&standing.log, outcome);
    }

    /// The log's writer, which takes the log over first; `None` while the log rests.
    async fn writer(&mut self, log: &str) -> Result<Option<&mut LogWriter>, RelayError> {
        match self.logs.get(log) {
            Some(Log::Resting(until)) if Instant::now() < *until => return Ok(None),
            Some(Log::Written(_)) => {}
            _ => {
                let standings = self.store().await?.standings().await?;
                let noted = standings.into_iter().find(|standing| standing.log == log);
                let mut writer = LogWriter::take_over(&self.config, Target::audit(log), noted).await?;
                let before = writer.next.checked_sub(1);
                if let Some(before) = before {
                    writer.previous = self.store().await?.leaf(log, before).await?;
                }
                debug!(log, next = writer.next, "relaying the log");
                self.logs.insert(log.to_owned(), Log::Written(Box::new(writer)));
            }
        }
        match self.logs.get_mut(log) {
            Some(Log::Written(writer)) => Ok(Some(writer)),
            _ => Ok(None),
        }
    }

    /// Brings the topic up to `end` with entries out of the table.
    async fn read_back(&mut self, log: &str, end: u64) -> Result<(), RelayError> {
        for page in 0_u32.. {
            let began = Instant::now();
            let Some(Log::Written(writer)) = self.logs.get(log) else { return Ok(()) };
            let next = writer.next;
            if next >= end || self.stop.is_cancelled() {
                return Ok(());
            }
            if page.is_multiple_of(PAGES_A_SUMMARY) {
                self.store().await?.summarise().await?;
            }
            let entries = self.store().await?.entries(log, next, PAGE).await?;
            if entries.first().is_none_or(|first| first.index != next) {
                return Err(RelayError::Missing(next));
            }
            self.write(log, &entries).await?;
            if self.appended.has_overflowed() {
                let rest = (began.elapsed() * RESTS_UNDER_LOAD).min(LONGEST_REST);
                self.stop.run_until_cancelled(tokio::time::sleep(rest)).await;
            }
        }
        Ok(())
    }

    /// Writes entries that follow one another, in one transaction; those that the topic has are left out.
    async fn write(&mut self, log: &str, entries: &[LogEntry]) -> Result<(), RelayError> {
        let checkpoint = self.checkpoints.get(log).cloned();
        let Some(Log::Written(writer)) = self.logs.get_mut(log) else { return Ok(()) };
        let Some(offset) = writer.write(entries, checkpoint.as_deref()).await? else { return Ok(()) };
        let next = writer.next;
        self.store().await?.note(log, next, offset).await?;
        Ok(())
    }

    /// Drops a writer that failed: the next writer of the log reads its end from the topic.
    fn settle(&mut self, log: &str, outcome: Result<(), RelayError>) {
        let Err(failure) = outcome else { return };
        match failure {
            RelayError::Missing(_) | RelayError::Unreadable(..) => {
                error!(log, error = %failure, "cannot continue the log in the audit topic");
            }
            RelayError::Store(_) => self.store = None,
            _ => warn!(log, error = %failure, "cannot write to the audit topic; will retry"),
        }
        metrics::counter!("weir_audit_topic_failures_total").increment(1);
        self.logs.insert(log.to_owned(), Log::Resting(Instant::now() + REST));
    }
}
