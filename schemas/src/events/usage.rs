//! Usage events: charges. Columns are FOCUS 1.0's, in `snake_case`; money and quantities are decimals as
//! text.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::kinds;

kinds! {
    /// Kind of a usage event.
    UsageKind, "usage", {
        /// A charge was recorded.
        ChargeRecorded => "charge_recorded",
        /// A recorded charge was corrected.
        ChargeCorrected => "charge_corrected",
    }
}

/// One FOCUS row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Recorded or corrected.
    pub kind: UsageKind,
    /// FOCUS `BillingAccountId`.
    pub billing_account_id: String,
    /// FOCUS `SubAccountId`.
    #[serde(default)]
    pub sub_account_id: Option<String>,
    /// FOCUS `ProviderName`.
    pub provider_name: String,
    /// FOCUS `ServiceName`.
    pub service_name: String,
    /// FOCUS `ServiceCategory`.
    #[serde(default)]
    pub service_category: Option<String>,
    /// FOCUS `RegionId`.
    #[serde(default)]
    pub region_id: Option<String>,
    /// FOCUS `ResourceId`.
    #[serde(default)]
    pub resource_id: Option<String>,
    /// FOCUS `ChargeCategory`: Usage, Purchase, Tax, Credit or Adjustment.
    pub charge_category: String,
    /// FOCUS `ChargeDescription`.
    #[serde(default)]
    pub charge_description: Option<String>,
    /// FOCUS `ChargePeriodStart`, inclusive.
    #[serde(with = "super::scalars::instant")]
    pub charge_period_start: DateTime<Utc>,
    /// FOCUS `ChargePeriodEnd`, exclusive.
    #[serde(with = "super::scalars::instant")]
    pub charge_period_end: DateTime<Utc>,
    /// FOCUS `BillingCurrency`, ISO 4217.
    pub billing_currency: String,
    /// FOCUS `BilledCost`.
    #[serde(with = "super::scalars::decimal")]
    pub billed_cost: Decimal,
    /// FOCUS `EffectiveCost`.
    #[serde(default, with = "super::scalars::optional_decimal")]
    pub effective_cost: Option<Decimal>,
    /// FOCUS `ListCost`.
    #[serde(default, with = "super::scalars::optional_decimal")]
    pub list_cost: Option<Decimal>,
    /// FOCUS `ContractedCost`.
    #[serde(default, with = "super::scalars::optional_decimal")]
    pub contracted_cost: Option<Decimal>,
    /// FOCUS `ConsumedQuantity`.
    #[serde(default, with = "super::scalars::optional_decimal")]
    pub consumed_quantity: Option<Decimal>,
    /// FOCUS `ConsumedUnit`.
    #[serde(default)]
    pub consumed_unit: Option<String>,
    /// FOCUS `Tags`.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Every other column of the row, kept as text.
    #[serde(default)]
    pub other_columns: BTreeMap<String, String>,
    /// Id of the event whose charge this one corrects.
    #[serde(default)]
    pub corrects: Option<String>,
}
