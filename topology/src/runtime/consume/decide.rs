//! From a record's bytes to a decision: the codec, then the processor.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use processors::Processor;
use schemas::{
    ParkReason, Topic,
    codec::{DecodeError, Incoming, NoRegistry, Readable, SchemaAnswer, SchemaLookup, SchemaRef},
};
use sinks::{RawRecord, Settlement};

use crate::runtime::consume::intake::{Decide, Decision, Record};

/// The rule by which a record without a value is ignored.
pub(crate) const TOMBSTONE: &str = "tombstone";

/// A processor behind the codec.
pub(crate) struct Deciding<P, L> {
    processor: Arc<P>,
    schemas: L,
}

impl<P, L: Clone> Clone for Deciding<P, L> {
    fn clone(&self) -> Self {
        Self { processor: Arc::clone(&self.processor), schemas: self.schemas.clone() }
    }
}

impl<P: Processor, L: SchemaLookup> Deciding<P, L> {
    pub(crate) fn new(processor: Arc<P>, schemas: L) -> Self {
        Self { processor, schemas }
    }

    fn apply<K>(&self, input: &P::Input, keep: impl FnOnce() -> K) -> Decision<P::Change>
    where
        K: FnOnce() -> P::Input + Send + 'static,
    {
        let identity = Some(input.identity());
        let process = || self.processor.process_kept(input, keep);
        // A processor is pure: nothing is left half done by a panic.
        let settlement = match catch_unwind(AssertUnwindSafe(process)) {
            Ok(changes) => Settlement::Apply(changes),
            Err(_) => park(ParkReason::ProcessorPanicked, format!("the processor {} panicked", P::NAME)),
        };
        Decision::Settle { settlement, identity }
    }
}

impl<P: Processor, L: SchemaLookup + Send> Decide for Deciding<P, L> {
    type Change = P::Change;

    fn decide(&self, record: &Record<'_>, raw: &RawRecord) -> Decision<P::Change> {
        let incoming = Incoming {
            topic: record.topic,
            key: record.key,
            value: record.value,
            headers: record.headers,
            timestamp_ms: record.timestamp_ms,
        };
        // The decoders are libraries, and what they read may be anything: a panic of theirs is the record's
        // fault.
        let schemas = Observed { schemas: &self.schemas, asked: Cell::new(false) };
        let decoded =
            catch_unwind(AssertUnwindSafe(|| P::Input::read(&incoming, raw.value.as_ref(), &schemas)));
        let settlement = match decoded {
            Ok(Ok(Some(input))) => {
                let keep = || {
                    let kept = match schemas.asked.get() {
                        true => Kept::Input(Box::new(input.clone())),
                        false => Kept::Record(record.topic, raw.clone()),
                    };
                    move || kept.input()
                };
                return self.apply(&input, keep);
            }
            Ok(Err(DecodeError::NeedsSchema(id))) => return Decision::NeedsSchema(id),
            Ok(Ok(None)) => Settlement::Ignore(TOMBSTONE),
            Ok(Err(DecodeError::Refused { reason, detail })) => {
                metrics::counter!("weir_decode_failures_total", "reason" => reason.name()).increment(1);
                park(reason, detail)
            }
            Err(_) => park(ParkReason::Undecodable, "the decoder panicked".to_owned()),
        };
        Decision::Settle { settlement, identity: None }
    }
}

/// Schemas, and whether one was asked for.
struct Observed<'a, L> {
    schemas: &'a L,
    asked: Cell<bool>,
}

impl<L: SchemaLookup> SchemaLookup for Observed<'_, L> {
    fn look_up(&self, schema: SchemaRef) -> SchemaAnswer {
        self.asked.set(true);
        self.schemas.look_up(schema)
    }
}

/// What an input is had from again.
enum Kept<I> {
    /// The input itself, where reading it again takes a schema that may have left the cache.
    Input(Box<I>),
    /// Its record, which shares its memory with the record of the batch: several times smaller than what is read of it.
    Record(Topic, RawRecord),
}

impl<I: Readable> Kept<I> {
    fn input(self) -> I {
        let (topic, raw) = match self {
            Self::Input(input) => return *input,
            Self::Record(topic, raw) => (topic, raw),
        };
        let headers: Vec<_> = raw.headers.iter().collect();
        let incoming = Incoming {
            topic,
            key: raw.key.as_deref(),
            value: raw.value.as_deref(),
            headers: &headers,
            timestamp_ms: raw.timestamp_ms,
        };
        let read = I::read(&incoming, raw.value.as_ref(), &NoRegistry);
        read.ok().flatten().expect("the record was read before, without a registry")
    }
}

fn park<C>(reason: ParkReason, detail: String) -> Settlement<C> {
    Settlement::Park { reason, detail }
}
