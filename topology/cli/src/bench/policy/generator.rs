//! Requests over loopback by the clock, from threads of their own.
//!
//! A thread has one connection and every n-th request of the rate. It sleeps until the instant at which its request is
//! due and blocks until the response is whole. Times count from that instant: a slow response makes later requests of
//! its connection late, and their times longer. No async runtime takes part, so that the timers and the load of the
//! measured one do not show in the times.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use nix::{
    sys::{prctl::set_timerslack, time::TimeSpec},
    time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep},
};

/// Connections, each with its thread.
const CONNECTIONS: u32 = 16;
/// Time without a byte after which a response counts as lost.
const SILENCE: Duration = Duration::from_secs(10);
/// Maximum length of a response, in bytes.
const MAX_RESPONSE: usize = 1 << 20;

/// Requests that are sent at a rate.
pub(super) struct Load<'a> {
    pub(super) address: SocketAddr,
    /// Request line and headers, without `Content-Length` and the empty line.
    pub(super) head: String,
    /// Body of the request with this number.
    pub(super) body: &'a (dyn Fn(u32) -> String + Sync),
    /// Requests per second.
    pub(super) rate: u32,
    /// Time before the first request that counts.
    pub(super) warm_up: Duration,
    /// Time in which requests count.
    pub(super) counted: Duration,
}

/// Times of the requests that count.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// From the instant at which a request was due to the end of its response.
    pub(super) answered: Vec<Duration>,
    /// From that instant until it was sent: by what the generator itself is late, or an earlier response.
    pub(super) sent_late: Vec<Duration>,
    /// Requests, also of the warm-up, without a response of status 200.
    pub(super) failed: u32,
}

impl Load<'_> {
    /// Sends all requests; blocks until the last response.
    pub(super) fn run(&self) -> anyhow::Result<Times> {
        let begin = now()? + Duration::from_millis(20);
        let parts = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..CONNECTIONS).map(|first| scope.spawn(move || self.of_connection(first, begin))).collect();
            let joined =
                threads.into_iter().map(|one| one.join().expect("a thread of the generator panicked"));
            joined.collect::<anyhow::Result<Vec<Times>>>()
        })?;
        let mut all = Times::default();
        for part in parts {
            all.answered.extend(part.answered);
            all.sent_late.extend(part.sent_late);
            all.failed += part.failed;
        }
        ensure!(!all.answered.is_empty(), "nothing was answered after the warm-up");
        all.answered.sort_unstable();
        all.sent_late.sort_unstable();
        Ok(all)
    }

    fn of_connection(&self, first: u32, begin: Duration) -> anyhow::Result<Times> {
        // By default the kernel rouses a thread up to 50 µs late.
        set_timerslack(1).context("setting the slack of timers")?;
        let (mut connection, mut times) = (Connection::open(self.address)?, Times::default());
        for number in (first..).step_by(usize::try_from(CONNECTIONS)?) {
            let at = Duration::from_secs(1) * number / self.rate;
            if at >= self.warm_up + self.counted {
                break;
            }
            let body = (self.body)(number);
            let request = format!("{}content-length: {}\r\n\r\n{body}", self.head, body.len());
            let due = begin + at;
            sleep_until(due)?;
            let sent = now()?;
            match connection.ask(request.as_bytes()) {
                Ok(200) => {}
                Ok(_) => times.failed += 1,
                Err(_) => {
                    times.failed += 1;
                    connection = Connection::open(self.address)?;
                }
            }
            if at >= self.warm_up {
                times.answered.push(now()?.saturating_sub(due));
                times.sent_late.push(sent.saturating_sub(due));
            }
        }
        Ok(times)
    }
}

/// Time of the monotonic clock.
fn now() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC).context("reading the clock")?.into())
}

fn sleep_until(due: Duration) -> anyhow::Result<()> {
    let (clock, due) = (ClockId::CLOCK_MONOTONIC, TimeSpec::from(due));
    while let Err(error) = clock_nanosleep(clock, ClockNanosleepFlags::TIMER_ABSTIME, &due) {
        ensure!(error == nix::errno::Errno::EINTR, "sleeping: {error}");
    }
    Ok(())
}

/// A connection that is kept open between requests.
struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends a request; the status of its response once all of that has come.
    fn ask(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request)?;
        self.received.clear();
        loop {
            if let Some((status, bytes)) = head_of(&self.received)?
                && self.received.len() >= bytes
            {
                ensure!(self.received.len() == bytes, "more came than one response");
                return Ok(status);
            }
            ensure!(self.received.len() < MAX_RESPONSE, "the response is too long");
            let mut part = [0; 16 << 10];
            match self.stream.read(&mut part) {
                Ok(0) => bail!("the connection was closed"),
                Ok(count) => self.received.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Status of a response, and its length with the head; `None` until its head is whole.
fn head_of(received: &[u8]) -> anyhow::Result<Option<(u16, usize)>> {
    let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&received[..end]).context("the head is not text")?;
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).context("there is no status")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(Some((status, end + 4 + length.context("the response has no Content-Length")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_response_is_that_of_its_head_and_body() {
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(head_of(response).expect("a head"), Some((200, response.len())));
        assert_eq!(head_of(&response[..20]).expect("a part of one"), None);
        assert!(head_of(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
