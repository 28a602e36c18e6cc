//! From a record's bytes to a decision: the codec, then the processor.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use processors::Processor;
use schemas::{
    ParkReason,
    codec::{DecodeError, Incoming, Readable, SchemaLookup},
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

    fn apply(&self, input: &P::Input) -> Decision<P::Change> {
        let identity = Some(input.identity());
        // A processor is pure: nothing is left half done by a panic.
        let settlement = match catch_unwind(AssertUnwindSafe(|| self.processor.process(input))) {
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
        let decoded =
            catch_unwind(AssertUnwindSafe(|| P::Input::read(&incoming, raw.value.as_ref(), &self.schemas)));
        let settlement = match decoded {
            Ok(Ok(Some(input))) => return self.apply(&input),
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

fn park<C>(reason: ParkReason, detail: String) -> Settlement<C> {
    Settlement::Park { reason, detail }
}
