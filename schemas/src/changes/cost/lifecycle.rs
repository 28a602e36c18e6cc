//! The life of resources that cost by the second, as events tell it.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CostSeries;
use crate::{EventId, TenantId, Timestamp};

/// One event about resources that cost by the second. Stored once per event, never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleFact {
    /// The event that says it; unique within the tenant.
    pub event_id: EventId,
    /// Whose resources.
    pub tenant: TenantId,
    /// When it happened; parts of a second are cut.
    pub at: Timestamp,
    /// Who did it, where the event tells.
    pub actor: Option<String>,
    /// The resources, each once.
    pub resources: Vec<ResourceLife>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// What an event says about one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceLife {
    /// The series that it accrues to.
    pub series: CostSeries,
    /// What happened.
    pub kind: LifecycleKind,
    /// What it says about the resource's price and size.
    pub told: SizeTold,
}

named! {
    /// What happened to a resource.
    LifecycleKind {
        /// It was made.
        Provisioned => "provisioned",
        /// Its size changed, or it was started or stopped.
        Scaled => "scaled",
        /// It was deleted.
        Deleted => "deleted",
    }
}

/// What an event says about a resource's price and size. What it does not tell stays as events before it told it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SizeTold {
    /// The prices of one such resource, where the event tells its type and the price list has it.
    pub price: Option<UnitPrice>,
    /// The reason why what the event tells has no price.
    pub unpriced: Option<String>,
    /// How many of it there are.
    pub count: Option<Decimal>,
    /// Its size in gigabytes.
    pub size_gb: Option<Decimal>,
    /// Whether it runs: a stopped resource pays for what it stores, and not by the hour.
    pub running: Option<bool>,
}

/// List prices of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitPrice {
    /// For an hour in which it runs.
    pub hourly: Decimal,
    /// For a calendar month, running or not.
    pub monthly: Decimal,
    /// Of a gigabyte for an hour.
    pub gb_hourly: Decimal,
    /// Of a gigabyte for a calendar month.
    pub gb_monthly: Decimal,
}
