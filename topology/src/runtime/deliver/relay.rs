//! Brings what lies in a stage's outbox to its topics, in order; removes it once acknowledged.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use sinks::{
    Headers,
    outbox::{OutboxRecord, Relay},
    postgres::SinkConfig,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::runtime::{deliver::backoff::Backoff, quiet::Quiet, run::RunConfig};

/// Records read at a time.
const PAGE: u32 = 200;
/// How often an empty outbox is looked into.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long a record may wait for room in the producer's queue.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);
/// The longest record that the client lets through.
const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;

/// Relays until told to stop. What was sent and not removed is sent again by whoever relays next: readers of
/// dead letters may see one twice, with the same topic, partition and offset in its headers.
pub(crate) async fn run(outbox: SinkConfig, config: RunConfig, stop: CancellationToken) {
    let stage = outbox.stage.clone();
    let client_id = format!("weir-{stage}-outbox-{}", std::process::id());
    let producer = match producer(&config.bootstrap, &config.kafka, client_id) {
        Ok(producer) => producer,
        Err(error) => return warn!(stage, %error, "no producer for the outbox: nothing leaves it"),
    };
    let mut relay = Relay::new(outbox);
    let mut failures = 0;
    while !stop.is_cancelled() {
        let wait = match turn(&mut relay, &producer).await {
            Ok(0) => {
                failures = 0;
                INTERVAL
            }
            Ok(sent) => {
                metrics::counter!("weir_outbox_sent_total", "stage" => stage.clone()).increment(sent);
                failures = 0;
                Duration::ZERO
            }
            Err(error) => {
                debug!(stage, error, "the outbox waits");
                failures += 1;
                INTERVAL + Backoff::DELIVERY.wait(failures, &mut rand::rng())
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Sends a page; removes the records that were acknowledged before the first that was not.
async fn turn(relay: &mut Relay, producer: &FutureProducer<Quiet>) -> Result<u64, String> {
    let records = relay.next(PAGE).await.map_err(|error| error.to_string())?;
    let mut sent = 0;
    let mut failed = None;
    for record in &records {
        match send(producer, record).await {
            Ok(()) => sent += 1,
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    relay.acknowledge(&records[..sent]).await.map_err(|error| error.to_string())?;
    failed.map_or(Ok(sent as u64), Err)
}

async fn send(producer: &FutureProducer<Quiet>, record: &OutboxRecord) -> Result<(), String> {
    let outgoing = &record.outgoing;
    let message = FutureRecord::<[u8], [u8]> {
        topic: outgoing.to.name(),
        partition: None,
        key: outgoing.key.as_deref(),
        payload: outgoing.value.as_deref(),
        timestamp: None,
        headers: Some(kafka_headers(&outgoing.headers)),
    };
    producer.send(message, QUEUE_PATIENCE).await.map(drop).map_err(|(error, _)| error.to_string())
}

/// Headers as the client takes them.
pub(in crate::runtime) fn kafka_headers(headers: &Headers) -> OwnedHeaders {
    let all = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(all, |all, (key, value)| all.insert(Header { key, value: value.as_ref() }))
}

/// A producer of records that exist already, each acknowledged by all replicas.
pub(in crate::runtime) fn producer(
    bootstrap: &str,
    extra: &BTreeMap<String, String>,
    client_id: String,
) -> Result<FutureProducer<Quiet>, rdkafka::error::KafkaError> {
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
        .set("queue.buffering.max.kbytes", "16384");
    for (key, value) in extra {
        client.set(key, value);
    }
    client.create_with_context(Quiet)
}
