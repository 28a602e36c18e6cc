//! Interpretation of a receiver's answer: the verdict on each message of a request.

use std::time::Duration;

/// Next step for the messages of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has every message.
    Delivered,
    /// The receiver has taken the messages and confirms them later, under this number.
    Taken {
        /// The number to ask for.
        acknowledgement: u64,
    },
    /// Each message has a fate of its own, in the order of the request.
    Items(Vec<ItemFate>),
    /// The whole request again, not before `after` if the receiver names a time.
    Retry {
        /// Delay that the receiver asks for.
        after: Option<Duration>,
        /// The receiver's answer, without payload.
        why: String,
    },
    /// As [`Verdict::Retry`]; but the answer means `then` once it has come so many times in a row.
    RetryThen {
        /// Number of such answers in a row.
        attempts: u32,
        /// Meaning of the answer from then on.
        then: Box<Verdict>,
        /// The receiver's answer, without payload.
        why: String,
    },
    /// One message is refused for its content; its place in the request, if the receiver names it. The others
    /// were not taken, or may be sent again.
    Refused {
        /// The refused message's place, from 0.
        at: Option<usize>,
        /// The receiver's answer.
        why: String,
    },
    /// The request is too large: halve it. A single message is refused.
    TooLarge {
        /// The receiver's answer.
        why: String,
    },
    /// The receiver reads no compressed bodies: send plain ones from now on.
    NotCompressed {
        /// The receiver's answer.
        why: String,
    },
    /// The receiver refuses everything until the settings, the secret or the receiver are changed: keep the
    /// position, probe.
    Pause {
        /// The receiver's answer.
        why: String,
    },
}

/// Answer of a receiver for one message of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemFate {
    /// The receiver has the message.
    Delivered,
    /// The message must be sent again.
    Retry(String),
    /// The receiver refuses the message for its content.
    Refused(String),
    /// Nobody's message would be taken: keep the position.
    Pause(String),
}

/// The end of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The receiver has it.
    Delivered,
    /// The receiver will never take it.
    Parked(Refusal),
}

/// Reason for which a message is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whether it is parked for its size.
    pub too_large: bool,
    /// The receiver's answer, or the limit.
    pub why: String,
}

impl Verdict {
    /// Retry after the usual wait.
    pub fn retry(why: impl Into<String>) -> Self {
        Self::Retry { after: None, why: why.into() }
    }

    /// Pause.
    pub fn pause(why: impl Into<String>) -> Self {
        Self::Pause { why: why.into() }
    }

    /// An answer that says neither yes nor no: retried, and the third in a row pauses.
    pub fn unreadable(why: impl Into<String>) -> Self {
        let why = why.into();
        Self::RetryThen { attempts: 3, then: Box::new(Self::Pause { why: why.clone() }), why }
    }
}
