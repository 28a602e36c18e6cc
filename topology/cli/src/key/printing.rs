//! Printing of API keys.

use schemas::{
    Timestamp,
    access::{ApiKey, Scope},
};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use sinks::api_keys::CreatedKey;

use crate::output::{self, Format, note};

/// A new key, for machines.
#[derive(Serialize)]
struct Created<'a> {
    id: &'a str,
    token: &'a str,
    tenant: &'a str,
    scopes: &'a [Scope],
    expires_at: Option<Timestamp>,
}

/// A stored key, for machines.
#[derive(Serialize)]
struct Listed {
    id: String,
    tenant: String,
    name: String,
    scopes: Vec<Scope>,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    sources: Vec<String>,
    networks: Vec<String>,
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
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            sources: key.sources,
            networks: key.networks.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Prints a key that was just made, with its token.
pub(super) fn created(CreatedKey { key, token }: &CreatedKey, format: Format) -> anyhow::Result<()> {
    let token = token.expose_secret();
    if format == Format::Table {
        let end = key.expires_at.map(|end| format!(", works until {}", end.format("%F %T UTC")));
        note(&format!(
            "key {} of tenant {}{}; it is not shown again:",
            key.id,
            key.tenant,
            end.unwrap_or_default()
        ));
        output::line(token);
        return Ok(());
    }
    output::json(&Created {
        id: &key.id,
        token,
        tenant: key.tenant.as_str(),
        scopes: &key.scopes,
        expires_at: key.expires_at,
    })
}

/// Prints stored keys.
pub(super) fn listed(keys: Vec<ApiKey>, format: Format) -> anyhow::Result<()> {
    let keys: Vec<Listed> = keys.into_iter().map(Listed::from).collect();
    match format {
        Format::Json => output::json(&keys)?,
        Format::Ndjson => keys.iter().try_for_each(output::json)?,
        Format::Table => {
            let header = ["id", "tenant", "name", "scopes", "created at", "last used", "ends", "only for"];
            let mut table = output::table(&header);
            for key in &keys {
                let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.name()).collect();
                let minute = |at: Option<Timestamp>| at.map(|at| at.format("%F %R").to_string());
                let revoked = minute(key.revoked_at).map(|at| format!("revoked {at}"));
                let only: Vec<&str> = key.sources.iter().chain(&key.networks).map(String::as_str).collect();
                table.add_row([
                    key.id.clone(),
                    key.tenant.clone(),
                    key.name.clone(),
                    scopes.join(" "),
                    minute(Some(key.created_at)).unwrap_or_default(),
                    minute(key.last_used_at).unwrap_or_else(|| "never".to_owned()),
                    revoked.or_else(|| minute(key.expires_at)).unwrap_or_else(|| "never".to_owned()),
                    only.join(" "),
                ]);
            }
            output::print_table(&table, "no keys; `weir key create` makes one");
        }
    }
    Ok(())
}
