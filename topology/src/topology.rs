//! A topology: which topics go through which processor into which sink, as data that can be shown, compared
//! with a cluster and run.

pub mod access;
pub mod holding;
mod show;
mod topics;

use std::{error::Error, future::Future, marker::PhantomData, pin::Pin, sync::Arc};

use processors::Processor;
use schemas::{Topic, codec::Readable};
use sinks::{Guarantee, Sink, postgres::SinkConfig};

pub use holding::TopicOf;
pub use show::Shape;
pub use topics::{TopicSpec, topic_spec};

use crate::runtime::{BatchLimits, Fatal, StageContext, run_member};

/// Destination of a stage's changes: opens the sink once the place where the stage runs is known.
pub trait Destination: Send + Sync + 'static {
    /// Type of the sink.
    type Sink: Sink;
    /// The destination's name, for people.
    fn name(&self) -> &'static str;
    /// Opens the sink. Connects to nothing yet; fails only where the machine lacks what the sink needs.
    fn open(&self, context: &StageContext) -> Result<Self::Sink, Box<dyn Error + Send + Sync>>;
    /// Batch limits of the sink, given those that the process allows.
    fn limits(&self, allowed: BatchLimits) -> BatchLimits {
        allowed
    }
    /// Outbox in which the sink leaves records for other topics: they are relayed while the stage runs.
    /// `None`: it has none.
    fn outbox(&self, _: &StageContext) -> Option<SinkConfig> {
        None
    }
}

/// Begins the sentence of a stage: the topics it reads.
///
/// ```
/// # use std::error::Error;
/// # use schemas::Envelope;
/// # use sinks::{
/// #     Batch, Claim, ClaimRequest, DeliveryError, Guarantee, HaltReason, Settled, Sink, TopicPartition,
/// # };
/// # use topology::{runtime::StageContext, topology::{Destination, from, holding::{ACTIVITY, AUDIT, DEAD_LETTER}}};
/// # struct Counts;
/// # impl processors::Processor for Counts {
/// #     type Input = Envelope;
/// #     type Change = String;
/// #     const NAME: &'static str = "counts";
/// #     fn process(&self, _: &Envelope) -> Vec<String> { vec![] }
/// # }
/// # struct Words;
/// # impl Destination for Words {
/// #     type Sink = Words;
/// #     fn name(&self) -> &'static str { "words" }
/// #     fn open(&self, _: &StageContext) -> Result<Words, Box<dyn Error + Send + Sync>> { Ok(Words) }
/// # }
/// # impl Sink for Words {
/// #     type Change = String;
/// #     const GUARANTEE: Guarantee = Guarantee::AtLeastOnce;
/// #     fn name(&self) -> &'static str { "words" }
/// #     async fn claim(&mut self, _: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> { Ok(vec![]) }
/// #     async fn deliver(&mut self, _: &Batch<String>) -> Result<Settled, DeliveryError> {
/// #         Ok(Settled::default())
/// #     }
/// #     async fn set_halted(
/// #         &mut self, _: TopicPartition, _: i64, _: Option<&HaltReason>,
/// #     ) -> Result<(), DeliveryError> {
/// #         Ok(())
/// #     }
/// # }
/// // A processor that makes words of events fits topics of events and a sink of words,
/// from([ACTIVITY]).through(Counts).to(Words);
/// // and may feed another one under a name of its own.
/// let named = from([ACTIVITY]).through(Counts).named("counts.elsewhere").to(Words);
/// assert_eq!((named.name(), named.group().as_str()), ("counts.elsewhere", "weir-counts.elsewhere"));
/// ```
///
/// A processor that makes numbers does not fit a sink of words:
///
/// ```compile_fail,E0271
/// # use std::error::Error;
/// # use schemas::Envelope;
/// # use sinks::{
/// #     Batch, Claim, ClaimRequest, DeliveryError, Guarantee, HaltReason, Settled, Sink, TopicPartition,
/// # };
/// # use topology::{runtime::StageContext, topology::{Destination, from, holding::{ACTIVITY, AUDIT, DEAD_LETTER}}};
/// # struct Counts;
/// # impl processors::Processor for Counts {
/// #     type Input = Envelope;
/// #     type Change = u64;
/// #     const NAME: &'static str = "counts";
/// #     fn process(&self, _: &Envelope) -> Vec<u64> { vec![] }
/// # }
/// # struct Words;
/// # impl Destination for Words {
/// #     type Sink = Words;
/// #     fn name(&self) -> &'static str { "words" }
/// #     fn open(&self, _: &StageContext) -> Result<Words, Box<dyn Error + Send + Sync>> { Ok(Words) }
/// # }
/// # impl Sink for Words {
/// #     type Change = String;
/// #     const GUARANTEE: Guarantee = Guarantee::AtLeastOnce;
/// #     fn name(&self) -> &'static str { "words" }
/// #     async fn claim(&mut self, _: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> { Ok(vec![]) }
/// #     async fn deliver(&mut self, _: &Batch<String>) -> Result<Settled, DeliveryError> {
/// #         Ok(Settled::default())
/// #     }
/// #     async fn set_halted(
/// #         &mut self, _: TopicPartition, _: i64, _: Option<&HaltReason>,
/// #     ) -> Result<(), DeliveryError> {
/// #         Ok(())
/// #     }
/// # }
/// from([ACTIVITY]).through(Counts).to(Words);
/// ```
///
/// A processor of events cannot read OCSF records, and copies of undecodable records can be read by none:
///
/// ```compile_fail,E0271
/// # use std::error::Error;
/// # use schemas::Envelope;
/// # use sinks::{
/// #     Batch, Claim, ClaimRequest, DeliveryError, Guarantee, HaltReason, Settled, Sink, TopicPartition,
/// # };
/// # use topology::{runtime::StageContext, topology::{Destination, from, holding::{ACTIVITY, AUDIT, DEAD_LETTER}}};
/// # struct Counts;
/// # impl processors::Processor for Counts {
/// #     type Input = Envelope;
/// #     type Change = String;
/// #     const NAME: &'static str = "counts";
/// #     fn process(&self, _: &Envelope) -> Vec<String> { vec![] }
/// # }
/// # struct Words;
/// # impl Destination for Words {
/// #     type Sink = Words;
/// #     fn name(&self) -> &'static str { "words" }
/// #     fn open(&self, _: &StageContext) -> Result<Words, Box<dyn Error + Send + Sync>> { Ok(Words) }
/// # }
/// # impl Sink for Words {
/// #     type Change = String;
/// #     const GUARANTEE: Guarantee = Guarantee::AtLeastOnce;
/// #     fn name(&self) -> &'static str { "words" }
/// #     async fn claim(&mut self, _: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> { Ok(vec![]) }
/// #     async fn deliver(&mut self, _: &Batch<String>) -> Result<Settled, DeliveryError> {
/// #         Ok(Settled::default())
/// #     }
/// #     async fn set_halted(
/// #         &mut self, _: TopicPartition, _: i64, _: Option<&HaltReason>,
/// #     ) -> Result<(), DeliveryError> {
/// #         Ok(())
/// #     }
/// # }
/// from([AUDIT]).through(Counts).to(Words);
/// ```
///
/// ```compile_fail,E0277
/// # use std::error::Error;
/// # use schemas::Envelope;
/// # use sinks::{
/// #     Batch, Claim, ClaimRequest, DeliveryError, Guarantee, HaltReason, Settled, Sink, TopicPartition,
/// # };
/// # use topology::{runtime::StageContext, topology::{Destination, from, holding::{ACTIVITY, AUDIT, DEAD_LETTER}}};
/// # struct Counts;
/// # impl processors::Processor for Counts {
/// #     type Input = Envelope;
/// #     type Change = String;
/// #     const NAME: &'static str = "counts";
/// #     fn process(&self, _: &Envelope) -> Vec<String> { vec![] }
/// # }
/// # struct Words;
/// # impl Destination for Words {
/// #     type Sink = Words;
/// #     fn name(&self) -> &'static str { "words" }
/// #     fn open(&self, _: &StageContext) -> Result<Words, Box<dyn Error + Send + Sync>> { Ok(Words) }
/// # }
/// # impl Sink for Words {
/// #     type Change = String;
/// #     const GUARANTEE: Guarantee = Guarantee::AtLeastOnce;
/// #     fn name(&self) -> &'static str { "words" }
/// #     async fn claim(&mut self, _: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> { Ok(vec![]) }
/// #     async fn deliver(&mut self, _: &Batch<String>) -> Result<Settled, DeliveryError> {
/// #         Ok(Settled::default())
/// #     }
/// #     async fn set_halted(
/// #         &mut self, _: TopicPartition, _: i64, _: Option<&HaltReason>,
/// #     ) -> Result<(), DeliveryError> {
/// #         Ok(())
/// #     }
/// # }
/// from([DEAD_LETTER]).through(Counts).to(Words);
/// ```
///
/// ```compile_fail,E0308
/// # use std::error::Error;
/// # use schemas::Envelope;
/// # use sinks::{
/// #     Batch, Claim, ClaimRequest, DeliveryError, Guarantee, HaltReason, Settled, Sink, TopicPartition,
/// # };
/// # use topology::{runtime::StageContext, topology::{Destination, from, holding::{ACTIVITY, AUDIT, DEAD_LETTER}}};
/// # struct Counts;
/// # impl processors::Processor for Counts {
/// #     type Input = Envelope;
/// #     type Change = String;
/// #     const NAME: &'static str = "counts";
/// #     fn process(&self, _: &Envelope) -> Vec<String> { vec![] }
/// # }
/// # struct Words;
/// # impl Destination for Words {
/// #     type Sink = Words;
/// #     fn name(&self) -> &'static str { "words" }
/// #     fn open(&self, _: &StageContext) -> Result<Words, Box<dyn Error + Send + Sync>> { Ok(Words) }
/// # }
/// # impl Sink for Words {
/// #     type Change = String;
/// #     const GUARANTEE: Guarantee = Guarantee::AtLeastOnce;
/// #     fn name(&self) -> &'static str { "words" }
/// #     async fn claim(&mut self, _: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> { Ok(vec![]) }
/// #     async fn deliver(&mut self, _: &Batch<String>) -> Result<Settled, DeliveryError> {
/// #         Ok(Settled::default())
/// #     }
/// #     async fn set_halted(
/// #         &mut self, _: TopicPartition, _: i64, _: Option<&HaltReason>,
/// #     ) -> Result<(), DeliveryError> {
/// #         Ok(())
/// #     }
/// # }
/// from([ACTIVITY, AUDIT]).through(Counts).to(Words);
/// ```
pub fn from<R: Readable>(topics: impl IntoIterator<Item = TopicOf<R>>) -> Topics<R> {
    Topics { topics: topics.into_iter().map(TopicOf::topic).collect(), holds: PhantomData }
}

/// The topics of a stage to be, whose records are read as `R`.
#[derive(Debug)]
pub struct Topics<R> {
    topics: Vec<Topic>,
    holds: PhantomData<fn() -> R>,
}

impl<R: Readable> Topics<R> {
    /// The processor that decides about their records.
    pub fn through<P: Processor<Input = R>>(self, processor: P) -> Through<P> {
        Through { name: P::NAME, topics: self.topics, processor }
    }
}

/// The topics and the processor of a stage to be.
#[derive(Debug)]
pub struct Through<P> {
    name: &'static str,
    topics: Vec<Topic>,
    processor: P,
}

impl<P: Processor> Through<P> {
    /// Gives the stage a name of its own, so that one processor can feed two destinations. Its group, positions, metrics
    /// and outbox go by that name.
    #[must_use]
    pub fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// Sets the destination of its changes. Accepts only a sink of this type of change.
    pub fn to<D>(self, destination: D) -> Stage
    where
        D: Destination,
        D::Sink: Sink<Change = P::Change>,
    {
        Stage {
            name: self.name,
            topics: self.topics,
            destination: destination.name(),
            guarantee: D::Sink::GUARANTEE,
            wiring: Arc::new(Wiring { processor: Arc::new(self.processor), destination }),
        }
    }
}

/// One or more topics → one processor → one sink, in a consumer group of its own.
#[derive(Clone)]
pub struct Stage {
    name: &'static str,
    topics: Vec<Topic>,
    destination: &'static str,
    guarantee: Guarantee,
    wiring: Arc<dyn Launch>,
}

impl Stage {
    /// The stage's name: its own, or else its processor's.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Topics that the stage reads.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// The name of what it writes to.
    pub fn destination(&self) -> &'static str {
        self.destination
    }

    /// Delivery guarantee of the destination.
    pub fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    /// Its consumer group: never the stage's name, so that the two cannot be mistaken for one another.
    pub fn group(&self) -> String {
        format!("weir-{}", self.name)
    }

    pub(crate) fn wiring(&self) -> Arc<dyn Launch> {
        Arc::clone(&self.wiring)
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, topics, destination, .. } = self;
        f.debug_struct("Stage")
            .field("name", name)
            .field("topics", topics)
            .field("destination", destination)
            .finish_non_exhaustive()
    }
}

/// Every stage of a pipeline.
#[derive(Debug, Clone)]
pub struct Topology {
    stages: Vec<Stage>,
}

impl Topology {
    /// A topology of these stages; no two may have one name.
    pub fn new(stages: impl IntoIterator<Item = Stage>) -> Self {
        let stages: Vec<Stage> = stages.into_iter().collect();
        for (index, stage) in stages.iter().enumerate() {
            let twice = stages[..index].iter().any(|other| other.name == stage.name);
            assert!(!twice, "two stages are called {}", stage.name);
        }
        Self { stages }
    }

    /// The topology with more stages; no two may have one name.
    #[must_use]
    pub fn and(self, stages: impl IntoIterator<Item = Stage>) -> Self {
        Self::new(self.stages.into_iter().chain(stages))
    }

    /// The stages, in their order.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The stages' names, in their order.
    pub fn stage_names(&self) -> Vec<&'static str> {
        self.stages.iter().map(Stage::name).collect()
    }

    /// The stage of that name.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// The topics that a cluster must hold: the families, and what leaves.
    pub fn topics(&self) -> Vec<TopicSpec> {
        Topic::ALL.into_iter().map(topic_spec).collect()
    }
}

/// A running stage's end.
pub(crate) type Ending = Pin<Box<dyn Future<Output = Result<(), Fatal>> + Send>>;

/// A stage's processor and destination, with their types erased.
pub(crate) trait Launch: Send + Sync {
    /// Runs one member of the stage's consumer group until shutdown.
    fn launch(&self, context: StageContext) -> Ending;
    /// Outbox in which the sink leaves records for other topics.
    fn outbox(&self, context: &StageContext) -> Option<SinkConfig>;
}

struct Wiring<P, D> {
    processor: Arc<P>,
    destination: D,
}

impl<P, D> Launch for Wiring<P, D>
where
    P: Processor,
    D: Destination,
    D::Sink: Sink<Change = P::Change>,
{
    fn launch(&self, context: StageContext) -> Ending {
        let processor = Arc::clone(&self.processor);
        let limits = self.destination.limits(context.limits());
        match self.destination.open(&context) {
            Ok(sink) => Box::pin(run_member(processor, sink, context.limited_to(limits))),
            Err(error) => Box::pin(std::future::ready(Err(Fatal::Sink(error.to_string())))),
        }
    }

    fn outbox(&self, context: &StageContext) -> Option<SinkConfig> {
        self.destination.outbox(context)
    }
}
