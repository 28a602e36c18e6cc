//! Limits of single tenants on shared resources.

use std::{collections::HashMap, num::NonZeroU32};

use serde::{Deserialize, Serialize};

use crate::TenantId;

/// A limit that can be set for a single tenant. Other tenants have the limit of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    /// Publishing requests per minute.
    RequestsPerMinute,
    /// Events, records and commands per minute.
    EventsPerMinute,
    /// KiB of decoded bodies per minute.
    KibPerMinute,
    /// Seconds of database time for queries, per minute.
    DatabaseSecondsPerMinute,
    /// Database connections that queries use at once.
    Connections,
}

impl LimitName {
    /// Every limit.
    pub const ALL: [Self; 5] = [
        Self::RequestsPerMinute,
        Self::EventsPerMinute,
        Self::KibPerMinute,
        Self::DatabaseSecondsPerMinute,
        Self::Connections,
    ];

    /// The name in rows, events and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::EventsPerMinute => "events_per_minute",
            Self::KibPerMinute => "kib_per_minute",
            Self::DatabaseSecondsPerMinute => "database_seconds_per_minute",
            Self::Connections => "connections",
        }
    }

    /// The limit of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.name() == name)
    }
}

/// Limits of single tenants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitTable(HashMap<TenantId, HashMap<LimitName, NonZeroU32>>);

impl LimitTable {
    /// The tenant's own limit; `None` if the limit of the settings applies.
    pub fn get(&self, tenant: &TenantId, limit: LimitName) -> Option<NonZeroU32> {
        self.0.get(tenant)?.get(&limit).copied()
    }
}

impl FromIterator<(TenantId, LimitName, NonZeroU32)> for LimitTable {
    fn from_iter<I: IntoIterator<Item = (TenantId, LimitName, NonZeroU32)>>(limits: I) -> Self {
        let mut table = Self::default();
        for (tenant, name, value) in limits {
            table.0.entry(tenant).or_default().insert(name, value);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_its_own_limits_and_no_others() {
        let [acme, other] = ["acme", "other"].map(|name| TenantId::new(name).expect("a tenant"));
        let ten = NonZeroU32::new(10).expect("not zero");
        let table = LimitTable::from_iter([(acme.clone(), LimitName::EventsPerMinute, ten)]);
        assert_eq!(table.get(&acme, LimitName::EventsPerMinute), Some(ten));
        assert_eq!(table.get(&acme, LimitName::RequestsPerMinute), None);
        assert_eq!(table.get(&other, LimitName::EventsPerMinute), None);
    }

    #[test]
    fn names_are_found_again() {
        for limit in LimitName::ALL {
            assert_eq!(LimitName::from_name(limit.name()), Some(limit));
            assert_eq!(serde_json::to_value(limit).expect("a name"), limit.name());
        }
    }
}
