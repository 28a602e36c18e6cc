//! Cost of one event on its way from record to row, part by part, on one thread and without servers:
//!
//! `cargo run --release -p tests --example hot_path -- [EVENTS [ROUNDS]]`

use std::{hint::black_box, time::Instant};

use processors::{Processor, audit::Audit};
use producers::generate::{Generator, GeneratorConfig, Mix};
use schemas::{
    Envelope, TenantId, Timestamp,
    codec::{self, Decoded, Encoded, Framing, Incoming, NoRegistry},
};
use sinks::compress::Compressor;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::print_stderr, reason = "a command that a person runs")]
fn main() {
    let number = |n: usize, default: usize| {
        std::env::args().nth(n).map_or(default, |text| text.parse().expect("a number"))
    };
    let (events, rounds) = (number(1, 20_000), number(2, 5));
    let envelopes = envelopes(events);
    let encoded: Vec<Encoded> =
        envelopes.iter().map(|envelope| codec::encode(envelope, &Framing::SingleObject)).collect();
    let bytes = |of: &dyn Fn(&Encoded) -> usize| encoded.iter().map(of).sum::<usize>() / events;
    eprintln!("value {} B", bytes(&|e| e.value.len()));
    let records: Vec<Vec<u8>> =
        envelopes.iter().flat_map(|e| Audit.process(e)).map(|e| e.record.to_bytes()).collect();
    eprintln!("record {} B", records.iter().map(Vec::len).sum::<usize>() / events);
    let mut compressor = Compressor::new().expect("zstd");
    let total: usize = records
        .iter()
        .map(|r| compressor.compress(|to| to.extend_from_slice(r)).expect("compresses").len())
        .sum();
    eprintln!("compressed {} B", total / events);
    for round in 1..=rounds {
        let decode = time(events, || encoded.iter().for_each(|e| drop(black_box(decode(e)))));
        let process = time(events, || envelopes.iter().for_each(|e| drop(black_box(Audit.process(e)))));
        let hash = time(events, || {
            for envelope in &envelopes {
                black_box(envelope.content_sha256());
            }
        });
        let compress = time(events, || {
            for record in &records {
                black_box(compressor.compress(|to| to.extend_from_slice(record)).expect("compresses"));
            }
        });
        eprintln!(
            "{round}: decode {decode:.2} µs, process {process:.2} µs (of which content hash {hash:.2}), compress {compress:.2} µs"
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown to people")]
fn time(events: usize, run: impl FnOnce()) -> f64 {
    let began = Instant::now();
    run();
    began.elapsed().as_secs_f64() * 1e6 / events as f64
}

fn decode(encoded: &Encoded) -> Decoded {
    let headers: Vec<_> =
        encoded.headers.iter().map(|(name, value)| (*name, Some(value.as_slice()))).collect();
    let incoming = Incoming {
        topic: schemas::Topic::Activity,
        key: Some(&encoded.key),
        value: Some(&encoded.value),
        headers: &headers,
        timestamp_ms: 1_790_000_000_000,
    };
    codec::decode(&incoming, &NoRegistry).expect("decodes")
}

fn envelopes(events: usize) -> Vec<Envelope> {
    let tenant = TenantId::new("acme").expect("a tenant");
    let end = Timestamp::from_timestamp(1_790_000_000, 0).expect("a time");
    let config =
        GeneratorConfig { mix: Mix::CloudTrail, ..GeneratorConfig::ending_at(end, events as u64, tenant) };
    Generator::new(7, config).take(events).collect()
}
