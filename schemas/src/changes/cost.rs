//! What the cost processor asks for: charges as the ledger keeps them.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::{EventId, TenantId, Timestamp};

/// The processor and its stage.
pub const STAGE: &str = "cost";

/// One charge. Stored once per event, never changed: corrections are charges beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeFact {
    /// The event that says it; unique within the tenant.
    pub event_id: EventId,
    /// Whose charge.
    pub tenant: TenantId,
    /// When it became known.
    pub known_at: Timestamp,
    /// What it is summed up by.
    pub series: CostSeries,
    /// First instant that it is for.
    pub charge_period_start: Timestamp,
    /// The instant after the last that it is for.
    pub charge_period_end: Timestamp,
    /// What it costs.
    pub amounts: Amounts,
    /// Whether it belongs to a delivery that takes the place of all charges of its scope known before it.
    pub replaces: bool,
    /// FOCUS `ChargeDescription`.
    pub description: Option<String>,
    /// The event whose charge this corrects, where it names one.
    pub corrects: Option<String>,
    /// Every column that has no place of its own.
    pub other_columns: BTreeMap<String, String>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// Money in the series' currency, and quantities in its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// FOCUS `BilledCost`.
    pub billed: Decimal,
    /// FOCUS `EffectiveCost`.
    pub effective: Option<Decimal>,
    /// FOCUS `ListCost`.
    pub list: Option<Decimal>,
    /// FOCUS `ContractedCost`.
    pub contracted: Option<Decimal>,
    /// FOCUS `ConsumedQuantity`.
    pub consumed_quantity: Option<Decimal>,
    /// FOCUS `PricingQuantity`.
    pub pricing_quantity: Option<Decimal>,
}

/// What charges are summed up by, a day at a time. Absent texts are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CostSeries {
    /// FOCUS `ProviderName`.
    pub provider: String,
    /// FOCUS `BillingAccountId`.
    pub billing_account: String,
    /// First day of the billing period; of a charge that names none the first of its month.
    pub billing_period: NaiveDate,
    /// FOCUS `SubAccountId`.
    pub sub_account: String,
    /// FOCUS `ServiceName`.
    pub service: String,
    /// FOCUS `ServiceCategory`.
    pub service_category: String,
    /// FOCUS `RegionId`.
    pub region: String,
    /// FOCUS `ResourceId`.
    pub resource: String,
    /// FOCUS `ChargeCategory`.
    pub charge_category: String,
    /// FOCUS `ChargeClass`: `Correction`, or empty.
    pub charge_class: String,
    /// FOCUS `BillingCurrency`.
    pub currency: String,
    /// FOCUS `SkuId`.
    pub sku: String,
    /// FOCUS `SkuPriceId`.
    pub sku_price: String,
    /// FOCUS `ConsumedUnit`.
    pub consumed_unit: String,
    /// FOCUS `PricingUnit`.
    pub pricing_unit: String,
    /// FOCUS `Tags`.
    pub tags: BTreeMap<String, String>,
}
