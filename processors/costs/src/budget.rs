//! Verdicts of budgets about a plan: whether its additional cost exceeds them.
//!
//! A plan counts with its monthly difference for every calendar month of the period that is not over, the present one whole:
//! a resource that is made late in a month costs little in it, and breaks the budget in the next. What is spent
//! otherwise is the forecast, or what is spent already where that is more or nothing can be forecast.

use chrono::{Datelike as _, NaiveDate};
use rust_decimal::Decimal;
use schemas::changes::{
    budget_verdicts::{BudgetStand, BudgetVerdict},
    cost::{BudgetScope, Enforcement},
    estimate::Estimate,
};

/// Additional monthly cost of a project's plan within a budget's scope; negative: it costs less.
pub fn monthly_delta(scope: &BudgetScope, project: Option<&str>, estimate: &Estimate) -> Decimal {
    let tagged = |key: &str, value: &str| {
        let of_tag = estimate.by_tag.iter().find(|tagged| tagged.key == key && tagged.value == value);
        of_tag.map(|tagged| tagged.delta).unwrap_or_default()
    };
    match scope {
        BudgetScope::Tenant => estimate.delta,
        BudgetScope::Project(name) if project == Some(name.as_str()) => estimate.delta,
        BudgetScope::Project(name) => tagged("project", name),
        BudgetScope::Team(team) => tagged("team", team),
        BudgetScope::Tag { key, value } => tagged(key, value),
    }
}

/// Verdict of a budget about a plan with that additional monthly cost; `None`: it fits, or adds nothing.
pub fn judge(stand: &BudgetStand, monthly: Decimal, today: NaiveDate) -> Option<BudgetVerdict> {
    if monthly <= Decimal::ZERO {
        return None;
    }
    let without = stand.forecast.map_or(stand.spent, |forecast| forecast.max(stand.spent));
    let months = Decimal::from(months_left(stand.period_end, today));
    let added = monthly.checked_mul(months).unwrap_or(Decimal::MAX);
    let expected = without.saturating_add(added);
    let over = expected.saturating_sub(stand.amount);
    if over <= Decimal::ZERO {
        return None;
    }
    let two = |amount: Decimal| amount.round_dp(2).normalize();
    let BudgetStand { budget, enforcement, amount, currency, spent, forecast, .. } = stand;
    let forecast_told =
        forecast.map(|forecast| format!(", {} are forecast", two(forecast))).unwrap_or_default();
    let cut = two(over.checked_div(months).unwrap_or(over));
    let less = match (cut < monthly, without > *amount) {
        (true, _) => format!("let the plan cost {cut} {currency} less by the month"),
        (false, true) => "the budget is used up without it: save elsewhere first".to_owned(),
        (false, false) => "let the plan add nothing".to_owned(),
    };
    let reason = format!(
        "the {} budget {budget} allows {} {currency} from {} to before {}: {} are spent{forecast_told}, and the plan adds {} by the \
         month, {} by the end of the period; that would be {} beyond it. {}, or raise the budget.",
        enforcement.name(),
        two(*amount),
        stand.period_start,
        stand.period_end,
        two(*spent),
        two(monthly),
        two(added),
        two(over),
        capitalised(&less),
    );
    Some(BudgetVerdict {
        budget: budget.clone(),
        enforcement: *enforcement,
        period_start: stand.period_start,
        period_end: stand.period_end,
        amount: amount.normalize(),
        currency: currency.clone(),
        spent: spent.normalize(),
        forecast: forecast.map(two),
        monthly_delta: monthly.normalize(),
        expected: two(expected),
        over: two(over),
        reason,
    })
}

/// Verdict of a hard budget in another currency than the plan's estimate: it warns, because nothing can be compared.
pub fn other_currency(stand: &BudgetStand, monthly: Decimal, currency: &str) -> BudgetVerdict {
    let BudgetStand { budget, currency: own, .. } = stand;
    let reason = format!(
        "the {} budget {budget} is in {own}, and the price list in {currency}: the plan, which adds {} {currency} by the month, is \
         not held against it. Import prices in {own} (`weir prices import`), or set the budget in {currency}.",
        stand.enforcement.name(),
        monthly.round_dp(2).normalize(),
    );
    BudgetVerdict { enforcement: Enforcement::Soft, ..without_plan(stand, Decimal::ZERO, reason) }
}

/// Verdict of a hard budget that was left over because a plan adds to more budgets than it is held against: it denies. What
/// is spent of it was not read.
pub fn left_over(stand: &BudgetStand, monthly: Decimal, judged: usize) -> BudgetVerdict {
    let reason = format!(
        "the {} budget {} was not judged: the plan adds to more than {judged} budgets, and a plan is held against {judged}. Divide \
         the plan, or merge budgets.",
        stand.enforcement.name(),
        stand.budget,
    );
    without_plan(stand, monthly, reason)
}

fn without_plan(stand: &BudgetStand, monthly: Decimal, reason: String) -> BudgetVerdict {
    let expected = stand.forecast.map_or(stand.spent, |forecast| forecast.max(stand.spent));
    let two = |amount: Decimal| amount.round_dp(2).normalize();
    BudgetVerdict {
        budget: stand.budget.clone(),
        enforcement: stand.enforcement,
        period_start: stand.period_start,
        period_end: stand.period_end,
        amount: stand.amount.normalize(),
        currency: stand.currency.clone(),
        spent: stand.spent.normalize(),
        forecast: stand.forecast.map(two),
        monthly_delta: monthly.normalize(),
        expected: two(expected),
        over: Decimal::ZERO,
        reason,
    }
}

/// Whether any of the verdicts denies the plan.
pub fn denies(verdicts: &[BudgetVerdict]) -> bool {
    verdicts.iter().any(|verdict| verdict.enforcement == Enforcement::Hard)
}

/// Calendar months of a period that are not over, the present one among them.
fn months_left(end: NaiveDate, today: NaiveDate) -> i32 {
    let number = |day: NaiveDate| day.year() * 12 + i32::try_from(day.month0()).unwrap_or_default();
    (number(end) - number(today)).max(1)
}

fn capitalised(text: &str) -> String {
    let mut symbols = text.chars();
    symbols.next().map(|first| first.to_uppercase().chain(symbols).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use schemas::changes::{cost::BudgetPeriod, estimate::TaggedDelta};

    use super::*;
    use crate::{estimate::estimate, prices::PriceList};

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a decimal")
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    fn stand(spent: &str, forecast: Option<&str>) -> BudgetStand {
        BudgetStand {
            budget: "cloud".into(),
            enforcement: Enforcement::Hard,
            scope: BudgetScope::Tenant,
            period: BudgetPeriod::Quarterly,
            period_start: day("2026-10-01"),
            period_end: day("2027-01-01"),
            amount: decimal("1000"),
            currency: "USD".into(),
            spent: decimal(spent),
            forecast: forecast.map(decimal),
        }
    }

    fn check(stand: &BudgetStand, monthly: &str, today: &str, expected: Option<(&str, &str)>) {
        let found = judge(stand, decimal(monthly), day(today));
        let told = found.as_ref().map(|verdict| (verdict.expected.to_string(), verdict.over.to_string()));
        let expected = expected.map(|(expected, over)| (expected.to_owned(), over.to_owned()));
        assert_eq!(told, expected, "{found:?}");
    }

    #[test]
    fn a_plan_counts_for_every_month_that_is_left() {
        check(&stand("400", None), "200", "2026-11-29", None);
        check(&stand("400", None), "201", "2026-10-01", Some(("1003", "3")));
        check(&stand("400", None), "300.01", "2026-11-30", Some(("1000.02", "0.02")));
        check(&stand("400", None), "600", "2026-12-31", None);
        check(&stand("400", Some("900")), "101", "2026-12-31", Some(("1001", "1")));
        check(&stand("950", Some("900")), "51", "2026-12-31", Some(("1001", "1")));
        check(&stand("2000", None), "0", "2026-12-31", None);
        check(&stand("2000", None), "-5", "2026-12-31", None);
        check(&stand("2000", None), "0.01", "2026-12-31", Some(("2000.01", "1000.01")));
    }

    #[test]
    fn a_reason_names_budget_amounts_and_what_to_change() {
        let reason = |stand: BudgetStand, monthly| {
            judge(&stand, decimal(monthly), day("2026-12-01")).expect("beyond").reason
        };
        let found = reason(stand("700", Some("900")), "150");
        for part in [
            "hard budget cloud",
            "1000 USD",
            "700 are spent",
            "900 are forecast",
            "150 by the month",
            "50 beyond",
        ] {
            assert!(found.contains(part), "{part}: {found}");
        }
        assert!(found.contains("Let the plan cost 50 USD less by the month, or raise the budget"), "{found}");
        assert!(reason(stand("1200", None), "10").contains("used up without it"));
    }

    #[test]
    fn a_hard_budget_that_cannot_be_compared_warns_and_names_the_cure() {
        let verdict = other_currency(&stand("700", Some("900")), decimal("150"), "EUR");
        for part in ["hard budget cloud", "in USD", "150 EUR", "weir prices import"] {
            assert!(verdict.reason.contains(part), "{part}: {}", verdict.reason);
        }
        assert_eq!((verdict.enforcement, verdict.currency.as_str()), (Enforcement::Soft, "USD"));
        assert_eq!((verdict.expected, verdict.over), (decimal("900"), Decimal::ZERO));
        assert!(!denies(&[verdict]));
    }

    #[test]
    fn a_hard_budget_that_is_left_over_denies() {
        let verdict = left_over(&stand("0", None), decimal("150"), 100);
        assert!(verdict.reason.contains("more than 100 budgets"), "{}", verdict.reason);
        assert!(denies(&[verdict]));
    }

    #[test]
    fn scopes_count_what_is_theirs() {
        let plan = serde_json::json!({ "resource_changes": [] });
        let mut estimate = estimate(&plan, &PriceList::examples()).expect("a plan");
        estimate.delta = decimal("30");
        let tagged = |key: &str, value: &str, delta: &str| TaggedDelta {
            key: key.into(),
            value: value.into(),
            delta: decimal(delta),
        };
        estimate.by_tag = vec![tagged("team", "core", "20"), tagged("project", "search", "10")];
        let of = |scope: BudgetScope, project| monthly_delta(&scope, project, &estimate).to_string();
        assert_eq!(of(BudgetScope::Tenant, None), "30");
        assert_eq!(of(BudgetScope::Project("ads".into()), Some("ads")), "30");
        assert_eq!(of(BudgetScope::Project("search".into()), Some("ads")), "10");
        assert_eq!(of(BudgetScope::Team("core".into()), None), "20");
        assert_eq!(of(BudgetScope::Tag { key: "team".into(), value: "other".into() }, None), "0");
    }
}
