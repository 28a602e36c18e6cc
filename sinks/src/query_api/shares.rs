//! Shares of what all tenants use together: reader connections, database time, waiting reads, memory of answers.
//!
//! A tenant that is over its share is refused by itself (429 `quota-exceeded`, with `Retry-After`); only what all
//! tenants together have used up is answered 503.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use schemas::{TenantId, access::LimitName, problem::ProblemKind};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::timeout,
};

use edge::{
    api_error::ApiError,
    tenants::{Measure, Tenants},
};
use http::{HeaderValue, header};

/// Memory is counted in pieces of this size.
const PIECE_BYTES: usize = 1024;
/// Memory set aside for an answer until its size is known: a page ends after half of it.
const RESERVED_BYTES: usize = 2 * crate::read_models::MAX_PAGE_BYTES;
/// Tenants remembered before idle ones are forgotten.
const MAX_IDLE_TENANTS: usize = 1024;

/// Database capacity that tenants share, and the most that one tenant may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareLimits {
    /// Most concurrent queries, which is the size of the connection pool.
    pub connections: usize,
    /// Most concurrent queries of one tenant.
    pub connections_per_tenant: usize,
    /// Most queries of one tenant that wait for a connection; the next one is refused.
    pub queued_per_tenant: usize,
    /// Longest wait of a query for one of its tenant's connections, and then for one of all.
    pub wait: Duration,
    /// Seconds of database time that one tenant gets a minute; a minute's worth may be used at once.
    pub database_seconds_per_minute: NonZeroU32,
    /// Requests that wait for a `min_position`.
    pub waiting_reads: usize,
    /// Most concurrent queries of one tenant.
    pub waiting_reads_per_tenant: usize,
    /// Bytes of answers that are being made, or that their readers have not taken yet.
    pub answer_bytes: usize,
    /// Most concurrent queries of one tenant.
    pub answer_bytes_per_tenant: usize,
}

impl Default for ShareLimits {
    fn default() -> Self {
        Self {
            connections: 8,
            connections_per_tenant: 3,
            queued_per_tenant: 32,
            wait: Duration::from_secs(2),
            database_seconds_per_minute: NonZeroU32::new(60).unwrap_or(NonZeroU32::MIN),
            waiting_reads: 64,
            waiting_reads_per_tenant: 16,
            answer_bytes: 64 * 1024 * 1024,
            answer_bytes_per_tenant: 16 * 1024 * 1024,
        }
    }
}

/// Database time that a tenant has used: a token bucket that is charged afterwards, and so may be overdrawn.
#[derive(Debug)]
struct Budget {
    per_minute: Duration,
    used: Duration,
    at: Instant,
}

impl Budget {
    fn new(seconds_per_minute: NonZeroU32, now: Instant) -> Self {
        Self {
            per_minute: Duration::from_secs(seconds_per_minute.get().into()),
            used: Duration::ZERO,
            at: now,
        }
    }

    fn charge(&mut self, time: Duration, now: Instant) {
        self.refill(now);
        self.used += time;
    }

    /// `Err` if the budget is used up: how long until there is something left.
    fn check(&mut self, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        match self.used.checked_sub(self.per_minute) {
            None => Ok(()),
            Some(over) => Err(over.mul_f64(60.0 / self.per_minute.as_secs_f64()) + Duration::from_secs(1)),
        }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        self.used = self.used.saturating_sub(passed.mul_f64(self.per_minute.as_secs_f64() / 60.0));
        self.at = now;
    }
}

/// Share of one tenant in the database: its own limits, or the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    connections: usize,
    database_seconds_per_minute: NonZeroU32,
}

/// One tenant's share, and the part of it in use.
#[derive(Debug)]
struct Share {
    part: Part,
    connections: Arc<Semaphore>,
    queued: AtomicUsize,
    waiting_reads: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    budget: Mutex<Budget>,
}

impl Share {
    fn new(limits: &ShareLimits, part: Part) -> Self {
        Self {
            part,
            connections: Arc::new(Semaphore::new(part.connections)),
            queued: AtomicUsize::new(0),
            waiting_reads: Arc::new(Semaphore::new(limits.waiting_reads_per_tenant)),
            memory: Arc::new(Semaphore::new(limits.answer_bytes_per_tenant / PIECE_BYTES)),
            budget: Mutex::new(Budget::new(part.database_seconds_per_minute, Instant::now())),
        }
    }

    /// The share of another size: the database time that was used stays used, and so does the memory of answers.
    fn resized(&self, part: Part) -> Self {
        let mut budget = Budget::new(part.database_seconds_per_minute, Instant::now());
        budget.used = {
            let mut before = self.budget();
            before.refill(budget.at);
            before.used
        };
        Self {
            part,
            connections: Arc::new(Semaphore::new(part.connections)),
            queued: AtomicUsize::new(0),
            waiting_reads: Arc::clone(&self.waiting_reads),
            memory: Arc::clone(&self.memory),
            budget: Mutex::new(budget),
        }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_untouched(&self) -> bool {
        let mut budget = self.budget();
        budget.refill(Instant::now());
        budget.used.is_zero()
    }
}

/// All tenants' shares.
#[derive(Debug)]
pub(super) struct Shares {
    limits: ShareLimits,
    connections: Arc<Semaphore>,
    waiting_reads: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    by_tenant: Mutex<HashMap<TenantId, Arc<Share>>>,
    tenants: Tenants,
}

/// Permit for one query. The time until it is dropped is charged to its tenant.
#[derive(Debug)]
pub(super) struct Turn {
    tenant: TenantId,
    tenants: Tenants,
    share: Arc<Share>,
    began: Instant,
    _of_tenant: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.began);
        self.share.budget().charge(took, now);
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.tenants.used(&self.tenant, Measure::Questions, 1);
        self.tenants.used(&self.tenant, Measure::DatabaseMilliseconds, milliseconds);
    }
}

/// The right to wait for a `min_position`.
#[derive(Debug)]
pub(super) struct WaitingRead {
    _of_tenant: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// Memory of one answer, given back when dropped.
#[derive(Debug)]
pub(super) struct Memory {
    of_tenant: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
}

impl Memory {
    /// Keeps as much as the answer is long, and gives the rest back. An answer that is longer than was reserved keeps
    /// what it has: a page's end is looked for row by row, so that it is longer by a row at most.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        for permit in [&mut self.of_tenant, &mut self.of_all] {
            let surplus = permit.num_permits().saturating_sub(bytes.div_ceil(PIECE_BYTES));
            drop(permit.split(surplus));
        }
    }
}

/// Counts a waiting query, until it is dropped.
struct Queued<'a>(&'a AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Shares {
    pub(super) fn new(limits: ShareLimits, tenants: Tenants) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(limits.connections)),
            waiting_reads: Arc::new(Semaphore::new(limits.waiting_reads)),
            memory: Arc::new(Semaphore::new(limits.answer_bytes / PIECE_BYTES)),
            by_tenant: Mutex::default(),
            tenants,
            limits,
        }
    }

    /// A turn at the database and memory for the answer. Waits a bounded time for a connection.
    pub(super) async fn question(&self, tenant: &TenantId) -> Result<(Turn, Memory), ApiError> {
        let share = self.share_of(tenant);
        if let Err(wait) = share.budget().check(Instant::now()) {
            let detail = format!(
                "the tenant's questions have taken the database more than {} s within a minute; narrow them, for \
                 example with from and to",
                share.part.database_seconds_per_minute
            );
            return Err(self.over_share(tenant, "database_time", &detail, wait));
        }
        let turn = self.turn(tenant, Arc::clone(&share)).await?;
        let memory = self.memory(tenant, &share)?;
        Ok((turn, memory))
    }

    /// Lets a request wait for a `min_position`.
    pub(super) fn waiting_read(&self, tenant: &TenantId) -> Result<WaitingRead, ApiError> {
        let share = self.share_of(tenant);
        let of_tenant = Arc::clone(&share.waiting_reads).try_acquire_owned().map_err(|_| {
            let detail = "too many requests of the tenant wait for a min_position";
            self.over_share(tenant, "waiting_reads", detail, Duration::from_secs(1))
        })?;
        let of_all = Arc::clone(&self.waiting_reads).try_acquire_owned().map_err(|_| {
            ApiError::new(ProblemKind::Overloaded, "too many requests wait for a min_position; try again")
        })?;
        Ok(WaitingRead { _of_tenant: of_tenant, _of_all: of_all })
    }

    async fn turn(&self, tenant: &TenantId, share: Arc<Share>) -> Result<Turn, ApiError> {
        let waits = share.queued.fetch_add(1, Relaxed);
        let queued = Queued(&share.queued);
        let free = Arc::clone(&share.connections).try_acquire_owned();
        let of_tenant = match free {
            Ok(permit) => Some(permit),
            Err(TryAcquireError::NoPermits) if waits < self.limits.queued_per_tenant => {
                timeout(self.limits.wait, Arc::clone(&share.connections).acquire_owned())
                    .await
                    .ok()
                    .and_then(Result::ok)
            }
            Err(_) => None,
        };
        let Some(of_tenant) = of_tenant else {
            let detail = format!(
                "{} queries of the tenant are running and others wait; send fewer at once",
                share.part.connections
            );
            return Err(self.over_share(tenant, "connections", &detail, Duration::from_secs(1)));
        };
        drop(queued);
        let all = Arc::clone(&self.connections).acquire_owned();
        let of_all = timeout(self.limits.wait, all).await.ok().and_then(Result::ok).ok_or_else(|| {
            ApiError::new(ProblemKind::DatabaseUnavailable, "all its connections are busy; try again")
        })?;
        Ok(Turn {
            tenant: tenant.clone(),
            tenants: self.tenants.clone(),
            share,
            began: Instant::now(),
            _of_tenant: of_tenant,
            _of_all: of_all,
        })
    }

    fn memory(&self, tenant: &TenantId, share: &Share) -> Result<Memory, ApiError> {
        let pieces = u32::try_from(RESERVED_BYTES / PIECE_BYTES).unwrap_or(u32::MAX);
        let of_tenant = Arc::clone(&share.memory).try_acquire_many_owned(pieces).map_err(|_| {
            let detail =
                "the tenant's answers that have not been taken yet are too large together; read them first";
            self.over_share(tenant, "answer_bytes", detail, Duration::from_secs(1))
        })?;
        let of_all = Arc::clone(&self.memory).try_acquire_many_owned(pieces).map_err(|_| {
            ApiError::new(ProblemKind::Overloaded, "too many answers are waiting to be taken; try again")
        })?;
        Ok(Memory { of_tenant, of_all })
    }

    /// The tenant's own limits, else everybody's. Nobody has more connections than there are.
    fn part_of(&self, tenant: &TenantId) -> Part {
        let limits = &self.limits;
        let connections = self.tenants.limit(tenant, LimitName::Connections);
        let connections = connections.map_or(limits.connections_per_tenant, |own| {
            usize::try_from(own.get()).unwrap_or(usize::MAX).min(limits.connections)
        });
        let seconds = self.tenants.limit(tenant, LimitName::DatabaseSecondsPerMinute);
        let database_seconds_per_minute = seconds.unwrap_or(limits.database_seconds_per_minute);
        Part { connections, database_seconds_per_minute }
    }

    fn share_of(&self, tenant: &TenantId) -> Arc<Share> {
        let part = self.part_of(tenant);
        let mut shares = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        let share = match shares.get(tenant) {
            Some(share) if share.part == part => return Arc::clone(share),
            Some(share) => Arc::new(share.resized(part)),
            None => Arc::new(Share::new(&self.limits, part)),
        };
        if shares.len() >= MAX_IDLE_TENANTS {
            shares.retain(|_, share| Arc::strong_count(share) > 1 || !share.is_untouched());
        }
        shares.insert(tenant.clone(), Arc::clone(&share));
        share
    }

    /// The refusal, counted.
    fn over_share(&self, tenant: &TenantId, share: &'static str, detail: &str, wait: Duration) -> ApiError {
        self.tenants.refused(Some(tenant), share);
        ApiError::new(ProblemKind::QuotaExceeded, detail)
            .header(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)))
    }
}

#[cfg(test)]
mod tests;
