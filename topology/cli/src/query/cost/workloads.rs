//! `weir query cost workloads`: what Kubernetes workloads cost.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{Api, ChargesArgs, text};
use crate::output::{self, Format};

/// Arguments of `weir query cost workloads`.
#[derive(Debug, Args)]
pub(super) struct WorkloadsArgs {
    /// Grouping of the costs.
    #[arg(long, value_enum, default_value_t = By::Workload)]
    by: By,
    #[command(flatten)]
    charges: ChargesArgs,
    /// The most workloads of each currency to print.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Workload,
    Namespace,
    Cluster,
}

impl By {
    const fn name(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Namespace => "namespace",
            Self::Cluster => "cluster",
        }
    }
}

/// Asks for the costs of workloads, and prints them.
pub(super) async fn workloads(api: &Api, args: &WorkloadsArgs) -> anyhow::Result<()> {
    let limit = args.limit.to_string();
    let mut parameters = args.charges.parameters()?;
    parameters.extend([("by", args.by.name()), ("limit", &limit)]);
    let answer = api.get("/api/v1/cost/workloads", &parameters).await?;
    let currencies: Vec<&Value> = answer["currencies"].as_array().into_iter().flatten().collect();
    match args.output {
        Format::Json => return output::json(&answer),
        Format::Ndjson => return currencies.iter().try_for_each(output::json),
        Format::Table => {}
    }
    if currencies.is_empty() {
        output::note(
            "no charges of nodes whose pods were measured; see \"Kubernetes workloads\" in docs/cost.md",
        );
    }
    for of in currencies {
        let mut table = output::table(&[
            "cluster",
            "namespace",
            "workload",
            "cost",
            "core-days requested",
            "used",
            "GB-days requested",
            "used",
        ]);
        for item in of["workloads"].as_array().into_iter().flatten() {
            table.add_row(
                [
                    "cluster",
                    "namespace",
                    "workload",
                    "cost",
                    "cpu_requested",
                    "cpu_used",
                    "memory_requested_gb",
                    "memory_used_gb",
                ]
                .map(|name| text(&item[name])),
            );
        }
        output::print_table(&table, "no workloads");
        output::line(&format!(
            "{} {} by {} nodes: {} of it idle, {} by workloads that are not shown",
            text(&of["total"]),
            text(&of["currency"]),
            of["nodes"],
            text(&of["idle"]),
            text(&of["others"]),
        ));
    }
    Ok(())
}
