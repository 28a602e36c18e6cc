//! `weir query cost recommendations`: what would cost less.

use clap::Args;
use serde_json::Value;

use super::{Api, cost::filters, printable};
use crate::output::{self, Format};

/// Arguments of `weir query cost recommendations`.
#[derive(Debug, Args)]
pub(super) struct RecommendationsArgs {
    /// Only of this kind: idle, right_size, commitment, storage_tier or schedule.
    #[arg(long)]
    kind: Option<String>,
    /// open, accepted, dismissed or all; open by default.
    #[arg(long)]
    status: Option<String>,
    /// Only about charges of this, `NAME=VALUE`, as `weir query cost --where` takes it.
    #[arg(long = "where", value_name = "NAME=VALUE")]
    filters: Vec<String>,
    /// The instant to look from, RFC 3339: what was known by then. Now by default.
    #[arg(long, visible_alias = "as-of")]
    known_at: Option<String>,
    /// The most recommendations to print.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print the reasons under each recommendation.
    #[arg(long)]
    reasons: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Asks for recommendations, and prints them.
pub(super) async fn recommendations(api: &Api, args: &RecommendationsArgs) -> anyhow::Result<()> {
    let limit = args.limit.to_string();
    let told = [("kind", &args.kind), ("status", &args.status), ("known_at", &args.known_at)];
    let mut parameters = filters(&args.filters)?;
    parameters.extend(told.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
    parameters.push(("limit", &limit));
    let answer = api.get("/api/v1/cost/recommendations", &parameters).await?;
    let items: Vec<&Value> = answer["items"].as_array().into_iter().flatten().collect();
    match args.output {
        Format::Json => return output::json(&answer),
        Format::Ndjson => return items.iter().try_for_each(output::json),
        Format::Table => {}
    }
    let mut table = output::table(&[
        "priority",
        "saves in 30 days",
        "of",
        "action",
        "about",
        "risk",
        "effort",
        "sure",
        "id",
    ]);
    for item in &items {
        table.add_row(cells(item, args.reasons));
    }
    output::print_table(
        &table,
        "nothing is recommended; the rules need measurements of utilisation (docs/cost.md)",
    );
    for total in answer["totals"].as_array().into_iter().flatten() {
        output::line(&format!(
            "{} {} in 30 days by {} recommendations",
            text(&total["monthly_saving"]),
            text(&total["currency"]),
            total["recommendations"]
        ));
    }
    if answer["complete"] == false {
        output::note("there are more; --limit prints more of them");
    }
    if !items.is_empty() {
        output::note("decide with `weir recommendation accept|dismiss ID --reason WHY`");
    }
    Ok(())
}

/// A row of the table.
fn cells(item: &Value, with_reasons: bool) -> [String; 9] {
    let about = item["resource"].as_str().or(item["service"].as_str()).map(printable);
    let outcome = item["outcome"]["state"].as_str().map(|state| {
        let realised = item["outcome"]["realised_monthly_saving"].as_str().unwrap_or("-");
        format!(" ({}: {})", printable(state), printable(realised))
    });
    let mut action = text(&item["action"]);
    let reasons = item["reasons"].as_array().into_iter().flatten().filter(|_| with_reasons);
    for reason in reasons {
        action.push_str("\n- ");
        action.push_str(&text(reason));
    }
    let (saving, currency) = (text(&item["monthly_saving"]), text(&item["currency"]));
    [
        text(&item["priority"]),
        format!("{saving} {currency}{}", outcome.unwrap_or_default()),
        text(&item["monthly_cost"]),
        action,
        about.unwrap_or_default(),
        text(&item["risk"]),
        text(&item["effort"]),
        format!("{} %", item["confidence"]),
        text(&item["id"]),
    ]
}

fn text(value: &Value) -> String {
    value.as_str().map(printable).unwrap_or_default()
}
