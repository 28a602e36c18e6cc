//! `weir access`: who can do what, by which key or rule, and who did lately.

use std::collections::BTreeSet;

use anyhow::Context;
use chrono::Utc;
use clap::Args;
use edge::identity::{IssuerConfig, TenantOf};
use schemas::{
    TenantId, Timestamp,
    access::{ApiKey, Role, Scope},
};
use serde::Serialize;
use sinks::{
    access_trail::{self, PrincipalUse},
    api_keys,
};

use super::{
    Outcome,
    output::{self, Format},
    place::Place,
    settings::issuer_configs,
};

/// Arguments of `weir access`.
#[derive(Debug, Args)]
pub(super) struct AccessArgs {
    /// Of this tenant only.
    #[arg(long)]
    tenant: Option<String>,
    /// Keys that have ended too.
    #[arg(long)]
    all: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Everything that gives access.
#[derive(Debug, Serialize)]
struct Access {
    principals: Vec<Holder>,
    rules: Vec<Rule>,
    roles: Vec<RoleScopes>,
}

/// A key, or a subject of an issuer that was let in.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Holder {
    tenant: String,
    principal: String,
    /// `api_key`, `person` or `service`.
    kind: String,
    name: Option<String>,
    roles: Vec<String>,
    scopes: Vec<String>,
    /// Of a key `works`, `expired` or `revoked`; of a subject `seen`: whether it still has access its
    /// issuer's claims decide.
    state: &'static str,
    expires_at: Option<Timestamp>,
    first_used_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    /// Where the last request came from.
    address: Option<String>,
    /// The sources and networks that a key is narrowed to.
    only_for: Vec<String>,
}

/// Whoever's claim has the value has the role.
#[derive(Debug, Serialize)]
struct Rule {
    issuer: String,
    claim: String,
    matches: String,
    role: Role,
    /// The tenant, or the claim that names it.
    tenant: String,
    scopes: Vec<Scope>,
}

#[derive(Debug, Serialize)]
struct RoleScopes {
    role: Role,
    scopes: &'static [Scope],
}

/// Prints who can do what.
pub(super) async fn access(args: AccessArgs) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    let tenant = args.tenant.as_deref().map(TenantId::new).transpose()?;
    let pool = place.operator_pool()?;
    let keys = api_keys::list(&pool).await.context("reading the API keys")?;
    let used = access_trail::list(&pool, tenant.as_ref()).await.context("reading who was let in")?;
    let keys = keys.into_iter().filter(|key| tenant.as_ref().is_none_or(|tenant| key.tenant == *tenant));
    let keys: Vec<ApiKey> = keys.collect();
    let mut principals = holders(&keys, &used, Utc::now());
    principals.retain(|holder| args.all || !matches!(holder.state, "expired" | "revoked"));
    let configs = issuer_configs(place.issuers()?)?;
    let access = Access {
        principals,
        rules: rules(&configs, tenant.as_ref()),
        roles: Role::ALL.map(|role| RoleScopes { role, scopes: role.scopes() }).into(),
    };
    print(&access, args.output)?;
    Ok(Outcome::Done)
}

/// Keys with what is known of their use, then the subjects of issuers; by tenant.
fn holders(keys: &[ApiKey], used: &[PrincipalUse], now: Timestamp) -> Vec<Holder> {
    let known: BTreeSet<String> = keys.iter().map(|key| key.id.clone()).collect();
    let use_of = |key: &ApiKey| used.iter().find(|used| used.principal == key.id);
    let mut holders: Vec<Holder> = keys.iter().map(|key| of_key(key, use_of(key), now)).collect();
    holders.extend(used.iter().filter(|used| !known.contains(&used.principal)).map(of_subject));
    holders.sort_by(|a, b| (&a.tenant, &a.kind, &a.principal).cmp(&(&b.tenant, &b.kind, &b.principal)));
    holders
}

fn of_key(key: &ApiKey, used: Option<&PrincipalUse>, now: Timestamp) -> Holder {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(end)) if end <= now => "expired",
        (None, _) => "works",
    };
    Holder {
        tenant: key.tenant.to_string(),
        principal: key.id.clone(),
        kind: "api_key".to_owned(),
        name: Some(key.name.clone()),
        roles: Vec::new(),
        scopes: key.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
        state,
        expires_at: key.expires_at,
        first_used_at: used.map(|used| used.first_used_at),
        last_used_at: used.map(|used| used.last_used_at).max(key.last_used_at),
        address: used.map(|used| used.address.clone()),
        only_for: key.sources.iter().cloned().chain(key.networks.iter().map(ToString::to_string)).collect(),
    }
}

fn of_subject(used: &PrincipalUse) -> Holder {
    // A key that was deleted is neither seen again nor known any more.
    let state = if used.kind == "api_key" { "revoked" } else { "seen" };
    Holder {
        tenant: used.tenant_id.clone(),
        principal: used.principal.clone(),
        kind: used.kind.clone(),
        name: used.actor_name.clone(),
        roles: used.roles.clone(),
        scopes: used.scopes.clone(),
        state,
        expires_at: None,
        first_used_at: Some(used.first_used_at),
        last_used_at: Some(used.last_used_at),
        address: Some(used.address.clone()),
        only_for: Vec::new(),
    }
}

/// The rules of all issuers that may give access to the tenant: a rule whose claim names the tenant may
/// give it to any.
fn rules(configs: &[IssuerConfig], only: Option<&TenantId>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for config in configs {
        for rule in &config.rules {
            let tenant = match &rule.tenant {
                TenantOf::Fixed(tenant) if only.is_some_and(|only| only != tenant) => continue,
                TenantOf::Fixed(tenant) => tenant.to_string(),
                TenantOf::Claim(claim) => format!("as the claim {claim} says"),
            };
            rules.push(Rule {
                issuer: config.issuer.clone(),
                claim: rule.claim.clone(),
                matches: rule.matches.clone(),
                role: rule.role,
                tenant,
                scopes: rule.role.scopes().to_vec(),
            });
        }
    }
    rules
}

fn print(access: &Access, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(access);
    }
    let minute = |at: Option<Timestamp>| at.map(|at| at.format("%F %R").to_string());
    let mut table =
        output::table(&["tenant", "principal", "kind", "name", "roles", "may", "last used", "from", "state"]);
    for holder in &access.principals {
        table.add_row([
            holder.tenant.clone(),
            holder.principal.clone(),
            holder.kind.clone(),
            holder.name.clone().unwrap_or_default(),
            holder.roles.join(" "),
            holder.scopes.join(" "),
            minute(holder.last_used_at).unwrap_or_else(|| "never".to_owned()),
            holder.address.clone().unwrap_or_default(),
            holder.state.to_owned(),
        ]);
    }
    output::print_table(&table, "no keys, and nobody was let in; `weir key create` makes a key");
    if !access.rules.is_empty() {
        output::line("");
        let mut table = output::table(&["issuer", "claim", "is", "gives", "in tenant"]);
        for rule in &access.rules {
            let role = rule.role.name();
            table.add_row([&rule.issuer, &rule.claim, &rule.matches, role, &rule.tenant]);
        }
        output::print_table(&table, "");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use edge::identity::{KeySource, RoleRule, SubjectKind};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).expect("an instant")
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).expect("a tenant")
    }

    fn key(id: &str, change: impl FnOnce(&mut ApiKey)) -> ApiKey {
        let mut key = ApiKey {
            id: id.to_owned(),
            succeeds: None,
            tenant: tenant("acme"),
            name: "ci".to_owned(),
            scopes: vec![Scope::EventsWrite],
            secret_hmac: [0; 32],
            created_at: at(0),
            revoked_at: None,
            expires_at: None,
            last_used_at: Some(at(5)),
            sources: Vec::new(),
            networks: Vec::new(),
        };
        change(&mut key);
        key
    }

    fn used(principal: &str, kind: &str) -> PrincipalUse {
        PrincipalUse {
            tenant_id: "acme".to_owned(),
            principal: principal.to_owned(),
            kind: kind.to_owned(),
            actor: principal.to_owned(),
            actor_name: None,
            issuer: None,
            roles: vec!["viewer".to_owned()],
            scopes: vec!["read".to_owned()],
            address: "192.0.2.1".to_owned(),
            first_used_at: at(7),
            last_used_at: at(9),
        }
    }

    #[test]
    fn keys_are_listed_with_their_use_and_subjects_beside_them() {
        let keys = [
            key("k1", |_| {}),
            key("k2", |key| key.revoked_at = Some(at(1))),
            key("k3", |key| key.expires_at = Some(at(10))),
        ];
        let listed = holders(&keys, &[used("k1", "api_key"), used("https://i#mara", "person")], at(10));
        let states: Vec<_> = listed
            .iter()
            .map(|holder| (holder.principal.as_str(), holder.state, holder.last_used_at))
            .collect();
        assert_eq!(
            states,
            [
                ("k1", "works", Some(at(9))),
                ("k2", "revoked", Some(at(5))),
                ("k3", "expired", Some(at(5))),
                ("https://i#mara", "seen", Some(at(9))),
            ]
        );
    }

    #[test]
    fn a_tenant_sees_its_rules_and_those_that_may_name_it() {
        let rule = |matches: &str, tenant: TenantOf| RoleRule {
            claim: "groups".to_owned(),
            matches: matches.to_owned(),
            role: Role::Viewer,
            tenant,
        };
        let config = IssuerConfig {
            issuer: "https://i".to_owned(),
            audiences: Vec::new(),
            authorized_parties: Vec::new(),
            keys: KeySource::Discovery,
            principal_claim: "sub".to_owned(),
            kind: SubjectKind::Detected,
            rules: vec![
                rule("a", TenantOf::Fixed(tenant("acme"))),
                rule("b", TenantOf::Fixed(tenant("other"))),
                rule("c", TenantOf::Claim("org".to_owned())),
            ],
        };
        let found = |only: Option<&TenantId>| -> Vec<String> {
            rules(std::slice::from_ref(&config), only).into_iter().map(|rule| rule.matches).collect()
        };
        assert_eq!(found(None), ["a", "b", "c"]);
        assert_eq!(found(Some(&tenant("acme"))), ["a", "c"]);
    }
}
