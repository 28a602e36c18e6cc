//! Cache of policy decisions by document, policy set and waivers, with a maximum age and bounded
//! memory.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::Instant;

use super::decided::Decided;

/// Maximum number of decisions, and their maximum total size in bytes.
const MAX_DECISIONS: usize = 20_000;
const MAX_BYTES: usize = 32 << 20;

/// Key of a decision beside the policy set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// SHA-256 of the document and of the workspace that it is for.
    pub(super) document: [u8; 32],
    /// The version of the tenant's waivers. Tenants without any share their decisions.
    pub(super) waivers: Option<[u8; 32]>,
}

#[derive(Debug, Default)]
pub(in crate::gateway) struct Cache(Mutex<Decisions>);

#[derive(Debug, Default)]
struct Decisions {
    /// Policy set of the decisions; a new set empties the cache.
    policy_set: String,
    by_document: HashMap<Key, (Arc<Decided>, Instant)>,
    /// Keys in the order of insertion.
    order: VecDeque<Key>,
    bytes: usize,
}

impl Cache {
    /// The decision of these policies on the document, if one is cached and still valid.
    pub(super) fn get(&self, key: &Key, policy_set: &str, now: Instant) -> Option<Arc<Decided>> {
        let decisions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if decisions.policy_set != policy_set {
            return None;
        }
        let (decided, until) = decisions.by_document.get(key)?;
        (now < *until).then(|| Arc::clone(decided))
    }

    /// Caches a decision for as long as it is valid, evicting the oldest.
    pub(super) fn put(&self, key: Key, decided: &Arc<Decided>, now: Instant) {
        let mut decisions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if decisions.policy_set != decided.policy_set {
            *decisions = Decisions { policy_set: decided.policy_set.clone(), ..Decisions::default() };
        }
        decisions.bytes += decided.bytes();
        match decisions.by_document.insert(key, (Arc::clone(decided), now + decided.holds)) {
            Some((before, _)) => decisions.bytes -= before.bytes(),
            None => decisions.order.push_back(key),
        }
        while decisions.order.len() > MAX_DECISIONS || decisions.bytes > MAX_BYTES {
            let Some(oldest) = decisions.order.pop_front() else { break };
            if let Some((gone, _)) = decisions.by_document.remove(&oldest) {
                decisions.bytes -= gone.bytes();
            }
        }
        metrics::gauge!("weir_policy_cached_decisions")
            .set(f64::from(u32::try_from(decisions.order.len()).unwrap_or(u32::MAX)));
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
            resource: None,
            holds: Duration::from_secs(seconds),
        })
    }

    #[test]
    fn a_decision_holds_for_its_time_and_its_policies() {
        let (cache, now) = (Cache::default(), Instant::now());
        let key = |document: u8, waivers: Option<u8>| Key {
            document: [document; 32],
            waivers: waivers.map(|version| [version; 32]),
        };
        cache.put(key(1, None), &decided("a", 30), now);
        let known = |document: u8, set: &str, seconds: u64| {
            cache.get(&key(document, None), set, now + Duration::from_secs(seconds)).is_some()
        };
        assert!(known(1, "a", 29) && !known(1, "a", 30) && !known(2, "a", 0) && !known(1, "b", 0));
        assert!(cache.get(&key(1, Some(1)), "a", now).is_none(), "it was made under other waivers");
        cache.put(key(2, None), &decided("b", 30), now);
        assert!(known(2, "b", 0) && !known(1, "b", 0) && !known(1, "a", 0));
    }

    #[test]
    fn the_oldest_make_room() {
        let (cache, now) = (Cache::default(), Instant::now());
        let key = |n: usize| {
            let mut document = [0; 32];
            document[..8].copy_from_slice(&n.to_be_bytes());
            Key { document, waivers: None }
        };
        for n in 0..MAX_DECISIONS + 10 {
            cache.put(key(n), &decided("a", 30), now);
            cache.put(key(n), &decided("a", 30), now);
        }
        assert!(cache.get(&key(9), "a", now).is_none() && cache.get(&key(10), "a", now).is_some());
        let held = cache.0.lock().expect("unpoisoned");
        assert_eq!((held.order.len(), held.by_document.len()), (MAX_DECISIONS, MAX_DECISIONS));
        assert_eq!(held.bytes, MAX_DECISIONS * decided("a", 30).bytes());
    }
}
