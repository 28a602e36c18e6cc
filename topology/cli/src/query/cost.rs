//! `weir query cost`: totals, a small chart over time, and what they are made of.

mod export;
mod reconciliation;
mod workloads;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use self::{
    export::{ExportArgs, export},
    reconciliation::{ReconciliationArgs, reconciliation},
    workloads::{WorkloadsArgs, workloads},
};
use super::{
    Api, print, printable,
    recommendations::{RecommendationsArgs, recommendations},
};
use crate::output::{self, Format};

/// Widest bar, in characters.
const BAR: usize = 30;
/// Most points of a chart; the newest are drawn.
const POINTS: usize = 31;

/// Arguments of `weir query cost`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct CostArgs {
    #[command(subcommand)]
    about: Option<About>,
    /// The dimension to break costs down by: provider, billing_account, billing_period, sub_account, service,
    /// service_category, region, resource, charge_category, charge_class, sku, sku_price, consumed_unit, or tag:KEY.
    #[arg(long, default_value = "service")]
    by: String,
    #[command(flatten)]
    charges: ChargesArgs,
    /// The steps of the chart.
    #[arg(long, value_enum, default_value_t = Step::Day)]
    step: Step,
    /// The most values to print.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Charges that are asked for.
#[derive(Debug, Args)]
pub(super) struct ChargesArgs {
    /// Only charges of this, `NAME=VALUE`, where NAME is a dimension or currency; for a tag `tag=KEY=VALUE`.
    #[arg(long = "where", value_name = "NAME=VALUE")]
    filters: Vec<String>,
    #[command(flatten)]
    days: DaysArgs,
}

/// Days that costs are for, and the instant at which they were known.
#[derive(Debug, Args)]
pub(crate) struct DaysArgs {
    /// The first day that costs are for.
    #[arg(long)]
    from: Option<String>,
    /// The day after the last.
    #[arg(long)]
    to: Option<String>,
    /// Instant of knowledge, RFC 3339: what was known then. Now by default.
    #[arg(long, visible_alias = "as-of")]
    known_at: Option<String>,
}

impl DaysArgs {
    /// As parameters of the query API.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let given = [("from", &self.from), ("to", &self.to), ("known_at", &self.known_at)];
        given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

impl ChargesArgs {
    /// As parameters of the query API.
    fn parameters(&self) -> anyhow::Result<Vec<(&str, &str)>> {
        let mut parameters = filters(&self.filters)?;
        parameters.extend(self.days.parameters());
        Ok(parameters)
    }
}

/// Queries beside that of the spending.
#[derive(Debug, Subcommand)]
enum About {
    /// Recommendations with saving, risk, effort and evidence; and the outcome of accepted ones.
    Recommendations(RecommendationsArgs),
    /// Write the charges to a file in the columns of FOCUS, CSV or Parquet.
    Export(ExportArgs),
    /// Accrued beside charged costs of resources by day, with the reasons of each difference.
    Reconciliation(ReconciliationArgs),
    /// Costs of Kubernetes workloads: nodes divided by the larger of request and usage.
    Workloads(WorkloadsArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    Day,
    Week,
    Month,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// Asks what was spent, and prints it.
pub(super) async fn cost(api: &Api, args: &CostArgs) -> anyhow::Result<()> {
    match &args.about {
        Some(About::Recommendations(args)) => return recommendations(api, args).await,
        Some(About::Export(args)) => return export(api, args).await,
        Some(About::Reconciliation(args)) => return reconciliation(api, args).await,
        Some(About::Workloads(args)) => return workloads(api, args).await,
        None => {}
    }
    let parameters = args.charges.parameters()?;
    let limit = args.limit.to_string();
    let mut parts = parameters.clone();
    parts.push(("limit", &limit));
    parts.push(args.by.strip_prefix("tag:").map_or(("by", args.by.as_str()), |key| ("tag_key", key)));
    let mut steps = parameters.clone();
    steps.push(("step", args.step.name()));
    let summary = api.get("/api/v1/cost/summary", &parameters).await?;
    let timeseries = api.get("/api/v1/cost/timeseries", &steps).await?;
    let breakdown = api.get("/api/v1/cost/breakdown", &parts).await?;
    if args.output != Format::Table {
        return output::json(
            &json!({ "summary": summary, "timeseries": timeseries, "breakdown": breakdown }),
        );
    }
    let none = Vec::new();
    let totals = summary["totals"].as_array().unwrap_or(&none);
    if totals.is_empty() {
        output::note("no charges match; `weir import focus` brings them in");
    }
    for total in totals {
        let currency = text(&total["currency"]);
        output::line(&format!(
            "{currency} {} billed, {} accrued, {} effective, {} at list prices: {} charges from {} to {}",
            text(&total["billed_cost"]),
            text(&total["accrued_cost"]),
            text(&total["effective_cost"]),
            text(&total["list_cost"]),
            total["charges"],
            text(&summary["first_day"]),
            text(&summary["last_day"]),
        ));
        chart(&of_currency(&timeseries["points"], &currency));
        table(&args.by, &of_currency(&breakdown["items"], &currency));
    }
    if breakdown["complete"] == false {
        output::note("there are more values; --limit prints more of them");
    }
    Ok(())
}

/// Filters as the query API takes them.
pub(super) fn filters(given: &[String]) -> anyhow::Result<Vec<(&str, &str)>> {
    let pair = |filter: &'_ String| anyhow::anyhow!("--where takes NAME=VALUE, and not {filter:?}");
    given.iter().map(|filter| filter.split_once('=').ok_or_else(|| pair(filter))).collect()
}

/// Arguments of `weir query budgets`.
#[derive(Debug, Args)]
pub(crate) struct BudgetsArgs {
    /// A day of the period; today by default.
    #[arg(long)]
    day: Option<String>,
    /// Instant of knowledge, RFC 3339. Now by default.
    #[arg(long, visible_alias = "as-of")]
    known_at: Option<String>,
    /// The most budgets to print.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Asks for budgets, and prints them.
pub(crate) async fn budgets(api: &Api, args: &BudgetsArgs) -> anyhow::Result<()> {
    let told = [("day", &args.day), ("known_at", &args.known_at)];
    let filters: Vec<_> =
        told.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    let budgets = api.pages("/api/v1/cost/budgets", &filters, args.limit).await?;
    print(&budgets, args.output, |budgets| {
        let mut table = output::table(&["budget", "period", "spent", "of", "%", "reached", ""]);
        for budget in budgets {
            let terms = &budget["terms"];
            if terms.is_null() {
                let fault = text(&budget["fault"]);
                let empty = String::new;
                table.add_row([text(&budget["budget"]), fault, empty(), empty(), empty(), empty(), empty()]);
                continue;
            }
            let reached = terms["crossings"].as_array().into_iter().flatten();
            let reached =
                reached.last().map(|crossing| format!("{} %", crossing["percent"])).unwrap_or_default();
            table.add_row([
                text(&budget["budget"]),
                format!("{} from {}", text(&terms["period"]), text(&terms["period_start"])),
                text(&terms["spent"]),
                format!("{} {}", text(&terms["amount"]), text(&terms["currency"])),
                text(&terms["spent_percent"]),
                reached,
                bar(number(&text(&terms["spent"])), number(&text(&terms["amount"]))),
            ]);
        }
        output::print_table(&table, "there are no budgets");
    })
}

fn of_currency(items: &Value, currency: &str) -> Vec<Value> {
    let items = items.as_array().into_iter().flatten();
    items.filter(|item| item["currency"] == currency).cloned().collect()
}

/// A line for each step, with a bar over what is billed and accrued.
fn chart(points: &[Value]) {
    let newest = &points[points.len().saturating_sub(POINTS)..];
    let most = most_of(newest);
    for point in newest {
        output::line(&format!("  {}  {}", text(&point["day"]), charted(point, most)));
    }
}

/// The bar of a point, and its amounts.
fn charted(point: &Value, most: f64) -> String {
    let (billed, accrued) = (text(&point["billed_cost"]), text(&point["accrued_cost"]));
    let accrued = if number(&accrued) == 0.0 { String::new() } else { format!(" + {accrued} accrued") };
    format!("{:BAR$}  {billed}{accrued}", bar(cost_of(point), most))
}

fn table(by: &str, items: &[Value]) {
    let mut table = output::table(&[by, "billed", "accrued", "effective", "charges", ""]);
    let most = most_of(items);
    for item in items {
        table.add_row(row(item, most));
    }
    output::print_table(&table, "no charges match");
}

fn row(item: &Value, most: f64) -> [String; 6] {
    [
        item["value"].as_str().map_or_else(|| "(none)".to_owned(), printable),
        text(&item["billed_cost"]),
        text(&item["accrued_cost"]),
        text(&item["effective_cost"]),
        item["charges"].to_string(),
        bar(cost_of(item), most),
    ]
}

/// What is billed and accrued, by which the query API orders values.
fn cost_of(item: &Value) -> f64 {
    number(&text(&item["billed_cost"])) + number(&text(&item["accrued_cost"]))
}

fn most_of(items: &[Value]) -> f64 {
    items.iter().map(|item| cost_of(item).abs()).fold(0.0, f64::max)
}

/// As long as an amount is large beside the largest; what was given back is drawn hollow.
fn bar(amount: f64, most: f64) -> String {
    if most <= 0.0 {
        return String::new();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "from 0 to the width of a bar"
    )]
    let length = (amount.abs() / most * BAR as f64).round() as usize;
    if amount < 0.0 { "░" } else { "█" }.repeat(length.min(BAR))
}

/// Money is drawn, never reckoned with, as a float.
fn number(text: &str) -> f64 {
    text.parse().unwrap_or(0.0)
}

fn text(value: &Value) -> String {
    value.as_str().map(printable).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        query: Query,
    }

    #[derive(Debug, Subcommand)]
    enum Query {
        Cost(CostArgs),
    }

    #[test]
    fn options_of_the_spending_are_refused_before_a_subcommand() {
        let parsed = |words: &str| Line::try_parse_from(words.split(' '));
        let Query::Cost(args) =
            parsed("weir cost --limit 3 --from 2025-05-01").expect("its own options").query;
        assert!(args.about.is_none() && args.limit == 3);
        for subcommand in ["recommendations", "export bill.csv", "reconciliation", "workloads"] {
            assert!(parsed(&format!("weir cost {subcommand}")).is_ok(), "{subcommand}");
            for option in ["--from 2025-05-01", "--output json", "--where service=EC2"] {
                assert!(
                    parsed(&format!("weir cost {option} {subcommand}")).is_err(),
                    "{option} {subcommand}"
                );
            }
        }
    }

    #[test]
    fn bars_are_as_long_as_amounts_are_large() {
        assert_eq!(bar(10.0, 10.0).chars().count(), BAR);
        assert_eq!(bar(5.0, 10.0).chars().count(), BAR / 2);
        assert_eq!(bar(-5.0, 10.0), "░".repeat(BAR / 2));
        assert_eq!(bar(0.0, 0.0), "");
        assert_eq!(bar(number("not a number"), 10.0), "");
    }

    #[test]
    fn what_accrues_is_drawn_and_told() {
        let billed = json!({"value": "RDS", "billed_cost": "5", "accrued_cost": "0", "charges": 2});
        let accrued = json!({"value": "EC2", "billed_cost": "0", "accrued_cost": "10", "charges": 0});
        let most = most_of(&[billed.clone(), accrued.clone()]);
        let [value, of_bill, of_accrual, .., bar] = row(&accrued, most);
        assert_eq!((value.as_str(), of_bill.as_str(), of_accrual.as_str()), ("EC2", "0", "10"));
        assert_eq!(bar.chars().count(), BAR);
        assert!(charted(&accrued, most).ends_with("0 + 10 accrued"), "{}", charted(&accrued, most));
        assert!(charted(&billed, most).starts_with(&"█".repeat(BAR / 2)));
        assert!(charted(&billed, most).ends_with("  5"));
    }
}
