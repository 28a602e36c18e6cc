//! Loopback ports that stay the same from start to start.

use super::StackError;
use super::state::Server;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::TcpListener;
use std::path::Path;

/// Below the range that Linux and macOS hand out to outgoing connections: a client that retries towards a stopped
/// server could otherwise be given that very port, connect to itself, and keep the server from coming back.
const FIRST: u16 = 21_000;
const LAST: u16 = 31_999;

/// The previous port if it is free, else a free one; which ones are tried first depends on `home` and `purpose`, so that
/// two stacks rarely meet.
pub(super) fn pick(home: &Path, purpose: &str, previous: Option<u16>) -> Result<u16, StackError> {
    previous
        .into_iter()
        .chain(candidates(home, purpose))
        .find(|port| is_free(*port))
        .ok_or(StackError::NoPort { first: FIRST, last: LAST })
}

fn candidates(home: &Path, purpose: &str) -> impl Iterator<Item = u16> {
    let mut hasher = DefaultHasher::new();
    (home, purpose).hash(&mut hasher);
    let count = u64::from(LAST - FIRST) + 1;
    let start = hasher.finish() % count;
    (0..count).filter_map(move |step| u16::try_from(u64::from(FIRST) + (start + step) % count).ok())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Another program may take the port between the check and the server's bind: then another attempt follows,
/// with other ports.
pub(super) fn until_free(
    previous: Option<&Server>,
    mut start: impl FnMut(Option<&Server>) -> Result<(), StackError>,
) -> Result<(), StackError> {
    match start(previous) {
        Err(StackError::NotStarted { tail, .. }) if says_taken(&tail) => start(None),
        outcome => outcome,
    }
}

fn says_taken(log: &str) -> bool {
    log.contains("Address already in use")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_port_is_kept_while_it_is_free() {
        let home = Path::new("/some/home");
        let port = pick(home, "kafka", None).expect("a port");
        assert!((FIRST..=LAST).contains(&port));
        let holder = TcpListener::bind(("127.0.0.1", port)).expect("free");
        let other = pick(home, "kafka", Some(port)).expect("another port");
        assert_ne!(other, port);
        drop(holder);
        assert_eq!(pick(home, "kafka", Some(other)).expect("the same"), other);
    }

    #[test]
    fn every_port_of_the_range_is_a_candidate_once() {
        let mut ports: Vec<u16> = candidates(Path::new("/h"), "x").collect();
        ports.sort_unstable();
        assert_eq!(ports, (FIRST..=LAST).collect::<Vec<_>>());
    }

    #[test]
    fn a_taken_port_is_tried_once_more_elsewhere() {
        let server = Server {
            process: None,
            port: 1,
            controller_port: None,
            folder: PathBuf::new(),
            log: PathBuf::new(),
            programs: PathBuf::new(),
        };
        let mut seen = Vec::new();
        let outcome = until_free(Some(&server), |previous| {
            seen.push(previous.map(|server| server.port));
            Err(StackError::NotStarted {
                server: "Kafka",
                reason: String::new(),
                log: PathBuf::new(),
                tail: "java.net.BindException: Address already in use".to_owned(),
            })
        });
        assert!(outcome.is_err());
        assert_eq!(seen, [Some(1), None]);
    }
}
