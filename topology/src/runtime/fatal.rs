//! Errors that end a stage.

/// Error for which a consumer cannot continue, so that its process must be restarted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// The stage was fenced repeatedly.
    #[error(
        "fence_storm: six claims within a minute were overtaken; is another instance claiming the same stage?"
    )]
    FenceStorm,
    /// The client cannot continue.
    #[error("the Kafka client cannot continue: {0}")]
    Client(String),
    /// A new consumer did not help either.
    #[error("no record for 30 s although the log has more, even with a new consumer")]
    Stalled,
    /// The sink cannot be opened.
    #[error("the sink cannot be opened: {0}")]
    Sink(String),
    /// The worker ended without a request to stop.
    #[error("the worker has ended")]
    WorkerGone,
}
