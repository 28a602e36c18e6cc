//! The tenants of a service: their own limits, usage and refusals, and the trail of access for their audit
//! logs.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use schemas::{
    TenantId,
    access::{LimitName, LimitTable},
};
use tokio::sync::watch;

use crate::{rates::ReplicasWatch, trail::Trail};

/// Limits of single tenants, refreshed by the task that reads them from the database.
pub type LimitsWatch = watch::Receiver<Arc<LimitTable>>;

/// Number of the most refused tenants that metrics name; refusals of others count as `other`.
const NAMED_TENANTS: usize = 20;
/// Maximum number of tenants that metrics ever name: a name that was told once stays.
const MAX_NAMED_TENANTS: usize = 100;
/// Maximum number of tenants whose refusals are counted to find the most refused ones.
const MAX_RANKED_TENANTS: usize = 1_000;
/// Maximum number of pending counts; further ones are dropped.
const MAX_COUNTS: usize = 50_000;

/// A resource that tenants use, or a limit by which they are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// Publishing requests.
    Requests,
    /// Events, records and commands.
    Events,
    /// Bytes of decoded bodies.
    Bytes,
    /// Queries that the database answered.
    Questions,
    /// Database time of these queries, in milliseconds.
    DatabaseMilliseconds,
    /// Requests refused because the tenant exceeded this limit.
    Refused(&'static str),
}

impl Measure {
    /// Name in rows; `refused.<limit>` for refusals.
    pub fn name(self) -> String {
        match self {
            Self::Requests => "requests".to_owned(),
            Self::Events => "events".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Questions => "questions".to_owned(),
            Self::DatabaseMilliseconds => "database_ms".to_owned(),
            Self::Refused(share) => format!("refused.{share}"),
        }
    }
}

/// Usage counts by tenant.
pub type Counts = HashMap<(TenantId, Measure), u64>;

/// Counts the tenants' usage until it is stored.
#[derive(Debug, Default)]
pub struct Meter {
    counts: Mutex<Counts>,
    ranking: Mutex<Ranking>,
}

/// The most refused tenants, in bounded memory (the space-saving algorithm of Metwally, Agrawal and El
/// Abbadi).
#[derive(Debug, Default)]
struct Ranking {
    refusals: HashMap<TenantId, u64>,
    named: HashSet<TenantId>,
}

impl Ranking {
    /// Counts a refusal; whether metrics name the tenant.
    fn refused(&mut self, tenant: &TenantId) -> bool {
        let mut before = self.refusals.get(tenant).copied().unwrap_or(0);
        if before == 0 && self.refusals.len() >= MAX_RANKED_TENANTS {
            let least = self.refusals.iter().min_by_key(|(_, count)| **count);
            if let Some((least, count)) = least.map(|(least, count)| (least.clone(), *count)) {
                self.refusals.remove(&least);
                before = count;
            }
        }
        let count = before.saturating_add(1);
        self.refusals.insert(tenant.clone(), count);
        if self.named.contains(tenant) {
            return true;
        }
        let is_named = self.named.len() < NAMED_TENANTS
            || self.named.len() < MAX_NAMED_TENANTS && count / 2 > self.least_of_the_most();
        if is_named {
            self.named.insert(tenant.clone());
        }
        is_named
    }

    /// The refusals of the least refused among the tenants that are refused most.
    fn least_of_the_most(&self) -> u64 {
        let mut counts: Vec<u64> = self.refusals.values().copied().collect();
        let at = (NAMED_TENANTS - 1).min(counts.len().saturating_sub(1));
        if counts.is_empty() { 0 } else { *counts.select_nth_unstable_by(at, |a, b| b.cmp(a)).1 }
    }
}

impl Meter {
    /// Takes the counts since the last call.
    pub fn take(&self) -> Counts {
        std::mem::take(&mut self.lock())
    }

    /// Puts back counts that could not be stored.
    pub fn give_back(&self, counts: Counts) {
        for ((tenant, measure), amount) in counts {
            self.add(&tenant, measure, amount);
        }
    }

    fn add(&self, tenant: &TenantId, measure: Measure, amount: u64) {
        let mut counts = self.lock();
        let key = (tenant.clone(), measure);
        if counts.len() >= MAX_COUNTS && !counts.contains_key(&key) {
            return;
        }
        let count = counts.entry(key).or_default();
        *count = count.saturating_add(amount);
    }

    fn label(&self, tenant: &TenantId) -> String {
        let mut ranking = self.ranking.lock().unwrap_or_else(PoisonError::into_inner);
        if ranking.refused(tenant) { tenant.to_string() } else { "other".to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tenants of a service.
#[derive(Debug, Clone)]
pub struct Tenants {
    /// The limits of single tenants.
    pub limits: LimitsWatch,
    /// Usage counts.
    pub meter: Arc<Meter>,
    /// Admissions and refusals, for the audit log.
    pub trail: Arc<Trail>,
    /// Number of replicas of the service.
    pub replicas: ReplicasWatch,
}

impl Default for Tenants {
    /// Tenants without limits of their own.
    fn default() -> Self {
        Self {
            limits: watch::channel(Arc::default()).1,
            meter: Arc::default(),
            trail: Arc::default(),
            replicas: watch::channel(NonZeroU32::MIN).1,
        }
    }
}

impl Tenants {
    /// The tenant's own limit; `None` if the limit of the settings applies.
    pub fn limit(&self, tenant: &TenantId, limit: LimitName) -> Option<NonZeroU32> {
        self.limits.borrow().get(tenant, limit)
    }

    /// Counts usage of a tenant.
    pub fn used(&self, tenant: &TenantId, measure: Measure, amount: u64) {
        self.meter.add(tenant, measure, amount);
    }

    /// Counts a request that was refused because its tenant, or else its address, exceeded this limit.
    /// Metrics name the tenants that are refused most.
    pub fn refused(&self, tenant: Option<&TenantId>, share: &'static str) {
        let label = tenant.map_or_else(|| "address".to_owned(), |tenant| self.meter.label(tenant));
        metrics::counter!("weir_over_share_total", "tenant" => label, "share" => share).increment(1);
        if let Some(tenant) = tenant {
            self.meter.add(tenant, Measure::Refused(share), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: usize) -> TenantId {
        TenantId::new(&format!("t{n}")).expect("a tenant")
    }

    #[test]
    fn metrics_name_a_bounded_number_of_tenants_and_the_loudest_among_them() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let _installed = metrics::set_default_local_recorder(&recorder);
        let tenants = Tenants::default();
        // Two refusals each for the first twenty, then one for each of many: nobody of those is loud.
        for n in (0..NAMED_TENANTS).chain(0..2 * MAX_RANKED_TENANTS) {
            tenants.refused(Some(&tenant(n)), "events");
        }
        for _ in 0..20 {
            tenants.refused(Some(&tenant(9_999)), "events");
        }
        tenants.refused(None, "bytes_in_hand");
        let text = recorder.handle().render();
        assert!(text.contains("tenant=\"t9999\",share=\"events\"}"), "{text}");
        assert!(text.contains("tenant=\"other\",share=\"events\"}"), "{text}");
        let series = text.matches("weir_over_share_total{").count();
        assert!((NAMED_TENANTS + 2..=MAX_NAMED_TENANTS + 2).contains(&series), "{series}");
        assert!(tenants.meter.ranking.lock().expect("held").refusals.len() <= MAX_RANKED_TENANTS);
    }

    #[test]
    fn what_was_counted_is_taken_once_and_can_be_given_back() {
        let tenants = Tenants::default();
        tenants.used(&tenant(1), Measure::Events, 3);
        tenants.used(&tenant(1), Measure::Events, u64::MAX);
        tenants.refused(Some(&tenant(2)), "events");
        let counts = tenants.meter.take();
        assert_eq!(counts[&(tenant(1), Measure::Events)], u64::MAX);
        assert_eq!(counts[&(tenant(2), Measure::Refused("events"))], 1);
        assert!(tenants.meter.take().is_empty());
        tenants.meter.give_back(counts.clone());
        assert_eq!(tenants.meter.take(), counts);
    }

    #[test]
    fn counts_are_bounded() {
        let tenants = Tenants::default();
        for n in 0..MAX_COUNTS + 10 {
            tenants.used(&tenant(n), Measure::Requests, 1);
        }
        tenants.used(&tenant(0), Measure::Requests, 1);
        let counts = tenants.meter.take();
        assert_eq!((counts.len(), counts[&(tenant(0), Measure::Requests)]), (MAX_COUNTS, 2));
    }
}
