//! Drains prepared batches of audit entries through the Postgres sink, without Kafka, beside a raw COPY of the same rows:
//!
//! `DATABASE_URL=postgres://.. cargo run --release -p tests --example sink_throughput -- [EVENTS [BATCH [PAIRS]]]`

use std::time::{Duration, Instant};

use processors::{Processor, audit::Audit};
use producers::generate::{Generator, GeneratorConfig, Mix};
use schemas::{TenantId, Timestamp, Topic, changes::AuditEntry};
use sinks::{
    Batch, ClaimRequest, KeptBytes, LastRecord, OffsetRange, RawRecord, RecordChanges, Settlement, Sink,
    TopicPartition,
    postgres::{self, PostgresSink, SinkConfig},
    raw_copy::{self, Rows, Shape},
    read_models::audit_entry::AuditEntries,
};

const PARTITION: TopicPartition = TopicPartition { topic: Topic::Activity, partition: 0 };
const DATABASE: &str = "sink_throughput";

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a command that a person runs")]
async fn main() {
    let number = |n: usize, default: usize| {
        std::env::args().nth(n).map_or(default, |text| text.parse().expect("a number"))
    };
    let (events, size, pairs) = (number(1, 100_000), number(2, 2_000), number(3, 3));
    let admin = std::env::var("DATABASE_URL").expect("DATABASE_URL names a server");
    let entries = entries(events);
    for pair in 1..=pairs {
        postgres::drop_database(&admin, DATABASE).await.expect("dropped");
        let url = postgres::create_database(&admin, DATABASE).await.expect("created");
        postgres::migrate(&url).await.expect("migrated");
        raw_copy::checkpoint(&url).await.expect("checkpoint");
        let wal = raw_copy::wal_bytes(&url).await.expect("wal");
        let took = drain(&url, &entries, size).await.as_secs_f64();
        let wal_ours = raw_copy::wal_bytes(&url).await.expect("wal") - wal;
        let rows = Rows::read(&url, Shape::Compressed, entries.len() as u64, size).await.expect("read");
        let wal = raw_copy::wal_bytes(&url).await.expect("wal");
        let raw = rows.copy(&url).await.expect("copied").as_secs_f64();
        let wal_raw = raw_copy::wal_bytes(&url).await.expect("wal") - wal;
        let per = |count: usize, bytes: u64| bytes / count as u64;
        #[expect(clippy::cast_precision_loss, reason = "shown to people")]
        let rate = |seconds: f64| entries.len() as f64 / seconds;
        eprintln!(
            "pair {pair}: ours {:.0} rows/s, {} B WAL/row; raw COPY {:.0} rows/s, {} B WAL/row; ratio {:.3}",
            rate(took),
            per(entries.len(), wal_ours),
            rate(raw),
            per(entries.len(), wal_raw),
            raw / took
        );
    }
}

fn entries(events: usize) -> Vec<AuditEntry> {
    let tenant = TenantId::new("acme").expect("a tenant");
    let end = Timestamp::from_timestamp(1_790_000_000, 0).expect("a time");
    let config =
        GeneratorConfig { mix: Mix::CloudTrail, ..GeneratorConfig::ending_at(end, events as u64, tenant) };
    Generator::new(7, config).take(events).flat_map(|envelope| Audit.process(&envelope)).collect()
}

/// Delivers all of it; how long that took, without connecting and preparing.
async fn drain(url: &str, entries: &[AuditEntry], size: usize) -> Duration {
    let config = SinkConfig {
        stage: "audit".into(),
        url: url.into(),
        owner: "throughput".into(),
        cluster_id: "none".into(),
        version: "0".into(),
    };
    let secret = audit_log::SubjectSecret::new(&[7; 32]).expect("long enough");
    let mut sink = PostgresSink::new(config, AuditEntries::new(secret).expect("zstd"));
    let claim = sink
        .claim(&[ClaimRequest { partition: PARTITION, low: 0, partitions: None }])
        .await
        .expect("claimed")
        .remove(0);
    let mut position = claim.position;
    let batches: Vec<Batch<AuditEntry>> = entries
        .chunks(size)
        .map(|chunk| {
            let start = position;
            position += i64::try_from(chunk.len()).expect("small");
            let record = |(entry, offset): (&AuditEntry, i64)| RecordChanges {
                range: 0,
                offset,
                settlement: Settlement::Apply(vec![entry.clone()]),
                raw: RawRecord::default(),
                identity: None,
                kept: KeptBytes::All,
            };
            let last = LastRecord { offset: position - 1, print: [0; 32] };
            let range = OffsetRange {
                partition: PARTITION,
                start,
                upto: position,
                last: Some(last),
                owner_epoch: claim.owner_epoch,
            };
            Batch {
                records: chunk.iter().zip(start..).map(record).collect(),
                ranges: vec![range],
                rule_set: None,
            }
        })
        .collect();
    let started = Instant::now();
    for batch in &batches {
        sink.deliver(batch).await.expect("delivered");
    }
    started.elapsed()
}
