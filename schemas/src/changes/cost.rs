//! Facts that the cost processor hands to its sink: charges, resource lifecycles, decisions on budgets and
//! allocation.

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
mod columns;
mod lifecycle;
mod recommendation;
mod utilisation;

pub use allocation::{
    ALLOCATION_SUBJECT, AllocationCondition, AllocationDecision, AllocationFact, AllocationRule,
    AllocationTarget, TeamWeights, allocation_rules, default_allocation_rules,
};
pub use columns::Columns;
pub use lifecycle::{LifecycleFact, LifecycleKind, ResourceLife, SizeTold, SkuPrice, SkuTold, UnitPrice};
pub use recommendation::{
    Grade, RECOMMENDATION_SUBJECT, RecommendationDecision, RecommendationFact, RecommendationKind,
};
pub use utilisation::{NodeMeasure, NodeShare, Pod, UtilisationFact, UtilisationMetric, Workload};

/// The processor and its stage.
pub const STAGE: &str = "cost";

/// Longest id of a resource or a budget, in bytes: ids are keys, whose size Postgres limits.
const MAX_ID_BYTES: usize = 1_024;

/// The id of a resource or a budget as a key: one above 1,024 bytes is cut and ends in its hash.
pub fn bounded_id(id: &str) -> String {
    if id.len() <= MAX_ID_BYTES { id.to_owned() } else { super::risk::bounded(id, MAX_ID_BYTES) }
}

/// A fact that the cost processor hands to its sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CostChange {
    /// A charge.
    Charge(Box<ChargeFact>),
    /// A lifecycle event of resources that are billed by the second.
    Lifecycle(Box<LifecycleFact>),
    /// A decision about a budget.
    Budget(Box<BudgetFact>),
    /// A decision about allocation rules.
    Allocation(Box<AllocationFact>),
    /// Utilisation of a resource.
    Utilisation(Box<UtilisationFact>),
    /// A decision about a recommendation.
    Recommendation(Box<RecommendationFact>),
}

impl CostChange {
    /// Tenant and id of the event.
    pub fn event(&self) -> (&TenantId, EventId) {
        match self {
            Self::Charge(charge) => (&charge.tenant, charge.event_id),
            Self::Lifecycle(life) => (&life.tenant, life.event_id),
            Self::Budget(budget) => (&budget.tenant, budget.event_id),
            Self::Allocation(rules) => (&rules.tenant, rules.event_id),
            Self::Utilisation(measured) => (&measured.tenant, measured.event_id),
            Self::Recommendation(decided) => (&decided.tenant, decided.event_id),
        }
    }

    /// [`crate::Envelope::content_sha256`].
    pub fn content_sha256(&self) -> [u8; 32] {
        match self {
            Self::Charge(charge) => charge.content_sha256,
            Self::Lifecycle(life) => life.content_sha256,
            Self::Budget(budget) => budget.content_sha256,
            Self::Allocation(rules) => rules.content_sha256,
            Self::Utilisation(measured) => measured.content_sha256,
            Self::Recommendation(decided) => decided.content_sha256,
        }
    }
}

/// One charge. Stored once per event and never changed: a correction is a further charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeFact {
    /// Id of the event; unique within the tenant.
    pub event_id: EventId,
    /// Tenant of the charge.
    pub tenant: TenantId,
    /// Time at which the charge became known.
    pub known_at: Timestamp,
    /// Series that the charge is summed into.
    pub series: CostSeries,
    /// Start of the charge period, inclusive (FOCUS `ChargePeriodStart`).
    pub charge_period_start: Timestamp,
    /// End of the charge period, exclusive (FOCUS `ChargePeriodEnd`).
    pub charge_period_end: Timestamp,
    /// Costs and quantities.
    pub amounts: Amounts,
    /// Whether it belongs to a delivery that replaces all charges of its scope that were known before.
    pub replaces: bool,
    /// FOCUS `ChargeDescription`.
    pub description: Option<String>,
    /// Id of the event whose charge this one corrects, if named.
    pub corrects: Option<String>,
    /// FOCUS columns without a field of their own.
    pub other_columns: Columns,
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

/// Dimensions by which charges are summed up per day. Absent values are empty texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CostSeries {
    /// FOCUS `ProviderName`.
    pub provider: String,
    /// FOCUS `BillingAccountId`.
    pub billing_account: String,
    /// First day of the billing period; the first of the month if the charge names none.
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
    /// Id of the event; unique within the tenant.
    pub event_id: EventId,
    /// Tenant of the budget.
    pub tenant: TenantId,
    /// The budget's name.
    pub budget: String,
    /// Time of the decision.
    pub decided_at: Timestamp,
    /// Actor who decided.
    pub actor: String,
    /// Reason that the actor gave.
    pub reason: Option<String>,
    /// Terms that were decided.
    pub terms: BudgetTerms,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// Terms of a budget decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetTerms {
    /// The budget is set to this limit.
    Set(BudgetLimit),
    /// The budget is removed.
    Removed,
    /// The decision cannot be read, for this reason; until it is corrected there is no budget.
    Unreadable(String),
}

/// Limit on the spending within a scope and a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetLimit {
    /// Amount, greater than zero.
    pub amount: Decimal,
    /// Currency, ISO 4217. Charges in other currencies do not count.
    pub currency: String,
    /// Period after which the budget starts again.
    pub period: BudgetPeriod,
    /// Scope whose costs count.
    pub scope: BudgetScope,
    /// Cost column that counts.
    pub cost: BudgetCost,
    /// Consequence of exceeding the budget.
    pub enforcement: Enforcement,
    /// Percentages of the amount that are reported when reached, ascending.
    pub thresholds: Vec<u16>,
}

/// Scope of a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetScope {
    /// All costs of the tenant.
    Tenant,
    /// Costs whose tag `project` has this value, or whose sub account has this id.
    Project(String),
    /// Costs whose tag `team` has this value.
    Team(String),
    /// Costs with this tag.
    Tag {
        /// Key of the tag.
        key: String,
        /// Value of the tag.
        value: String,
    },
}

named! {
    /// Length of a budget's period, in calendar months, quarters or years in UTC.
    BudgetPeriod {
        /// Calendar month.
        Monthly => "monthly",
        /// Calendar quarter.
        Quarterly => "quarterly",
        /// Calendar year.
        Yearly => "yearly",
    }
}

named! {
    /// FOCUS cost column that counts against a budget.
    BudgetCost {
        /// FOCUS `BilledCost`.
        Billed => "billed",
        /// FOCUS `EffectiveCost`.
        Effective => "effective",
    }
}

named! {
    /// Consequence of exceeding a budget.
    Enforcement {
        /// It is reported.
        Soft => "soft",
        /// Further spending is to be refused.
        Hard => "hard",
    }
}
