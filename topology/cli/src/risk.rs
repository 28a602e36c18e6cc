//! `weir risk`: what people decide about entities and incidents.

use anyhow::Context;
use clap::{Args, Subcommand};
use schemas::changes::risk::{EntityKind, TriageDecision};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Outcome,
    command::{Command, Said},
    place::Place,
    query::Api,
};

/// Arguments of `weir risk`.
#[derive(Debug, Args)]
pub(super) struct RiskArgs {
    #[command(subcommand)]
    command: RiskCommand,
}

#[derive(Debug, Subcommand)]
enum RiskCommand {
    /// Set how much an entity's hazard weighs; says why with --reason.
    Criticality {
        #[command(flatten)]
        entity: EntityArgs,
        /// low, medium, high or extreme.
        criticality: String,
        #[command(flatten)]
        said: Said,
    },
    /// Put an entity on a watchlist or take it off; says why with --reason.
    #[command(subcommand)]
    Watchlist(WatchlistCommand),
    /// Say what an incident was; closed and `false_positive` say why with --reason.
    Triage(Box<TriageArgs>),
}

#[derive(Debug, Subcommand)]
enum WatchlistCommand {
    /// Put an entity on a list.
    Add {
        #[command(flatten)]
        entity: EntityArgs,
        /// The list's name.
        watchlist: String,
        /// Factor by which the hazard is multiplied, 0.1 to 10.
        #[arg(long)]
        multiplier: String,
        /// Time at which it expires, RFC 3339.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        #[command(flatten)]
        said: Said,
    },
    /// Take an entity off a list.
    Remove {
        #[command(flatten)]
        entity: EntityArgs,
        /// The list's name.
        watchlist: String,
        #[command(flatten)]
        said: Said,
    },
}

#[derive(Debug, Args)]
struct EntityArgs {
    /// The entity's kind.
    #[arg(value_parser = entity_kind)]
    kind: EntityKind,
    /// Its id.
    id: String,
}

#[derive(Debug, Args)]
struct TriageArgs {
    /// The incident's id; `weir query incidents` shows them.
    incident: Uuid,
    /// `open`, `acknowledged`, `closed` or `false_positive`.
    #[arg(value_parser = triage_decision)]
    decision: TriageDecision,
    /// A rule that was wrong, by id; repeat for several. Without it a false positive is one of all the incident's rules.
    #[arg(long = "rule", value_name = "ID")]
    rules: Vec<String>,
    #[command(flatten)]
    said: Said,
}

fn entity_kind(text: &str) -> Result<EntityKind, String> {
    EntityKind::from_name(text)
        .ok_or_else(|| format!("the kinds are {}", EntityKind::ALL.map(EntityKind::name).join(", ")))
}

fn triage_decision(text: &str) -> Result<TriageDecision, String> {
    TriageDecision::from_name(text).ok_or_else(|| {
        format!("the decisions are {}", TriageDecision::ALL.map(TriageDecision::name).join(", "))
    })
}

/// Sends the decision.
pub(super) async fn risk(args: RiskArgs) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    match args.command {
        RiskCommand::Criticality { entity, criticality, said } => {
            let body = vec![("criticality", criticality.into())];
            entity.command("criticality", body, &place, &said).await
        }
        RiskCommand::Watchlist(WatchlistCommand::Add { entity, watchlist, multiplier, expires_at, said }) => {
            let body = vec![
                ("watchlist", watchlist.into()),
                ("action", "added".into()),
                ("multiplier", multiplier.into()),
                ("expires_at", expires_at.into()),
            ];
            entity.command("watchlists", body, &place, &said).await
        }
        RiskCommand::Watchlist(WatchlistCommand::Remove { entity, watchlist, said }) => {
            let body = vec![("watchlist", watchlist.into()), ("action", "removed".into())];
            entity.command("watchlists", body, &place, &said).await
        }
        RiskCommand::Triage(args) => triage(*args, &place).await,
    }
}

impl EntityArgs {
    async fn command(
        &self,
        what: &str,
        body: Vec<(&'static str, Value)>,
        place: &Place,
        said: &Said,
    ) -> anyhow::Result<Outcome> {
        let path = ["risk", "entities", self.kind.name(), &self.id, what];
        Command { path: &path, body }.send(place, said).await
    }
}

/// The event must carry the incident's entity and rules: they are looked up here.
async fn triage(args: TriageArgs, place: &Place) -> anyhow::Result<Outcome> {
    let id = args.incident.to_string();
    let answer = Api::of(place, &args.said.trust)?.get(&format!("/api/v1/risk/incidents/{id}"), &[]).await?;
    let Subject { entity, rules } = Subject::of(&answer["item"])?;
    let mut body = vec![("decision", args.decision.name().into()), ("entity", entity)];
    if args.decision == TriageDecision::FalsePositive {
        body.push(("rules", if args.rules.is_empty() { rules } else { args.rules }.into()));
    } else if !args.rules.is_empty() {
        body.push(("rules", args.rules.into()));
    }
    Command { path: &["risk", "incidents", &id, "triage"], body }.send(place, &args.said).await
}

/// Entity and rules of an incident.
struct Subject {
    entity: Value,
    rules: Vec<String>,
}

impl Subject {
    fn of(incident: &Value) -> anyhow::Result<Self> {
        let text = |name: &str| incident[name].as_str();
        let (kind, id) =
            text("entity_kind").zip(text("entity")).context("the query API's answer names no entity")?;
        let rules = incident["rules"].as_array().into_iter().flatten();
        let rules = rules.filter_map(|rule| Some(rule["id"].as_str()?.to_owned())).collect();
        Ok(Self { entity: json!({"kind": kind, "id": id}), rules })
    }
}
