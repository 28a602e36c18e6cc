//! A topology: which topics go through which processor into which sink, as data that can be shown, compared
//! with a cluster and run.
//!

mod show;
mod topics;

use std::{error::Error, future::Future, pin::Pin, sync::Arc};

use processors::Processor;
use schemas::Topic;
use sinks::Sink;

pub use show::Shape;
pub use topics::{TopicSpec, topic_spec};

use crate::runtime::{Fatal, Site};

/// Where a stage's changes go: opens the sink once it is known where the stage runs.
pub trait Destination: Send + Sync + 'static {
    /// What is opened.
    type Sink: Sink;
    /// The destination's name, for people.
    fn name(&self) -> &'static str;
    /// Opens the sink. Connects to nothing yet; fails only where the machine lacks what the sink needs.
    fn open(&self, site: &Site) -> Result<Self::Sink, Box<dyn Error + Send + Sync>>;
}

/// Begins the sentence of a stage: the topics it reads.
///
/// ```
/// # use std::error::Error;
/// # use schemas::{Envelope, Topic};
/// # use sinks::{Batch, Claim, ClaimRequest, DeliveryError, Settled, Sink, TopicPartition};
/// # use topology::{runtime::Site, topology::{Destination, from}};
/// # struct Counts;
/// # impl processors::Processor for Counts {
/// #     type Change = String;
/// #     const NAME: &'static str = "counts";
/// #     fn process(&self, _: &Envelope) -> Vec<String> { vec![] }
/// # }
/// # struct Words;
/// # impl Destination for Words {
/// #     type Sink = Words;
/// #     fn name(&self) -> &'static str { "words" }
/// #     fn open(&self, _: &Site) -> Result<Words, Box<dyn Error + Send + Sync>> { Ok(Words) }
/// # }
/// # impl Sink for Words {
/// #     type Change = String;
/// #     fn name(&self) -> &'static str { "words" }
/// #     async fn claim(&mut self, _: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> { Ok(vec![]) }
/// #     async fn deliver(&mut self, _: &Batch<String>) -> Result<Settled, DeliveryError> {
/// #         Ok(Settled::default())
/// #     }
/// #     async fn set_halted(&mut self, _: TopicPartition, _: i64, _: Option<&str>) -> Result<(), DeliveryError> {
/// #         Ok(())
/// #     }
/// # }
/// // A processor that makes words fits a sink of words,
/// from([Topic::Activity]).through(Counts).to(Words);
/// ```
///
/// ```compile_fail,E0271
/// # use std::error::Error;
/// # use schemas::{Envelope, Topic};
/// # use sinks::{Batch, Claim, ClaimRequest, DeliveryError, Settled, Sink, TopicPartition};
/// # use topology::{runtime::Site, topology::{Destination, from}};
/// # struct Counts;
/// # impl processors::Processor for Counts {
/// #     type Change = u64;
/// #     const NAME: &'static str = "counts";
/// #     fn process(&self, _: &Envelope) -> Vec<u64> { vec![] }
/// # }
/// # struct Words;
/// # impl Destination for Words {
/// #     type Sink = Words;
/// #     fn name(&self) -> &'static str { "words" }
/// #     fn open(&self, _: &Site) -> Result<Words, Box<dyn Error + Send + Sync>> { Ok(Words) }
/// # }
/// # impl Sink for Words {
/// #     type Change = String;
/// #     fn name(&self) -> &'static str { "words" }
/// #     async fn claim(&mut self, _: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> { Ok(vec![]) }
/// #     async fn deliver(&mut self, _: &Batch<String>) -> Result<Settled, DeliveryError> {
/// #         Ok(Settled::default())
/// #     }
/// #     async fn set_halted(&mut self, _: TopicPartition, _: i64, _: Option<&str>) -> Result<(), DeliveryError> {
/// #         Ok(())
/// #     }
/// # }
/// // one that makes numbers does not.
/// from([Topic::Activity]).through(Counts).to(Words);
/// ```
pub fn from(topics: impl IntoIterator<Item = Topic>) -> From {
    From { topics: topics.into_iter().collect() }
}

/// The topics of a stage to be.
#[derive(Debug)]
pub struct From {
    topics: Vec<Topic>,
}

impl From {
    /// What decides about their events.
    pub fn through<P: Processor>(self, processor: P) -> Through<P> {
        Through { topics: self.topics, processor }
    }
}

/// The topics and the processor of a stage to be.
#[derive(Debug)]
pub struct Through<P> {
    topics: Vec<Topic>,
    processor: P,
}

impl<P: Processor> Through<P> {
    /// Where its changes go. Fits only what takes them.
    pub fn to<D>(self, destination: D) -> Stage
    where
        D: Destination,
        D::Sink: Sink<Change = P::Change>,
    {
        Stage {
            name: P::NAME,
            topics: self.topics,
            destination: destination.name(),
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
    wiring: Arc<dyn Launch>,
}

impl Stage {
    /// The stage's name: its processor's.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it reads.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// The name of what it writes to.
    pub fn destination(&self) -> &'static str {
        self.destination
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

/// A stage's processor and destination, whatever their types.
pub(crate) trait Launch: Send + Sync {
    /// Runs one member of the stage's consumer group until told to stop.
    fn launch(&self, site: Site) -> Ending;
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
    fn launch(&self, site: Site) -> Ending {
        let processor = Arc::clone(&self.processor);
        match self.destination.open(&site) {
            Ok(sink) => Box::pin(crate::runtime::run_member(processor, sink, site)),
            Err(error) => Box::pin(std::future::ready(Err(Fatal::Sink(error.to_string())))),
        }
    }
}
