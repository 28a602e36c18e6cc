//! `weir query cost reconciliation`: what accrued beside what was charged.

use clap::Args;
use serde_json::Value;

use super::{Api, DaysArgs, print, text};
use crate::output::{self, Format};

/// Arguments of `weir query cost reconciliation`.
#[derive(Debug, Args)]
pub(super) struct ReconciliationArgs {
    /// Only this resource, by its id.
    #[arg(long)]
    resource: Option<String>,
    #[command(flatten)]
    days: DaysArgs,
    /// The most lines to print, each of a resource and a day.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Asks for the lines, and prints them.
pub(super) async fn reconciliation(api: &Api, args: &ReconciliationArgs) -> anyhow::Result<()> {
    let resource = args.resource.as_deref().map(|id| ("resource", id));
    let filters: Vec<_> = resource.into_iter().chain(args.days.parameters()).collect();
    let lines = api.pages("/api/v1/cost/reconciliation", &filters, args.limit).await?;
    print(&lines, args.output, table)
}

fn table(lines: &[Value]) {
    let mut table = output::table(&[
        "day",
        "resource",
        "currency",
        "accrued",
        "charged",
        "pending",
        "difference",
        "because",
    ]);
    for line in lines {
        let because = line["explained"].as_array().into_iter().flatten();
        let because: Vec<String> =
            because.map(|part| format!("{} {}", text(&part["reason"]), text(&part["amount"]))).collect();
        let columns = ["day", "resource", "currency", "accrued", "charged", "pending", "difference"];
        table.add_row(columns.map(|name| text(&line[name])).into_iter().chain([because.join(", ")]));
    }
    output::print_table(
        &table,
        "no resource accrues; events that make, change and delete resources bring costs in",
    );
}
