//! Rate limits by key, in bounded memory (generic cell rate algorithm).

use std::{
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, DefaultClock, Reference},
    middleware::{StateInformationMiddleware, StateSnapshot},
    state::keyed::DefaultKeyedStateStore,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use schemas::TenantId;
use tokio::sync::watch;

use crate::peer::Network;

const MINUTE: Duration = Duration::from_mins(1);
/// Interval of removing callers whose limit is full again.
const PRUNE_EVERY: Duration = MINUTE;

/// Rate limits of a service. A tenth of a minute's requests may come as a burst.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// Requests per minute for each API key or service and class of routes; `None` for no limit.
    pub per_key_per_minute: Option<NonZeroU32>,
    /// The same for each person. Administrators have no limit.
    pub per_person_per_minute: Option<NonZeroU32>,
    /// Failed logins per minute for each address, all of which may come as a burst.
    pub failed_logins_per_minute: NonZeroU32,
    /// Maximum number of callers tracked; beyond it new ones share one limit.
    pub max_keys: usize,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            per_key_per_minute: NonZeroU32::new(1_000),
            per_person_per_minute: NonZeroU32::new(5_000),
            failed_logins_per_minute: NonZeroU32::new(30).unwrap_or(NonZeroU32::MIN),
            max_keys: 100_000,
        }
    }
}

/// Key of a caller's rate limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Tenant of the credential.
    pub tenant: TenantId,
    /// Id of the caller: [`Principal::id`](schemas::access::Principal::id).
    pub id: String,
    /// Class of routes that share a rate limit.
    pub class: &'static str,
}

/// The kinds of callers whose limits differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    /// An API key, or a service of an issuer.
    Program,
    /// A person of an issuer.
    Person,
}

impl CallerKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Program => "api_key",
            Self::Person => "person",
        }
    }
}

/// Requests without a credential that an address may send for each failed login: some senders begin every
/// request without one, and none of them costs a look at a key.
const CHALLENGES_PER_FAILED_LOGIN: u32 = 100;
/// The class of addresses that fail to log in, beside those of callers.
const ADDRESS: &str = "address";

fn limited(class: &'static str) -> metrics::Counter {
    metrics::counter!("weir_rate_limited_total", "tenant_class" => class)
}

/// Number of running replicas of a service.
pub type ReplicasWatch = watch::Receiver<NonZeroU32>;

/// The limiters of one replica of a service. Each of `n` replicas grants an n-th of every limit: a request
/// costs `n` units of it.
#[derive(Debug)]
pub struct Limiters {
    replicas: ReplicasWatch,
    programs: Option<Limiter<Caller>>,
    people: Option<Limiter<Caller>>,
    failed_logins: Limiter<Network>,
    challenges: Limiter<Network>,
    key_readings: Limiter<Network>,
}

impl Limiters {
    /// Limiters with every allowance full.
    pub fn new(rates: &Rates) -> Self {
        let tenth = |n: NonZeroU32| NonZeroU32::new(n.get() / 10).unwrap_or(NonZeroU32::MIN);
        let failed = rates.failed_logins_per_minute;
        let challenges =
            NonZeroU32::new(CHALLENGES_PER_FAILED_LOGIN).map_or(failed, |each| failed.saturating_mul(each));
        // With 0, so that a rate sees the first one.
        for class in [CallerKind::Program.name(), CallerKind::Person.name(), ADDRESS] {
            limited(class).increment(0);
        }
        Self {
            replicas: watch::channel(NonZeroU32::MIN).1,
            programs: rates.per_key_per_minute.map(|n| Limiter::new(n, tenth(n), rates.max_keys)),
            people: rates.per_person_per_minute.map(|n| Limiter::new(n, tenth(n), rates.max_keys)),
            failed_logins: Limiter::new(failed, failed, rates.max_keys),
            challenges: Limiter::new(challenges, challenges, rates.max_keys),
            key_readings: Limiter::new(failed, failed, rates.max_keys),
        }
    }

    /// Divides every limit among the replicas.
    #[must_use]
    pub fn divided_among(self, replicas: ReplicasWatch) -> Self {
        Self { replicas, ..self }
    }

    /// Takes one request from the caller's allowance: the rest, or `Err` where nothing is left. `Ok(None)`:
    /// no limit.
    pub fn take(&self, kind: CallerKind, caller: Caller) -> Result<Option<Allowance>, Allowance> {
        let limiter = match kind {
            CallerKind::Program => &self.programs,
            CallerKind::Person => &self.people,
        };
        let Some(limiter) = limiter else { return Ok(None) };
        let taken = limiter.take_of(caller, *self.replicas.borrow());
        if taken.is_err() {
            limited(kind.name()).increment(1);
        }
        taken.map(Some)
    }

    /// Whether a key that is not known may be looked for in the database now; as often for each address as it
    /// may fail to log in.
    pub fn may_read_keys(&self, client: IpAddr) -> bool {
        self.key_readings.take_of(Network::from(client), *self.replicas.borrow()).is_ok()
    }

    /// Counts a request without a credential against its address; `Err` if there were too many.
    pub fn asked_for_challenge(&self, client: IpAddr) -> Result<(), Allowance> {
        let taken = self.challenges.take_of(Network::from(client), *self.replicas.borrow());
        if taken.is_err() {
            limited(ADDRESS).increment(1);
        }
        taken.map(|_| ())
    }

    /// Counts a failed login against its address; `Err` if there were too many.
    pub fn login_failed(&self, client: IpAddr) -> Result<(), Allowance> {
        let taken = self.failed_logins.take_of(Network::from(client), *self.replicas.borrow());
        if taken.is_err() {
            limited(ADDRESS).increment(1);
        }
        taken.map(|_| ())
    }
}

/// `None` is the shared allowance of all keys that are not tracked.
type Store<K> = DefaultKeyedStateStore<Option<K>>;

/// One allowance for each key.
struct Limiter<K: Hash + Eq + Clone, C: Clock = DefaultClock> {
    inner: RateLimiter<Option<K>, Store<K>, C, StateInformationMiddleware>,
    clock: C,
    began: C::Instant,
    /// Time of the last removal of idle callers, in nanoseconds since the limiter's creation.
    pruned_at: AtomicU64,
    per_minute: NonZeroU32,
    burst: NonZeroU32,
    max_keys: usize,
}

impl<K: Hash + Eq + Clone, C: Clock> std::fmt::Debug for Limiter<K, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("per_minute", &self.per_minute).finish_non_exhaustive()
    }
}

/// Rest of an allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    pub(crate) per_minute: u32,
    pub(crate) remaining: u32,
    /// Time until the whole burst is available again; if refused, until one request is.
    pub(crate) wait: Duration,
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
        let (began, pruned_at) = (clock.now(), AtomicU64::new(0));
        Self { inner, clock, began, pruned_at, per_minute, burst, max_keys }
    }

    /// Takes one request from the part that one of so many replicas grants; what is left is that of this
    /// part.
    fn take_of(&self, key: K, replicas: NonZeroU32) -> Result<Allowance, Allowance> {
        // With more replicas than requests of a burst each grants one after the other.
        let cost = replicas.min(self.burst);
        let of_part = |allowance: Allowance| Allowance { remaining: allowance.remaining / cost, ..allowance };
        self.take(key, cost).map(of_part).map_err(of_part)
    }

    /// Takes `count` from the key's allowance; `Err` where less is left.
    fn take(&self, key: K, count: NonZeroU32) -> Result<Allowance, Allowance> {
        self.prune_now_and_then();
        let more_than_a_burst = Allowance { per_minute: self.per_minute.get(), remaining: 0, wait: MINUTE };
        // The time that such a count would take need not fit into the clock's nanoseconds.
        if count > self.burst {
            return Err(more_than_a_burst);
        }
        // Full: whoever is remembered is treated like a newcomer too, until the next pruning makes room.
        let key = (self.inner.len() < self.max_keys).then_some(key);
        match self.inner.check_key_n(&key, count) {
            Ok(taken) => taken.map(|state| self.left(&state)).map_err(|until| self.none_left(&until)),
            Err(_) => Err(more_than_a_burst),
        }
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

    /// Removes callers whose allowance is full again, at most once a minute, on the next request.
    fn prune_now_and_then(&self) {
        let now = self.clock.now().duration_since(self.began).as_u64();
        let last = self.pruned_at.load(Relaxed);
        let due = u128::from(now.saturating_sub(last)) >= PRUNE_EVERY.as_nanos();
        if due && self.pruned_at.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
            self.inner.retain_recent();
            self.inner.shrink_to_fit();
        }
    }
}

impl Allowance {
    /// Value for `Retry-After`: whole seconds, at least one.
    pub fn retry_after_s(&self) -> u64 {
        whole_seconds(self.wait).max(1)
    }

    /// `RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-headers) and the older `X-RateLimit-*`.
    pub fn write(&self, headers: &mut HeaderMap) {
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

/// Seconds, rounded up.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
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
        let first = limiter.take(1, NonZeroU32::MIN).expect("within the burst");
        assert_eq!((first.remaining, whole_seconds(first.wait)), (5, 1));
        for _ in 0..5 {
            limiter.take(1, NonZeroU32::MIN).expect("within the burst");
        }
        let refused = limiter.take(1, NonZeroU32::MIN).expect_err("beyond the burst");
        assert_eq!((refused.remaining, refused.retry_after_s()), (0, 1));
        limiter.take(2, NonZeroU32::MIN).expect("another key has its own");
        clock.advance(Duration::from_secs(1));
        limiter.take(1, NonZeroU32::MIN).expect("one came back");
        limiter.take(1, NonZeroU32::MIN).expect_err("only one");
    }

    #[test]
    fn memory_is_bounded_and_what_is_full_again_is_forgotten_every_minute() {
        let (limiter, clock) = limiter(3);
        for key in 0..3 {
            limiter.take(key, NonZeroU32::MIN).expect("room");
        }
        for key in 100..106 {
            limiter.take(key, NonZeroU32::MIN).expect("newcomers share one allowance");
        }
        limiter.take(106, NonZeroU32::MIN).expect_err("which is used up");
        assert_eq!(limiter.inner.len(), 4);
        clock.advance(Duration::from_secs(59));
        limiter.take(107, NonZeroU32::MIN).expect("the shared allowance is full again");
        assert_eq!(limiter.inner.len(), 4, "it is not yet time");
        clock.advance(Duration::from_secs(6));
        limiter.take(108, NonZeroU32::MIN).expect("room again");
        assert_eq!(limiter.inner.len(), 1, "only the newcomer is remembered");
    }

    #[test]
    fn several_are_taken_at_once_or_none() {
        let (limiter, clock) = limiter(10);
        let count = |n| NonZeroU32::new(n).expect("not zero");
        assert_eq!(limiter.take(1, count(4)).expect("within the burst").remaining, 2);
        limiter.take(1, count(3)).expect_err("one too many");
        limiter.take(1, count(2)).expect("a refusal takes nothing");
        assert_eq!(limiter.take(2, count(7)).expect_err("more than a burst").retry_after_s(), 60);
        clock.advance(Duration::from_secs(6));
        limiter.take(1, count(6)).expect("all is back");
    }

    /// Requests of one key that so many replicas grant in ten minutes, asked in turn and far too often.
    fn granted_by(replicas: u32) -> u32 {
        let clock = FakeRelativeClock::default();
        let number = |n| NonZeroU32::new(n).expect("not zero");
        let of_one = || Limiter::with_clock(number(1_000), number(100), 10, clock.clone());
        let limiters: Vec<Limiter<u32, FakeRelativeClock>> = (0..replicas).map(|_| of_one()).collect();
        let mut granted = 0;
        for _ in 0..60_000 {
            clock.advance(Duration::from_millis(10));
            for limiter in &limiters {
                granted += u32::from(limiter.take_of(1, number(replicas)).is_ok());
            }
        }
        granted
    }

    #[test]
    fn replicas_grant_the_limit_together() {
        for replicas in [1, 2, 4, 7] {
            let granted = granted_by(replicas);
            assert!((10_000..=10_500).contains(&granted), "{replicas} replicas: {granted}");
        }
    }

    #[test]
    fn many_replicas_still_let_a_request_through() {
        let (limiter, _clock) = limiter(10);
        let hundred = NonZeroU32::new(100).expect("not zero");
        let first = limiter.take_of(1, hundred).expect("the first");
        assert_eq!(first.remaining, 0);
        limiter.take_of(1, hundred).expect_err("the second");
    }

    #[test]
    fn the_headers_read_as_documented() {
        let mut headers = HeaderMap::new();
        Allowance { per_minute: 100, remaining: 50, wait: Duration::from_millis(29_001) }.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"default\";q=100;w=60");
        assert_eq!(headers["ratelimit"], "\"default\";r=50;t=30");
        assert_eq!(headers["x-ratelimit-remaining"], "50");
    }
}
