//! `weir search`: searches of the audit log that are saved under a name.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value};

use super::{
    Outcome,
    command::{Command, Said},
    output::{self, Format},
    place::Place,
    query::{self, Api, AuditFilters, printable},
    settings::Trust,
};

/// Arguments of `weir search`.
#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    #[command(subcommand)]
    command: SearchCommand,
}

#[derive(Debug, Subcommand)]
enum SearchCommand {
    /// Save a search under a name; one of that name is replaced.
    Save(Box<SaveArgs>),
    /// List saved searches.
    List(ListArgs),
    /// Print the audit entries that a saved search finds, newest first.
    Run(RunArgs),
    /// Remove a saved search.
    Remove {
        /// The search's name.
        name: String,
        #[command(flatten)]
        said: Said,
    },
}

#[derive(Debug, Args)]
struct SaveArgs {
    /// The search's name.
    name: String,
    #[command(flatten)]
    filters: AuditFilters,
    #[command(flatten)]
    said: Said,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// The most searches to print.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    trust: Trust,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The search's name.
    name: String,
    /// The most entries to print.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    trust: Trust,
}

/// Saves, lists, runs or removes searches.
pub(super) async fn search(args: SearchArgs) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    match args.command {
        SearchCommand::Save(args) => {
            let filter: Map<String, Value> = args
                .filters
                .parameters()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            let path: &[&str] = &["audit", "searches", &args.name];
            let body = vec![("filter", filter.into())];
            Command { path, body }.send_as(Method::PUT, &place, &args.said).await
        }
        SearchCommand::Remove { name, said } => {
            let path: &[&str] = &["audit", "searches", &name];
            Command { path, body: Vec::new() }.send_as(Method::DELETE, &place, &said).await
        }
        SearchCommand::Run(args) => {
            query::saved(&Api::of(&place, &args.trust)?, &args.name, args.limit, args.output).await?;
            Ok(Outcome::Done)
        }
        SearchCommand::List(args) => {
            let api = Api::of(&place, &args.trust)?;
            let searches = api.pages("/api/v1/audit/searches", &[], args.limit).await?;
            query::print(&searches, args.output, print_table)?;
            Ok(Outcome::Done)
        }
    }
}

fn print_table(searches: &[Value]) {
    let mut table = output::table(&["name", "filter", "saved", "saved_by", "saved_for"]);
    for search in searches {
        let filter = search["filter"].as_object().into_iter().flatten();
        let filter: Vec<String> =
            filter.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
        let text = |column: &str| printable(search[column].as_str().unwrap_or_default());
        table.add_row([
            text("name"),
            printable(&filter.join(" ")),
            text("saved_at"),
            text("saved_by"),
            text("saved_for"),
        ]);
    }
    output::print_table(&table, "no saved searches");
}
