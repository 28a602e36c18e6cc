//! How often anybody may ask: the generic cell rate algorithm by key, in bounded memory.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::{StateInformationMiddleware, StateSnapshot},
    state::keyed::DefaultKeyedStateStore,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use schemas::TenantId;

use super::{config::Rates, refusal::whole_seconds};

const MINUTE: Duration = Duration::from_mins(1);

/// Routes that share an allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RouteClass {
    /// Publishing events.
    Publish,
    /// Commands.
    Command,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Caller {
    pub(super) tenant: TenantId,
    pub(super) key_id: String,
    pub(super) class: RouteClass,
}

/// The gateway's limiters.
pub(super) struct Limiters {
    pub(super) callers: Option<Limiter<Caller>>,
    pub(super) failed_logins: Limiter<Network>,
}

impl Limiters {
    pub(super) fn new(rates: &Rates) -> Self {
        let tenth = |n: NonZeroU32| NonZeroU32::new(n.get() / 10).unwrap_or(NonZeroU32::MIN);
        let failed = rates.failed_logins_per_minute;
        Self {
            callers: rates.per_key_per_minute.map(|n| Limiter::new(n, tenth(n), rates.max_keys)),
            failed_logins: Limiter::new(failed, failed, rates.max_keys),
        }
    }

    /// Forgets who has its full allowance again.
    pub(super) fn prune(&self) {
        self.failed_logins.prune();
        if let Some(callers) = &self.callers {
            callers.prune();
        }
    }
}

/// An address, or for IPv6 the /64 that one host commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            v4 @ IpAddr::V4(_) => v4,
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        })
    }
}

/// `None` is the one allowance that everybody shares for whom there is no room.
type Store<K> = DefaultKeyedStateStore<Option<K>>;

/// One allowance for each key.
pub(super) struct Limiter<K: Hash + Eq + Clone, C: Clock = DefaultClock> {
    inner: RateLimiter<Option<K>, Store<K>, C, StateInformationMiddleware>,
    clock: C,
    per_minute: NonZeroU32,
    max_keys: usize,
}

/// What is left of an allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    per_minute: u32,
    remaining: u32,
    /// Until the whole burst is there again; if refused, until one request is.
    wait: Duration,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    fn new(per_minute: NonZeroU32, burst: NonZeroU32, max_keys: usize) -> Self {
        Self::with_clock(per_minute, burst, max_keys, DefaultClock::default())
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Limiter<K, C> {
    fn with_clock(per_minute: NonZeroU32, burst: NonZeroU32, max_keys: usize, clock: C) -> Self {
        let quota = Quota::per_minute(per_minute).allow_burst(burst);
        let inner = RateLimiter::new(quota, Store::default(), clock.clone());
        Self { inner, clock, per_minute, max_keys }
    }

    /// Takes one from the key's allowance; `Err` if there is none.
    pub(super) fn take(&self, key: K) -> Result<Allowance, Allowance> {
        // Full: whoever is remembered is treated like a newcomer too, until the next pruning makes room.
        let key = (self.inner.len() < self.max_keys).then_some(key);
        self.inner.check_key(&key).map(|state| self.left(&state)).map_err(|until| self.none_left(&until))
    }

    fn left(&self, state: &StateSnapshot) -> Allowance {
        let burst = state.quota().burst_size().get();
        let remaining = state.remaining_burst_capacity();
        let wait = state.quota().replenish_interval() * burst.saturating_sub(remaining);
        Allowance { per_minute: self.per_minute.get(), remaining, wait }
    }

    fn none_left(&self, until: &NotUntil<C::Instant>) -> Allowance {
        let wait = until.wait_time_from(self.clock.now());
        Allowance { per_minute: self.per_minute.get(), remaining: 0, wait }
    }

    fn prune(&self) {
        self.inner.retain_recent();
        self.inner.shrink_to_fit();
    }
}

impl Allowance {
    /// When to come back.
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// `RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-headers) and the older `X-RateLimit-*`.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let (limit, left, seconds) = (self.per_minute, self.remaining, whole_seconds(self.wait));
        for (name, value) in [
            ("ratelimit-policy", format!("\"default\";q={limit};w={}", MINUTE.as_secs())),
            ("ratelimit", format!("\"default\";r={left};t={seconds}")),
            ("x-ratelimit-limit", limit.to_string()),
            ("x-ratelimit-remaining", left.to_string()),
            ("x-ratelimit-reset", seconds.to_string()),
        ] {
            let value = HeaderValue::try_from(value).expect("digits and ASCII punctuation");
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limiter(max_keys: usize) -> (Limiter<u32, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let sixty = NonZeroU32::new(60).expect("not zero");
        let six = NonZeroU32::new(6).expect("not zero");
        (Limiter::with_clock(sixty, six, max_keys, clock.clone()), clock)
    }

    #[test]
    fn a_tenth_may_come_at_once_and_the_rest_at_its_pace() {
        let (limiter, clock) = limiter(10);
        let first = limiter.take(1).expect("within the burst");
        assert_eq!((first.remaining, whole_seconds(first.wait)), (5, 1));
        for _ in 0..5 {
            limiter.take(1).expect("within the burst");
        }
        let refused = limiter.take(1).expect_err("beyond the burst");
        assert_eq!((refused.remaining, whole_seconds(refused.wait())), (0, 1));
        limiter.take(2).expect("another key has its own");
        clock.advance(Duration::from_secs(1));
        limiter.take(1).expect("one came back");
        limiter.take(1).expect_err("only one");
    }

    #[test]
    fn memory_is_bounded_and_what_is_full_again_is_forgotten() {
        let (limiter, clock) = limiter(3);
        for key in 0..3 {
            limiter.take(key).expect("room");
        }
        for key in 100..106 {
            limiter.take(key).expect("newcomers share one allowance");
        }
        limiter.take(106).expect_err("which is used up");
        assert_eq!(limiter.inner.len(), 4);
        clock.advance(Duration::from_mins(2));
        limiter.prune();
        assert_eq!(limiter.inner.len(), 0);
        limiter.take(107).expect("room again");
    }

    #[test]
    fn the_headers_read_as_documented() {
        let mut headers = HeaderMap::new();
        Allowance { per_minute: 100, remaining: 50, wait: Duration::from_millis(29_001) }.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"default\";q=100;w=60");
        assert_eq!(headers["ratelimit"], "\"default\";r=50;t=30");
        assert_eq!(headers["x-ratelimit-remaining"], "50");
    }

    #[test]
    fn a_host_cannot_multiply_itself_within_its_network() {
        let network = |text: &str| Network::from(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }
}
