//! Verdicts of budgets about a plan, as change review stores and answers them and as decisions are answered.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cost::{BudgetPeriod, BudgetScope, Enforcement};

/// How a budget stands in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetStand {
    /// Its name.
    pub budget: String,
    /// What happens beyond it.
    pub enforcement: Enforcement,
    /// What it is for.
    pub scope: BudgetScope,
    /// How long it lasts.
    pub period: BudgetPeriod,
    /// First day of the period.
    pub period_start: NaiveDate,
    /// The day after its last.
    pub period_end: NaiveDate,
    /// How much may be spent.
    pub amount: Decimal,
    /// ISO 4217.
    pub currency: String,
    /// What is spent, with what has accrued.
    pub spent: Decimal,
    /// What will be spent by the end of the period, where there is enough to forecast from.
    pub forecast: Option<Decimal>,
}

/// What a budget says about a plan that would go beyond it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BudgetVerdict {
    /// The budget's name.
    pub budget: String,
    /// `hard`: the plan is denied; `soft`: it is warned of.
    pub enforcement: Enforcement,
    /// First day of the period.
    #[schema(value_type = String, format = Date)]
    pub period_start: NaiveDate,
    /// The day after its last.
    #[schema(value_type = String, format = Date)]
    pub period_end: NaiveDate,
    /// How much may be spent, a decimal.
    #[schema(value_type = String)]
    pub amount: Decimal,
    /// ISO 4217.
    pub currency: String,
    /// What is spent, with what has accrued.
    #[schema(value_type = String)]
    pub spent: Decimal,
    /// What will be spent by the end of the period; null where there is not enough to forecast from.
    #[schema(value_type = Option<String>)]
    pub forecast: Option<Decimal>,
    /// What the plan adds by the month to what the budget counts.
    #[schema(value_type = String)]
    pub monthly_delta: Decimal,
    /// What would be spent by the end of the period with the plan.
    #[schema(value_type = String)]
    pub expected: Decimal,
    /// How much of that is beyond the budget.
    #[schema(value_type = String)]
    pub over: Decimal,
    /// The same in a sentence, with what to change.
    pub reason: String,
}
