//! Reading of request bodies: memory is accounted as a body arrives, and charged to its sender.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use edge::api_error::ApiError;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use schemas::problem::ProblemKind;
use tokio::time::{Instant, timeout_at};

use super::{
    shares::{self, Charge, Holder},
    turns::{Turn, Turns},
};

/// Maximum number of bodies decoded or parsed at once, on threads beside the event loop. Bounds the memory of
/// decoders (a zstd window is up to 8 MiB) and their share of processor time.
const HEAVY_AT_ONCE: usize = 4;

/// Memory budget for the bodies of all requests.
pub(super) struct Budget {
    bytes: Arc<shares::Bytes>,
    heavy: Turns,
}

impl Budget {
    pub(super) fn new(bytes: Arc<shares::Bytes>) -> Self {
        Self { bytes, heavy: Turns::new(HEAVY_AT_ONCE) }
    }

    /// Waits for the holder's turn to decode or parse a large body.
    pub(super) async fn turn(&self, holder: &Holder) -> Turn {
        self.heavy.take(holder).await
    }

    /// An empty charge on the holders.
    pub(super) fn charge(&self, holders: Vec<Holder>) -> Charge {
        self.bytes.charge(holders)
    }
}

/// A body as sent, before decoding.
pub(super) struct Sent {
    pub(super) bytes: Bytes,
    pub(super) charge: Charge,
}

/// Limits on reading a body: size and minimum rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) bytes: usize,
    /// Interval in which at least `rate` bytes a second must arrive, unless the body ends; otherwise 408.
    pub(super) span: Duration,
    /// Minimum rate, in bytes a second.
    pub(super) rate: u32,
}

impl Patience {
    /// Minimum number of bytes in an interval.
    fn least(&self) -> usize {
        let least = u128::from(self.rate) * self.span.as_millis() / 1_000;
        usize::try_from(least).unwrap_or(usize::MAX).max(1)
    }
}

/// Reads the whole body, or rejects it as early as possible: before the first byte by `Content-Length`.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    mut charge: Charge,
    patience: Patience,
) -> Result<Sent, ApiError> {
    if let Some(declared) = declared_length(headers) {
        if declared > patience.bytes as u64 {
            return Err(too_large(patience.bytes));
        }
        charge.check(usize::try_from(declared).unwrap_or(usize::MAX))?;
    }
    let mut bytes = BytesMut::new();
    let mut progress = Progress::begin(Instant::now(), patience);
    loop {
        let frame = match timeout_at(progress.until, body.frame()).await {
            Ok(None) => return Ok(Sent { bytes: bytes.freeze(), charge }),
            Ok(Some(frame)) => Some(frame),
            Err(_) => None,
        };
        if let Some(frame) = frame {
            let frame = frame.map_err(|_| {
                ApiError::new(ProblemKind::InvalidRequest, "the body broke off or is framed wrongly")
                    .closing()
            })?;
            // Trailers say nothing that matters here.
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > patience.bytes {
                return Err(too_large(patience.bytes));
            }
            charge.grow(data.len())?;
            bytes.extend_from_slice(&data);
        }
        if !progress.is_fast_enough(Instant::now(), bytes.len()) {
            return Err(too_slow(patience));
        }
    }
}

/// Progress of reading a body, measured by interval.
#[derive(Debug)]
struct Progress {
    patience: Patience,
    /// End of the interval.
    until: Instant,
    /// Bytes received before the interval.
    came_before: usize,
}

impl Progress {
    fn begin(now: Instant, patience: Patience) -> Self {
        Self { patience, until: now + patience.span, came_before: 0 }
    }

    /// Whether the interval is not over, or brought enough bytes, so that the next one begins.
    fn is_fast_enough(&mut self, now: Instant, came: usize) -> bool {
        if now < self.until {
            return true;
        }
        let enough = came - self.came_before >= self.patience.least();
        (self.until, self.came_before) = (now + self.patience.span, came);
        enough
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn too_slow(patience: Patience) -> ApiError {
    let (rate, span) = (patience.rate, patience.span.as_secs_f32());
    let detail = format!("the body came slower than {rate} bytes a second for {span} s");
    ApiError::new(ProblemKind::RequestTimeout, detail).closing()
}

fn too_large(at_most: usize) -> ApiError {
    let detail = format!("the body is larger than {at_most} bytes; send fewer events at once");
    ApiError::new(ProblemKind::BodyTooLarge, detail).closing()
}

#[cfg(test)]
mod tests {
    use edge::tenants::Tenants;
    use schemas::TenantId;

    use super::*;

    const PATIENCE: Patience = Patience { bytes: 10_000, span: Duration::from_secs(5), rate: 1_000 };

    /// Checks whether a body with these arrivals (second, total bytes) is read to the end.
    #[track_caller]
    fn check(arrivals: &[(u64, usize)], expected: bool) {
        let began = Instant::now();
        let mut progress = Progress::begin(began, PATIENCE);
        let mut at = |&(seconds, came): &(u64, usize)| {
            progress.is_fast_enough(began + Duration::from_secs(seconds), came)
        };
        assert_eq!(arrivals.iter().all(&mut at), expected, "{arrivals:?}");
    }

    #[test]
    fn a_body_must_keep_coming() {
        check(&[(0, 10), (4, 20)], true);
        check(&[(5, 5_000), (10, 10_000), (15, 15_000)], true);
        check(&[(5, 4_999)], false);
        check(&[(0, 9_000), (5, 9_000), (10, 9_000)], false);
        check(&[(5, 9_000), (10, 13_999)], false);
    }

    #[tokio::test]
    async fn a_declared_length_is_judged_before_the_body() {
        let bytes = shares::Bytes::new(400, Tenants::default());
        let acme = Holder::Tenant(TenantId::new("acme").expect("a tenant"));
        for (length, expected) in [("101", "quota-exceeded"), ("10001", "body-too-large")] {
            let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, length.parse().expect("a value"))]);
            // A body that never comes: the answer does not wait for it.
            let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
            let refused = read(&headers, never, bytes.charge(vec![acme.clone()]), PATIENCE).await;
            assert_eq!(refused.err().expect("refused").problem().slug(), expected);
        }
    }
}
