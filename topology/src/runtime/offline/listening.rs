//! Reasons for which a Kafka cluster does not answer: the client's errors say only that a connection failed.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
};
use tracing::debug;

/// Facilities of librdkafka's log lines about connections and the configuration of TLS.
const FACILITIES: [&str; 3] = ["FAIL", "ERROR", "SSL"];
/// Longest line that is kept, in characters.
const MAX_LINE: usize = 500;
/// Time in which a connection that is refused has failed.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);
/// Time for which the client is listened to.
const LISTEN_FOR: Duration = Duration::from_secs(3);

/// Asks the cluster once more, with a client of its own, and returns what it tells about connections that failed. Blocks
/// for five seconds at most.
pub(super) fn reason(config: &ClientConfig) -> Option<String> {
    let consumer: BaseConsumer<Listening> = config.clone().create_with_context(Listening::default()).ok()?;
    let until = Instant::now() + LISTEN_FOR;
    if consumer.fetch_metadata(None, REFUSED_WITHIN).is_ok() {
        return None;
    }
    while Instant::now() < until && !consumer.context().has_heard_why() {
        // Log lines and errors come with the poll.
        drop(consumer.poll(Duration::from_millis(50)));
    }
    consumer.context().last_failure()
}

/// Remembers the last line about a failed connection.
#[derive(Debug, Default)]
struct Listening(Mutex<Option<String>>);

/// Whether the line tells of TLS or SASL; after a refusal the next attempts only tell that the connection is closed.
fn tells_why(line: &str) -> bool {
    line.contains("SSL") || line.contains("SASL")
}

impl Listening {
    fn has_heard_why(&self) -> bool {
        self.last_failure().is_some_and(|line| tells_why(&line))
    }

    /// The line, without the name of the thread before it.
    fn last_failure(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn heard(&self, line: &str) {
        let line = line.rsplit_once("]: ").map_or(line, |(_, line)| line);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_deref().is_none_or(|last| !tells_why(last) || tells_why(line)) {
            *last = Some(line.chars().take(MAX_LINE).collect());
        }
    }
}

impl ClientContext for Listening {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        debug!(facility, line, "librdkafka");
        if FACILITIES.contains(&facility) {
            self.heard(line);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "Kafka client");
        self.heard(reason);
    }
}

impl ConsumerContext for Listening {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_tells_why_is_kept() {
        let listening = Listening::default();
        assert_eq!(listening.last_failure(), None);
        let refused = "[thrd:ssl://k:1/bootstrap]: ssl://k:1/bootstrap: SSL handshake failed: certificate verify failed";
        listening.log(RDKafkaLogLevel::Error, "FAIL", refused);
        listening.log(
            RDKafkaLogLevel::Error,
            "FAIL",
            "[thrd:a]: k:1/bootstrap: Connect to 127.0.0.1:1 failed",
        );
        listening.log(RDKafkaLogLevel::Notice, "CONNECTED", "[thrd:a]: SSL of something else");
        let kept = listening.last_failure().expect("a line");
        assert_eq!(kept, "ssl://k:1/bootstrap: SSL handshake failed: certificate verify failed");
    }
}
