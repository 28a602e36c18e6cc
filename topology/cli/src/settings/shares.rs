//! Settings of the capacity that a service's tenants share, and of the most that one tenant may take.

use std::num::{NonZeroU32, NonZeroUsize};

use serde::{Deserialize, Serialize};
use sinks::query_api::ShareLimits;

const MIB: usize = 1024 * 1024;

/// `[query_api.shares]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QueryShares {
    /// Database connections for queries.
    connections: NonZeroUsize,
    /// Of those, the most for one tenant at once.
    connections_per_tenant: NonZeroUsize,
    /// Seconds of database time that one tenant gets a minute.
    database_seconds_per_minute: NonZeroU32,
    /// MiB of answers that are being made or were not taken yet, for all tenants.
    answer_mib: NonZeroUsize,
    /// Most concurrent queries of one tenant.
    answer_mib_per_tenant: NonZeroUsize,
}

impl Default for QueryShares {
    fn default() -> Self {
        let limits = ShareLimits::default();
        let whole = |n: usize| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        Self {
            connections: whole(limits.connections),
            connections_per_tenant: whole(limits.connections_per_tenant),
            database_seconds_per_minute: limits.database_seconds_per_minute,
            answer_mib: whole(limits.answer_bytes / MIB),
            answer_mib_per_tenant: whole(limits.answer_bytes_per_tenant / MIB),
        }
    }
}

impl QueryShares {
    /// The limits; what cannot be set is as it is by default.
    pub(crate) fn limits(&self) -> ShareLimits {
        ShareLimits {
            connections: self.connections.get(),
            connections_per_tenant: self.connections_per_tenant.get(),
            database_seconds_per_minute: self.database_seconds_per_minute,
            answer_bytes: self.answer_mib.get().saturating_mul(MIB),
            answer_bytes_per_tenant: self.answer_mib_per_tenant.get().saturating_mul(MIB),
            ..ShareLimits::default()
        }
    }
}
