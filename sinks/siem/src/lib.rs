//! Protocols of SIEMs, without I/O: how records become requests, what an answer means for each record, how a refused
//! batch comes apart, when to try again.
//!
//! One module per destination holds the request and the meaning of the answer. What sends the requests is in `sinks::siem`.

#[cfg(test)]
mod any_answer;
pub mod breaker;
pub mod cef;
pub mod completeness;
pub mod datadog;
pub mod dispatch;
pub mod elasticsearch;
pub mod http;
pub mod leef;
pub mod message;
pub mod ocsf_version;
pub mod reach;
pub mod settings;
pub mod slack;
pub mod splunk_hec;
pub mod syslog;
pub mod verdict;
pub mod webhook;

pub use message::{Message, Oversize};
pub use settings::{Destination, SinkSettings};
pub use verdict::{Fate, Refusal, Verdict};

/// Bytes in lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}
