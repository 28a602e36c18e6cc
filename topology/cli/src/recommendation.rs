//! `weir recommendation`: what is done about recommendations of cost.

use clap::{Args, Subcommand};
use schemas::changes::cost::RecommendationDecision;

use super::{
    Outcome,
    command::{Command, Said},
    place::Place,
};

/// Arguments of `weir recommendation`.
#[derive(Debug, Args)]
pub(super) struct RecommendationArgs {
    #[command(subcommand)]
    command: RecommendationCommand,
}

#[derive(Debug, Subcommand)]
enum RecommendationCommand {
    /// Accept a recommendation; from then on its saving is looked for in the charges. Says why with --reason.
    Accept(Decision),
    /// Dismiss a recommendation: it is not shown any more. Says why with --reason.
    Dismiss(Decision),
    /// Open a recommendation again. Says why with --reason.
    Reopen(Decision),
}

#[derive(Debug, Args)]
struct Decision {
    /// Its id, as `weir query cost recommendations` shows it.
    id: String,
    #[command(flatten)]
    said: Said,
}

/// Sends the decision.
pub(super) async fn recommendation(args: RecommendationArgs) -> anyhow::Result<Outcome> {
    let (word, Decision { id, said }) = match args.command {
        RecommendationCommand::Accept(decision) => (RecommendationDecision::Accepted, decision),
        RecommendationCommand::Dismiss(decision) => (RecommendationDecision::Dismissed, decision),
        RecommendationCommand::Reopen(decision) => (RecommendationDecision::Reopened, decision),
    };
    let place = Place::find().await?;
    let body = vec![("decision", word.name().into())];
    Command { path: &["cost", "recommendations", &id, "decisions"], body }.send(&place, &said).await
}
