//! Publishes the records of a stage's outbox to their topics, in order; removes them once acknowledged.
//!
//! Every topic that records go to is a line of its own: a page of it is sent at once, and while one line
//! waits for its topic the others continue. Of a page the longest prefix of each partition is removed that
//! its topic has acknowledged, so that the records of a key stay in order; what was sent behind a record that
//! failed is sent again.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer as _},
};
use schemas::Topic;
use sinks::{
    Headers, TopicPartition,
    outbox::{OutboxRecord, Relay},
    postgres::SinkConfig,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::runtime::{deliver::backoff::Backoff, quiet::Quiet, run::RunConfig};

/// Records of a line that are read and sent at a time.
const PAGE: u32 = 2_000;
/// Interval at which an empty outbox is polled.
const INTERVAL: Duration = Duration::from_millis(500);
/// Interval at which the age of waiting records is reported, and records set aside are looked for.
const TELL_INTERVAL: Duration = Duration::from_secs(5);
/// Time for which a record is set aside before its topic is tried again.
const ASIDE: Duration = Duration::from_mins(10);
/// Longest wait of a record for room in the producer's queue.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);
/// Time limit for records in flight when the process stops.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// Longest record that the client accepts.
const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;

/// Relays until shutdown, whatever happens. What was sent and not removed is sent again by the next relay:
/// readers may see a record twice, with the same headers.
pub(crate) async fn run(outbox: SinkConfig, config: RunConfig, stop: CancellationToken) {
    let stage = outbox.stage.clone();
    let mut attempt = 0;
    while !stop.is_cancelled() {
        let relaying = tokio::spawn(relay_with_a_producer(outbox.clone(), config.clone(), stop.clone()));
        match relaying.await {
            Ok(Ok(())) => return,
            Ok(Err(why)) => warn!(stage, why, "the outbox's producer failed; creating a new one"),
            Err(panic) => error!(stage, error = %panic, "the outbox relay panicked; restarting it"),
        }
        let wait = INTERVAL + Backoff::DELIVERY.wait(attempt, &mut rand::rng());
        attempt = attempt.saturating_add(1);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Relays until shutdown or until the producer fails.
async fn relay_with_a_producer(
    outbox: SinkConfig,
    config: RunConfig,
    stop: CancellationToken,
) -> Result<(), String> {
    let stage = outbox.stage.clone();
    let client_id = format!("weir-{stage}-outbox-{}", std::process::id());
    let producer =
        producer(&config.bootstrap, &config.kafka, client_id).map_err(|error| error.to_string())?;
    let mut lines = Lines {
        stage,
        relay: Relay::new(outbox),
        producer,
        states: HashMap::new(),
        told_at: None,
        failures: 0,
    };
    lines.run(&stop).await
}

/// The lines of one stage.
struct Lines {
    stage: String,
    relay: Relay,
    producer: FutureProducer<Quiet>,
    states: HashMap<Topic, LineState>,
    told_at: Option<Instant>,
    /// Consecutive failures of the database.
    failures: u32,
}

/// State of a line.
#[derive(Debug, Clone, Copy, Default)]
struct LineState {
    is_in_flight: bool,
    /// Consecutive pages that were not sent whole.
    failures: u32,
    not_before: Option<Instant>,
}

/// A page, with the result of each record.
struct SentPage {
    to: Topic,
    records: Vec<OutboxRecord>,
    outcomes: Vec<Sent>,
}

/// Result of sending a record.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sent {
    /// All replicas have it.
    Acknowledged,
    /// Its topic does not accept a record of its size.
    TooLarge(String),
    /// It could not be sent now, with the reason.
    Failed(String),
    /// It was not tried: there was no room, or a record before it failed.
    Untried,
}

impl Lines {
    async fn run(&mut self, stop: &CancellationToken) -> Result<(), String> {
        let mut in_flight = FuturesUnordered::new();
        loop {
            let wait = match self.pages().await {
                Ok(pages) => {
                    self.failures = 0;
                    for (to, records) in pages {
                        self.states.entry(to).or_default().is_in_flight = true;
                        in_flight.push(send_page(self.producer.clone(), to, records));
                    }
                    INTERVAL
                }
                Err(error) => {
                    if self.failures.is_power_of_two() {
                        warn!(stage = self.stage, %error, "cannot read the outbox; will retry");
                    }
                    self.failures = self.failures.saturating_add(1);
                    INTERVAL + Backoff::DELIVERY.wait(self.failures, &mut rand::rng())
                }
            };
            tokio::select! {
                () = stop.cancelled() => {
                    self.finish(in_flight).await;
                    return Ok(());
                }
                Some(page) = in_flight.next(), if !in_flight.is_empty() => self.sent(page).await,
                () = tokio::time::sleep(wait) => {}
            }
            if let Some((error, why)) = self.producer.client().fatal_error() {
                return Err(format!("{error}: {why}"));
            }
        }
    }

    /// Removes records that are acknowledged soon; the rest is sent again by the next relay.
    async fn finish(&mut self, mut in_flight: FuturesUnordered<impl Future<Output = SentPage>>) {
        let finishing = async {
            while let Some(page) = in_flight.next().await {
                self.sent(page).await;
            }
        };
        if tokio::time::timeout(STOP_PATIENCE, finishing).await.is_err() {
            info!("records in flight were not acknowledged before the stop; they will be sent again");
        }
    }

    /// The next page of every line that is due and not in flight.
    async fn pages(&mut self) -> Result<Vec<(Topic, Vec<OutboxRecord>)>, String> {
        let now = Instant::now();
        let tells = self.told_at.is_none_or(|at| now.duration_since(at) >= TELL_INTERVAL);
        if tells {
            self.told_at = Some(now);
            let taken_up = self.relay.take_up(ASIDE).await.map_err(text)?;
            if taken_up > 0 {
                info!(
                    stage = self.stage,
                    records = taken_up,
                    "retrying records of the outbox that were set aside"
                );
            }
        }
        let lines = self.relay.lines().await.map_err(text)?;
        if tells {
            self.tell(&lines);
        }
        let mut pages = Vec::new();
        for line in lines.iter().filter(|line| line.is_due) {
            let state = self.states.entry(line.to).or_default();
            if state.is_in_flight || state.not_before.is_some_and(|at| now < at) {
                continue;
            }
            let records = self.relay.next(line.to, PAGE).await.map_err(text)?;
            if !records.is_empty() {
                pages.push((line.to, records));
            }
        }
        Ok(pages)
    }

    /// Sets the gauges of every line that was ever seen.
    fn tell(&mut self, lines: &[sinks::outbox::Line]) {
        for line in lines {
            self.states.entry(line.to).or_default();
        }
        for to in self.states.keys() {
            let line = lines.iter().find(|line| line.to == *to);
            let (oldest, aside) = line.map_or((0.0, 0), |line| (line.oldest_seconds, line.set_aside));
            metrics::gauge!("weir_outbox_oldest_seconds", "stage" => self.stage.clone(), "topic" => to.name())
                .set(oldest);
            #[expect(clippy::cast_precision_loss, reason = "a gauge")]
            metrics::gauge!("weir_outbox_set_aside", "stage" => self.stage.clone(), "topic" => to.name())
                .set(aside as f64);
        }
    }

    async fn sent(&mut self, page: SentPage) {
        let settled = settled(&page);
        let acknowledged: Vec<&OutboxRecord> =
            settled.acknowledged.iter().map(|i| &page.records[*i]).collect();
        if let Err(error) = self.settle(&page, &settled, &acknowledged).await {
            warn!(stage = self.stage, topic = page.to.name(), %error,
                  "records were sent and could not be removed from the outbox; they will be sent again");
        }
        let sent = acknowledged.len() as u64;
        metrics::counter!("weir_outbox_sent_total", "stage" => self.stage.clone()).increment(sent);
        let state = self.states.entry(page.to).or_default();
        state.is_in_flight = false;
        let Some(error) = settled.failed else {
            (state.failures, state.not_before) = (0, None);
            return;
        };
        state.failures = state.failures.saturating_add(1);
        let attempt = state.failures;
        let wait = INTERVAL + Backoff::CLAIM.wait(attempt, &mut rand::rng());
        state.not_before = Some(Instant::now() + wait);
        if attempt.is_power_of_two() {
            warn!(
                stage = self.stage,
                topic = page.to.name(),
                error,
                attempt,
                "Kafka did not accept records of the outbox; will retry"
            );
        }
    }

    async fn settle(
        &mut self,
        page: &SentPage,
        settled: &Settled,
        acknowledged: &[&OutboxRecord],
    ) -> Result<(), String> {
        for (index, why) in &settled.too_large {
            let record = &page.records[*index];
            error!(
                stage = self.stage,
                topic = page.to.name(),
                number = record.number,
                error = why,
                "the topic does not accept a record of this size; it is set aside in the outbox"
            );
            self.relay.set_aside(record, why).await.map_err(text)?;
        }
        if !acknowledged.is_empty() {
            self.relay.acknowledge(acknowledged).await.map_err(text)?;
        }
        Ok(())
    }
}

/// Records of a page that may be settled, by their indices.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settled {
    acknowledged: Vec<usize>,
    too_large: Vec<(usize, String)>,
    failed: Option<String>,
}

/// Of every partition the records before the first that failed or was not tried.
fn settled(page: &SentPage) -> Settled {
    let mut settled = Settled::default();
    let mut ended: Vec<TopicPartition> = Vec::new();
    for (index, (record, outcome)) in page.records.iter().zip(&page.outcomes).enumerate() {
        let from = record.outgoing.from;
        if ended.contains(&from) {
            continue;
        }
        match outcome {
            Sent::Acknowledged => settled.acknowledged.push(index),
            Sent::TooLarge(why) => settled.too_large.push((index, why.clone())),
            Sent::Failed(why) => {
                ended.push(from);
                settled.failed.get_or_insert_with(|| why.clone());
            }
            Sent::Untried => ended.push(from),
        }
    }
    settled
}

/// Sends a page at once. Where a topic refuses a whole request for its size, what is left of that partition's records is
/// sent one by one, so that only those are set aside that are too large by themselves.
async fn send_page(producer: FutureProducer<Quiet>, to: Topic, records: Vec<OutboxRecord>) -> SentPage {
    let mut queued = Vec::with_capacity(records.len());
    for record in &records {
        match producer.send_result(message(record)) {
            Ok(delivery) => queued.push(Ok(delivery)),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => break,
            Err((error, _)) => queued.push(Err(error)),
        }
    }
    let mut outcomes = Vec::with_capacity(records.len());
    for queued in queued {
        outcomes.push(match queued {
            Ok(delivery) => match delivery.await {
                Ok(Ok(_)) => Sent::Acknowledged,
                Ok(Err((error, _))) => failure(&error),
                Err(_) => Sent::Failed("the producer has ended".to_owned()),
            },
            Err(error) => failure(&error),
        });
    }
    outcomes.resize(records.len(), Sent::Untried);
    send_singly(&producer, &records, &mut outcomes).await;
    SentPage { to, records, outcomes }
}

async fn send_singly(producer: &FutureProducer<Quiet>, records: &[OutboxRecord], outcomes: &mut [Sent]) {
    let mut partitions: BTreeMap<TopicPartition, Vec<usize>> = BTreeMap::new();
    for (index, record) in records.iter().enumerate() {
        partitions.entry(record.outgoing.from).or_default().push(index);
    }
    for indices in partitions.into_values() {
        let is_bad = |index: &usize| outcomes[*index] != Sent::Acknowledged;
        let Some(first) = indices.iter().position(is_bad) else { continue };
        if !matches!(outcomes[indices[first]], Sent::TooLarge(_)) {
            continue;
        }
        for (nth, index) in indices.iter().enumerate().skip(first) {
            let outcome = match producer.send(message(&records[*index]), QUEUE_PATIENCE).await {
                Ok(_) => Sent::Acknowledged,
                Err((error, _)) => failure(&error),
            };
            let is_over = matches!(outcome, Sent::Failed(_));
            outcomes[*index] = outcome;
            if is_over {
                indices[nth + 1..].iter().for_each(|index| outcomes[*index] = Sent::Untried);
                break;
            }
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn failure(error: &KafkaError) -> Sent {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
            Sent::TooLarge(error.to_string())
        }
        _ => Sent::Failed(error.to_string()),
    }
}

fn message(record: &OutboxRecord) -> FutureRecord<'_, [u8], [u8]> {
    let outgoing = &record.outgoing;
    FutureRecord {
        topic: outgoing.to.name(),
        partition: None,
        key: outgoing.key.as_deref(),
        payload: outgoing.value.as_deref(),
        timestamp: None,
        headers: Some(kafka_headers(&outgoing.headers)),
    }
}

/// Headers in the client's form.
pub(in crate::runtime) fn kafka_headers(headers: &Headers) -> OwnedHeaders {
    let all = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(all, |all, (key, value)| all.insert(Header { key, value: value.as_ref() }))
}

/// A producer of records that exist already, each acknowledged by all replicas.
pub(in crate::runtime) fn producer(
    bootstrap: &str,
    extra: &BTreeMap<String, String>,
    client_id: String,
) -> Result<FutureProducer<Quiet>, KafkaError> {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", bootstrap)
        .set("client.id", client_id)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "1")
        .set("compression.type", "zstd")
        .set("partitioner", "murmur2_random")
        // The topic's own limit decides.
        .set("message.max.bytes", MAX_RECORD_BYTES.to_string())
        .set("delivery.timeout.ms", "10000")
        .set("reconnect.backoff.max.ms", "1000")
        .set("queue.buffering.max.kbytes", "16384");
    for (key, value) in extra {
        client.set(key, value);
    }
    client.create_with_context(Quiet)
}

#[cfg(test)]
mod tests;
