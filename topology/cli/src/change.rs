//! `weir change`: approval of a proposed change.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    Outcome,
    command::{Command, Said},
    output,
    place::Place,
    query::{Api, changes::encoded},
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
    /// Approve a change; says why with --reason. The approval counts for the plan that stands now, and for no later
    /// one.
    Approve {
        /// The change's id.
        id: String,
        /// The proposal to approve: `proposal_event_id` of the change; else the one that stands now.
        #[arg(long, value_name = "EVENT_ID")]
        proposal: Option<String>,
        #[command(flatten)]
        until: Until,
        #[command(flatten)]
        said: Said,
    },
    /// Reject a change; says why with --reason.
    Reject {
        /// The change's id.
        id: String,
        /// The proposal to reject: `proposal_event_id` of the change; else the one that stands when it is rejected.
        #[arg(long, value_name = "EVENT_ID")]
        proposal: Option<String>,
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
        ChangeCommand::Approve { id, proposal, until, said } => {
            let proposal = match proposal {
                Some(proposal) => Some(proposal),
                None => standing_proposal(&place, &said, &id).await,
            };
            let body = vec![
                ("decision", "approved".into()),
                ("proposal", proposal.into()),
                ("expires_at", until.expires_at.into()),
            ];
            Command { path: &["changes", &id, "decisions"], body }.send(&place, &said).await
        }
        ChangeCommand::Reject { id, proposal, said } => {
            let body = vec![("decision", "rejected".into()), ("proposal", proposal.into())];
            Command { path: &["changes", &id, "decisions"], body }.send(&place, &said).await
        }
    }
}

/// Looks up the proposal that is about to be approved, and shows it. `None` where it cannot be read: a key may be
/// allowed to decide and not to read.
async fn standing_proposal(place: &Place, said: &Said, id: &str) -> Option<String> {
    let found = match Api::of(place, &said.trust) {
        Ok(api) => api.get(&format!("/api/v1/changes/{}", encoded(id)), &[]).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(answer) => {
            let (shown, proposal) = shown(&answer["item"]);
            output::note(&shown);
            proposal
        }
        Err(error) => {
            output::note(&format!(
                "cannot read the change ({error:#}): the approval names no plan and counts for the one that stands when it \
                 arrives; --proposal EVENT_ID names one"
            ));
            None
        }
    }
}

/// The proposal that stands, for a person, and the id of its event.
fn shown(change: &Value) -> (String, Option<String>) {
    let Some(proposal) = change["proposal_event_id"].as_str() else {
        return ("nothing is proposed yet: the approval names no plan".to_owned(), None);
    };
    let route = change["route"].as_str().unwrap_or("unknown");
    let text = format!(
        "approving proposal {proposal} of {}: score {}, route {route}",
        change["proposed_at"].as_str().unwrap_or("an unknown time"),
        change["score"],
    );
    (text, Some(proposal.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::shown;

    #[test]
    fn the_proposal_that_is_approved_is_shown_with_its_score_and_route() {
        let change = json!({"proposal_event_id": "019b76da-a800-7000-8000-000000000001", "score": 60,
            "route": "review", "proposed_at": "2026-01-05T08:00:00Z"});
        let (text, proposal) = shown(&change);
        assert_eq!(
            text,
            "approving proposal 019b76da-a800-7000-8000-000000000001 of 2026-01-05T08:00:00Z: score 60, route review"
        );
        assert_eq!(proposal.as_deref(), change["proposal_event_id"].as_str());
        assert_eq!(shown(&json!({"proposal_event_id": null})).1, None);
    }
}
