//! From a record's bytes to a decision: the codec, then the processor.

use std::{
    cell::Cell,
    ops::ControlFlow,
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

    fn apply(&self, input: P::Input, keep: impl FnOnce(&P::Input) -> Kept<P::Input>) -> Decision<P::Change> {
        let identity = Some(input.identity());
        let process = || match self.processor.process_taken(input) {
            ControlFlow::Break(changes) => changes,
            ControlFlow::Continue(input) => self.processor.process_kept(&input, || {
                let kept = keep(&input);
                move || kept.input()
            }),
        };
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

    fn rule_set(&self) -> Option<Arc<str>> {
        self.processor.rule_set()
    }

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
                return self.apply(input, |input| {
                    if schemas.asked.get() {
                        Kept::Input(Box::new(input.clone()))
                    } else {
                        Kept::Record(record.topic, raw.clone())
                    }
                });
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

/// Source from which an input is had again.
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

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use producers::sources::SourceFormat;
    use schemas::{
        Envelope, TenantId,
        codec::{Framing, SchemaIds, WriterSchema, encode, own_schemas},
    };

    use super::*;

    /// Answers an input, and the input as it is had again.
    struct Twice;

    impl Processor for Twice {
        type Input = Envelope;
        type Change = (Envelope, Envelope);
        const NAME: &'static str = "twice";

        fn process(&self, _: &Envelope) -> Vec<Self::Change> {
            unreachable!("it may keep its input")
        }

        fn process_kept<K>(&self, input: &Envelope, keep: impl FnOnce() -> K) -> Vec<Self::Change>
        where
            K: FnOnce() -> Envelope + Send + 'static,
        {
            vec![(input.clone(), keep()())]
        }
    }

    /// Knows a schema once.
    struct Forgetting(Cell<Option<Arc<WriterSchema>>>);

    impl SchemaLookup for Forgetting {
        fn look_up(&self, _: SchemaRef) -> SchemaAnswer {
            self.0.take().map_or(SchemaAnswer::Missing, SchemaAnswer::Known)
        }
    }

    #[test]
    fn an_input_is_had_again_as_it_was_read() {
        let native = r#"{"eventVersion":"1.08","eventTime":"2026-03-02T10:00:00Z","eventSource":"s3.amazonaws.com",
                         "eventName":"ListBuckets","awsRegion":"eu-central-1","sourceIPAddress":"203.0.113.7",
                         "eventID":"7c1f6f0e-8a44-4a0e-9f55-6f1f5c6a2b11","recipientAccountId":"111122223333",
                         "userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/ada"}}"#;
        let tenant = TenantId::new("acme").expect("valid");
        let sent = SourceFormat::CloudTrail.map(&tenant, native).expect("an object").envelope;
        let newest = own_schemas().iter().rfind(|own| own.topic == Topic::Activity).expect("a schema");
        for framing in [Framing::SingleObject, Framing::Confluent(SchemaIds::new([7; 6]))] {
            let encoded = encode(&sent, &framing);
            let headers: Vec<_> =
                encoded.headers.iter().map(|(name, value)| (*name, Some(value.as_slice()))).collect();
            let record = Record {
                topic: Topic::Activity,
                partition: 0,
                offset: 0,
                key: Some(&encoded.key),
                value: Some(&encoded.value),
                headers: &headers,
                timestamp_ms: 1_800_000_000_000,
            };
            let (content, mut arena) = ((record.key, record.value), BytesMut::new());
            let raw = RawRecord::copy(content, &headers, record.timestamp_ms, &mut arena);
            let schema = WriterSchema::parse(newest.json).expect("our own");
            let schemas = Forgetting(Cell::new(Some(Arc::new(schema))));
            let decision = Deciding::new(Arc::new(Twice), schemas).decide(&record, &raw);
            let Decision::Settle { settlement: Settlement::Apply(changes), .. } = decision else {
                panic!("{framing:?}: {decision:?}")
            };
            let [(read, again)] = changes.as_slice() else { panic!("one change: {changes:?}") };
            assert_eq!((read.id, &read.native, read), (sent.id, &sent.native, again), "{framing:?}");
        }
    }
}
