//! Trains the dictionary that stored audit records are compressed with, on the generator's events and the stored
//! examples, and says what it is worth:
//!
//! `cargo run --release -p tests --example train_dictionary -- sinks/dictionaries/3.zdict`
//!
//! A new dictionary takes the next number and is added to `sinks::compress::DICTIONARIES`; the old ones stay for ever.

use std::{fs, path::Path, process::ExitCode};

use processors::{Processor, audit::Audit};
use producers::generate::{Generator, GeneratorConfig, Mix};
use schemas::{
    TenantId, Timestamp, Topic,
    codec::{self, Decoded, Incoming, NoRegistry},
};

const DICTIONARY_BYTES: usize = 32 * 1024;
const LEVEL: i32 = 1;
const SAMPLES: usize = 12_000;
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/examples");

#[expect(clippy::print_stderr, reason = "a command that a person runs")]
fn main() -> ExitCode {
    let Some(file) = std::env::args().nth(1) else {
        eprintln!("usage: train_dictionary FILE");
        return ExitCode::from(2);
    };
    let mut samples = Vec::new();
    for seed in 0..4 {
        for mix in [Mix::CloudTrail, Mix::Organisation, Mix::Organisation] {
            samples.extend(generated(seed, mix, SAMPLES / 12));
        }
    }
    samples.extend(examples());
    let dictionary = zstd::dict::from_samples(&samples, DICTIONARY_BYTES).expect("enough samples");
    fs::write(&file, &dictionary).expect("the file can be written");
    eprintln!("{file}: {} bytes, out of {} records", dictionary.len(), samples.len());
    for mix in [Mix::CloudTrail, Mix::Organisation] {
        let unseen: Vec<Vec<u8>> = generated(99, mix, 5_000).collect();
        let mut with = zstd::bulk::Compressor::with_dictionary(LEVEL, &dictionary).expect("a dictionary");
        let mut without = zstd::bulk::Compressor::new(LEVEL).expect("a compressor");
        let mean = |compress: &mut dyn FnMut(&[u8]) -> usize| {
            unseen.iter().map(|record| compress(record)).sum::<usize>() / unseen.len()
        };
        eprintln!(
            "{mix:?}: {} bytes a record, {} compressed, {} with the dictionary",
            mean(&mut <[u8]>::len),
            mean(&mut |record| without.compress(record).expect("compresses").len()),
            mean(&mut |record| with.compress(record).expect("compresses").len()),
        );
    }
    ExitCode::SUCCESS
}

/// Records of an organisation's events, the same for the same seed.
fn generated(seed: u64, mix: Mix, events: usize) -> impl Iterator<Item = Vec<u8>> {
    let tenant = TenantId::new(&format!("tenant-{seed}")).expect("a tenant");
    let end = Timestamp::from_timestamp(1_790_000_000, 0).expect("a time");
    let config = GeneratorConfig { mix, ..GeneratorConfig::ending_at(end, 1_000_000, tenant) };
    // Some of each hour: the whole of a few days says more than an hour of one.
    Generator::new(seed, config)
        .step_by(7)
        .take(events)
        .flat_map(|envelope| Audit.process(&envelope))
        .map(|entry| entry.record.to_bytes())
}

fn examples() -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for topic in Topic::FAMILIES {
        let mut files: Vec<_> = fs::read_dir(Path::new(EXAMPLES).join(topic.name()))
            .expect("a topic's folder of examples")
            .map(|file| file.expect("readable").path())
            .collect();
        files.sort();
        for file in files {
            let value = fs::read(&file).expect("readable");
            let headers: &[(&str, Option<&[u8]>)] =
                &[("content-type", Some(b"application/cloudevents+json"))];
            let incoming =
                Incoming { topic, key: None, value: Some(&value), headers, timestamp_ms: 1_790_000_000_000 };
            let Ok(Decoded::Event(envelope)) = codec::decode(&incoming, &NoRegistry) else {
                panic!("{} is no event", file.display())
            };
            records.extend(Audit.process(&envelope).into_iter().map(|entry| entry.record.to_bytes()));
        }
    }
    records
}
