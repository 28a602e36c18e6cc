//! `weir auth`: signing in, and what a token of an issuer allows here, and why.

pub(super) mod login;

use std::io::Read as _;

use anyhow::{Context, bail};
use chrono::Utc;
use clap::{Args, Subcommand};
use edge::identity::{Denial, RuleOutcome};
use schemas::access::{Principal, Role, Scope};
use serde::Serialize;

use super::{
    Outcome,
    output::{self, Format, note},
    place::Place,
    settings::identities,
};

/// Arguments of `weir auth`.
#[derive(Debug, Args)]
pub(super) struct AuthArgs {
    #[command(subcommand)]
    command: AuthCommand,
}

#[derive(Debug, Subcommand)]
enum AuthCommand {
    /// Sign in at an issuer; the commands that ask services here go on in your name.
    Login(login::LoginArgs),
    /// Forget the sign-in.
    Logout,
    /// Check a token as the gateway and the query API do, and show which rule gave what, and why others did not.
    Explain {
        /// The token; `-` reads it from stdin.
        token: String,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
}

/// Principal, roles and scopes that a token gives.
#[derive(Debug, Serialize)]
struct Explanation {
    principal: Option<String>,
    tenant: Option<String>,
    roles: Vec<Role>,
    scopes: Vec<Scope>,
    rules: Vec<RuleOutcome>,
    /// The reason for which the token names nobody, if there is one.
    refused: Option<String>,
}

/// Signs in or out, or explains a token.
pub(super) async fn auth(args: AuthArgs) -> anyhow::Result<Outcome> {
    match args.command {
        AuthCommand::Login(args) => login::login(&args).await,
        AuthCommand::Logout => login::logout(),
        AuthCommand::Explain { token, output } => explain(token, output).await,
    }
}

async fn explain(token: String, output: Format) -> anyhow::Result<Outcome> {
    let token = if token == "-" { from_stdin()? } else { token };
    let identities = identities(Place::here()?.issuers()?)?;
    if identities.is_empty() {
        bail!("no issuer is configured: add an [[issuer]] to weir.toml");
    }
    let explained = identities.explain(token.trim(), Utc::now()).await.context("the token is refused")?;
    let explanation = Explanation::of(explained.principal, explained.rules);
    print(&explanation, output)?;
    Ok(if explanation.principal.is_some() { Outcome::Done } else { Outcome::No })
}

fn from_stdin() -> anyhow::Result<String> {
    let mut token = String::new();
    let longest = schemas::access::MAX_CREDENTIAL_BYTES as u64;
    std::io::stdin().take(longest).read_to_string(&mut token).context("reading the token from stdin")?;
    Ok(token)
}

impl Explanation {
    fn of(principal: Result<Principal, Denial>, outcomes: Vec<RuleOutcome>) -> Self {
        let refused = principal.as_ref().err().map(|denial| match denial {
            // The rules that are shown say why.
            Denial::NoRole => "the token is valid, but no rule gives its subject a role".to_owned(),
            denial => denial.to_string(),
        });
        let principal = principal.ok();
        let roles = match &principal {
            Some(Principal::Person(subject) | Principal::Service(subject)) => subject.roles.clone(),
            Some(Principal::ApiKey(_)) | None => Vec::new(),
        };
        Self {
            principal: principal.as_ref().map(|principal| principal.id().into_owned()),
            tenant: principal.as_ref().map(|principal| principal.tenant().to_string()),
            roles,
            scopes: principal.map(|principal| principal.scopes().to_vec()).unwrap_or_default(),
            rules: outcomes,
            refused,
        }
    }
}

fn print(explanation: &Explanation, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(explanation);
    }
    let mut table = output::table(&["claim", "matched", "gave"]);
    for rule in &explanation.rules {
        let matched = if rule.matched { "yes" } else { "no" };
        table.add_row([&rule.claim, matched, &rule.gave]);
    }
    output::print_table(&table, "the issuer has no rules");
    if let (Some(principal), Some(tenant)) = (&explanation.principal, &explanation.tenant) {
        let scopes: Vec<&str> = explanation.scopes.iter().map(|scope| scope.name()).collect();
        note(&format!("{principal} of tenant {tenant} may {}", scopes.join(" ")));
    }
    if let Some(refused) = &explanation.refused {
        note(refused);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_names_the_claim_that_cannot_name_the_subject() {
        let unnamed = Denial::NoSubject { claim: "email".to_owned(), why: "is missing" };
        let refused = Explanation::of(Err(unnamed), Vec::new()).refused.expect("a reason");
        assert!(refused.contains("claim email") && refused.contains("is missing"), "{refused}");
        let refused = Explanation::of(Err(Denial::NoRole), Vec::new()).refused.expect("a reason");
        assert!(!refused.contains("weir auth explain"), "{refused}");
    }
}
