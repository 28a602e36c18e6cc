//! `weir rules`: detection rules on files of records, without a server, and on the past of the pipeline.

mod backtest;
mod check;
mod examples;
pub(super) mod in_force;
mod load;
mod scan;
mod sequence;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use processors::risk::sigma::{Rule, SigmaEngine};
use serde_json::{Value, json};

use self::load::{RuleSet, warn_about};
use super::{
    Outcome,
    output::{self, Format, note},
    settings::Settings,
};

/// Arguments of `weir rules`.
#[derive(Debug, Args)]
pub(super) struct RulesArgs {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    /// Run rules over files of records; exit 1 if any record could not be read.
    Scan(scan::ScanArgs),
    /// Name every rule that cannot be used or cannot do its work, and why; exit 1 if there is one.
    Check(check::CheckArgs),
    /// List the rules.
    List {
        #[command(flatten)]
        rules: WhichRules,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Run each rule's own examples (`NAME.examples.yml` beside `NAME.yml`); exit 1 if one goes wrong.
    Test(examples::TestArgs),
    /// Run other rules over past events of the pipeline: what they would add and remove. Touches nothing.
    Backtest(backtest::BacktestArgs),
    /// Show one rule: what it reads, what it says, and its text.
    Explain {
        /// Its id, title or file.
        rule: String,
        #[command(flatten)]
        rules: WhichRules,
    },
}

#[derive(Debug, Args)]
struct WhichRules {
    /// Folder (or file) of Sigma rules; without it, Weir's own.
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
}

impl WhichRules {
    fn read(&self) -> anyhow::Result<RuleSet> {
        RuleSet::read(self.rules.as_deref(), Settings::load()?.rules.placeholders())
    }
}

/// Scans, checks, lists, tests or explains.
pub(super) async fn rules(args: RulesArgs) -> anyhow::Result<Outcome> {
    match args.command {
        RulesCommand::Scan(args) => scan::scan(args),
        RulesCommand::Check(args) => check::check(&args),
        RulesCommand::List { rules, output } => list(&rules, output),
        RulesCommand::Test(args) => examples::test(&args),
        RulesCommand::Backtest(args) => backtest::backtest(args).await,
        RulesCommand::Explain { rule, rules } => explain(&rule, &rules),
    }
}

fn list(which: &WhichRules, format: Format) -> anyhow::Result<Outcome> {
    let set = which.read()?;
    let (engine, problems) = set.engine();
    warn_about(&problems);
    let rule_set = engine.hash();
    let described = |(format, rule): (&str, &Rule)| -> Value {
        json!({
            "rule_id": rule.id, "title": rule.title, "level": rule.level.name(), "author": rule.author,
            "format": format, "tags": rule.tags, "rule_file": rule.file, "version": rule.version,
            "rule_set": rule_set,
        })
    };
    match format {
        Format::Json => output::json(&all(&engine).map(described).collect::<Vec<_>>())?,
        Format::Ndjson => all(&engine).try_for_each(|rule| output::json(&described(rule)))?,
        Format::Table => {
            let mut table = output::table(&["level", "format", "title", "author", "id", "file"]);
            for (format, rule) in all(&engine) {
                table.add_row([
                    rule.level.name(),
                    format,
                    &rule.title,
                    rule.author.as_deref().unwrap_or_default(),
                    &rule.id,
                    &rule.file,
                ]);
            }
            output::print_table(&table, "no rule can be used");
            note(&format!("rule set {rule_set}"));
        }
    }
    Ok(Outcome::Done)
}

fn explain(wanted: &str, which: &WhichRules) -> anyhow::Result<Outcome> {
    let set = which.read()?;
    let (engine, _) = set.engine();
    let is_it = |rule: &Rule| {
        rule.id.eq_ignore_ascii_case(wanted) || rule.title.eq_ignore_ascii_case(wanted) || rule.file == wanted
    };
    let found: Vec<_> = all(&engine).filter(|(_, rule)| is_it(rule)).collect();
    for (format, rule) in &found {
        output::line(&format!("{} ({})", rule.title, rule.level.name()));
        output::line(&format!("  id       {}", rule.id));
        output::line(&format!("  author   {}", rule.author.as_deref().unwrap_or("not named")));
        output::line(&format!("  reads    {format}"));
        let correlation = engine.correlations().iter().find(|correlation| correlation.rule == **rule);
        if let Some(correlation) = correlation {
            output::line(&format!("  wants    {}", correlation.condition()));
        }
        output::line(&format!("  tags     {}", rule.tags.join(" ")));
        output::line(&format!("  file     {}, version {}", rule.file, rule.version));
        output::line("");
        output::line(set.text(&rule.file).unwrap_or_default().trim_end());
    }
    if found.is_empty() {
        note(&format!("no usable rule has the id, title or file {wanted:?}; `weir rules list` shows them"));
        return Ok(Outcome::No);
    }
    Ok(Outcome::Done)
}

/// Name that stands for the format of a correlation's input.
const CORRELATION: &str = "correlation";

/// Every rule with the format that it reads, correlations last.
fn all(engine: &SigmaEngine) -> impl Iterator<Item = (&'static str, &Rule)> {
    let correlations = engine.correlations().iter();
    engine.rules().chain(correlations.map(|correlation| (CORRELATION, &correlation.rule)))
}

/// The formats that any of the rules reads.
fn formats(engine: &SigmaEngine) -> Vec<&'static str> {
    let mut formats: Vec<_> = engine.rules().map(|(format, _)| format).collect();
    formats.sort_unstable();
    formats.dedup();
    formats
}
