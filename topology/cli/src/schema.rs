//! `weir schema`: the event schemas at the registry.

use anyhow::bail;
use clap::{Args, Subcommand};

use super::{Outcome, output, place::Place};

/// Arguments of `weir schema`.
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    #[command(subcommand)]
    command: SchemaCommand,
}

#[derive(Debug, Subcommand)]
enum SchemaCommand {
    /// Register every event schema under `<topic>-value`, and print the ids.
    Register,
}

/// Registers.
pub(super) async fn schema(args: SchemaArgs) -> anyhow::Result<Outcome> {
    let SchemaCommand::Register = args.command;
    let place = Place::find().await?;
    let Some(registry) = place.registry()? else {
        bail!("no registry is known: set SCHEMA_REGISTRY_URL, or start one with `weir up --registry`");
    };
    for (topic, id) in registry.register().await?.iter() {
        output::line(&format!("{topic}-value {id}"));
    }
    Ok(Outcome::Done)
}
