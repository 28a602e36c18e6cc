//! `weir hold`: legal holds, which keep data from being erased or removed for its age.

use clap::{Args, Subcommand};
use schemas::changes::retention::HoldScope;
use serde_json::Value;

use super::{
    Outcome,
    command::{Command, Said},
    output::{self, Format},
    place::Place,
    query::{self, Api, printable},
    settings::Trust,
};

/// Arguments of `weir hold`.
#[derive(Debug, Args)]
pub(super) struct HoldArgs {
    #[command(subcommand)]
    command: HoldCommand,
}

#[derive(Debug, Subcommand)]
enum HoldCommand {
    /// Keep data beyond its retention, and in spite of requests for its erasure; --reason gives the reason.
    Place(DecideArgs),
    /// Let data go again; says why with --reason.
    Release(DecideArgs),
    /// List holds.
    List(ListArgs),
}

#[derive(Debug, Args)]
struct DecideArgs {
    /// person, project, resource or tenant.
    #[arg(value_parser = scope)]
    scope: HoldScope,
    /// The id of the person, project or resource; none for a tenant.
    subject: Option<String>,
    /// The hold's name, a file number for example; a subject is kept until the last of its holds is released.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    said: Said,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Also those that were released.
    #[arg(long)]
    all: bool,
    /// The most holds to print.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    trust: Trust,
}

fn scope(text: &str) -> Result<HoldScope, String> {
    HoldScope::ALL
        .into_iter()
        .find(|scope| scope.name() == text)
        .ok_or_else(|| format!("the scopes are {}", HoldScope::ALL.map(HoldScope::name).join(", ")))
}

/// Sends the decision, or lists what was decided.
pub(super) async fn hold(args: HoldArgs) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    match args.command {
        HoldCommand::Place(args) => args.send(&place, &["holds"]).await,
        HoldCommand::Release(args) => args.send(&place, &["holds", "releases"]).await,
        HoldCommand::List(args) => list(&place, &args).await,
    }
}

impl DecideArgs {
    async fn send(self, place: &Place, path: &[&str]) -> anyhow::Result<Outcome> {
        let body = vec![
            ("scope", self.scope.name().into()),
            ("subject", self.subject.into()),
            ("name", self.name.into()),
        ];
        Command { path, body }.send(place, &self.said).await
    }
}

async fn list(place: &Place, args: &ListArgs) -> anyhow::Result<Outcome> {
    let filters: &[(&str, &str)] = if args.all { &[] } else { &[("state", "active")] };
    let holds = Api::of(place, &args.trust)?.pages("/api/v1/holds", filters, args.limit).await?;
    query::print(&holds, args.output, print_table)?;
    Ok(Outcome::Done)
}

fn print_table(holds: &[Value]) {
    let columns = ["scope", "subject", "name", "placed_at", "placed_by", "placed_for", "released_at"];
    let mut table = output::table(&columns.map(|name| name.trim_end_matches("_at")));
    for hold in holds {
        table.add_row(columns.map(|column| printable(hold[column].as_str().unwrap_or_default())));
    }
    output::print_table(&table, "no holds");
}
