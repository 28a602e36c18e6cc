//! `weir topology`: the pipeline as declared, and the cluster as it is.

use clap::{Args, Subcommand, ValueEnum};

use super::{
    Outcome,
    logins::Logins,
    output::{self, note},
    place::Place,
    settings::kafka_security,
    up,
};
use topology::{
    pipeline,
    runtime::offline::admin::{self, TopicChange},
};

/// Arguments of `weir topology`.
#[derive(Debug, Args)]
pub(super) struct TopologyArgs {
    #[command(subcommand)]
    command: TopologyCommand,
}

#[derive(Debug, Subcommand)]
enum TopologyCommand {
    /// Print the pipeline.
    Show {
        #[arg(long, value_enum, default_value_t = Picture::Text)]
        output: Picture,
    },
    /// Print what `apply` would change; exits 1 if anything.
    Plan,
    /// Create missing topics and mend their settings; create the database, its tables, and the services' logins whose
    /// passwords are set.
    Apply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Picture {
    Text,
    Mermaid,
    Json,
}

/// Shows, compares, applies.
pub(super) async fn topology(args: TopologyArgs) -> anyhow::Result<Outcome> {
    let declared = pipeline::declaration();
    match args.command {
        TopologyCommand::Show { output: Picture::Text } => output::line(declared.show_text().trim_end()),
        TopologyCommand::Show { output: Picture::Mermaid } => {
            output::line(declared.show_mermaid().trim_end());
        }
        TopologyCommand::Show { output: Picture::Json } => output::json(&declared.shape())?,
        TopologyCommand::Plan => {
            let place = Place::find().await?;
            let changes = admin::plan(&declared, &place.endpoints.kafka, &kafka_security()).await?;
            if changes.is_empty() {
                note("the cluster is as declared");
                return Ok(Outcome::Done);
            }
            print(&changes);
            return Ok(Outcome::No);
        }
        TopologyCommand::Apply => {
            let place = Place::find().await?;
            let logins = Logins::given(&place.settings.database)?;
            let changes = up::prepare(&place.endpoints).await?;
            logins.make(&place.endpoints.database_url).await?;
            print(&changes);
            note(&format!("the database is migrated; {} changes of topics", changes.len()));
        }
    }
    Ok(Outcome::Done)
}

fn print(changes: &[TopicChange]) {
    for change in changes {
        output::line(&change.to_string());
    }
}
