//! Estimated monthly cost of a plan, as change review stores and returns it. Amounts are decimals in one
//! currency.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The estimated monthly cost of the resources of a plan, before and after it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Estimate {
    /// Currency of every amount, ISO 4217.
    pub currency: String,
    /// The price list that was used.
    pub prices: PriceListUsed,
    /// Monthly cost before the plan, of the resources that have a price.
    #[schema(value_type = String)]
    pub monthly_before: Decimal,
    /// Monthly cost after the plan, of the resources that have a price.
    #[schema(value_type = String)]
    pub monthly_after: Decimal,
    /// Difference in monthly cost, summed over the resources with a price before and after.
    #[schema(value_type = String)]
    pub delta: Decimal,
    /// Confidence, 0 to 100: the mean of the resources' confidence; an unpriced resource counts 0, a free one
    /// 100.
    pub confidence: u8,
    /// Share of the resources before the plan that was priced.
    pub coverage_before: Coverage,
    /// Share of the resources after the plan that was priced.
    pub coverage_after: Coverage,
    /// The resources, largest difference first; at most 100.
    pub resources: Vec<ResourceEstimate>,
    /// Number of resources.
    pub resources_total: u32,
    /// The resources that could not be priced, with the reason; at most 100.
    pub unpriced: Vec<UnpricedResource>,
    /// Number of resources that could not be priced.
    pub unpriced_total: u32,
    /// The difference of the resources with each tag, largest first; at most 100. Budgets of teams and tags count them.
    #[serde(default)]
    pub by_tag: Vec<TaggedDelta>,
}

/// Monthly difference in cost of the resources with a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaggedDelta {
    /// The tag's key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// After minus before, of resources with a price on both sides.
    #[schema(value_type = String)]
    pub delta: Decimal,
}

/// The price list that an estimate used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PriceListUsed {
    /// Name of the price list.
    pub name: String,
    /// The newest date of its prices, `YYYY-MM-DD`.
    pub as_of: String,
    /// SHA-256 of the prices, hexadecimal.
    pub sha256: String,
}

/// Share of the resources that an estimate covers, before or after the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Coverage {
    /// All resources.
    pub resources: u32,
    /// Resources with a price.
    pub priced: u32,
    /// Resources of types for which providers charge nothing.
    pub free: u32,
    /// Resources without a price.
    pub unpriced: u32,
    /// Priced and free resources, in percent of all, rounded down; 100 where there are none.
    pub percent: u8,
}

/// Completeness of a resource's price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pricing {
    /// Every part that is known from the plan has a price.
    Priced,
    /// Nothing is charged for resources of this type.
    Free,
    /// There is no price before the plan, after it, or both.
    Unpriced,
}

/// Planned action on a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlannedAction {
    /// Create.
    Create,
    /// Update in place.
    Update,
    /// Replace: delete and create again.
    Replace,
    /// Delete.
    Delete,
    /// No change.
    Keep,
}

/// The estimate of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResourceEstimate {
    /// Resource address in the plan.
    pub address: String,
    /// Resource type, for example `aws_instance`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Planned action.
    pub action: PlannedAction,
    /// Completeness of the price.
    pub pricing: Pricing,
    /// Monthly cost before the plan; 0 if the resource does not exist yet, null if it has no price.
    #[schema(value_type = Option<String>)]
    pub monthly_before: Option<Decimal>,
    /// Monthly cost after the plan; 0 if the resource is deleted, null if it has no price.
    #[schema(value_type = Option<String>)]
    pub monthly_after: Option<Decimal>,
    /// Difference, after minus before; null unless both are known.
    #[schema(value_type = Option<String>)]
    pub delta: Option<Decimal>,
    /// Confidence, 0 to 100: 100 less 10 for each assumption and 20 for usage-based parts.
    pub confidence: u8,
    /// Parts of the price after the plan, or before it if the resource is deleted.
    pub parts: Vec<PricePart>,
    /// Assumptions, and usage-based parts that the amounts leave out.
    pub notes: Vec<String>,
}

/// One part of a resource's price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PricePart {
    /// The product in the price list.
    pub product: String,
    /// The product's SKU.
    pub sku: String,
    /// The region of the price; `*` if it is the same everywhere.
    pub region: String,
    /// The pricing unit, for example `hour` or `GB-month`.
    pub unit: String,
    /// Number of units, for example instances or gigabytes; not multiplied by hours.
    #[schema(value_type = String)]
    pub quantity: Decimal,
    /// Price of one unit.
    #[schema(value_type = String)]
    pub unit_price: Decimal,
    /// Cost per month; a month has 730 hours.
    #[schema(value_type = String)]
    pub monthly: Decimal,
}

/// A resource without a price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnpricedResource {
    /// Resource address in the plan.
    pub address: String,
    /// Resource type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The reason why there is no price.
    pub reason: String,
}
