//! The gateway's view of budgets: what the cost tables say, for its decisions about plans.

use std::{future::Future, pin::Pin};

use producers::gateway::{Budgets, PlanAsked};
use schemas::changes::budget_verdicts::BudgetVerdict;
use sinks::budget_standing::BudgetStanding;

/// Standing of budgets by the cost tables.
#[derive(Debug)]
pub struct GatewayBudgets(BudgetStanding);

impl GatewayBudgets {
    /// Over how budgets stand.
    pub fn new(standing: BudgetStanding) -> Self {
        Self(standing)
    }
}

impl Budgets for GatewayBudgets {
    fn judge(
        &self,
        asked: PlanAsked,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<BudgetVerdict>, String>> + Send + '_>> {
        Box::pin(async move {
            let about = (asked.project.as_deref(), asked.plan());
            let judged = self.0.judge(&asked.tenant, about, asked.at).await;
            judged.map_err(|error| error.to_string())
        })
    }
}
