//! Waivers that hold, as whoever decides by policies reads them.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::{TenantId, Timestamp};

/// A granted waiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedWaiver {
    /// Its id.
    pub waiver: String,
    /// Ids of policies.
    pub policies: Vec<String>,
    /// Ids of resources.
    pub resources: Vec<String>,
    /// From when it holds.
    pub from: Timestamp,
    /// Until when: by its terms, or by being revoked.
    pub until: Timestamp,
    /// When it ends by its terms.
    pub expires_at: Timestamp,
}

/// The granted waivers of all tenants at one time of reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantedWaivers(HashMap<TenantId, TenantWaivers>);

impl GrantedWaivers {
    /// The waivers of a tenant; `None` where it has none.
    pub fn of(&self, tenant: &TenantId) -> Option<&TenantWaivers> {
        self.0.get(tenant)
    }
}

impl FromIterator<(TenantId, GrantedWaiver)> for GrantedWaivers {
    fn from_iter<I: IntoIterator<Item = (TenantId, GrantedWaiver)>>(waivers: I) -> Self {
        let mut by_tenant: HashMap<TenantId, Vec<GrantedWaiver>> = HashMap::new();
        for (tenant, waiver) in waivers {
            by_tenant.entry(tenant).or_default().push(waiver);
        }
        Self(by_tenant.into_iter().map(|(tenant, waivers)| (tenant, TenantWaivers::new(waivers))).collect())
    }
}

/// The granted waivers of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantWaivers {
    waivers: Vec<GrantedWaiver>,
    /// Places of waivers, by resource.
    by_resource: HashMap<String, Vec<usize>>,
    version: [u8; 32],
}

impl TenantWaivers {
    fn new(mut waivers: Vec<GrantedWaiver>) -> Self {
        waivers.sort_by(|a, b| a.waiver.cmp(&b.waiver));
        let mut by_resource: HashMap<String, Vec<usize>> = HashMap::new();
        let mut hash = Sha256::new();
        for (place, one) in waivers.iter().enumerate() {
            for resource in &one.resources {
                by_resource.entry(resource.clone()).or_default().push(place);
            }
            let mut part = |text: &str| {
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text);
            };
            part(&one.waiver);
            one.policies.iter().chain(&one.resources).for_each(|id| part(id));
            for instant in [one.from, one.until, one.expires_at] {
                hash.update(instant.timestamp_micros().to_be_bytes());
            }
            hash.update((one.policies.len() as u64).to_be_bytes());
        }
        Self { waivers, by_resource, version: hash.finalize().into() }
    }

    /// SHA-256 of the waivers: what is decided under one version holds under no other.
    pub fn version(&self) -> &[u8; 32] {
        &self.version
    }

    /// The waiver that holds at an instant for a policy and a resource, by any of the resource's ids; of
    /// several the one whose terms end last, as posture has it.
    pub fn holding(&self, resources: &[String], policy: &str, at: Timestamp) -> Option<&GrantedWaiver> {
        let places = resources.iter().filter_map(|resource| self.by_resource.get(resource)).flatten();
        let holds = |one: &&GrantedWaiver| {
            one.from <= at && at < one.until && one.policies.iter().any(|named| named == policy)
        };
        let holding = places.map(|place| &self.waivers[*place]).filter(holds);
        holding.max_by(|a, b| a.expires_at.cmp(&b.expires_at).then_with(|| b.waiver.cmp(&a.waiver)))
    }

    /// The first instant after this one at which a waiver begins or ends.
    pub fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        let bounds = self.waivers.iter().flat_map(|one| [one.from, one.until]);
        bounds.filter(|bound| *bound > after).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + day * 86_400, 0).expect("a time")
    }

    fn waiver(name: &str, resource: &str, (from, until): (i64, i64), expires: i64) -> GrantedWaiver {
        GrantedWaiver {
            waiver: name.into(),
            policies: vec!["p".into()],
            resources: vec![resource.into()],
            from: at(from),
            until: at(until),
            expires_at: at(expires),
        }
    }

    fn of(waivers: Vec<GrantedWaiver>) -> TenantWaivers {
        let tenant = TenantId::new("acme").expect("a plain name");
        let all: GrantedWaivers = waivers.into_iter().map(|one| (tenant.clone(), one)).collect();
        assert!(all.of(&TenantId::new("other").expect("a plain name")).is_none());
        all.of(&tenant).expect("its waivers").clone()
    }

    #[test]
    fn a_waiver_holds_for_its_time_its_policies_and_its_resources() {
        let waivers = of(vec![
            waiver("a", "r", (0, 10), 10),
            waiver("b", "r", (2, 5), 20),
            waiver("c", "other", (0, 10), 30),
        ]);
        let named = |ids: &[&str], policy: &str, day: i64| {
            let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
            waivers.holding(&ids, policy, at(day)).map(|one| one.waiver.clone())
        };
        assert_eq!(named(&["r"], "p", -1), None);
        assert_eq!(named(&["r"], "p", 0).as_deref(), Some("a"));
        assert_eq!(named(&["r"], "p", 3).as_deref(), Some("b"), "its terms end last");
        assert_eq!(named(&["r"], "p", 5).as_deref(), Some("a"), "the other was revoked");
        assert_eq!(named(&["r"], "p", 10), None, "its end is no part of it");
        assert_eq!(named(&["r"], "q", 3), None);
        assert_eq!(named(&["x", "other"], "p", 3).as_deref(), Some("c"));
        assert_eq!(waivers.next_change(at(2)), Some(at(5)));
        assert_eq!(waivers.next_change(at(10)), None);
    }

    #[test]
    fn another_waiver_is_another_version() {
        let one = of(vec![waiver("a", "r", (0, 10), 10), waiver("b", "r", (0, 10), 10)]);
        let turned = of(vec![waiver("b", "r", (0, 10), 10), waiver("a", "r", (0, 10), 10)]);
        assert_eq!(one.version(), turned.version());
        for other in [
            of(vec![waiver("a", "r", (0, 10), 10)]),
            of(vec![waiver("a", "r", (0, 9), 10), waiver("b", "r", (0, 10), 10)]),
            of(vec![waiver("a", "s", (0, 10), 10), waiver("b", "r", (0, 10), 10)]),
        ] {
            assert_ne!(one.version(), other.version());
        }
    }
}
