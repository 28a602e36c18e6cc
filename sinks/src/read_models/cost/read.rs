//! Reading cost: totals, series of days, breakdowns by any dimension, resources, charges; as believed at any instant.
//!
//! Currencies are never added up. List cost leaves purchases out, which usage carries again.

mod allocation;
mod anomalies;
mod billed_until;
mod budgets;
mod charges;
mod filter;
mod forecast;
mod recommendations;
mod reconciliation;
mod resource;
mod sums;
mod workloads;

pub use allocation::{
    Allocated, AllocatedBucket, AllocationRequest, AllocationRulesInForce, CurrencyAllocation, allocation,
};
pub use anomalies::{Anomalies, AnomaliesRequest, AnomalyCause, CostAnomaly, anomalies};
pub use budgets::{
    BudgetCrossing, BudgetForecast, BudgetForecastThreshold, BudgetItem, BudgetStanding, BudgetsRequest,
    budgets,
};
pub use charges::{ChargeKey, ChargeRecord, ChargesRequest, charges};
pub use filter::{By, CostFilter, CostView, Dimension, day};
pub use forecast::{
    CurrencyForecast, ForecastDay, ForecastRequest, Forecasts, MAX_FORECAST_DAYS, PurchaseDay, forecasts,
};
pub use recommendations::{
    ChargesEvidence, PriceEvidence, Recommendation, RecommendationDecided, RecommendationEvidence,
    RecommendationOutcome, RecommendationStatus, Recommendations, RecommendationsRequest, SavingSum,
    UtilisationEvidence, recommendations,
};
pub use reconciliation::{
    ExplainedPart, ReconciliationKey, ReconciliationLine, ReconciliationRequest, reconciliation,
};
pub use resource::{ResourceCost, resource};
pub use sums::{
    Breakdown, BreakdownItem, CostSums, Step, Summary, TimePoint, Timeseries, breakdown, summary, timeseries,
};
pub use workloads::{
    CurrencyWorkloads, WorkloadAmounts, WorkloadCost, Workloads, WorkloadsBy, WorkloadsRequest, workloads,
};

pub(super) use billed_until::{billed_until, of_scope};
pub(super) use filter::{Days, Source};
pub(super) use forecast::{HISTORY_DAYS, WEEK, without_gaps};

/// The stage that fills the tables; its positions say what an answer reflects.
pub use schemas::changes::cost::STAGE;
