//! Cache of policy decisions by tenant, document, policy set and waivers, with a maximum age and bounded
//! memory. Tenants share no decisions, and the one that holds the most makes room.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use schemas::TenantId;
use tokio::time::Instant;

use super::decided::Decided;

/// Maximum number of decisions, and their maximum total size in bytes.
const MAX_DECISIONS: usize = 20_000;
const MAX_BYTES: usize = 32 << 20;

/// Key of a tenant's decision beside the policy set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// SHA-256 of the document and of the workspace that it is for.
    pub(super) document: [u8; 32],
    /// The version of the tenant's waivers, if it has any.
    pub(super) waivers: Option<[u8; 32]>,
}

#[derive(Debug, Default)]
pub(in crate::gateway) struct Cache(Mutex<Decisions>);

#[derive(Debug, Default)]
struct Decisions {
    /// Policy set of the decisions; a new set empties the cache.
    policy_set: String,
    by_tenant: HashMap<TenantId, OfTenant>,
    count: usize,
    bytes: usize,
}

/// Decisions of one tenant; at least one.
#[derive(Debug, Default)]
struct OfTenant {
    by_document: HashMap<Key, (Arc<Decided>, Instant)>,
    /// Keys in the order of insertion.
    order: VecDeque<Key>,
    bytes: usize,
}

impl Cache {
    /// The tenant's decision of these policies on the document, if one is cached and still valid.
    pub(super) fn get(
        &self,
        tenant: &TenantId,
        key: &Key,
        policy_set: &str,
        now: Instant,
    ) -> Option<Arc<Decided>> {
        let decisions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if decisions.policy_set != policy_set {
            return None;
        }
        let (decided, until) = decisions.by_tenant.get(tenant)?.by_document.get(key)?;
        (now < *until).then(|| Arc::clone(decided))
    }

    /// Caches a tenant's decision for as long as it is valid.
    pub(super) fn put(&self, tenant: &TenantId, key: Key, decided: &Arc<Decided>, now: Instant) {
        let mut decisions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if decisions.policy_set != decided.policy_set {
            *decisions = Decisions { policy_set: decided.policy_set.clone(), ..Decisions::default() };
        }
        decisions.insert(tenant, key, decided, now + decided.holds);
        decisions.make_room();
        metrics::gauge!("weir_policy_cached_decisions")
            .set(f64::from(u32::try_from(decisions.count).unwrap_or(u32::MAX)));
    }
}

impl Decisions {
    fn insert(&mut self, tenant: &TenantId, key: Key, decided: &Arc<Decided>, until: Instant) {
        let own = self.by_tenant.entry(tenant.clone()).or_default();
        let before = own.by_document.insert(key, (Arc::clone(decided), until));
        if before.is_none() {
            own.order.push_back(key);
            self.count += 1;
        }
        let (more, less) = (decided.bytes(), before.map_or(0, |(before, _)| before.bytes()));
        own.bytes = own.bytes + more - less;
        self.bytes = self.bytes + more - less;
    }

    /// Evicts the oldest decisions of the tenant that holds the most bytes: nobody loses any to a tenant that
    /// holds more.
    fn make_room(&mut self) {
        while self.count > MAX_DECISIONS || self.bytes > MAX_BYTES {
            let Some((tenant, own)) = self.by_tenant.iter_mut().max_by_key(|(_, own)| own.bytes) else {
                break;
            };
            let gone = own.order.pop_front().and_then(|oldest| own.by_document.remove(&oldest));
            if let Some((gone, _)) = gone {
                own.bytes -= gone.bytes();
                self.bytes -= gone.bytes();
                self.count -= 1;
            }
            if own.order.is_empty() {
                let tenant = tenant.clone();
                self.by_tenant.remove(&tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use policies::Decision;

    use super::*;
    use crate::gateway::policy::decided::DecisionCounts;

    fn decided(policy_set: &str, seconds: u64) -> Arc<Decided> {
        Arc::new(Decided {
            decision: Decision::Allow,
            kind: "plan",
            policy_set: policy_set.to_owned(),
            waivers: None,
            counts: DecisionCounts::default(),
            reasons: Vec::new(),
            reasons_json: serde_json::value::RawValue::NULL.to_owned(),
            reasons_total: 0,
            incomplete: None,
            resource: None,
            holds: Duration::from_secs(seconds),
        })
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).expect("a tenant")
    }

    /// The key of the n-th document.
    fn nth(n: usize) -> Key {
        let mut document = [0; 32];
        document[..8].copy_from_slice(&n.to_be_bytes());
        Key { document, waivers: None }
    }

    #[test]
    fn a_decision_holds_for_its_time_its_policies_and_its_tenant() {
        let (cache, now, acme) = (Cache::default(), Instant::now(), tenant("acme"));
        cache.put(&acme, nth(1), &decided("a", 30), now);
        let known = |document: usize, set: &str, seconds: u64| {
            cache.get(&acme, &nth(document), set, now + Duration::from_secs(seconds)).is_some()
        };
        assert!(known(1, "a", 29) && !known(1, "a", 30) && !known(2, "a", 0) && !known(1, "b", 0));
        let under_waivers = Key { waivers: Some([1; 32]), ..nth(1) };
        assert!(cache.get(&acme, &under_waivers, "a", now).is_none(), "it was made under other waivers");
        assert!(cache.get(&tenant("other"), &nth(1), "a", now).is_none(), "it tells what others asked");
        cache.put(&acme, nth(2), &decided("b", 30), now);
        assert!(known(2, "b", 0) && !known(1, "b", 0) && !known(1, "a", 0));
    }

    #[test]
    fn the_oldest_of_whoever_holds_the_most_make_room() {
        let (cache, now) = (Cache::default(), Instant::now());
        let (loud, quiet) = (tenant("loud"), tenant("quiet"));
        cache.put(&quiet, nth(0), &decided("a", 30), now);
        for n in 0..MAX_DECISIONS + 9 {
            cache.put(&loud, nth(n), &decided("a", 30), now);
            cache.put(&loud, nth(n), &decided("a", 30), now);
        }
        let known = |tenant: &TenantId, n: usize| cache.get(tenant, &nth(n), "a", now).is_some();
        assert!(known(&quiet, 0), "another tenant's decisions leave it its own");
        assert!(!known(&loud, 9) && known(&loud, 10) && known(&loud, MAX_DECISIONS + 8));
        let held = cache.0.lock().expect("unpoisoned");
        let own = &held.by_tenant[&loud];
        assert_eq!((own.order.len(), own.by_document.len()), (MAX_DECISIONS - 1, MAX_DECISIONS - 1));
        assert_eq!((held.count, held.bytes), (MAX_DECISIONS, MAX_DECISIONS * decided("a", 30).bytes()));
    }
}
