//! Shares of tenants and addresses in the gateway's resources: bytes in flight, and requests, events and
//! bytes per minute.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use edge::{
    api_error::ApiError,
    peer::Network,
    quotas,
    tenants::{Measure, Tenants},
};
use http::{HeaderValue, header};
use schemas::{TenantId, access::LimitName, problem::ProblemKind};

/// Holder of a share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    /// A tenant.
    Tenant(TenantId),
    /// A tenant's requests from one network.
    TenantAt(TenantId, Network),
    /// A network whose requests belong to no known tenant.
    Stranger(Network),
}

impl Holder {
    fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Tenant(tenant) | Self::TenantAt(tenant, _) => Some(tenant),
            Self::Stranger(_) => None,
        }
    }
}

/// Bytes in flight, in total and by holder.
#[derive(Debug)]
pub(super) struct Bytes {
    total: usize,
    held: Mutex<Held>,
    tenants: Tenants,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by: HashMap<Holder, usize>,
}

impl Bytes {
    pub(super) fn new(total: usize, tenants: Tenants) -> Arc<Self> {
        Arc::new(Self { total, held: Mutex::default(), tenants })
    }

    /// Maximum share of one holder: a quarter of the total, and half of that for a tenant's requests from one
    /// network.
    fn part(&self, holder: &Holder) -> usize {
        match holder {
            Holder::Tenant(_) | Holder::Stranger(_) => self.total / 4,
            Holder::TenantAt(..) => self.total / 8,
        }
    }

    /// An empty charge, every byte of which is charged to each of the holders.
    pub(super) fn charge(self: &Arc<Self>, holders: Vec<Holder>) -> Charge {
        Charge { bytes: Arc::clone(self), holders, held: 0 }
    }

    /// Bytes that are free.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.total - self.lock().all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that one request holds; released when dropped.
#[derive(Debug)]
pub(super) struct Charge {
    bytes: Arc<Bytes>,
    holders: Vec<Holder>,
    held: usize,
}

impl Charge {
    /// The narrowest of the holders: whoever takes turns at the work on the bytes.
    pub(super) fn holder(&self) -> &Holder {
        self.holders.last().expect("somebody holds every charge")
    }

    /// Whether that many more bytes are available.
    pub(super) fn check(&self, more: usize) -> Result<(), ApiError> {
        self.check_in(&self.bytes.lock(), more)
    }

    /// Takes more bytes, or fails: 429 if a holder has used up its share, 503 if all are in use.
    pub(super) fn grow(&mut self, more: usize) -> Result<(), ApiError> {
        let mut held = self.bytes.lock();
        self.check_in(&held, more)?;
        held.all += more;
        for holder in &self.holders {
            *held.by.entry(holder.clone()).or_default() += more;
        }
        drop(held);
        self.held += more;
        Ok(())
    }

    fn check_in(&self, held: &Held, more: usize) -> Result<(), ApiError> {
        for holder in &self.holders {
            let has = held.by.get(holder).copied().unwrap_or_default();
            if has.saturating_add(more) > self.bytes.part(holder) {
                self.bytes.tenants.refused(holder.tenant(), "bytes_in_hand");
                let whose = if holder.tenant().is_some() { "this tenant" } else { "this address" };
                let detail = format!("{whose} has too many bytes in flight; send it again in a moment");
                return Err(ApiError::new(ProblemKind::QuotaExceeded, detail).closing());
            }
        }
        if held.all.saturating_add(more) > self.bytes.total {
            let detail = "too many bytes are in flight; send it again in a moment";
            return Err(ApiError::new(ProblemKind::Overloaded, detail).closing());
        }
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut held = self.bytes.lock();
        held.all -= self.held;
        for holder in &self.holders {
            if let Some(has) = held.by.get_mut(holder) {
                *has -= self.held;
                if *has == 0 {
                    held.by.remove(holder);
                }
            }
        }
    }
}

/// Publishing quotas of one tenant, which all replicas of the gateway grant together; `None` for no limit. A
/// quarter of a minute's quota may come as a burst, and a request is granted whole while anything is left of
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantQuotas {
    /// Publishing requests per minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Events, records and commands per minute.
    pub events_per_minute: Option<NonZeroU32>,
    /// KiB of decoded bodies per minute.
    pub kib_per_minute: Option<NonZeroU32>,
}

impl Default for TenantQuotas {
    fn default() -> Self {
        Self {
            requests_per_minute: NonZeroU32::new(12_000),
            events_per_minute: NonZeroU32::new(600_000),
            kib_per_minute: NonZeroU32::new(1024 * 1024),
        }
    }
}

impl TenantQuotas {
    /// No limits.
    pub const UNLIMITED: Self =
        Self { requests_per_minute: None, events_per_minute: None, kib_per_minute: None };
}

/// The quota of this time may come at once.
const BURST: Duration = Duration::from_secs(15);

/// Usage of the quotas by tenant.
#[derive(Debug)]
pub(super) struct Quotas {
    requests: Quota,
    events: Quota,
    kib: Quota,
    tenants: Tenants,
}

impl Quotas {
    pub(super) fn new(quotas: &TenantQuotas, tenants: Tenants) -> Self {
        Self {
            requests: Quota::new(quotas.requests_per_minute, LimitName::RequestsPerMinute, "requests"),
            events: Quota::new(quotas.events_per_minute, LimitName::EventsPerMinute, "events"),
            kib: Quota::new(quotas.kib_per_minute, LimitName::KibPerMinute, "bytes"),
            tenants,
        }
    }

    /// Takes a request from the quota, before its body is read.
    pub(super) fn take_request(&self, tenant: &TenantId) -> Result<(), ApiError> {
        self.requests.take(&self.tenants, tenant, 1)?;
        self.tenants.used(tenant, Measure::Requests, 1);
        Ok(())
    }

    /// Takes a request's content from the quotas, before any of it is published.
    pub(super) fn take_content(
        &self,
        tenant: &TenantId,
        events: usize,
        bytes: usize,
    ) -> Result<(), ApiError> {
        self.events.take(&self.tenants, tenant, events)?;
        self.kib.take(&self.tenants, tenant, bytes.div_ceil(1024))?;
        for (measure, amount) in [(Measure::Events, events), (Measure::Bytes, bytes)] {
            self.tenants.used(tenant, measure, u64::try_from(amount).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

/// One quota.
#[derive(Debug)]
struct Quota {
    taken: quotas::Quotas<TenantId>,
    limit: LimitName,
    share: &'static str,
}

impl Quota {
    fn new(per_minute: Option<NonZeroU32>, limit: LimitName, share: &'static str) -> Self {
        Self { taken: quotas::Quotas::new(per_minute, BURST), limit, share }
    }

    fn take(&self, tenants: &Tenants, tenant: &TenantId, count: usize) -> Result<(), ApiError> {
        let count = NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX));
        let Some(count) = count else { return Ok(()) };
        let own = tenants.limit(tenant, self.limit);
        let replicas = *tenants.replicas.borrow();
        self.taken.take(tenant.clone(), own, count, replicas).map(drop).map_err(|none_left| {
            let share = self.share;
            tenants.refused(Some(tenant), share);
            let detail = format!("this tenant publishes too many {share} a minute; send it again later");
            ApiError::new(ProblemKind::QuotaExceeded, detail)
                .header(header::RETRY_AFTER, HeaderValue::from(none_left.retry_after_s()))
                .with_headers(|headers| none_left.write(headers))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Holder {
        Holder::Tenant(TenantId::new(name).expect("a tenant"))
    }

    fn status(refused: Result<(), ApiError>) -> u16 {
        refused.err().map_or(200, |error| error.problem().status)
    }

    #[test]
    fn a_holder_has_its_part_and_everybody_together_the_whole() {
        let bytes = Bytes::new(400, Tenants::default());
        let mut loud = bytes.charge(vec![tenant("loud")]);
        assert_eq!(status(loud.grow(100)), 200);
        assert_eq!((status(loud.grow(1)), status(loud.check(1))), (429, 429), "a quarter each");
        let mut second = bytes.charge(vec![tenant("loud")]);
        assert_eq!(status(second.grow(1)), 429, "however many requests");
        let mut others: Vec<Charge> = ["a", "b", "c"].map(|name| bytes.charge(vec![tenant(name)])).into();
        assert!(others.iter_mut().all(|charge| status(charge.grow(100)) == 200));
        let mut late = bytes.charge(vec![tenant("late")]);
        assert_eq!((status(late.grow(1)), bytes.free()), (503, 0));
        drop(loud);
        assert_eq!((status(late.grow(100)), bytes.free()), (200, 0));
        drop((late, others, second));
        assert_eq!(
            (bytes.free(), bytes.lock().by.len()),
            (400, 0),
            "all is given back, and nobody remembered"
        );
    }

    #[test]
    fn one_network_cannot_use_up_a_tenants_part() {
        let bytes = Bytes::new(800, Tenants::default());
        let acme = TenantId::new("acme").expect("a tenant");
        let from = |last: u8| {
            let network = Network::from(std::net::IpAddr::from([192, 0, 2, last]));
            bytes.charge(vec![Holder::Tenant(acme.clone()), Holder::TenantAt(acme.clone(), network)])
        };
        let (mut one, mut other) = (from(1), from(2));
        assert_eq!((status(one.grow(100)), status(one.grow(1))), (200, 429));
        assert_eq!(status(other.grow(100)), 200);
    }

    #[test]
    fn a_tenant_over_its_quota_is_refused_and_others_are_not() {
        let quotas = TenantQuotas {
            requests_per_minute: NonZeroU32::new(8),
            events_per_minute: NonZeroU32::new(1),
            kib_per_minute: None,
        };
        let quotas = Quotas::new(&quotas, Tenants::default());
        let [loud, quiet] = ["loud", "quiet"].map(|name| TenantId::new(name).expect("a tenant"));
        assert_eq!((status(quotas.take_request(&loud)), status(quotas.take_request(&loud))), (200, 200));
        assert_eq!((status(quotas.take_request(&loud)), status(quotas.take_request(&quiet))), (429, 200));
        assert_eq!(
            status(quotas.take_content(&loud, 10_000, usize::MAX)),
            200,
            "a batch of the largest kind fits"
        );
        assert_eq!(
            (status(quotas.take_content(&loud, 1, 1)), status(quotas.take_content(&quiet, 1, 1))),
            (429, 200)
        );
    }

    #[test]
    fn replicas_grant_their_part_of_a_tenants_quota() {
        let four = NonZeroU32::new(4).expect("not zero");
        let tenants = Tenants { replicas: tokio::sync::watch::channel(four).1, ..Tenants::default() };
        let limits = TenantQuotas { requests_per_minute: NonZeroU32::new(80), ..TenantQuotas::UNLIMITED };
        let quotas = Quotas::new(&limits, tenants);
        let acme = TenantId::new("acme").expect("a tenant");
        assert_eq!(
            (0..40).filter(|_| quotas.take_request(&acme).is_ok()).count(),
            5,
            "a fourth of a quarter"
        );
    }

    #[test]
    fn a_limit_of_a_tenants_own_holds_from_the_next_request() {
        let [own, other] = ["own", "other"].map(|name| TenantId::new(name).expect("a tenant"));
        let (set, limits) = tokio::sync::watch::channel(Arc::default());
        let tenants = Tenants { limits, ..Tenants::default() };
        let quotas = Quotas::new(&TenantQuotas::UNLIMITED, tenants.clone());
        let taken = |tenant| (0..10).filter(|_| quotas.take_request(tenant).is_ok()).count();
        assert_eq!((taken(&own), taken(&other)), (10, 10));
        let eight = NonZeroU32::new(8).expect("not zero");
        let limit = (own.clone(), LimitName::RequestsPerMinute, eight);
        set.send_replace(Arc::new([limit].into_iter().collect()));
        assert_eq!((taken(&own), taken(&other)), (2, 10), "a quarter of a minute's worth at once");
        set.send_replace(Arc::default());
        assert_eq!(taken(&own), 10);
        let counts = tenants.meter.take();
        assert_eq!(counts[&(own.clone(), Measure::Requests)], 22);
        assert_eq!(counts[&(own, Measure::Refused("requests"))], 8);
    }
}
