//! `weir query anomalies` and `weir query forecast`: what was unusual, and what is to come.

use clap::Args;
use serde_json::Value;

use super::{Api, DaysArgs, printable};
use crate::output::{self, Format};

/// Arguments of `weir query anomalies`.
#[derive(Debug, Args)]
pub(super) struct AnomaliesArgs {
    #[command(flatten)]
    days: DaysArgs,
    /// The most anomalies to print.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Asks for anomalies, and prints them.
pub(super) async fn anomalies(api: &Api, args: &AnomaliesArgs) -> anyhow::Result<()> {
    let limit = args.limit.to_string();
    let mut parameters: Vec<_> = args.days.parameters().collect();
    parameters.push(("limit", &limit));
    let answer = api.get("/api/v1/cost/anomalies", &parameters).await?;
    if args.output != Format::Table {
        return output::json(&answer);
    }
    let mut table = output::table(&["day", "severity", "what", "impact", "expected", "actual", "because of"]);
    for item in answer["items"].as_array().into_iter().flatten() {
        let what = ["resource", "service", "region", "account"].iter().find_map(|name| item[name].as_str());
        let cause = &item["cause"];
        let because = cause["kind"].as_str().map_or_else(
            || format!("{} {}", text(&item["dimension"]), text(&item["dimension_value"])),
            |kind| format!("{} by {}", printable(kind), text(&cause["actor"])),
        );
        table.add_row([
            text(&item["day"]),
            text(&item["severity"]),
            what.map(printable).unwrap_or_default(),
            format!("{} {}", item["impact"], text(&item["currency"])),
            item["expected"].to_string(),
            item["actual"].to_string(),
            because,
        ]);
    }
    output::print_table(&table, "nothing was unusual");
    if answer["complete"] == false {
        output::note("there are more; --limit prints more of them");
    }
    Ok(())
}

/// Arguments of `weir query forecast`.
#[derive(Debug, Args)]
pub(super) struct ForecastArgs {
    /// Number of days to forecast.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// Instant of knowledge, RFC 3339. Now by default.
    #[arg(long, visible_alias = "as-of")]
    known_at: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Asks for a forecast, and prints it by the week.
pub(super) async fn forecast(api: &Api, args: &ForecastArgs) -> anyhow::Result<()> {
    let days = args.days.to_string();
    let mut parameters = vec![("days", days.as_str())];
    parameters.extend(args.known_at.as_deref().map(|instant| ("known_at", instant)));
    let answer = api.get("/api/v1/cost/forecast", &parameters).await?;
    if args.output != Format::Table {
        return output::json(&answer);
    }
    let forecasts = answer["forecasts"].as_array().map(Vec::as_slice).unwrap_or_default();
    if forecasts.is_empty() {
        output::note("no whole day of charges is known; `weir import focus` brings in those of the past");
    }
    for forecast in forecasts {
        let currency = text(&forecast["currency"]);
        let Some(model) = forecast["model"].as_str() else {
            output::note(&format!("{currency}: there are too few days to forecast from"));
            continue;
        };
        output::line(&format!(
            "{currency} from {} on, by {}; error of a day {} (last week again: {})",
            text(&forecast["known_until"]),
            printable(model),
            forecast["error"],
            forecast["naive_error"],
        ));
        let mut table = output::table(&["week from", "expected", "a day within 80 %", "a day within 95 %"]);
        let days = forecast["days"].as_array().map(Vec::as_slice).unwrap_or_default();
        for week in days.chunks(7) {
            let sum: f64 = week.iter().filter_map(|day| day["expected"].as_f64()).sum();
            let range = |low: &str, high: &str| format!("{} to {}", week[0][low], week[0][high]);
            table.add_row([
                text(&week[0]["day"]),
                format!("{sum:.2}"),
                range("low_80", "high_80"),
                range("low_95", "high_95"),
            ]);
        }
        output::print_table(&table, "no days");
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().map(printable).unwrap_or_default()
}
