//! Lifecycle events of resources that are billed by the second.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CostSeries;
use crate::{EventId, TenantId, Timestamp};

/// One lifecycle event of resources that are billed by the second. Stored once per event, never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleFact {
    /// Id of the event; unique within the tenant.
    pub event_id: EventId,
    /// Tenant of the resources.
    pub tenant: TenantId,
    /// Time of the event, truncated to whole seconds.
    pub at: Timestamp,
    /// Actor, if the event names one.
    pub actor: Option<String>,
    /// The resources, each once.
    pub resources: Vec<ResourceLife>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// Lifecycle event of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceLife {
    /// Series that the resource's cost accrues to.
    pub series: CostSeries,
    /// Kind of the lifecycle event.
    pub kind: LifecycleKind,
    /// Price and size as the event states them.
    pub told: SizeTold,
}

named! {
    /// Kind of a lifecycle event.
    LifecycleKind {
        /// The resource was created.
        Provisioned => "provisioned",
        /// The resource was resized, started or stopped.
        Scaled => "scaled",
        /// The resource was deleted.
        Deleted => "deleted",
    }
}

/// Price and size of a resource as an event states them. Absent values stay as earlier events stated them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SizeTold {
    /// Prices of one unit, if the event states the type and the price list contains it.
    pub price: Option<UnitPrice>,
    /// The size or class behind the price, and others that could take its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sku: Option<SkuTold>,
    /// The reason why no price was found, if so.
    pub unpriced: Option<String>,
    /// Number of units.
    pub count: Option<Decimal>,
    /// Size in gigabytes.
    pub size_gb: Option<Decimal>,
    /// Whether it runs; a stopped resource is charged for storage only.
    pub running: Option<bool>,
}

/// The main part of a resource's price, by the price list in force when the event was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SkuTold {
    /// The cloud, as price lists name it.
    pub provider: String,
    /// The region of the price; `*`: the same everywhere.
    pub region: String,
    /// The product in the price list.
    pub product: String,
    /// The size or class within the product.
    pub sku: String,
    /// The pricing unit, for example `hour` or `GB-month`.
    pub unit: String,
    /// Price of one unit.
    pub unit_price: Decimal,
    /// Cheaper sizes of the same family, or cheaper tiers, dearest first; at most 12.
    pub cheaper: Vec<SkuPrice>,
}

/// The price of a size or class.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SkuPrice {
    /// The size or class.
    pub sku: String,
    /// Price of one unit.
    pub unit_price: Decimal,
}

/// List prices of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitPrice {
    /// Price per hour while running.
    pub hourly: Decimal,
    /// Price per calendar month, running or not.
    pub monthly: Decimal,
    /// Price per gigabyte and hour.
    pub gb_hourly: Decimal,
    /// Price per gigabyte and calendar month.
    pub gb_monthly: Decimal,
}
