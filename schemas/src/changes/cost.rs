//! What the cost processor asks for: charges as the ledger keeps them, the life of resources, and decisions.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{EventId, TenantId, Timestamp};

/// Declares an enum whose variants have names in rows and answers.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $word:tt),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in rows and answers.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }
        }
    };
}
pub(super) use named;

mod allocation;
mod lifecycle;

pub use allocation::{
    ALLOCATION_SUBJECT, AllocationCondition, AllocationDecision, AllocationFact, AllocationRule,
    AllocationTarget, allocation_rules, default_allocation_rules,
};
pub use lifecycle::{LifecycleFact, LifecycleKind, ResourceLife, SizeTold, UnitPrice};

/// The processor and its stage.
pub const STAGE: &str = "cost";

/// What the cost processor asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CostChange {
    /// A charge.
    Charge(Box<ChargeFact>),
    /// What happened to resources that cost by the second.
    Lifecycle(Box<LifecycleFact>),
    /// A decision about a budget.
    Budget(Box<BudgetFact>),
    /// A decision about allocation rules.
    Allocation(Box<AllocationFact>),
}

impl CostChange {
    /// The event, within its tenant.
    pub fn event(&self) -> (&TenantId, EventId) {
        match self {
            Self::Charge(charge) => (&charge.tenant, charge.event_id),
            Self::Lifecycle(life) => (&life.tenant, life.event_id),
            Self::Budget(budget) => (&budget.tenant, budget.event_id),
            Self::Allocation(rules) => (&rules.tenant, rules.event_id),
        }
    }

    /// [`crate::Envelope::content_sha256`].
    pub fn content_sha256(&self) -> [u8; 32] {
        match self {
            Self::Charge(charge) => charge.content_sha256,
            Self::Lifecycle(life) => life.content_sha256,
            Self::Budget(budget) => budget.content_sha256,
            Self::Allocation(rules) => rules.content_sha256,
        }
    }
}

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

/// One decision about a budget. Stored once per event; the newest is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetFact {
    /// The event that says it; unique within the tenant.
    pub event_id: EventId,
    /// Whose budget.
    pub tenant: TenantId,
    /// The budget's name.
    pub budget: String,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Who decided.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// What was decided.
    pub terms: BudgetTerms,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// What was decided about a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetTerms {
    /// So much may be spent.
    Set(BudgetLimit),
    /// There is no budget any more.
    Removed,
    /// The decision cannot be read, for this reason; until it is mended there is no budget.
    Unreadable(String),
}

/// How much may be spent on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetLimit {
    /// More than zero.
    pub amount: Decimal,
    /// ISO 4217. Charges in other currencies do not count.
    pub currency: String,
    /// From when to when it is spent.
    pub period: BudgetPeriod,
    /// What it is for.
    pub scope: BudgetScope,
    /// Which cost counts.
    pub cost: BudgetCost,
    /// What happens beyond it.
    pub enforcement: Enforcement,
    /// Percents of the amount that are told of when they are reached, ascending.
    pub thresholds: Vec<u16>,
}

/// What a budget is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetScope {
    /// Everything that the tenant spends.
    Tenant,
    /// What is tagged `project` with it, or charged to a sub account of that id.
    Project(String),
    /// What is tagged `team` with it.
    Team(String),
    /// What has that tag.
    Tag {
        /// Its key.
        key: String,
        /// Its value.
        value: String,
    },
}

named! {
    /// How long a budget lasts before it begins anew, by the calendar in UTC.
    BudgetPeriod {
        /// From the first of a month on.
        Monthly => "monthly",
        /// From the first of January, April, July and October on.
        Quarterly => "quarterly",
        /// From the first of January on.
        Yearly => "yearly",
    }
}

named! {
    /// Which cost counts against a budget.
    BudgetCost {
        /// FOCUS `BilledCost`.
        Billed => "billed",
        /// FOCUS `EffectiveCost`.
        Effective => "effective",
    }
}

named! {
    /// What happens beyond a budget.
    Enforcement {
        /// It is told.
        Soft => "soft",
        /// What would go beyond it is to be refused.
        Hard => "hard",
    }
}
