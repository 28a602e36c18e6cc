//! The clouds' native cost exports, and the FOCUS columns that their columns correspond to.
//!
//! | export | recognised by | billed cost | effective cost |
//! |---|---|---|---|
//! | AWS CUR 2.0, and CUR by its names | `line_item_unblended_cost` | unblended cost | as AWS' own FOCUS export: the reservation's or savings plan's effective cost where one covers the line |
//! | Azure cost and usage details (EA, MCA) | `CostInBillingCurrency`, `PreTaxCost` | that column | the same: amortised files hold amortised costs |
//! | Google Cloud billing export | `usage_start_time` and `cost` | cost and credits | the same |
//!
//! Sources: the column dictionaries of the three exports, and AWS' published mapping of CUR to FOCUS 1.0.

use rust_decimal::Decimal;

use super::{charge::BadRow, columns::Row, values};

/// Dialect of a file's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Focus,
    Aws,
    Azure,
    Gcp,
}

impl Dialect {
    /// The dialect, recognised by columns that exist.
    pub(super) fn of(has: impl Fn(&str) -> bool) -> Option<Self> {
        if has("billedcost") && has("chargeperiodstart") {
            Some(Self::Focus)
        } else if has("lineitemunblendedcost") && has("lineitemusagestartdate") {
            Some(Self::Aws)
        } else if has("usagestarttime") && has("cost") {
            Some(Self::Gcp)
        } else if (has("costinbillingcurrency") || has("pretaxcost")) && (has("date") || has("usagedatetime"))
        {
            Some(Self::Azure)
        } else {
            None
        }
    }

    /// Native columns for a FOCUS column, the best first.
    pub(super) fn aliases(self, focus: &str) -> &'static [&'static str] {
        let table = match self {
            Self::Focus => FOCUS,
            Self::Aws => AWS,
            Self::Azure => AZURE,
            Self::Gcp => GCP,
        };
        table.iter().find(|(name, _)| *name == focus).map_or(&[], |(_, columns)| *columns)
    }

    /// The provider if no column states it.
    pub(super) const fn provider(self) -> &'static str {
        match self {
            Self::Focus => "",
            Self::Aws => "AWS",
            Self::Azure => "Microsoft",
            Self::Gcp => "Google Cloud",
        }
    }

    /// The charge category of a native row; `None` if the export has a FOCUS column for it.
    pub(super) fn category(self, row: Row<'_>) -> Option<&'static str> {
        let of = |name: &str| row.cell(name).map_or("", |cell| cell.text);
        match self {
            Self::Focus => None,
            Self::Aws => Some(match of("line_item_line_item_type") {
                "Tax" => "Tax",
                "Credit" | "Refund" | "BundledDiscount" | "EdpDiscount" | "PrivateRateDiscount" => "Credit",
                "Fee" | "RIFee" | "SavingsPlanUpfrontFee" | "SavingsPlanRecurringFee" => "Purchase",
                _ => "Usage",
            }),
            Self::Azure => Some(match of("ChargeType") {
                "Purchase" => "Purchase",
                "Refund" => "Credit",
                "Tax" => "Tax",
                "RoundingAdjustment" | "Adjustment" => "Adjustment",
                _ => "Usage",
            }),
            Self::Gcp => Some(match of("cost_type") {
                "tax" => "Tax",
                "adjustment" | "rounding_error" => "Adjustment",
                _ => "Usage",
            }),
        }
    }

    /// Billed and effective cost of a native row, from its own columns.
    pub(super) fn costs(self, row: Row<'_>) -> Result<Costs, BadRow> {
        let decimal = |name: &str| row.cell(name).map(values::decimal).transpose();
        match self {
            Self::Focus => Ok(Costs {
                billed: row.focus("BilledCost").map(values::decimal).transpose()?,
                effective: row.focus("EffectiveCost").map(values::decimal).transpose()?,
            }),
            Self::Aws => {
                let billed = decimal("line_item_unblended_cost")?;
                Ok(Costs { billed, effective: aws_effective(row, billed)? })
            }
            Self::Azure => {
                let billed =
                    row.first(&["CostInBillingCurrency", "PreTaxCost"]).map(values::decimal).transpose()?;
                Ok(Costs { billed, effective: billed })
            }
            Self::Gcp => {
                let cost = decimal("cost")?;
                let credits = row.cell("credits").map(values::sum_of_amounts).transpose()?;
                let billed = match (cost, credits) {
                    (Some(cost), Some(credits)) => Some(
                        cost.checked_add(credits)
                            .ok_or_else(|| BadRow::new("credits", "is too large to be added"))?,
                    ),
                    (cost, _) => cost,
                };
                Ok(Costs { billed, effective: billed })
            }
        }
    }
}

/// Costs of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Costs {
    pub(super) billed: Option<Decimal>,
    pub(super) effective: Option<Decimal>,
}

fn aws_effective(row: Row<'_>, billed: Option<Decimal>) -> Result<Option<Decimal>, BadRow> {
    let decimal = |name: &str| row.cell(name).map(values::decimal).transpose();
    let or_zero = |name: &str| Ok::<_, BadRow>(decimal(name)?.unwrap_or_default());
    let kind = row.cell("line_item_line_item_type").map_or("", |cell| cell.text);
    Ok(match kind {
        "DiscountedUsage" => decimal("reservation_effective_cost")?,
        "SavingsPlanCoveredUsage" => decimal("savings_plan_savings_plan_effective_cost")?,
        "SavingsPlanNegation" | "SavingsPlanUpfrontFee" => Some(Decimal::ZERO),
        "RIFee" => {
            let upfront = or_zero("reservation_unused_amortized_upfront_fee_for_billing_period")?;
            let recurring = or_zero("reservation_unused_recurring_fee")?;
            upfront.checked_add(recurring)
        }
        "SavingsPlanRecurringFee" => {
            let total = or_zero("savings_plan_total_commitment_to_date")?;
            let used = or_zero("savings_plan_used_commitment")?;
            total.checked_sub(used)
        }
        "Fee" if row.cell("reservation_reservation_a_r_n").is_some() => Some(Decimal::ZERO),
        _ => billed,
    })
}

type Aliases = &'static [(&'static str, &'static [&'static str])];

/// Later versions of FOCUS renamed the provider columns.
const FOCUS: Aliases =
    &[("ProviderName", &["ServiceProviderName", "InvoiceIssuerName", "HostProviderName", "PublisherName"])];

const AWS: Aliases = &[
    ("BillingAccountId", &["bill_payer_account_id"]),
    ("SubAccountId", &["line_item_usage_account_id"]),
    ("ServiceName", &["product_product_name", "product_servicename", "line_item_product_code"]),
    ("RegionId", &["product_region_code", "product_region"]),
    ("ResourceId", &["line_item_resource_id"]),
    ("ChargeDescription", &["line_item_line_item_description"]),
    ("ChargePeriodStart", &["line_item_usage_start_date"]),
    ("ChargePeriodEnd", &["line_item_usage_end_date"]),
    ("BillingPeriodStart", &["bill_billing_period_start_date"]),
    ("BillingPeriodEnd", &["bill_billing_period_end_date"]),
    ("BillingCurrency", &["line_item_currency_code"]),
    ("ListCost", &["pricing_public_on_demand_cost"]),
    ("ContractedCost", &["line_item_net_unblended_cost", "line_item_unblended_cost"]),
    ("ConsumedQuantity", &["line_item_usage_amount"]),
    ("ConsumedUnit", &["pricing_unit"]),
    ("InvoiceId", &["bill_invoice_id"]),
    ("SkuId", &["product_sku"]),
    ("SkuPriceId", &["pricing_rate_code"]),
    ("Tags", &["resource_tags", "tags"]),
];

const AZURE: Aliases = &[
    ("BillingAccountId", &["BillingAccountId", "BillingProfileId", "AccountOwnerId"]),
    ("SubAccountId", &["SubscriptionId", "SubscriptionGuid"]),
    ("ServiceName", &["MeterCategory", "ConsumedService", "ServiceName"]),
    ("ServiceCategory", &["ServiceFamily"]),
    ("RegionId", &["ResourceLocationNormalized", "ResourceLocation", "MeterRegion"]),
    ("ResourceId", &["InstanceId", "InstanceName"]),
    ("ChargeDescription", &["ProductName", "Product", "MeterName"]),
    ("ChargePeriodStart", &["Date", "UsageDateTime"]),
    ("BillingPeriodStart", &["BillingPeriodStartDate"]),
    ("BillingPeriodEnd", &["BillingPeriodEndDate"]),
    ("BillingCurrency", &["BillingCurrencyCode", "Currency"]),
    ("ContractedCost", &["CostInBillingCurrency", "PreTaxCost"]),
    ("ListCost", &["PaygCostInBillingCurrency"]),
    ("ConsumedQuantity", &["Quantity", "UsageQuantity"]),
    ("ConsumedUnit", &["UnitOfMeasure"]),
    ("InvoiceId", &["InvoiceId"]),
    ("SkuId", &["MeterId"]),
];

const GCP: Aliases = &[
    ("BillingAccountId", &["billing_account_id"]),
    ("SubAccountId", &["project.id"]),
    ("ServiceName", &["service.description", "service.id"]),
    ("RegionId", &["location.region", "location.location"]),
    ("ResourceId", &["resource.global_name", "resource.name"]),
    ("ChargeDescription", &["sku.description"]),
    ("ChargePeriodStart", &["usage_start_time"]),
    ("ChargePeriodEnd", &["usage_end_time"]),
    ("BillingPeriodStart", &["invoice.month"]),
    ("BillingCurrency", &["currency"]),
    ("ListCost", &["cost_at_list"]),
    ("ContractedCost", &["cost"]),
    ("ConsumedQuantity", &["usage.amount"]),
    ("ConsumedUnit", &["usage.unit"]),
    ("SkuId", &["sku.id"]),
    ("Tags", &["labels"]),
    ("x_ExportDateTime", &["export_time"]),
];
