//! Verdicts of budgets about a plan, as change review stores and answers them and as decisions are answered.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cost::{BudgetPeriod, BudgetScope, Enforcement};

/// Standing of a budget in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetStand {
    /// Its name.
    pub budget: String,
    /// Effect of exceeding it.
    pub enforcement: Enforcement,
    /// Scope.
    pub scope: BudgetScope,
    /// Length of its periods.
    pub period: BudgetPeriod,
    /// First day of the period.
    pub period_start: NaiveDate,
    /// The day after its last.
    pub period_end: NaiveDate,
    /// Limit.
    pub amount: Decimal,
    /// ISO 4217.
    pub currency: String,
    /// Spending so far, accruals included.
    pub spent: Decimal,
    /// Forecast of the spending by the end of the period, where there is enough history.
    pub forecast: Option<Decimal>,
}

/// Verdict of a budget about a plan that would exceed it.
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
    /// Limit, a decimal.
    #[schema(value_type = String)]
    pub amount: Decimal,
    /// ISO 4217.
    pub currency: String,
    /// Spending so far, accruals included.
    #[schema(value_type = String)]
    pub spent: Decimal,
    /// Forecast of the spending by the end of the period; null where there is not enough history.
    #[schema(value_type = Option<String>)]
    pub forecast: Option<Decimal>,
    /// Additional monthly cost of the plan within the budget's scope.
    #[schema(value_type = String)]
    pub monthly_delta: Decimal,
    /// Forecast of the spending with the plan.
    #[schema(value_type = String)]
    pub expected: Decimal,
    /// Part of that beyond the limit.
    #[schema(value_type = String)]
    pub over: Decimal,
    /// The same in a sentence, with what to change.
    pub reason: String,
}
