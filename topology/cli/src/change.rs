//! `weir change`: approval of a proposed change.

use clap::{Args, Subcommand};

use super::{
    Outcome,
    command::{Command, Said},
    place::Place,
};

/// Arguments of `weir change`.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    #[command(subcommand)]
    command: ChangeCommand,
}

#[derive(Debug, Subcommand)]
enum ChangeCommand {
    /// Ask for a change to be approved.
    Request {
        /// The change's id; `weir query changes` shows them.
        id: String,
        /// The project that would change.
        #[arg(long)]
        project: Option<String>,
        /// The environment that would change.
        #[arg(long)]
        environment: Option<String>,
        #[command(flatten)]
        until: Until,
        #[command(flatten)]
        said: Said,
    },
    /// Approve a change; says why with --reason.
    Approve {
        /// The change's id.
        id: String,
        #[command(flatten)]
        until: Until,
        #[command(flatten)]
        said: Said,
    },
    /// Reject a change; says why with --reason.
    Reject {
        /// The change's id.
        id: String,
        #[command(flatten)]
        said: Said,
    },
}

#[derive(Debug, Args)]
struct Until {
    /// Time at which it expires, RFC 3339.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

/// Sends the decision.
pub(super) async fn change(args: ChangeArgs) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    match args.command {
        ChangeCommand::Request { id, project, environment, until, said } => {
            let body = vec![
                ("project", project.into()),
                ("environment", environment.into()),
                ("expires_at", until.expires_at.into()),
            ];
            Command { path: &["changes", &id, "approval-requests"], body }.send(&place, &said).await
        }
        ChangeCommand::Approve { id, until, said } => {
            let body = vec![("decision", "approved".into()), ("expires_at", until.expires_at.into())];
            Command { path: &["changes", &id, "decisions"], body }.send(&place, &said).await
        }
        ChangeCommand::Reject { id, said } => {
            let body = vec![("decision", "rejected".into())];
            Command { path: &["changes", &id, "decisions"], body }.send(&place, &said).await
        }
    }
}
