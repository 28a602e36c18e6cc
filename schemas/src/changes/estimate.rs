//! The monthly cost of a plan, as change review stores and answers it. Amounts are decimals in the estimate's currency.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The estimated monthly cost of the resources of a plan, before and after it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Estimate {
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// The price list that was used.
    pub prices: PriceListUsed,
    /// Cost per month of what could be priced before the plan.
    #[schema(value_type = String)]
    pub monthly_before: Decimal,
    /// Cost per month of what could be priced after the plan.
    #[schema(value_type = String)]
    pub monthly_after: Decimal,
    /// Sum of the differences of those resources that could be priced on both sides.
    #[schema(value_type = String)]
    pub delta: Decimal,
    /// 0 to 100: the mean of the resources' confidence; an unpriced resource has 0, a free one 100.
    pub confidence: u8,
    /// How much of the infrastructure before the plan was priced.
    pub coverage_before: Coverage,
    /// How much of the infrastructure after the plan was priced.
    pub coverage_after: Coverage,
    /// The resources, largest difference first; at most 100.
    pub resources: Vec<ResourceEstimate>,
    /// How many resources there are.
    pub resources_total: u32,
    /// The resources that could not be priced, with the reason; at most 100.
    pub unpriced: Vec<UnpricedResource>,
    /// How many resources could not be priced.
    pub unpriced_total: u32,
}

/// The price list behind an estimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PriceListUsed {
    /// Its name.
    pub name: String,
    /// The newest date of its prices, `YYYY-MM-DD`.
    pub as_of: String,
    /// SHA-256 of its prices, hexadecimal.
    pub sha256: String,
}

/// The part of the resources that an estimate covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Coverage {
    /// All resources of this side.
    pub resources: u32,
    /// Those with a price.
    pub priced: u32,
    /// Those of types for which providers charge nothing.
    pub free: u32,
    /// Those without a price.
    pub unpriced: u32,
    /// Priced and free resources, in percent of all, rounded down; 100 where there are none.
    pub percent: u8,
}

/// How far a resource could be priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pricing {
    /// Every part that a plan tells.
    Priced,
    /// Nothing is charged for resources of this type.
    Free,
    /// At least one side has no price.
    Unpriced,
}

/// What a plan does with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlannedAction {
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// It is deleted and made anew.
    Replace,
    /// It is deleted.
    Delete,
    /// It stays as it is.
    Keep,
}

/// The estimate of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResourceEstimate {
    /// Its address in the plan.
    pub address: String,
    /// Its type, for example `aws_instance`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the plan does with it.
    pub action: PlannedAction,
    /// How far it could be priced.
    pub pricing: Pricing,
    /// Cost per month before; null: it has no price. 0 where it did not exist.
    #[schema(value_type = Option<String>)]
    pub monthly_before: Option<Decimal>,
    /// Cost per month after; null: it has no price. 0 where it will not exist.
    #[schema(value_type = Option<String>)]
    pub monthly_after: Option<Decimal>,
    /// After minus before; null unless both are known.
    #[schema(value_type = Option<String>)]
    pub delta: Option<Decimal>,
    /// 0 to 100: 100 less 10 for each assumption and 20 for parts that are billed by use.
    pub confidence: u8,
    /// The parts of its price: after the plan, or before it where the resource is deleted.
    pub parts: Vec<PricePart>,
    /// Assumptions, and parts that are billed by use and not in the amounts.
    pub notes: Vec<String>,
}

/// One part of a resource's price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PricePart {
    /// The product in the price list.
    pub product: String,
    /// The product's SKU.
    pub sku: String,
    /// The region of the price; `*`: the same everywhere.
    pub region: String,
    /// The pricing unit, for example `hour` or `GB-month`.
    pub unit: String,
    /// Units at a time, for example instances or gigabytes; hours are not multiplied in.
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
    /// Its address in the plan.
    pub address: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Why it has no price.
    pub reason: String,
}
