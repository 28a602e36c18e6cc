//! `weir key`: API keys for publishers and readers.

use anyhow::Context;
use clap::{Args, Subcommand};
use schemas::{
    TenantId, Timestamp,
    access::{ApiKey, Scope},
};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use sinks::api_keys::KeyRequest;

use super::{
    Outcome,
    output::{self, Format, note},
    place::Place,
    up::LOCAL_TENANT,
};

/// Arguments of `weir key`.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key; it is shown once.
    Create {
        /// What people call it.
        #[arg(long, default_value = "unnamed")]
        name: String,
        /// The tenant it speaks for.
        #[arg(long, default_value = LOCAL_TENANT)]
        tenant: String,
        /// What it may do; repeat for several. Without it: everything.
        #[arg(long = "scope", value_parser = scope)]
        scopes: Vec<Scope>,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// List the keys, without their secrets.
    List {
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Stop a key from working, within 5 seconds.
    Revoke {
        /// The key's public id, 8 characters.
        id: String,
    },
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::from_name(text)
        .ok_or_else(|| format!("no such scope; the scopes are {}", Scope::ALL.map(Scope::name).join(", ")))
}

#[derive(Serialize)]
struct Listed {
    id: String,
    tenant: String,
    name: String,
    scopes: Vec<Scope>,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl From<ApiKey> for Listed {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            tenant: key.tenant.to_string(),
            name: key.name,
            scopes: key.scopes,
            created_at: key.created_at,
            revoked_at: key.revoked_at,
            token: None,
        }
    }
}

/// Makes, lists and revokes.
pub(super) async fn key(args: KeyArgs) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    let pool = sinks::postgres::operator_pool(&place.endpoints.database_url, 1)?;
    match args.command {
        KeyCommand::Create { name, tenant, scopes, output } => {
            let tenant = TenantId::new(&tenant)?;
            let scopes = if scopes.is_empty() { Scope::ALL.to_vec() } else { scopes };
            let request = KeyRequest { tenant, name, scopes };
            let made = sinks::api_keys::create(&pool, &place.pepper()?, &request).await?;
            let token = made.token.expose_secret();
            if output == Format::Table {
                note(&format!("key {} of tenant {}; it is not shown again:", made.key.id, made.key.tenant));
                output::line(token);
            } else {
                output::json(&Listed { token: Some(token.to_owned()), ..Listed::from(made.key) })?;
            }
            Ok(Outcome::Done)
        }
        KeyCommand::List { output } => {
            let keys = sinks::api_keys::list(&pool).await.context("reading the API keys")?;
            print_keys(keys, output)?;
            Ok(Outcome::Done)
        }
        KeyCommand::Revoke { id } => {
            if sinks::api_keys::revoke(&pool, &id).await? {
                note(&format!(
                    "key {id} is revoked; the gateway and the query API refuse it within 5 seconds"
                ));
                Ok(Outcome::Done)
            } else {
                note(&format!("no valid key has the id {id}; `weir key list` shows them"));
                Ok(Outcome::No)
            }
        }
    }
}

fn print_keys(keys: Vec<ApiKey>, format: Format) -> anyhow::Result<()> {
    let keys: Vec<Listed> = keys.into_iter().map(Listed::from).collect();
    match format {
        Format::Json => output::json(&keys)?,
        Format::Ndjson => keys.iter().try_for_each(output::json)?,
        Format::Table => {
            let mut table = output::table(&["id", "tenant", "name", "scopes", "created at", "revoked at"]);
            for key in &keys {
                let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.name()).collect();
                table.add_row([
                    key.id.clone(),
                    key.tenant.clone(),
                    key.name.clone(),
                    scopes.join(" "),
                    key.created_at.format("%F %T").to_string(),
                    key.revoked_at.map(|at| at.format("%F %T").to_string()).unwrap_or_default(),
                ]);
            }
            output::print_table(&table, "no keys; `weir key create` makes one");
        }
    }
    Ok(())
}
