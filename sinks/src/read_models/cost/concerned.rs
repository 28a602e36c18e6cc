//! Budgets that a plan is held against: those to which it adds.

use chrono::NaiveDate;
use costs::budget::{judge, left_over, monthly_delta, other_currency};
use projections::cost::budget::period_of;
use rust_decimal::Decimal;
use schemas::changes::{
    budget_verdicts::{BudgetStand, BudgetVerdict},
    cost::Enforcement,
    estimate::Estimate,
};

use super::budget::InForce;

/// Most budgets that one plan is held against.
pub(crate) const MAX_JUDGED: usize = 100;

/// A budget to which a plan adds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Concerned<'a> {
    pub(crate) budget: &'a InForce,
    /// Additional monthly cost of the plan within the budget's scope.
    monthly: Decimal,
    /// Currency of that, ISO 4217.
    currency: &'a str,
}

impl Concerned<'_> {
    /// Verdict of the budget, from its standing.
    pub(crate) fn verdict(self, stand: &BudgetStand, today: NaiveDate) -> Option<BudgetVerdict> {
        if self.has_other_currency() {
            return Some(other_currency(stand, self.monthly, self.currency));
        }
        judge(stand, self.monthly, today)
    }

    /// Verdict of the budget where the plan is already held against [`MAX_JUDGED`] others; soft ones have none.
    pub(crate) fn left_over(self, today: NaiveDate) -> Option<BudgetVerdict> {
        if self.budget.enforcement != Enforcement::Hard {
            return None;
        }
        let (period_start, period_end) = period_of(self.budget.period, today);
        let stand = BudgetStand {
            budget: self.budget.budget.clone(),
            enforcement: self.budget.enforcement,
            scope: self.budget.scope(),
            period: self.budget.period,
            period_start,
            period_end,
            amount: self.budget.amount,
            currency: self.budget.currency.clone(),
            spent: Decimal::ZERO,
            forecast: None,
        };
        Some(if self.has_other_currency() {
            other_currency(&stand, self.monthly, self.currency)
        } else {
            left_over(&stand, self.monthly, MAX_JUDGED)
        })
    }

    fn has_other_currency(self) -> bool {
        self.budget.currency != self.currency
    }
}

/// Budgets to which a project's plan adds: first those in the estimate's currency, of them hard ones first, then by name.
/// Soft budgets in another currency are left out.
pub(crate) fn concerned<'a>(
    in_force: &'a [InForce],
    project: Option<&str>,
    estimate: &'a Estimate,
) -> Vec<Concerned<'a>> {
    let mut found: Vec<Concerned<'_>> = in_force
        .iter()
        .map(|budget| Concerned {
            budget,
            monthly: monthly_delta(&budget.scope(), project, estimate),
            currency: &estimate.currency,
        })
        .filter(|one| one.monthly > Decimal::ZERO)
        .filter(|one| one.budget.enforcement == Enforcement::Hard || !one.has_other_currency())
        .collect();
    found.sort_by(|a, b| {
        let key =
            |one: &Concerned<'_>| (one.has_other_currency(), one.budget.enforcement != Enforcement::Hard);
        key(a).cmp(&key(b)).then_with(|| a.budget.budget.cmp(&b.budget.budget))
    });
    found
}

#[cfg(test)]
mod tests {
    use schemas::changes::cost::BudgetPeriod;
    use uuid::Uuid;

    use super::*;

    fn budget(name: &str, enforcement: Enforcement, currency: &str) -> InForce {
        InForce {
            budget: name.into(),
            set_by: Uuid::from_u128(1),
            amount: Decimal::ONE_HUNDRED,
            currency: currency.into(),
            period: BudgetPeriod::Monthly,
            scope: "tenant".into(),
            scope_key: String::new(),
            scope_value: String::new(),
            cost: "billed".into(),
            enforcement,
            thresholds: Vec::new(),
        }
    }

    /// An estimate of 10 USD by the month more.
    fn estimate() -> Estimate {
        let plan = serde_json::json!({ "resource_changes": [] });
        let prices = costs::prices::PriceList::examples();
        let mut estimate = costs::estimate::estimate(&plan, &prices).expect("a plan");
        estimate.delta = Decimal::TEN;
        estimate
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    #[test]
    fn a_plan_is_held_against_hard_budgets_of_its_currency_first() {
        let estimate = estimate();
        let mut in_force: Vec<InForce> =
            (0..MAX_JUDGED).map(|n| budget(&format!("a-{n:03}"), Enforcement::Soft, "USD")).collect();
        in_force.push(budget("b", Enforcement::Hard, "EUR"));
        in_force.push(budget("c", Enforcement::Soft, "EUR"));
        in_force.push(budget("z", Enforcement::Hard, "USD"));
        in_force.push(InForce {
            scope: "team".into(),
            scope_key: "team".into(),
            scope_value: "other".into(),
            ..budget("y", Enforcement::Hard, "USD")
        });
        let found = concerned(&in_force, None, &estimate);
        let names: Vec<&str> = found.iter().map(|one| one.budget.budget.as_str()).collect();
        assert_eq!(names.len(), MAX_JUDGED + 2);
        assert_eq!((names[0], names[1], names[MAX_JUDGED + 1]), ("z", "a-000", "b"));
    }

    #[test]
    fn hard_budgets_that_are_left_over_deny_and_soft_ones_have_no_verdict() {
        let estimate = estimate();
        let in_force = [
            budget("hard", Enforcement::Hard, "USD"),
            budget("soft", Enforcement::Soft, "USD"),
            budget("euros", Enforcement::Hard, "EUR"),
        ];
        let found = concerned(&in_force, None, &estimate);
        let told: Vec<_> = found
            .iter()
            .filter_map(|one| one.left_over(day("2026-11-30")))
            .map(|verdict| (verdict.budget, verdict.enforcement, verdict.period_end))
            .collect();
        let end = day("2026-12-01");
        let expected = [("hard", Enforcement::Hard), ("euros", Enforcement::Soft)];
        assert_eq!(told, expected.map(|(name, enforcement)| (name.to_owned(), enforcement, end)));
    }
}
