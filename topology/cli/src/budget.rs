//! `weir budget` and `weir allocation`: what people decide about cost.

use std::{fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use schemas::changes::cost::allocation_rules;
use serde_json::Value;

use super::{
    Outcome,
    command::{Command, Said},
    output::{self, Format},
    place::Place,
    query::{Api, BudgetsArgs, DaysArgs, budgets, printable},
    settings::Trust,
};

/// Arguments of `weir budget`.
#[derive(Debug, Args)]
pub(super) struct BudgetArgs {
    #[command(subcommand)]
    command: BudgetCommand,
}

#[derive(Debug, Subcommand)]
enum BudgetCommand {
    /// Set how much may be spent; says why with --reason.
    Set(Box<SetArgs>),
    /// Remove a budget; says why with --reason.
    Remove {
        /// The budget's name.
        name: String,
        #[command(flatten)]
        said: Said,
    },
    /// Show budgets, with the spending of their period.
    List {
        #[command(flatten)]
        args: BudgetsArgs,
        #[command(flatten)]
        trust: Trust,
    },
}

#[derive(Debug, Args)]
struct SetArgs {
    /// The budget's name.
    name: String,
    /// Amount that may be spent in a period, a decimal.
    amount: String,
    /// ISO 4217; charges in other currencies do not count.
    currency: String,
    /// monthly, quarterly or yearly; monthly by default.
    #[arg(long)]
    period: Option<String>,
    /// Only what is tagged `project` with it, or charged to a sub account of that id.
    #[arg(long, conflicts_with_all = ["team", "tag"])]
    project: Option<String>,
    /// Only what is tagged `team` with it.
    #[arg(long, conflicts_with = "tag")]
    team: Option<String>,
    /// Only what has that tag, KEY=VALUE.
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Option<String>,
    /// billed or effective; billed by default.
    #[arg(long)]
    cost: Option<String>,
    /// soft or hard; soft by default.
    #[arg(long)]
    enforcement: Option<String>,
    /// Alert threshold in percent of the amount; repeat for several. 50, 80, 90 and 100 by default.
    #[arg(long = "threshold", value_name = "PERCENT")]
    thresholds: Vec<String>,
    #[command(flatten)]
    said: Said,
}

/// Sends the decision, or lists budgets.
pub(super) async fn budget(args: BudgetArgs) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    match args.command {
        BudgetCommand::Set(args) => {
            let SetArgs { name, amount, currency, period, project, team, tag, cost, enforcement, .. } = *args;
            let mut body: Vec<(&'static str, Value)> =
                vec![("action", "set".into()), ("amount", amount.into()), ("currency", currency.into())];
            for (member, value) in [
                ("period", period),
                ("project", project),
                ("team", team),
                ("tag", tag),
                ("cost", cost),
                ("enforcement", enforcement),
            ] {
                body.push((member, value.into()));
            }
            if !args.thresholds.is_empty() {
                body.push(("thresholds", args.thresholds.into()));
            }
            Command { path: &["cost", "budgets", &name], body }.send(&place, &args.said).await
        }
        BudgetCommand::Remove { name, said } => {
            let body = vec![("action", "removed".into())];
            Command { path: &["cost", "budgets", &name], body }.send(&place, &said).await
        }
        BudgetCommand::List { args, trust } => {
            budgets(&Api::of(&place, &trust)?, &args).await?;
            Ok(Outcome::Done)
        }
    }
}

/// Arguments of `weir allocation`.
#[derive(Debug, Args)]
pub(super) struct AllocationArgs {
    #[command(subcommand)]
    command: AllocationCommand,
}

#[derive(Debug, Subcommand)]
enum AllocationCommand {
    /// Show what each team pays, by the rules in force.
    Show(ShowArgs),
    /// Show what rules of a file would change, without setting them.
    Preview {
        /// A JSON list of rules.
        file: PathBuf,
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Set the rules of a file, which hold for all of history; says why with --reason.
    Set {
        /// A JSON list of rules; `weir allocation preview` shows what they change.
        file: PathBuf,
        #[command(flatten)]
        said: Said,
    },
    /// Remove the rules: what is tagged `team` goes to that team; says why with --reason.
    Remove {
        #[command(flatten)]
        said: Said,
    },
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    days: DaysArgs,
    /// billed or effective; billed by default.
    #[arg(long)]
    cost: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    trust: Trust,
}

/// Sends the decision, or shows an allocation.
pub(super) async fn allocation(args: AllocationArgs) -> anyhow::Result<Outcome> {
    match args.command {
        AllocationCommand::Show(args) => show(&args, None).await,
        AllocationCommand::Preview { file, show: args } => show(&args, Some(ascii(&read(&file)?))).await,
        AllocationCommand::Set { file, said } => {
            let rules: Value = serde_json::from_str(&read(&file)?).context("rules that were read once")?;
            let body = vec![("action", "set".into()), ("rules", rules)];
            Command { path: &["cost", "allocation"], body }.send(&Place::find().await?, &said).await
        }
        AllocationCommand::Remove { said } => {
            let body = vec![("action", "removed".into())];
            Command { path: &["cost", "allocation"], body }.send(&Place::find().await?, &said).await
        }
    }
}

/// The rules of a file, checked.
fn read(file: &PathBuf) -> anyhow::Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let rules = allocation_rules(&text).map_err(|fault| anyhow::anyhow!("{}: {fault}", file.display()))?;
    Ok(serde_json::to_string(&rules)?)
}

/// The same JSON without any character beyond ASCII.
fn ascii(json: &str) -> String {
    let mut units = [0; 2];
    json.chars().fold(String::with_capacity(json.len()), |mut text, c| {
        if c.is_ascii() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                write!(text, "\\u{unit:04x}").expect("a String takes everything");
            }
        }
        text
    })
}

async fn show(args: &ShowArgs, rules: Option<String>) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    let told = [("cost", &args.cost), ("rules", &rules)];
    let told = told.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let parameters: Vec<(&str, &str)> = args.days.parameters().chain(told).collect();
    let answer = Api::of(&place, &args.trust)?.get("/api/v1/cost/allocation", &parameters).await?;
    if let Some(fault) = answer["fault"].as_str() {
        bail!("the rules cannot be set: {}", printable(fault));
    }
    if args.output != Format::Table {
        output::json(&answer)?;
        return Ok(Outcome::Done);
    }
    let tried = rules.is_some();
    let shown = if tried { &answer["tried"] } else { &answer["allocation"] };
    for currency in shown.as_array().into_iter().flatten() {
        output::line(&format!("{} {} in all", text(&currency["total"]), text(&currency["currency"])));
        output::print_table(&table(currency, tried), "nothing was spent");
        for (number, taken) in (1..).zip(currency["taken_by_rule"].as_array().into_iter().flatten()) {
            if taken == 0 {
                output::note(&format!("rule {number} fits nothing"));
            }
        }
    }
    if tried {
        output::note("nothing is changed; `weir allocation set` sets these rules");
    }
    Ok(Outcome::Done)
}

fn table(currency: &Value, tried: bool) -> comfy_table::Table {
    let columns = ["bucket", "own", "shared", "total", "moved"];
    let mut table = output::table(if tried { &columns } else { &columns[..4] });
    for bucket in currency["buckets"].as_array().into_iter().flatten() {
        let name =
            bucket["team"].as_str().map_or_else(|| format!("({})", text(&bucket["bucket"])), printable);
        let mut row = vec![name, text(&bucket["direct"]), text(&bucket["shared"]), text(&bucket["total"])];
        if tried {
            row.push(text(&bucket["moved"]));
        }
        table.add_row(row);
    }
    table
}

fn text(value: &Value) -> String {
    value.as_str().map(printable).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_travel_as_ascii() {
        let text = r#"[{"to":{"team":"équipe 𝄞"}}]"#;
        let sent = ascii(text);
        assert!(sent.is_ascii(), "{sent}");
        assert_eq!(allocation_rules(&sent), allocation_rules(text));
    }
}
